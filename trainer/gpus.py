"""Which GPUs this process may use.

Snakemake counts a machine's GPUs but gives none out, so each job takes its own: one lock file per GPU, in a directory
that all users of the machine share. The locks are POSIX record locks (fcntl(2)): they belong to one process, the kernel
drops them however it ends, forked data loaders do not keep them, and blocked processes are served in order of arrival.

A scheduler's or a person's ``CUDA_VISIBLE_DEVICES`` is never widened: GPUs are taken from those it names.
"""

import fcntl
import logging
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import InputError
from trainer.locks import open_lock, told_each_minute

log = logging.getLogger(__name__)

LOCKS = "/tmp/vssl-transfer-gpus"  # not $TMPDIR, which differs between users; VSSL_GPU_LOCKS names another directory
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
POLL_SECONDS = 0.5
ADVICE = "set `machine: device: cpu` in the configuration to run on the CPU"


@contextmanager
def lease(count):
    """Hold ``count`` GPUs and show this process no others; wait until so many are free.

    Yields their names as in ``CUDA_VISIBLE_DEVICES``, which is set for this process and its children. To be entered
    before CUDA starts, and once per process: a process's own locks do not exclude it. Raises InputError when the
    machine (or what the scheduler gave of it) has fewer than ``count``.
    """
    candidates = visible()
    if len(candidates) < count:
        raise InputError(
            f"{count} GPUs are asked for, {len(candidates)} can be used here; ask for fewer (`--resources gpu=` or "
            "the `gpu` of the dataset in config)"
        )
    with told_each_minute(f"waiting for {count} of {len(candidates)} GPUs: other jobs of this machine hold them"):
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


def hold():
    """In a child of the process that leases: keep its GPUs from others until this process ends, too.

    A GPU is thus not given out while an orphan still computes on it. Does nothing where nothing was leased.
    """
    for path in filter(None, os.environ.get("VSSL_GPU_LEASE", "").split(os.pathsep)):
        fcntl.lockf(open_lock(path), fcntl.LOCK_SH)


def visible():
    """The names of the GPUs that this process may choose from, as ``CUDA_VISIBLE_DEVICES`` would have them.

    Raises InputError when there is none.
    """
    assigned = os.environ.get("CUDA_VISIBLE_DEVICES")
    if assigned is None:
        job = next((f"{name}={os.environ[name]}" for name in SCHEDULERS if name in os.environ), None)
        if job:
            raise InputError(f"the scheduler gave this job ({job}) no GPU; ask for one (`gpu` resource) or {ADVICE}")
        gpus = [str(gpu) for gpu in range(_count())]
    else:
        gpus = [gpu.strip() for gpu in assigned.split(",")]
        # CUDA takes the list up to the first name that is none; SLURM says "no GPU" by NoDevFiles
        ends = (i for i, gpu in enumerate(gpus) if gpu in ("", "-1", "NoDevFiles"))
        gpus = gpus[: next(ends, len(gpus))]
    if not gpus:
        hint = "CUDA_VISIBLE_DEVICES hides all GPUs" if assigned is not None else "PyTorch sees no GPU on this machine"
        raise InputError(f"{hint}; {ADVICE}")
    return gpus


def _count():
    """The number of GPUs that PyTorch can use, asked in a child: CUDA reads CUDA_VISIBLE_DEVICES once per process."""
    question = "import torch; print(torch.cuda.device_count())"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    return int(answer.stdout)


def _acquire(paths, count):
    """Lock any ``count`` of the files, waiting for them; returns {path: file descriptor}.

    Waiting processes queue for the turn, and only the one that has it collects GPUs, keeping each that it finds free.
    So none waits for another in a circle, and a job that wants many is not overtaken for ever by those that want one.
    """
    turn = open_lock(paths[0].with_name(f"{_scope()}turn"))
    fcntl.lockf(turn, fcntl.LOCK_EX)
    held = {}
    while True:
        for path in paths:
            if len(held) < count and path not in held and (lock := _try_lock(path)) is not None:
                held[path] = lock
        if len(held) == count:
            break
        time.sleep(POLL_SECONDS)
    for lock in held.values():
        fcntl.lockf(lock, fcntl.LOCK_SH)  # the ranks of this job share them, see hold()
        os.utime(lock)  # cleaners of /tmp go by age
    os.close(turn)
    return held


def _lock_file(gpu):
    directory = Path(os.environ.get("VSSL_GPU_LOCKS", LOCKS))
    return directory / f"{_scope()}gpu-{gpu.replace('/', '_')}"


def _scope():
    """Under a scheduler, names are apart for each job: two jobs may both call their GPU 0 and mean different ones."""
    return next((f"job-{os.environ[name]}-" for name in SCHEDULERS if name in os.environ), "")


def _try_lock(path):
    """A descriptor of the file with this process's lock on it, or None when another process has one."""
    lock = open_lock(path)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
