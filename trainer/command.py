"""The command line that train and evaluate share: read a run, get its GPUs, start its processes."""

import argparse
import logging
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from trainer import config, gpus
from trainer.errors import told_plainly
from trainer.launch import is_rank, run_ranks

log = logging.getLogger("trainer")


def parse(about, *actions):
    """Read ``[action] --config FILE [--gpus N]``; returns (action or None, run, folder of the config).

    An unreadable config ends the process with its message.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if actions:
        parser.add_argument("action", choices=actions)
    parser.add_argument("--config", required=True, type=Path, help="config.yaml of a run; results go beside it")
    parser.add_argument("--gpus", type=int, default=0, help="processes to use, one per GPU (default: machine: ranks)")
    arguments = parser.parse_args()
    with told_plainly():
        run = config.load(arguments.config)
    ranks = fitting_ranks(arguments.gpus or run.machine.ranks, run.training.shares)
    run = replace(run, machine=replace(run.machine, ranks=ranks))
    return getattr(arguments, "action", None), run, arguments.config.parent


def fitting_ranks(gpus, shares):
    """Of ``gpus`` GPUs, how many are used: the most that divide the shares of a batch. The others stay free."""
    ranks = max((count for count in range(1, gpus + 1) if shares % count == 0), default=1)
    if ranks < gpus and not is_rank():
        log.info("%d GPUs given, %d used: they must divide training: shares %d", gpus, ranks, shares)
    return ranks


def on_gpus(module, work, run, folder):
    """Call ``work(run, folder, world)`` in every process of the run, on GPUs that are this job's alone.

    ``module`` is what this process runs; with several ranks it is started again, once for each.
    """
    from trainer.world import join

    with told_plainly():
        if is_rank():
            with join(run.machine) as world:
                work(run, folder, world)
            return
        with gpus.lease(run.machine.ranks) if run.machine.device == "cuda" else nullcontext():
            if run.machine.ranks > 1:
                run_ranks(run.machine.ranks, ["-m", module, *sys.argv[1:]])
            else:
                with join(run.machine) as world:
                    work(run, folder, world)
