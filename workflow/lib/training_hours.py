"""How long the runs that are left take to train: by those finished here, steps on an H100, or the authors' numbers."""

from dataclasses import dataclass

import numpy as np

from trainer.cli import fitting_world_size
from trainer.run_files import DamagedFile
from workflow.lib.experiment import Experiment
from workflow.lib.machine import Gpu
from workflow.lib.remaining import is_trained
from workflow.lib.training_jobs import read_jobs

# Both tables are of whole networks on these clips: frames, pixels.
CLIP = (32, 112)
# Of a run by the authors: GPU hours, epochs, GPUs.
REPORTED = {("ava", "r2plus1d"): (32, 20, "4 GTX 1080 Ti"), ("charades", "r2plus1d"): (8, 57, "an A6000")}
# GPU hours of as many epochs by precision, predicted from steps on one MEASURED_GPU: benchmarks/README.md.
MEASURED_GPU = "NVIDIA H100 80GB HBM3"
PREDICTED = {
    ("ava", "r2plus1d"): {"float32": 18.4, "tf32": 7.2, "bfloat16": 3.8},
    ("charades", "r2plus1d"): {"tf32": 0.8, "bfloat16": 0.4},
}


@dataclass(frozen=True)
class Trainings:
    """The runs of a dataset and recipe."""

    dataset: str
    recipe: str
    left: int  # runs without weights
    gpus: int  # of a run; 0: it trains on the CPU
    hours: float | None  # of a run on these; None: not known
    source: str  # of the hours, if they are known


def trainings(experiment: Experiment, visible_gpus: list[Gpu]) -> list[Trainings]:
    """Return the experiment's runs by dataset and recipe.

    ``visible_gpus``: those of the machine that trains; none: not known, jobs get as many as the config wants.
    """
    measured = bool(visible_gpus) and all(gpu.name == MEASURED_GPU for gpu in visible_gpus)
    found = []
    for dataset in experiment.config.datasets:
        wanted = experiment.gpus(dataset)
        for recipe, methods in experiment.methods.groupby("recipe", sort=False):
            training = experiment.config.recipes[recipe][dataset].training
            usable = min(wanted, len(visible_gpus) or wanted)
            gpus = usable and fitting_world_size(usable, training.micro_batches)
            folders = experiment.run_folders(dataset, *methods.index)
            trained = [folder for folder, run in folders.items() if is_trained(folder, run)]
            hours, source = _device_hours(experiment, dataset, recipe, trained, measured)
            left = len(folders) - len(trained)
            found.append(Trainings(dataset, recipe, left, gpus, hours and hours / (gpus or 1), source))
    return found


def hours_at_once(found: list[Trainings], visible_gpus: int) -> float:
    """Return the hours of all runs that are left if the machine trains as many at a time as it has GPUs for.

    On the CPU, one at a time. The hours of a run must be known.
    """
    at_once = [max(1, visible_gpus // one.gpus) if one.gpus else 1 for one in found]
    return sum(-(-one.left // count) * one.hours for one, count in zip(found, at_once, strict=True))


def _device_hours(experiment, dataset, recipe, trained, measured):
    """Return the hours of a run times its GPUs, and where the number is from.

    ``trained``: folders of trained runs; ``measured``: whether the GPUs are of the model whose steps were measured.
    """
    if finished := [hours for folder in trained if (hours := _trained_hours(folder))]:
        return float(np.mean(finished)), f"mean of {len(finished)} finished here"
    settings = experiment.config.recipes[recipe][dataset]
    known = (dataset, recipe) in REPORTED and (settings.clip.num_frames, settings.clip.crop) == CLIP
    if not known or settings.frozen or experiment.config.machine.device == "cpu":
        return None, ""
    training = settings.training
    hours, epochs, gpus = REPORTED[dataset, recipe]
    source = f"reported by the authors on {gpus}"
    if measured and training.precision in PREDICTED[dataset, recipe]:
        hours, source = PREDICTED[dataset, recipe][training.precision], "predicted from steps on one H100"
    return hours * training.epochs / epochs, source


def _trained_hours(folder):
    """Return the hours of the jobs that trained a run times their GPUs; None if the record is damaged."""
    try:
        return sum(job["hours"] * (len(job["gpus"]) or 1) for job in read_jobs(folder))
    except DamagedFile:
        return None
