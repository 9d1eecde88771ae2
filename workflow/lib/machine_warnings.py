"""Warn at the plan about what would stop a run on this machine hours later."""

import requests

from trainer.utils.errors import InputError
from workflow.lib import machine
from workflow.lib.experiment import Experiment
from workflow.lib.remaining import GB, Remaining, remaining

NO_GPU = (
    "no GPU is visible, and config wants `machine: device: cuda`: data can be prepared here, but no run trained. "
    "Check nvidia-smi and CUDA_VISIBLE_DEVICES, or set `machine: device: cpu`"
)


def machine_warnings(experiment: Experiment, left: Remaining | None = None, jobs_run_here=True) -> list[str]:
    """Return a line for each thing that this machine lacks for what the config selects.

    ``jobs_run_here``: whether training runs on this machine, and not on the nodes of a cluster.
    """
    left = left or remaining(experiment)
    lines = disk_warnings(left)
    folders = [experiment.config.results, experiment.config.shared_cache]
    lines += filter(None, (machine.lock_problem(folder) for folder in folders if folder))
    if jobs_run_here and experiment.config.machine.device == "cuda" and left.runs:
        gpus = machine.visible_gpus()
        driver = machine.driver_problem(gpus, machine.torch_cuda())
        lines += [driver] if driver else [] if gpus else [NO_GPU]
    return lines


def disk_warnings(left: Remaining) -> list[str]:
    """Return a line for each file system that is too small for what is still to be made in its folders."""
    systems = {}
    for folder, needed in left.disk.items():
        systems.setdefault(machine.file_system(folder), {})[folder] = needed
    lines = []
    for folders in systems.values():
        needed, free = sum(folders.values()), machine.free_bytes(next(iter(folders)))
        if needed > free:
            lines.append(
                f"{' and '.join(folders)}: up to {needed / GB:,.0f} GB still to be made, {free / GB:,.0f} GB free; "
                "make room, name folders of another disk, or need less (`delete_after_use`, `ava: short_side`)"
            )
    return lines


def check_machine(experiment: Experiment, jobs_run_here: bool) -> list[str]:
    """Return the warnings; raise InputError with the first one if config wants them as errors."""
    lines = machine_warnings(experiment, jobs_run_here=jobs_run_here)
    if lines and experiment.config.strict:
        raise InputError(f"{lines[0]}. It is an error as config sets `strict`")
    return lines


def source_warnings(experiment: Experiment) -> list[str]:
    """Return a line for each web address of the sources table that does not answer a HEAD request with a file."""
    urls = [url for url in experiment.sources.url if "{film}" not in url and "{video}" not in url]
    if experiment.films:
        urls += experiment.film_urls(next(iter(experiment.films.values())))
    lines = []
    for url in dict.fromkeys(url for url in urls if "://" in url):
        try:
            answer = requests.head(url, allow_redirects=True, timeout=20)
        except requests.RequestException as error:
            lines.append(f"{url}: does not answer ({type(error).__name__})")
        else:
            if not answer.ok:
                lines.append(f"{url}: HTTP status {answer.status_code}")
    return lines
