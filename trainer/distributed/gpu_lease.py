"""Exclusive GPUs for a job.

Snakemake counts a machine's GPUs but does not assign them, so each job leases its own: one lock file per GPU, in a
folder that all users of the machine share. The locks are POSIX record locks (fcntl(2)): they belong to one process, the
kernel releases them however it ends, forked data loaders do not keep them, and waiting processes are served in order.

``CUDA_VISIBLE_DEVICES`` of a scheduler or a user is respected: GPUs are leased from those it names.
"""

import fcntl
import logging
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from trainer.utils.errors import InputError
from trainer.utils.locks import log_while_waiting, open_lock, try_lock
from trainer.utils.text import quoted

log = logging.getLogger(__name__)

LOCKS = "/tmp/vssl-transfer-gpus"  # not $TMPDIR, which differs between users; VSSL_GPU_LOCKS names another folder
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
POLL_SECONDS = 0.5
ADVICE = "set `machine: device: cpu` in the configuration to run on the CPU"


@contextmanager
def lease(count):
    """Lease ``count`` GPUs and hide all others from this process; wait until so many are free.

    Yields their names as in ``CUDA_VISIBLE_DEVICES``, which is set for this process and its children. To be entered
    before CUDA starts, and once per process: locks of one process do not exclude each other. Raises InputError if the
    machine, or its part that the scheduler assigned, has fewer than ``count``, or MIG instances for more than one.
    """
    candidates = visible()
    if len(candidates) < count:
        raise InputError(
            f"expected {count} GPUs, {len(candidates)} can be used here; request fewer (`--resources gpu=` or the "
            "`gpus` of the dataset in config)"
        )
    if count > 1 and any(gpu.startswith("MIG-") for gpu in candidates):  # CUDA shows a process one, whatever it names
        raise InputError("a run cannot use several MIG instances; give --gpus 1, or --resources gpu=1 to snakemake")
    with log_while_waiting(f"waiting for {count} of {len(candidates)} GPUs: other jobs of this machine use them"):
        held = _acquire([_lock_file(gpu) for gpu in candidates], count)
    gpus = [gpu for gpu in candidates if _lock_file(gpu) in held]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    os.environ["VSSL_GPU_LEASE"] = os.pathsep.join(map(str, held))
    log.info("using GPU %s", ", ".join(gpus))
    try:
        yield gpus
    finally:
        for lock in held.values():
            os.close(lock)


def share_lease():
    """Hold the GPUs leased by the parent process until this process ends, too.

    So a GPU is not leased again while an orphan still computes on it. Without a lease this does nothing.
    """
    for path in filter(None, os.environ.get("VSSL_GPU_LEASE", "").split(os.pathsep)):
        with _explain_no_lock(path):
            fcntl.lockf(open_lock(path), fcntl.LOCK_SH)


def visible():
    """Return the names of the GPUs that this process may choose from, as in ``CUDA_VISIBLE_DEVICES``.

    Raises InputError if there is none.
    """
    assigned = os.environ.get("CUDA_VISIBLE_DEVICES")
    if assigned is None:
        job = next((f"{name}={os.environ[name]}" for name in SCHEDULERS if name in os.environ), None)
        if job:
            raise InputError(
                f"the scheduler assigned no GPU to this job ({job}); request one (`gpu` resource) or {ADVICE}"
            )
        gpus = [str(gpu) for gpu in range(_count())]
    else:
        gpus = read_device_list(assigned)
    if not gpus:
        hint = "PyTorch sees no GPU on this machine"
        if assigned is not None:
            hint = f"CUDA_VISIBLE_DEVICES ({quoted(assigned)}) hides all GPUs"
        raise InputError(f"{hint}; {ADVICE}")
    return gpus


def read_device_list(assigned):
    """Return the names of the GPUs in a value of ``CUDA_VISIBLE_DEVICES``."""
    gpus = [gpu.strip() for gpu in assigned.split(",")]
    # CUDA reads the list up to the first name that is none; SLURM writes NoDevFiles for "no GPU"
    ends = (i for i, gpu in enumerate(gpus) if not re.fullmatch(r"[0-9]+|(GPU|MIG)-[\w/-]+", gpu))
    gpus = gpus[: next(ends, len(gpus))]
    return gpus if len(set(gpus)) == len(gpus) else []  # CUDA finds no GPU if a name stands twice


def _count():
    """Count the GPUs that PyTorch can use, in a child, as CUDA reads CUDA_VISIBLE_DEVICES once per process."""
    question = "import torch; print(torch.cuda.device_count())"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    return int(answer.stdout)


def _acquire(paths, count):
    """Lock any ``count`` of the files, waiting for them; return {path: file descriptor}.

    Only the process that holds the queue lock collects GPUs, keeping each that it finds free. So there is no deadlock,
    and a job that needs many GPUs is not overtaken forever by jobs that need one.
    """
    queue = paths[0].with_name(f"{_scope()}queue")
    with _explain_no_lock(queue):
        queue_lock = open_lock(queue)
        fcntl.lockf(queue_lock, fcntl.LOCK_EX)
    held = {}
    while True:
        for path in paths:
            if len(held) < count and path not in held and (lock := _try_lock(path)) is not None:
                held[path] = lock
        if len(held) == count:
            break
        time.sleep(POLL_SECONDS)
    for path, lock in held.items():
        with _explain_no_lock(path):
            fcntl.lockf(lock, fcntl.LOCK_SH)  # the ranks of this job share them, see share_lease()
            os.utime(lock)  # cleaners of /tmp go by age
    os.close(queue_lock)
    return held


def _lock_file(gpu):
    directory = Path(os.environ.get("VSSL_GPU_LOCKS", LOCKS))
    return directory / f"{_scope()}gpu-{gpu.replace('/', '_')}"


def _scope():
    """Return a prefix of lock names; under a scheduler one per job, as GPU 0 of two jobs may be different GPUs."""
    return next((f"job-{os.environ[name]}-" for name in SCHEDULERS if name in os.environ), "")


def _try_lock(path):
    """Lock the file and return its descriptor, or None if another process holds the lock."""
    with _explain_no_lock(path):
        lock = open_lock(path)
        if try_lock(lock):
            return lock
        os.close(lock)
        return None


@contextmanager
def _explain_no_lock(path):
    """Raise InputError if the file ``path`` cannot be opened or locked; another user may have made it."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; expected a lock file that every user of this machine can write to. Set "
            "VSSL_GPU_LOCKS to a folder for such files, the same for all users"
        ) from error
