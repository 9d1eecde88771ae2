"""Print what is in a checkpoint, which backbone and layout it fits, and what is missing or not used.

    python -m trainer.models.inspect FILE [--backbone NAME] [--layout NAME]
    python -m trainer.models.inspect FILE --add "My method"

Without --backbone it is the one that fits best. --add appends a row for the file to your own table of methods.
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

import yaml
from torch import Tensor

from trainer.config import check_pixel_scale
from trainer.models.backbones import BACKBONES
from trainer.models.checkpoints import find_backbone, named_tensors
from trainer.models.layouts import LAYOUTS, as_published
from trainer.models.matching import closest_backbone, group_keys, match_layout, named_shapes
from trainer.models.methods_table import DEFAULTS, LOCAL_TABLE, PUBLISHED_TABLE, RECIPES, add_method, baselines
from trainer.models.safe_load import Placeholder, read_checkpoint
from trainer.models.vit_files import family
from trainer.utils.errors import exit_on_input_error
from trainer.utils.text import printable, quoted, shortened, shown

OF_COLORS = ", or three with commas between them for red, green and blue"
ABSENT_POSITIONS = (
    "VideoMAE's for 16 frames of 224 px, as the file has none; a pre-training on other clips does not fit"
)
MOST_LINES = 50  # printed of the entries and of the groups


def main(argv=None):
    """Run the command line; end with status 1 if the file fits no backbone whole."""
    args = _arguments(argv)
    with exit_on_input_error():
        checkpoint = read_checkpoint(args.file)
        print(printable(f"{args.file}: {args.file.stat().st_size / 1e6:.1f} MB"))
        _print_lines(_content_lines(checkpoint))
        entries = named_tensors(args.file, checkpoint)
        backbone = args.backbone or closest_backbone(entries, args.layout)[0]
        expected = named_shapes(backbone)
        for match in match_layout(entries, args.layout, expected):
            _print_lines(_group_lines(entries[match.place.entry], match))
        match = find_backbone(args.file, entries, args.layout, expected)
        counters = " (batch counters are not in the file)" if match.absent_counters else ""
        columns = {
            "backbone": backbone,
            "recipe": args.recipe or BACKBONES[backbone].recipe,
            "layout": args.layout,
            "channel_order": args.channel_order,
            "mean": args.mean or BACKBONES[backbone].mean,
            "std": args.std or BACKBONES[backbone].std,
        }
        if args.add is not None:
            columns["bn_eps"] = args.bn_eps  # no file tells it
        row = "  row: " + ", ".join(f"{column} {value}" for column, value in columns.items())
        _print_lines([*_file_lines(backbone, match, entries[match.place.entry]), row])
        print(f"fits {backbone} whole: {len(match.keys)} tensors{counters}; {match.place}{as_published(match.place)}")
        if args.add is not None:
            _add(args, columns)


def _arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m trainer.models.inspect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="checkpoint: .pth, .pt, .pth.tar, ... of torch.save, or .safetensors")
    parser.add_argument("--backbone", choices=BACKBONES, help="default: the one that fits best")
    parser.add_argument("--layout", choices=["auto", *LAYOUTS], default=DEFAULTS["layout"], help="default: %(default)s")
    added = parser.add_argument_group("a row of your own table of methods")
    added.add_argument("--add", metavar="LABEL", help="name in tables and figures; the id is made from it")
    added.add_argument("--table", type=Path, default=LOCAL_TABLE, help="default: config/local_methods.tsv")
    added.add_argument("--recipe", metavar="NAME", help="of config/recipes.yaml; default: the backbone's")
    kinds, orders, default = ["self-supervised", "supervised"], ["rgb", "bgr"], "default: %(default)s"
    added.add_argument("--pretraining", choices=kinds, default=DEFAULTS["pretraining"], help=default)
    added.add_argument("--channel-order", choices=orders, default=DEFAULTS["channel_order"], help=default)
    epsilon = "epsilon of BatchNorm; CtP was pre-trained with 1e-3; default: %(default)s"
    added.add_argument("--bn-eps", metavar="E", type=_epsilon, default=DEFAULTS["bn_eps"], help=epsilon)
    subtracted = "subtracted from pixels in [0, 1]; default: the backbone's"
    added.add_argument("--mean", metavar="M[,M,M]", type=_mean, help=subtracted)
    divided = "by which the difference is divided; default: the backbone's"
    added.add_argument("--std", metavar="S[,S,S]", type=_std, help=divided)
    return parser.parse_args(argv)


def _epsilon(text):
    _numbers(text, "a number above 0", lambda number: number > 0, counts=(1,))
    return text


def _mean(text):
    return _of_colors(text, "a number at least 0", lambda number: number >= 0)


def _std(text):
    return _of_colors(text, "a number above 0", lambda number: number > 0)


def _of_colors(text, expected, fits):
    try:
        check_pixel_scale(max(_numbers(text, f"{expected}{OF_COLORS}", fits, counts=(1, 3))))
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from error
    return text


def _numbers(text, expected, fits, counts):
    """Return the numbers in ``text``; raise ArgumentTypeError unless they are as many as one of ``counts`` and fit."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not all(math.isfinite(number) and fits(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {quoted(text)}")
    return numbers


def _print_lines(lines):
    lines = list(lines)
    print(*lines[:MOST_LINES], sep="\n")
    if lines[MOST_LINES:]:
        print(f"  and {len(lines) - MOST_LINES} more")


def _content_lines(checkpoint):
    """Return a line for each entry of what was saved; tensors that are entries themselves share one."""
    if not isinstance(checkpoint, Mapping):
        return [f"  a {type(checkpoint).__name__}"]
    tensors = sum(isinstance(value, Tensor) for value in checkpoint.values())
    lines = [f"  tensors: {tensors}"] if tensors else []
    for key, value in checkpoint.items():
        if not isinstance(value, Tensor):
            lines.append(f"  {_shown(key)}: {_shown(value)}")
    return lines


def _shown(value):
    """Return a key or value in short; of what is no text or number only the type and length."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return str(value)
    name = type(value).__name__
    if isinstance(value, Placeholder):
        return f"{name} (not read)"
    return f"{name} of {len(value)}" if hasattr(value, "__len__") else name


def _group_lines(tensors, match):
    """Yield a line for each group of names: how many tensors and numbers, and the first one's shape."""
    used = list(match.keys.values())
    groups = {f"{match.place.prefix}*": used} if used else {}
    for group, keys in (groups | group_keys(tensors, set(used))).items():
        role = "backbone" if keys is used else "not used"
        numbers = sum(tensors[key].numel() for key in keys) / 1e6
        first = f"{shown(keys[0])} {shortened(str(list(tensors[keys[0]].shape)))}"
        count = f"{len(keys)} tensor{'s' * (len(keys) > 1)}"
        yield f"  {role} {shown(group)}: {count}, {numbers:.2f} M numbers, first {first}"


def _file_lines(backbone, match, tensors):
    """Yield what the file of a transformer holds."""
    record = BACKBONES[backbone]
    if record.depth:
        size = f"{record.depth} blocks, {record.channels} wide, tubelet {record.time_stride}"
        yield f"  family: {family(tensors)}; {size}"
        yield "  position table: " + (ABSENT_POSITIONS if match.absent_positions else "in the file")
        norm = match.keys["norm.weight"]
        yield f"  last norm: {shown(norm)}" + ", fine-tuned after the mean over tokens" * ("fc_norm" in norm)


def _add(args, columns):
    """Append the file to the table and print the commands that come next."""
    method = add_method(args.table, args.add, args.file, pretraining=args.pretraining, **columns)
    recipe, recipes = columns["recipe"], yaml.safe_load(RECIPES.read_text("utf-8"))["recipes"]
    own = "" if recipe in recipes else f"; recipe {recipe} must stand in config/local.yaml"
    print(f"added {method} to {args.table}{own}; next:")
    known = args.table.resolve() in (LOCAL_TABLE.resolve(), PUBLISHED_TABLE.resolve())
    table = [] if known else [f"local_methods_table={args.table.resolve()}"]
    for target, settings in (
        (f"results/checkpoints/{method}.txt", table),
        ("results/ava_table.csv", [f"methods=[{', '.join([*baselines(columns['recipe']), method])}]", *table]),
    ):
        config = ["--config", *map(quote, settings)] if settings else []
        print(" ", *["snakemake", target, *config])


if __name__ == "__main__":
    main()
