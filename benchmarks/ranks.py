"""What two ranks cost over one on the CPU: the same steps of two micro-batches, by gloo.

    python -m benchmarks.ranks

One process computes both micro-batches, or two ranks compute one each and average gradients; each has one thread. Runs
take turns. "processor" compares the processor time of all ranks, which other programs change little; "wall" the
time of a step, of which two ranks should take half.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from itertools import repeat

import torch

from benchmarks.runs import network, noise, recipe_run
from trainer.checkpointing import TrainingState
from trainer.cli import command_parser
from trainer.distributed.launch import is_rank, run_ranks
from trainer.distributed.process_group import join
from trainer.optim import build_optimizer
from trainer.step import MicroBatchLoss, parallelize, train_step
from trainer.utils.environment import processor

WARM_UP = 2  # steps


def main():
    parser = command_parser("benchmarks.ranks", __doc__)
    parser.add_argument("--frames", type=int, default=8, help="of a clip")
    parser.add_argument("--crop", type=int, default=64, help="pixels")
    parser.add_argument("--steps", type=int, default=6, help="of each run (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="of runs that take turns (default: %(default)s)")
    parser.add_argument("--world-size", type=int, default=0, help="only time this many ranks")
    options = parser.parse_args()
    if is_rank() or options.world_size == 1:
        measure(options)
    elif options.world_size:
        run_ranks(options.world_size, ["-m", "benchmarks.ranks", *sys.argv[1:]])
    else:
        compare(options)


def compare(options):
    """Time pairs of runs in processes of their own, and print the ratios."""
    print(f"{processor()}; PyTorch {torch.__version__}; clips of {options.frames} x {options.crop} x {options.crop}")
    pairs = []
    for _ in range(options.pairs):
        one, two = (timed(world_size, options) for world_size in (1, 2))
        pairs.append({"processor": two["processor"] / one["processor"], "wall": 2 * two["wall"] / one["wall"]})
    for name in pairs[0]:
        ratios = [pair[name] for pair in pairs]
        print(f"{name:10} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of one process")


def timed(world_size, options):
    """Return the seconds of a step in a new process or two: {"processor": of all ranks, "wall"}."""
    sizes = [f"--{name}={getattr(options, name)}" for name in ("frames", "crop", "steps")]
    command = [sys.executable, "-m", "benchmarks.ranks", f"--world-size={world_size}", *sizes]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options):
    """Take the steps in this rank; rank 0 prints the times as JSON."""
    clip = {"num_frames": options.frames, "crop": options.crop, "short_side_range": (options.crop,) * 2}
    training = {"batch_size": 4, "micro_batches": 2}
    device = torch.device("cpu")
    run = recipe_run("charades", device, clip=clip, training=training, threads=1, world_size=options.world_size)
    with join(run) as group:
        model = network(run)
        optimizer, loss = build_optimizer(model, run.training), parallelize(MicroBatchLoss(model, run), group)
        batches, state = repeat(noise(run, 2)), TrainingState()
        for step in range(WARM_UP + options.steps):
            if step == WARM_UP:
                began, processor_began = time.perf_counter(), time.process_time()
            train_step(loss, optimizer, batches, run, group, state)
        wall, used = time.perf_counter() - began, time.process_time() - processor_began
        used = sum(group.gather(used))
        if group.is_main:
            print(json.dumps({"processor": used / options.steps, "wall": wall / options.steps}), flush=True)


if __name__ == "__main__":
    main()
