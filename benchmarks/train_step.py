"""Time a training step and prediction: the published way against ours, optimizations switched on in turn.

    python -m benchmarks.train_step

All variants take turns in one run, with the same weights and batch; times are medians over rounds, "faster" is the
median of the rounds' ratios to the published way. That is: torchvision's modules over channels-first memory, float32,
and a host that reads the loss of each micro-batch. "of ceiling": the rate, as a share of what the device reaches in a
large matrix product in the same run. "GB": the most memory that it takes, weights and optimizer included. "off by":
the norm of the difference from the published way, relative to the norm. Below: hours per run, and for a run on each
dataset, if the loader keeps up (see benchmarks.feed_gpu) and several GPUs share a batch without loss.
"""

import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.runs import alone, network, noise, recipe_run, seconds, smaller_batch, with_precision
from trainer.checkpointing import TrainingState
from trainer.cli import command_parser
from trainer.distributed.process_group import set_precision
from trainer.models.backbones import BACKBONES
from trainer.models.cost import cost
from trainer.models.cuda_graph import capture
from trainer.optim import build_optimizer, set_learning_rate
from trainer.predict import probabilities
from trainer.step import MicroBatchLoss, train_step
from trainer.utils.environment import processor

# Examples of the full datasets: AVA's key frames in training and test; Charades' videos.
EXAMPLES = {"ava": (184_378, 57_371), "charades": (7_811, 1_814)}
FIRST = torch.contiguous_format


@dataclass(frozen=True)
class Variant:
    """One way to compute; the published way unless a field says otherwise."""

    name: str
    precision: str = "float32"
    waits: bool = False  # the host reads the loss of each micro-batch
    layout: torch.memory_format | None = None  # of torchvision's 3D convolutions; None: the trainer's choice
    autotune: bool = False  # cuDNN measures its kernels once for each shape
    captured: bool = False  # the backbone's training passes are replayed as CUDA graphs


PUBLISHED = Variant("published way, float32", waits=True, layout=FIRST)
FLOAT32 = [
    PUBLISHED,
    Variant("no waiting", layout=FIRST),
    Variant("+ channels-last, 3D convolutions", layout=torch.channels_last_3d),
    Variant("+ 2D layers, measured kernels", autotune=True),
]
TF32 = Variant("the same, TF32", "tf32", autotune=True)
BFLOAT16 = Variant("the same, bfloat16", "bfloat16", autotune=True)
CAPTURED = Variant("the same, captured", "bfloat16", autotune=True, captured=True)
ON_CPU = {dataset: [*FLOAT32, BFLOAT16] for dataset in EXAMPLES}
# Charades is trained in TF32; to find the fastest float32 kernels takes a minute for each dataset.
ON_GPU = {"ava": [*FLOAT32, TF32, BFLOAT16, CAPTURED], "charades": [PUBLISHED, TF32, BFLOAT16, CAPTURED]}


def main():
    options = parse()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    variants = ON_GPU if device.type == "cuda" else ON_CPU
    if options.activation_checkpointing:  # which cannot be captured
        variants = {dataset: [v for v in of_one if not v.captured] for dataset, of_one in variants.items()}
    print_conditions(device, options)
    ceilings = {name: matrix_product(device, name) for name in dict.fromkeys(v.precision for v in variants["ava"])}
    print(f"ceilings: {', '.join(f'{rate:.1f} TFLOP/s in {name}' for name, rate in ceilings.items())}; ", end="")
    print(f"copies {copy_rate(device):.0f} GB/s\n")
    hours = {}
    for dataset in EXAMPLES:
        clip, batch = changed_clip(options), smaller_batch(options.clips)
        recompute = options.activation_checkpointing
        run = recipe_run(dataset, device, options.backbone, clip, batch, activation_checkpointing=recompute)
        hours[dataset] = measure(run, variants[dataset], ceilings, options.rounds)
    print_hours(hours)
    if options.profile:
        for variant in PUBLISHED, variants[dataset][-1]:
            print_profile(variant, run)


def parse():
    cuda = torch.cuda.is_available()
    parser = command_parser("benchmarks.train_step", __doc__)
    parser.add_argument(
        "--device", default="cuda" if cuda else "cpu", help="cuda or cpu (default: cuda if there is a GPU)"
    )
    parser.add_argument("--backbone", default="r2plus1d_18", choices=BACKBONES, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=0, help="of a clip (0: the recipe's)")
    parser.add_argument("--crop", type=int, default=0, help="pixels (0: the recipe's)")
    parser.add_argument("--clips", type=int, default=0 if cuda else 1, help="of a micro-batch (0: the recipe's)")
    parser.add_argument("--rounds", type=int, default=3, help="in which the variants take turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--activation-checkpointing", action="store_true", help="of a transformer")
    parser.add_argument("--profile", action="store_true", help="where the time of the first and last variant goes")
    return parser.parse_args()


def changed_clip(options):
    frames = {"num_frames": options.frames} if options.frames else {}
    side = {"crop": options.crop, "short_side_range": (options.crop,) * 2, "test_short_side": None}
    return frames | (side if options.crop else {})


# Work -----------------------------------------------------------------------------------------------------------------


class Work:
    """A variant's network with what it computes: a training step, and the test clips of a batch."""

    def __init__(self, variant, run):
        self.variant, self.run, self.peak = variant, with_precision(run, variant.precision), 0
        self.model = network(self.run, variant.layout)
        self.optimizer = build_optimizer(self.model, run.training, BACKBONES[run.model.backbone].depth)
        device = torch.device(run.machine.device)
        with settings(variant):
            captured = capture(self.model, self.run, device) if variant.captured else None
        self.loss = MicroBatchLoss(self.model, self.run, captured).to(device)
        self.group, self.state = alone(device), TrainingState()
        set_learning_rate(self.optimizer, 0.0)  # all variants keep the same weights
        self.clips = run.training.batch_size // run.training.micro_batches
        self.batch = noise(self.run, self.clips)
        side = run.clip.test_side
        self.test = noise(self.run, self.clips, (side, side * 16 // 9 if run.dataset == "ava" else side))

    def train(self):
        with settings(self.variant):
            if not self.variant.waits:
                train_step(self.loss, self.optimizer, repeat(self.batch), self.run, self.group, self.state)
                return
            for part in range(self.run.training.micro_batches):
                loss = self.loss(self.batch, part)
                if not torch.isfinite(loss):
                    raise SystemExit("the loss is not finite")
                (loss / self.run.training.micro_batches).backward()
                loss.item()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def predict(self):
        self.model.eval()
        with settings(self.variant), torch.inference_mode():
            probabilities(self.model, self.test.clips, self.run, self.test.boxes)
        self.model.train()

    def results(self):
        """Return probabilities of the test clips, the loss of a batch and all gradients, each as one vector."""
        self.model.eval()
        with settings(self.variant):
            with torch.no_grad():
                outputs = probabilities(self.model, self.test.clips, self.run, self.test.boxes)
            self.model.train()
            loss = self.loss(self.batch, 0)
            loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in self.model.parameters()])
        self.optimizer.zero_grad(set_to_none=False)
        return outputs.flatten(), loss.detach()[None], gradient


@contextmanager
def settings(variant):
    """Set PyTorch's global switches as a variant needs them."""
    set_precision(variant.precision)
    torch.backends.cudnn.benchmark = variant.autotune
    yield
    torch.backends.cudnn.benchmark = False


# Measurement ----------------------------------------------------------------------------------------------------------

HEADINGS = ("", "ms/step", "clips/s", "faster", "range", "TFLOP/s", "of ceiling", "GB", "test clips/s", "faster")
WIDTHS = "{:34} {:>9} {:>8} {:>7} {:>10} {:>8} {:>10} {:>6} {:>13} {:>7}   {}"


def measure(run, variants, ceilings, rounds):
    """Print a row for each variant; return the hours of its (training, prediction) on the full dataset."""
    works, peaks, found = zip(*(prepare(variant, run) for variant in variants), strict=True)
    operations = 2e-3 * cost(works[0].model, run.clip)["gflops"]  # TFLOP of a clip's forward pass; a step takes 3
    batch = f"{run.training.batch_size} clips a step in {run.training.micro_batches} micro-batches"
    size = f"{run.clip.num_frames} x {run.clip.crop} x {run.clip.crop}"
    print(f"{run.dataset}: {batch}; clips of {size}, {1e3 * operations:.0f} GFLOP forward")
    print(WIDTHS.format(*HEADINGS, "outputs, loss, gradients off by"))
    errors = [differences(results, found[0]) for results in found]
    steps, tests = (take_turns(works, name, rounds) for name in ("train", "predict"))
    rates = {}
    for work, peak, wrong, step, test in zip(works, peaks, errors, steps, tests, strict=True):
        rate, test_rate = run.training.batch_size / statistics.median(step), work.clips / statistics.median(test)
        ratios = [a / b for a, b in zip(steps[0], step, strict=True)]
        cells = (
            f"{1e3 * statistics.median(step):.1f}",
            f"{rate:.2f}",
            f"{statistics.median(ratios):.2f}x",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{3 * operations * rate:.3f}",
            f"{3 * operations * rate / ceilings[work.variant.precision]:.0%}",
            f"{peak / 1e9:.1f}" if peak else "-",
            f"{test_rate:.2f}",
            f"{statistics.median(a / b for a, b in zip(tests[0], test, strict=True)):.2f}x",
        )
        print(WIDTHS.format(work.variant.name, *cells, ", ".join(f"{value:.0e}" for value in wrong)), flush=True)
        rates[work.variant.name] = rate, test_rate
    print()
    train, test = EXAMPLES[run.dataset]
    views = run.clip.test_clips * run.clip.test_crops
    return {
        name: (train * run.training.epochs / rate / 3600, test * views / test_rate / 3600)
        for name, (rate, test_rate) in rates.items()
    }


def prepare(variant, run):
    """Return the work of a variant, the bytes of GPU memory that it takes, and its results."""
    cuda = run.machine.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if cuda else 0
    work = Work(variant, run)
    found = work.results()
    work.train()
    return work, torch.cuda.max_memory_allocated() - before if cuda else 0, found


def differences(results, reference):
    """Return the norm of each result's difference from the reference, relative to the reference's norm."""
    return [((ours - theirs).norm() / theirs.norm()).item() for ours, theirs in zip(results, reference, strict=True)]


def take_turns(works, name, rounds):
    """Return the seconds of each work's calls; works take turns, and the first calls warm up."""
    times = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, series in zip(works, times, strict=True):
            series.append(seconds(getattr(work, name)))
    return [series[1:] for series in times]


def matrix_product(device, precision):
    """Return the TFLOP/s of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    set_precision(precision)
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)
    return 2e-12 * side**3 / min(seconds(lambda: one @ one) for _ in range(5))


def copy_rate(device):
    """Return the GB/s that a large copy reads and writes."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    return 2e-9 * source.nbytes / min(seconds(lambda: target.copy_(source)) for _ in range(5))


# Words ----------------------------------------------------------------------------------------------------------------


def print_conditions(device, options):
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, cuDNN {torch.backends.cudnn.version()}", end="; ")
    else:
        print(f"{processor()}, {options.threads} threads, processor time", end="; ")
    print(f"PyTorch {torch.__version__}; {options.rounds} rounds")


def print_hours(hours):
    """Print the hours on this device of a run on each dataset and of both, training and prediction, by variant."""
    print("hours on this device, training + prediction; 2 and 4: of so many of them")
    print(f"{'':34} {'AVA run':>14} {'2':>6} {'4':>6} {'Charades run':>14} {'both':>11}")
    for name, (train, test) in hours["ava"].items():
        whole = train + test
        line = f"{name:34} {f'{train:.1f} + {test:.1f}':>14} {whole / 2:6.1f} {whole / 4:6.1f} "
        if name in hours["charades"]:
            other_train, other_test = hours["charades"][name]
            both = whole + other_train + other_test
            line += f"{f'{other_train:.1f} + {other_test:.1f}':>14} {both:11.1f}"
        print(line)


def print_profile(variant, run):
    """Print the operations that take most of a training step."""
    work = Work(variant, run)
    work.train()
    on = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if run.machine.device == "cuda" else [])]
    with profile(activities=on) as found:
        seconds(work.train)
    by = f"self_{run.machine.device}_time_total"
    print(f"\n{variant.name}: a training step of {run.dataset}")
    print(found.key_averages().table(sort_by=by, row_limit=12, max_name_column_width=40))


if __name__ == "__main__":
    main()
