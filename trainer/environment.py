"""When and on what something was made: code, machine and packages."""

import os
import platform
import re
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Those that can change a number.
PACKAGES = ["torch", "torchvision", "fvcore", "numpy", "pandas", "opencv-python-headless", "simplejpeg", "snakemake"]


def environment(device="cpu") -> dict:
    """Facts of this process and moment, ready for JSON; with ``device`` "cuda" those of its GPUs, too."""
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
    import torch

    return {
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def commit() -> str:
    """The commit of this checkout, and whether its files differ from it."""

    def git(*words):
        folder = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = ", with local changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("log", "-1", "--format=commit %h of %cs") + changed
    except (OSError, subprocess.CalledProcessError):  # no git, or unpacked from an archive
        return "not a git checkout"


def processor() -> str:
    cpus = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpus.read_text()) if cpus.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def installed(names) -> dict[str, str]:
    """Versions of those packages that are there."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
