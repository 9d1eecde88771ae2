"""Several processes ("ranks") for one run on this machine, by PyTorch's elastic launcher, the library under torchrun.

The launcher holds the GPUs' lease, passes signals on, and ends every rank as soon as one fails.
"""

import ctypes
import os
import signal
import sys
import tempfile
import uuid

from trainer import gpus

SAVE_SECONDS = 25  # SLURM leaves 30 s between SIGTERM and SIGKILL unless an administrator changed it
PR_SET_PDEATHSIG = 1  # prctl(2)


def is_rank():
    """Whether this process is one of several ranks, started by ``run_ranks`` or by torchrun."""
    return "LOCAL_RANK" in os.environ


def run_ranks(ranks, arguments):
    """Run ``python <arguments>`` in so many processes, set up as torchrun does; return when all have succeeded.

    The port is a free one. When a rank fails, the others are ended at once and this process exits with status 1; the
    rank's own error stands in the log. SIGTERM and SIGINT are passed on: the ranks have ``SAVE_SECONDS`` to save and
    end, then this process exits with 128 + the signal's number, as a process ended by it would.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ["VSSL_LAUNCHER"] = str(os.getpid())
    try:
        with tempfile.TemporaryDirectory() as scratch:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=ranks,
                run_id=uuid.uuid4().hex,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",  # a host name need not resolve in a container
                max_restarts=0,
                shutdown_timeout=SAVE_SECONDS,
                logs_specs=DefaultLogsSpecs(log_dir=scratch),
            )
            elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as error:
        failed = ", ".join(
            f"rank {rank} (exit status {failure.exitcode})"
            for rank, failure in sorted(error.failures.items())
            if failure.exitcode != -signal.SIGTERM  # those the launcher ended
        )
        print(f"error: {failed} of {ranks} ranks failed; the first error above is the cause", file=sys.stderr)
        sys.exit(1)
    except SignalException as ended:
        sys.exit(128 + ended.sigval)


def bind_to_launcher():
    """In a rank, before it computes: share the launcher's hold on the GPUs, and end when the launcher is killed.

    An orphan would compute on GPUs that another job was given, and write into a run that was resumed elsewhere.
    """
    gpus.hold()
    launcher = int(os.environ.get("VSSL_LAUNCHER", os.getppid()))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # killed before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)
