"""Several processes ("ranks") for one run on this machine, by PyTorch's elastic launcher, the library under torchrun.

The launcher holds the GPU lease, forwards signals, and ends all ranks as soon as one fails.
"""

import ctypes
import os
import signal
import sys
import tempfile
import uuid

from trainer.distributed import gpu_lease

SAVE_SECONDS = 25  # SLURM leaves 30 s between SIGTERM and SIGKILL unless an administrator changed it
PR_SET_PDEATHSIG = 1  # prctl(2)


def is_rank():
    """Return whether this process is one of several ranks, started by ``run_ranks`` or by torchrun."""
    return "LOCAL_RANK" in os.environ


def run_ranks(world_size, arguments):
    """Run ``python <arguments>`` in ``world_size`` processes, set up as by torchrun; return when all have succeeded.

    The port is a free one. If a rank fails, the others are ended at once and this process exits with status 1; the
    rank's own error is in the log. SIGTERM and SIGINT are forwarded: the ranks have ``SAVE_SECONDS`` to save and
    end, then this process exits with 128 + the signal's number.
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
                nproc_per_node=world_size,
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
        print(f"error: {failed} of {world_size} ranks failed; the first error above is the cause", file=sys.stderr)
        sys.exit(1)
    except SignalException as ended:
        sys.exit(128 + ended.sigval)


def bind_to_launcher():
    """Share the launcher's GPU lease in a rank, and end the rank when the launcher is killed.

    An orphan would compute on GPUs leased to another job, and write into a run that was resumed elsewhere.
    """
    gpu_lease.share_lease()
    launcher = int(os.environ.get("VSSL_LAUNCHER", os.getppid()))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # killed before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)
