"""Pre-trained checkpoints: what is in a file, and loading its backbone whole or not at all.

    python -m trainer.models.checkpoints FILE [--backbone NAME] [--layout NAME]

tells what is in a file, which layout fits, and what is missing or left over.
"""

import argparse
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.errors import InputError, told_plainly
from trainer.models.backbone import TIME_STRIDE, build_backbone
from trainer.models.layouts import LAYOUTS, SCHEMES, Layout
from trainer.models.weights_only import Inert, read_checkpoint

# A momentum encoder is a running mean of the trained one and has its names; the trained one is what methods publish.
MOMENTUM_COPIES = {"encoder_k.": "encoder_q.", "key_encoder.": "backbone."}

# Files of authors' own sites whose network is not torchvision's: a name, the tensor's first size (None: any), words.
OTHER_NETWORKS = (
    (
        r"\.spatial_conv\.weight$",
        None,
        "The names are those of the RSPNet authors' own file (model_best_r21d_200epoch.pth.tar), another R(2+1)D with "
        "one block per stage; the benchmark pre-trained RSPNet anew: take its snellius_checkpoint_epoch_200.pth.tar.",
    ),
    (
        r"\.spt_conv1\.weight$",
        None,
        "The names are those of the AVID-CMA authors' own file, another R(2+1)D; the benchmark pre-trained AVID-CMA "
        "anew: take its avid_cma_ckpt-ep20.pth.tar.",
    ),
    (
        r"layer2\.0\.conv2\.conv_s\.weight$",
        288,
        "The sizes are those of microsoft/CtP's own R(2+1)D (288 channels where torchvision has 230); the benchmark "
        "pre-trained CtP anew: take its snellius_r2p1d18_ctp_k400_epoch_90.pth.",
    ),
)


@dataclass(frozen=True)
class Report:
    """What was loaded from where, and which keys of the file were left."""

    path: Path
    layout: str  # as asked for
    found: Layout  # the place, with the prefix as it is in the file
    loaded: int  # tensors
    absent_counters: int  # BatchNorm's num_batches_tracked that the file does not hold
    unused: dict[str, int]  # group of keys: how many

    def __str__(self):
        unused = ", ".join(f"{group} ({count})" for group, count in self.unused.items()) or "none"
        absent = f"; {self.absent_counters} batch counters not in the file, set to 0" if self.absent_counters else ""
        return (
            f"{self.path}: all {self.loaded} tensors loaded by layout {self.layout} "
            f"({self.found}{_as_published(self.found)}){absent}; keys not used: {unused}"
        )


@dataclass(frozen=True)
class Fit:
    """A file beside a backbone: which keys hold its tensors at one place, and what is not as it must be."""

    place: Layout
    keys: dict[str, str]  # backbone's name: file's
    absent_counters: set[str]
    missing: list[str]
    misfits: list[str]  # one phrase each
    strange: list[str]  # keys under the prefix that no tensor of a backbone has

    @property
    def whole(self):
        return not self.missing and not self.misfits


def load_backbone(backbone: nn.Module, path, layout: str = "auto") -> Report:
    """Copy every tensor of ``backbone``, BatchNorm's statistics included, from a checkpoint; float16 becomes float32.

    ``layout`` is a key of ``LAYOUTS``, or "auto": found among the file's prefixes and the known names. Raises
    InputError and leaves the backbone as it was when a tensor is missing, has another shape or is not finite, when
    two backbones in the file fit equally well, or when the file cannot be read (see ``read_checkpoint``).

    BatchNorm's batch counters are the one exception: files of old PyTorch have none of them, and as all these layers
    average with a fixed momentum, no output or statistic depends on them. Where a file has none, they are set to 0.
    """
    expected = backbone.state_dict()
    entries = find_entries(path)
    fit = find_backbone(path, entries, layout, expected)
    tensors = entries[fit.place.entry]
    counters = {name: torch.zeros_like(expected[name]) for name in fit.absent_counters}
    backbone.load_state_dict({name: tensors[key] for name, key in fit.keys.items()} | counters, strict=True)
    unused = {group: len(keys) for group, keys in group_keys(tensors, set(fit.keys.values())).items()}
    return Report(Path(path), layout, fit.place, len(fit.keys), len(counters), unused)


def find_entries(path) -> dict[str, dict[str, Tensor]]:
    """Read a checkpoint; return its groups of named tensors by entry ("" for the file's own, "a.b" for b in a)."""
    return _named_tensors(path, read_checkpoint(path))


def _named_tensors(path, checkpoint):
    entries = dict(_walk("", checkpoint))
    if not entries:
        raise InputError(f"{path}: holds no named tensors, but a {type(checkpoint).__name__}; expected a state_dict")
    return entries


def _walk(entry, content):
    if not isinstance(content, Mapping):
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield entry, tensors
    for key, value in content.items():
        if isinstance(key, str):  # an optimiser's state is keyed by number
            yield from _walk(f"{entry}.{key}" if entry else key, value)


def find_backbone(path, entries, layout: str, expected: dict[str, Tensor]) -> Fit:
    """Find a whole backbone of ``expected``'s names and shapes; raise InputError that says why there is none."""
    if layout not in LAYOUTS and layout != "auto":
        raise InputError(f"{path}: unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    fits = _fits(entries, layout, expected)
    if len(fits) > 1:
        places = "; ".join(f"{fit.place} ({len(fit.keys)} tensors)" for fit in fits)
        raise InputError(
            f"{path}: ambiguous, {len(fits)} places look like a backbone of {len(expected)} tensors: {places}. "
            "Save the one that is meant alone in a file, or name the layout if it is a published one."
        )
    if not fits or not fits[0].whole:
        raise InputError(_refusal(path, entries, layout, fits[0] if fits else None, expected))
    return fits[0]


def _fits(entries, layout, expected):
    """The place of a named layout, or the places where at least half of the names occur.

    Half, not all: beside a backbone that lacks a tensor, another whole one must not slip in unseen.
    """
    if layout != "auto":
        places = [Layout(p.entry, prefix + p.prefix, p.scheme) for p in [LAYOUTS[layout]] for prefix in ("", "module.")]
        fits = [_fit(entries[p.entry], p, expected) for p in places if p.entry in entries]
        return sorted(fits, key=_closeness)[-1:]
    fits = [fit for entry, tensors in entries.items() for fit in _fits_in(entry, tensors, expected)]
    close = [fit for fit in fits if len(fit.keys) >= len(expected) / 2]
    return close or sorted(fits, key=_closeness)[-1:]


def _closeness(fit):
    return len(fit.keys) - len(fit.misfits), -len(fit.strange)


def _fits_in(entry, tensors, expected):
    """One fit for each prefix that makes a name of the backbone, by the scheme that makes most of them."""
    named = Counter()
    for scheme in SCHEMES:
        for key in tensors:
            starts = [0, *(dot.end() for dot in re.finditer(r"\.", key))]
            named.update((key[:i], scheme) for i in starts if _rename(key[i:], scheme) in expected)
    schemes = {}
    for (prefix, scheme), _count in named.most_common():
        schemes.setdefault(prefix, scheme)
    for prefix, scheme in schemes.items():
        if not _is_momentum_copy(prefix, tensors):
            yield _fit(tensors, Layout(entry, prefix, scheme), expected)


def _is_momentum_copy(prefix, keys):
    originals = [prefix.replace(copy, trained) for copy, trained in MOMENTUM_COPIES.items() if copy in prefix]
    return any(key.startswith(original) for original in originals for key in keys)


def _rename(name, scheme):
    for pattern, ours in SCHEMES[scheme]:
        renamed, count = re.subn(pattern, ours, name)
        if count:
            return renamed
    return name


def _fit(tensors, place, expected):
    named, misfits = {}, []
    for key in tensors:
        if key.startswith(place.prefix):
            name = _rename(key.removeprefix(place.prefix), place.scheme)
            if name in named:
                misfits.append(f"{key} is {name} as {named[name]} is")
            named[name] = key
    keys = {name: named[name] for name in expected if name in named}
    misfits += [f"{key} {words}" for name, key in keys.items() if (words := _misfit(tensors[key], expected[name]))]
    counters = {name for name in expected if name.endswith(".num_batches_tracked")}
    absent_counters = set() if counters & named.keys() else counters
    missing = [name for name in expected if name not in named and name not in absent_counters]
    strange = [key for name, key in named.items() if name not in expected]
    return Fit(place, keys, absent_counters, missing, misfits, strange)


def _misfit(tensor, expected):
    """What is wrong with a tensor, or None."""
    if tensor.shape != expected.shape:
        return f"is {list(tensor.shape)}, expected {list(expected.shape)}"
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        return "is not a plain tensor"
    if not expected.is_floating_point():  # a counter, in whatever type
        return None
    if not tensor.is_floating_point():
        return f"holds {tensor.dtype}, expected {expected.dtype}"
    return None if tensor.isfinite().all() else "holds NaN or infinity"


def group_keys(keys, used) -> dict[str, list[str]]:
    """Group the keys that are not in ``used`` by the shortest beginning that no used key shares.

    Groups that differ in a number at their end (mlp_v0 to mlp_v9) are one, named with a star.
    """
    shared = {"module"} | {key[: dot.start()] for key in used for dot in re.finditer(r"\.", key)}
    groups = {}
    for key in keys:
        if key not in used:
            beginnings = [key[: dot.start()] for dot in re.finditer(r"\.", key)]
            groups.setdefault(next((b for b in beginnings if b not in shared), key), []).append(key)
    starred = Counter(_starred(group) for group in groups)
    merged = {}
    for group, members in groups.items():
        merged.setdefault(_starred(group) if starred[_starred(group)] > 1 else group, []).extend(members)
    return merged


def _starred(group):
    return re.sub(r"(?<=[A-Za-z_])\d+$", "*", group)


def _refusal(path, entries, layout, fit, expected):
    """The message for a file without a whole backbone: what is wrong, the first examples, and what may help."""
    backbone = next((name for name in TIME_STRIDE if _shapes(_meta_state(name)) == _shapes(expected)), "backbone")
    fitting = len(fit.keys) - len(fit.misfits) if fit else 0
    close = fitting >= len(expected) / 2
    verdict = f"not a whole {backbone}" if close else "does not look like an R(2+1)D-18"
    sentences = [f"{path}: {verdict} by layout {layout}"]
    if fit is None and layout == "auto":
        sentences[0] += f": none of its tensors has a name of the {len(expected)} expected."
    elif fit is None:
        present = ", ".join(repr(entry) for entry in entries if entry) or "tensors only"
        sentences[0] += f": expected tensors under {LAYOUTS[layout].entry or 'no entry'!r}; the file has {present}."
    else:
        sentences[0] += f" ({fit.place}): {fitting} of {len(expected)} tensors fit."
        sentences += _listed("Missing", [f"{name} {list(expected[name].shape)}" for name in fit.missing])
        sentences += _listed("Misfitting", fit.misfits)
        sentences += _listed("Not a backbone's", fit.strange if len(fit.missing) < len(expected) else [])
    if fit is None or not fit.keys:
        groups = (
            f"{name} ({len(keys)})" for tensors in entries.values() for name, keys in group_keys(tensors, ()).items()
        )
        sentences += _listed("Names in the file begin with", list(groups))
    return " ".join([*sentences, *_advice(entries, layout, expected)])


def _listed(title, items, count=3):
    if not items:
        return []
    more = f" and {len(items) - count} more" if len(items) > count else ""
    return [f"{title}: {', '.join(items[:count])}{more}."]


def _advice(entries, layout, expected):
    """What a file that does not fit may be instead."""
    for pattern, size, words in OTHER_NETWORKS:
        for tensors in entries.values():
            if any(re.search(pattern, key) and size in (None, *t.shape[:1]) for key, t in tensors.items()):
                return [words]
    for name in TIME_STRIDE:
        if any(fit.whole for fit in _fits(entries, layout, _meta_state(name))):
            return [f"It is a whole {name}: set the method's `backbone` to {name}."]
    if layout != "auto":
        fits = _fits(entries, "auto", expected)
        if len(fits) == 1 and fits[0].whole:
            return [f"Layout auto fits: {fits[0].place}{_as_published(fits[0].place)}."]
    return []


def _meta_state(backbone):
    """A backbone's names and shapes, without memory."""
    with torch.device("meta"):
        return build_backbone(backbone).state_dict()


def _shapes(tensors):
    return {name: tensor.shape for name, tensor in tensors.items()}


def _as_published(place):
    bare = Layout(place.entry, place.prefix.removeprefix("module."), place.scheme)
    names = [name for name, layout in LAYOUTS.items() if layout == bare]
    return f", as {' and '.join(names)}" if names else ""


def main(argv=None):
    """Print what is in a checkpoint; end with status 1 when no layout fits it whole."""
    parser = argparse.ArgumentParser(prog="python -m trainer.models.checkpoints", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--backbone", choices=TIME_STRIDE, help="default: the one that fits best")
    parser.add_argument("--layout", choices=["auto", *LAYOUTS], default="auto", help="default: auto")
    args = parser.parse_args(argv)
    with told_plainly():
        checkpoint = read_checkpoint(args.file)
        print(f"{args.file}: {args.file.stat().st_size / 1e6:.1f} MB")
        print(*_content_lines(checkpoint), sep="\n")
        entries = _named_tensors(args.file, checkpoint)
        backbone = args.backbone or min(TIME_STRIDE, key=lambda name: _flaws(entries, args.layout, _meta_state(name)))
        expected = _meta_state(backbone)
        for fit in _fits(entries, args.layout, expected):
            print(*_group_lines(entries[fit.place.entry], fit), sep="\n")
        fit = find_backbone(args.file, entries, args.layout, expected)
        counters = " (batch counters are not in the file)" if fit.absent_counters else ""
        print(f"fits {backbone} whole: {len(fit.keys)} tensors{counters}; {fit.place}{_as_published(fit.place)}")


def _flaws(entries, layout, expected):
    fits = _fits(entries, layout, expected)
    return min((len(fit.missing) + len(fit.misfits) for fit in fits), default=len(expected))


def _content_lines(checkpoint):
    """A line for each entry of what was saved; tensors that are entries themselves share one."""
    if not isinstance(checkpoint, Mapping):
        return [f"  a {type(checkpoint).__name__}"]
    tensors = sum(isinstance(value, Tensor) for value in checkpoint.values())
    lines = [f"  tensors: {tensors}"] if tensors else []
    for key, value in checkpoint.items():
        if isinstance(value, (int, float, str)):
            lines.append(f"  {key}: {value}")
        elif isinstance(value, Inert):
            lines.append(f"  {key}: {type(value).__name__} (not read)")
        elif not isinstance(value, Tensor):
            lines.append(
                f"  {key}: {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
            )
    return lines


def _group_lines(tensors, fit):
    """A line for each group of names: how many tensors and numbers, and the first one's shape."""
    used = list(fit.keys.values())
    groups = {f"{fit.place.prefix}*": used} if used else {}
    for group, keys in (groups | group_keys(tensors, set(used))).items():
        role = "backbone" if keys is used else "not used"
        numbers = sum(tensors[key].numel() for key in keys) / 1e6
        first = f"{keys[0]} {list(tensors[keys[0]].shape)}"
        yield f"  {role} {group}: {len(keys)} of {numbers:.2f} M numbers, first {first}"


if __name__ == "__main__":
    main()
