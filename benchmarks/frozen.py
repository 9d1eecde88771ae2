"""Time a training step of the head alone, of a frozen recipe, against one of the whole network.

    python -m benchmarks.frozen

Both take turns with the same weights and batch, of the recipe's clips. "faster" is the median over rounds of the ratios
of their times: of the processor on a CPU (a thread), of the clock on a GPU.
"""

import statistics
from dataclasses import replace
from itertools import repeat

import torch

from benchmarks.runs import alone, loss_and_optimizer, noise, recipe_run, seconds, smaller_batch
from trainer.checkpointing import TrainingState
from trainer.cli import command_parser
from trainer.datasets import DATASETS
from trainer.distributed.process_group import set_precision
from trainer.models.backbones import BACKBONES
from trainer.step import train_step
from trainer.utils.environment import processor


def main():
    cuda = torch.cuda.is_available()
    parser = command_parser("benchmarks.frozen", __doc__)
    parser.add_argument(
        "--device", default="cuda" if cuda else "cpu", help="cuda or cpu (default: cuda if there is a GPU)"
    )
    parser.add_argument(
        "--backbones",
        nargs="+",
        default=["r2plus1d_18", "vit_b_16"],
        choices=BACKBONES,
        help="default: r2plus1d_18 vit_b_16",
    )
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS, help="default: all")
    parser.add_argument("--clips", type=int, default=0 if cuda else 1, help="of a step (0: the recipe's)")
    parser.add_argument("--rounds", type=int, default=10 if cuda else 3, help="of both (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else processor()}; PyTorch {torch.__version__}")
    for backbone in options.backbones:
        for dataset in options.datasets:
            run = recipe_run(
                dataset, device, backbone, training=smaller_batch(options.clips) | {"precise_bn_batches": 0}
            )
            compare(run, options.rounds)


def compare(run, rounds):
    """Print the times of both steps and their ratio."""
    steps = [step_of(replace(run, model=replace(run.model, frozen=frozen))) for frozen in (False, True)]
    set_precision(run.training.precision)
    times = [[seconds(step) for step in steps] for _ in range(1 + rounds)][1:]  # the first warms up
    whole, head = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [one / other for one, other in times]
    clip = f"{run.training.batch_size} clips of {run.clip.num_frames} x {run.clip.crop} x {run.clip.crop}"
    print(
        f"{run.model.backbone:12} {run.dataset:9} {clip}, {run.training.precision}: whole network {whole:.2f} s, head "
        f"alone {head:.2f} s, {statistics.median(ratios):.2f}x faster ({min(ratios):.2f}-{max(ratios):.2f})",
        flush=True,
    )


def step_of(run):
    """Return a function that takes a training step of ``run``."""
    loss, optimizer = loss_and_optimizer(run)
    group, state = alone(torch.device(run.machine.device)), TrainingState()
    batches = repeat(noise(run, run.training.batch_size // run.training.micro_batches))
    return lambda: train_step(loss, optimizer, batches, run, group, state)


if __name__ == "__main__":
    main()
