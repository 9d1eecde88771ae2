"""Several processes ("ranks") for one run on this machine, by PyTorch's elastic launcher, the library under torchrun.

The launcher holds the GPU lease, forwards signals, and ends all ranks as soon as one fails.
"""

import os
import sys
import tempfile
import uuid
from dataclasses import fields
from pathlib import Path

from trainer.distributed import gpu_lease
from trainer.distributed.lifetime import ERROR_FILE, end_with_parent
from trainer.utils.errors import print_error

SAVE_SECONDS = 25  # SLURM leaves 30 s between SIGTERM and SIGKILL unless an administrator changed it


def is_main():
    """Return whether this process is rank 0, or the launcher: the one that logs and writes."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def is_rank():
    """Return whether this process is one of several ranks, started by ``run_ranks`` or by torchrun."""
    return "LOCAL_RANK" in os.environ


def run_ranks(world_size, arguments):
    """Run ``python <arguments>`` in ``world_size`` processes, set up as by torchrun; return when all have succeeded.

    The port is a free one. If a rank fails, all end, and this process prints the first rank's error as its last line
    and exits with status 1. Signals are forwarded: the ranks have ``SAVE_SECONDS`` to save and end, then this process
    exits with 128 + the signal's number.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ["VSSL_LAUNCHER"] = str(os.getpid())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ[ERROR_FILE] = f"{scratch}/error"
            known = {field.name for field in fields(LaunchConfig)}  # PyTorch 2.11 does not know shutdown_timeout
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=world_size,
                run_id=uuid.uuid4().hex,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",  # a host name need not resolve in a container
                max_restarts=0,
                **({"shutdown_timeout": SAVE_SECONDS} if "shutdown_timeout" in known else {}),
                logs_specs=DefaultLogsSpecs(log_dir=scratch),
            )
            try:
                elastic_launch(config, sys.executable)(*arguments)
            except ChildFailedError as error:
                print_error(_first_error(error, Path(scratch, "error")))
                sys.exit(1)
    except SignalException as ended:
        sys.exit(128 + ended.sigval)


def _first_error(error, file):
    """Return the words that the first rank to fail has left, or else its exit status."""
    if file.exists() and (words := file.read_text(encoding="utf-8")):
        return words
    # A killed rank comes first: those that merely followed it ended with status 1, maybe before the launcher looked.
    rank, failure = min(error.failures.items(), key=lambda item: item[1].exitcode)
    how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with status {failure.exitcode}"
    return f"rank {rank} {how}; the log above may say why. Start the run again to resume it"


def bind_to_launcher():
    """Share the launcher's GPU lease in a rank, and end the rank when the launcher is killed.

    An orphan would compute on GPUs leased to another job, and write into a run that was resumed elsewhere.
    """
    gpu_lease.share_lease()
    end_with_parent(int(os.environ.get("VSSL_LAUNCHER", os.getppid())))
