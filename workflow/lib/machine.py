"""Find what this machine has, without importing PyTorch: a plan must take seconds."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from trainer.distributed.gpu_lease import read_device_list

# The oldest driver for each major version of CUDA: https://docs.nvidia.com/deploy/cuda-compatibility
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}


@dataclass(frozen=True)
class Gpu:
    """A GPU, as nvidia-smi shows it."""

    name: str
    memory_gb: int
    driver: str


@cache  # an nvidia-smi that hangs is waited for once
def visible_gpus() -> list[Gpu]:
    """Return the GPUs that a job of this machine can use: those that CUDA_VISIBLE_DEVICES leaves."""
    question = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not answer
        return []
    rows = [line.rsplit(", ", 2) for line in answer.splitlines() if line.count(", ") >= 2]
    gpus = [Gpu(name, round(float(memory) / 1024) if memory.isdigit() else 0, driver) for name, memory, driver in rows]
    assigned = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if assigned is None else gpus[: len(read_device_list(assigned))]


def torch_cuda() -> str | None:
    """Return the version of CUDA for which the installed PyTorch is built; None if for CPUs, or not installed."""
    torch = find_spec("torch")
    version = Path(torch.origin).with_name("version.py") if torch and torch.origin else None
    found = version and version.is_file() and re.search(r"^cuda\b.*= '([\d.]+)'", version.read_text(), re.MULTILINE)
    return found[1] if found else None


def driver_problem(gpus: list[Gpu], cuda: str | None) -> str | None:
    """Return what is wrong with the driver for PyTorch's version of CUDA, or None."""
    oldest = OLDEST_DRIVER.get(int(cuda.split(".")[0])) if cuda else None
    if oldest and gpus and int(gpus[0].driver.split(".")[0]) < oldest:
        return (
            f"driver {gpus[0].driver} is too old for the installed PyTorch (CUDA {cuda}), which needs {oldest} or "
            "newer; update the driver, or install another build of PyTorch (workflow/profiles/README.md: older GPUs)"
        )
    return None


def lock_problem(folder) -> str | None:
    """Return what is wrong with POSIX locks in a folder, or in the one in which it will be made; None if they work."""
    folder = existing_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError:
        return None  # a folder that is only read needs no locks
    except OSError as error:
        return f"{folder}: POSIX locks do not work there ({error.strerror}); name a folder of another file system"
    return None


def free_bytes(folder) -> int:
    """Return the free space of a folder's file system, quotas aside."""
    return shutil.disk_usage(existing_folder(folder)).free


def file_system(folder) -> int:
    """Return the number of a folder's file system."""
    return existing_folder(folder).stat().st_dev


def existing_folder(folder) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    path = Path(folder).resolve()
    while not path.is_dir():
        path = path.parent
    return path
