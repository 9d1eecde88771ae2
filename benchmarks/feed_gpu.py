"""Time the real training loop with its real loader against the bare step, by number of loader processes.

    python -m benchmarks.feed_gpu

The loader reads generated JPEG archives: 640x360 for AVA, 320x180 for Charades. "alone" is the loader without training;
"bare" the step on one batch that is on the device already; "waits" is the share of time that the device has nothing to
do: 1 - fed / bare. On a CPU training takes the loader's cores, so there only "alone" says something.
"""

import tempfile
import time
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import torch

from benchmarks.load_clips import FRAMES, Video, key_frames
from benchmarks.runs import alone, loss_and_optimizer, noise, recipe_run, smaller_batch
from trainer.checkpointing import TrainingState
from trainer.cli import command_parser
from trainer.data.charades_lists import Videos
from trainer.data.loaders import read_batches, read_on_device, training_loader
from trainer.distributed.lifetime import process_life
from trainer.distributed.process_group import set_precision
from trainer.step import PendingLosses, train_step
from trainer.tasks.ava import AvaTrainingClips
from trainer.tasks.charades import CharadesClips
from trainer.utils.environment import processor

SIZES = {"ava": (640, 360, 1), "charades": (320, 180, 3)}  # width, height, -q:v
WARM_UP = 2  # steps


def main():
    options = parse()
    device = torch.device(options.device)
    torch.set_num_threads(2)
    torch.backends.cudnn.benchmark = True
    set_precision(options.precision)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    print(f"{name}; PyTorch {torch.__version__}; {options.precision}; clips/s of {options.steps} steps")
    print(f"{'':10} {'loaders':>8} {'alone':>8} {'bare':>8} {'fed':>8} {'waits':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for dataset, size in SIZES.items():
            video = Video(Path(folder, dataset), *size)
            for workers in options.loaders:
                training = {"precision": options.precision} | smaller_batch(options.clips)
                run = recipe_run(dataset, device, training=training, workers=workers)
                print_row(run, training_clips(run, video, (options.steps + WARM_UP) * run.training.batch_size), options)


def parse():
    cuda = torch.cuda.is_available()
    parser = command_parser("benchmarks.feed_gpu", __doc__)
    parser.add_argument(
        "--device", default="cuda" if cuda else "cpu", help="cuda or cpu (default: cuda if there is a GPU)"
    )
    parser.add_argument(
        "--precision",
        default="bfloat16" if cuda else "float32",
        help="float32, tf32 or bfloat16 (default: %(default)s)",
    )
    parser.add_argument(
        "--loaders",
        type=int,
        nargs="+",
        default=[2, 4, 8, 16] if cuda else [1, 2],
        help="numbers of loader processes to try (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=40 if cuda else 3, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument("--clips", type=int, default=0 if cuda else 1, help="of a step (0: the recipe's)")
    return parser.parse_args()


def training_clips(run, video, count):
    """Return a training set of ``count`` clips, all of one video."""
    if run.dataset == "charades":
        listed = Videos(
            np.full(count, "film"), np.full(count, FRAMES), np.arange(count + 1), np.tile([5, 0, 300], (count, 1))
        )
        return CharadesClips(listed, video.archive, run.clip, seed=0, whole_labels=False)
    return AvaTrainingClips(key_frames(count), video.archive, run.clip, seed=0)


def print_row(run, clips, options):
    """Print the clips/s of the loader alone, of the bare step and of the loop with the loader."""
    device, count = torch.device(run.machine.device), run.training.batch_size * options.steps
    model, optimizer = loss_and_optimizer(run)
    loader = training_loader(clips, run)
    micro_batch = noise(run, run.training.batch_size // run.training.micro_batches)
    bare = count / seconds_of(train(model, optimizer, run, loader, repeat(micro_batch)), options.steps, device)
    batches = read_on_device(loader, device)
    fed = count / seconds_of(train(model, optimizer, run, loader, batches), options.steps, device)
    loader.batch_sampler.start(1)
    steps = zip(*[read_batches(loader)] * run.training.micro_batches, strict=True)
    unused = count / seconds_of(steps, options.steps, device)
    print(
        f"{run.dataset:10} {run.machine.workers:8} {unused:8.1f} {bare:8.1f} {fed:8.1f} {max(0, 1 - fed / bare):7.0%}",
        flush=True,
    )


def train(model, optimizer, run, loader, batches):
    """Take training steps, as the trainer does, and yield after each; an error names clips of ``loader``."""
    losses, group = PendingLosses(loader, TrainingState()), alone(torch.device(run.machine.device))
    while True:
        losses.add(train_step(model, optimizer, batches, run, group, losses.state), 0.0)
        losses.read(wait=False)
        yield


def seconds_of(steps, count, device):
    """Return the seconds of ``count`` steps after the warm-up, until the device has finished them."""
    for _ in islice(steps, WARM_UP):
        pass
    wait(device)
    began = time.perf_counter()
    for _ in islice(steps, count):
        pass
    wait(device)
    return time.perf_counter() - began


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    with process_life():
        main()
