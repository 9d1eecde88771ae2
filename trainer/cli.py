"""The command line that train and evaluate share: read a run, lease its GPUs, start its processes."""

import argparse
import logging
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from trainer import config
from trainer.distributed import gpu_lease
from trainer.distributed.launch import is_main, is_rank, run_ranks
from trainer.distributed.lifetime import process_life, start_watchdog
from trainer.utils.errors import exit_on_input_error

log = logging.getLogger("trainer")


def command_parser(module, about):
    """Return the parser of the command ``python -m module``, and let its log go to stderr."""
    level = logging.INFO if is_main() else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_config(parser):
    """Add the option --config to a parser."""
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="config.yaml of a run; results go beside it"
    )


def add_gpus(parser):
    """Add the option --gpus to a parser."""
    words = "processes, one per GPU (default: the config's machine: world_size)"
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help=words)


def read_run(options):
    """Return (run, folder of its config), on as many GPUs as --gpus says if the command has this option.

    Ends the process with one line if the config cannot be read.
    """
    with exit_on_input_error():
        run = config.load(options.config)
    if "gpus" in options:
        world_size = fitting_world_size(options.gpus or run.machine.world_size, run.training.micro_batches)
        run = replace(run, machine=replace(run.machine, world_size=world_size))
    return run, options.config.parent


def fitting_world_size(gpus, micro_batches):
    """Return the largest number of GPUs, at most ``gpus``, that divides the micro-batches; the others stay free."""
    world_size = max((count for count in range(1, gpus + 1) if micro_batches % count == 0), default=1)
    if world_size < gpus and not is_rank():
        log.info(
            "%d GPUs given, %d used: the number must divide training: micro_batches %d", gpus, world_size, micro_batches
        )
    return world_size


def launch(module, work, run, folder):
    """Call ``work(run, folder, group)`` in every process of the run, on GPUs that no other job uses.

    ``module`` is what this process runs; with several ranks it is started again, once for each.
    """
    if not is_rank() and run.machine.world_size > 1:
        with exit_on_input_error(), _lease(run):
            run_ranks(run.machine.world_size, ["-m", module, *sys.argv[1:]])
        return
    with process_life(is_main()):
        from trainer.distributed.process_group import join

        with nullcontext() if is_rank() else _lease(run), join(run) as group:
            start_watchdog(run.machine.stall_minutes)
            work(run, folder, group)


def _lease(run):
    return gpu_lease.lease(run.machine.world_size) if run.machine.device == "cuda" else nullcontext()
