"""Time, code, machine and packages of a run, for its records."""

import os
import platform
import re
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Packages that can change a result.
PACKAGES = ["torch", "torchvision", "fvcore", "numpy", "pandas", "opencv-python-headless", "simplejpeg", "snakemake"]


def environment(device="cpu") -> dict:
    """Return time, code, machine and packages as values for JSON; with ``device`` "cuda" the GPUs, too."""
    facts = {
        "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "code": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(terse=True),
        "packages": {"python": platform.python_version(), **installed(PACKAGES)},
    }
    return facts | gpus() if device == "cuda" else facts


def gpus() -> dict:
    """Return the names of the visible GPUs and the versions of CUDA and cuDNN."""
    import torch

    return {
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def commit() -> str:
    """Return the commit of this checkout as text, and whether files differ from it."""
    root = Path(__file__).resolve().parents[2]

    def git(*words):
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != root:  # installed below another project's checkout
            return "not a git checkout"
        changed = ", with local changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("log", "-1", "--format=commit %h of %cs") + changed
    except (OSError, subprocess.CalledProcessError):  # no git, or unpacked from an archive
        return "not a git checkout"


def processor() -> str:
    """Return the processor's model name."""
    cpus = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpus.read_text()) if cpus.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def installed(names) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
