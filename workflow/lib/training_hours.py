"""How long the runs that are left take to train: by those finished here, else by the authors' numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.cli import fitting_world_size
from trainer.run_files import DamagedFile, read_csv, read_json
from workflow.lib.experiment import Experiment
from workflow.lib.remaining import missing_runs

HOUR = 3600  # s
# Of a run by the authors, with the recipe r2plus1d: GPU hours, epochs, GPUs.
REPORTED_RECIPE = "r2plus1d"
REPORTED = {"ava": (32, 20, "4 GTX 1080 Ti"), "charades": (8, 57, "an A6000")}


@dataclass(frozen=True)
class Trainings:
    """The runs of a dataset and recipe."""

    dataset: str
    recipe: str
    left: int  # runs without weights
    gpus: int  # of a run; 0: it trains on the CPU
    hours: float | None  # of a run on these; None: not known
    source: str  # of the hours, if they are known


def trainings(experiment: Experiment, visible_gpus: int) -> list[Trainings]:
    """Return the experiment's runs by dataset and recipe.

    ``visible_gpus``: those of the machine that trains; 0: not known, jobs get as many as the config wants.
    """
    found = []
    for dataset in experiment.config.datasets:
        wanted = experiment.gpus(dataset)
        for recipe, methods in experiment.methods.groupby("recipe", sort=False):
            training = experiment.config.recipes[recipe][dataset].training
            usable = min(wanted, visible_gpus or wanted)
            gpus = usable and fitting_world_size(usable, training.micro_batches)
            left = missing_runs(experiment, dataset, methods.index)
            hours, source = _device_hours(experiment, dataset, recipe, methods.index)
            found.append(Trainings(dataset, recipe, len(left), gpus, hours and hours / (gpus or 1), source))
    return found


def hours_at_once(found: list[Trainings], visible_gpus: int) -> float | None:
    """Return the hours of all runs that are left if the machine trains as many at a time as it has GPUs for.

    On the CPU, one at a time. None if hours of some are not known.
    """
    left = [one for one in found if one.left]
    if any(one.hours is None for one in left):
        return None
    at_once = [max(1, visible_gpus // one.gpus) if one.gpus else 1 for one in left]
    return sum(-(-one.left // count) * one.hours for one, count in zip(left, at_once, strict=True))


def _device_hours(experiment, dataset, recipe, methods):
    """Return the hours of a run times its GPUs, and where the number is from."""
    training = experiment.config.recipes[recipe][dataset].training
    folders = [folder for method in methods for folder in experiment.run_folders(dataset, method)]
    finished = [_trained_hours(folder, training.batch_size) for folder in folders]
    if finished := [hours for hours in finished if hours]:
        return float(np.mean(finished)), f"mean of {len(finished)} finished here"
    if recipe != REPORTED_RECIPE or experiment.config.machine.device == "cpu":
        return None, ""
    hours, epochs, gpus = REPORTED[dataset]
    return hours * training.epochs / epochs, f"reported by the authors on {gpus}"


def _trained_hours(folder, batch_size):
    """Return the hours of a finished run's steps, in all of its jobs, times its GPUs; None if it is not finished."""
    if not Path(folder, "model.pth").exists():
        return None
    try:
        epochs = read_csv(f"{folder}/history.csv", numbers=["step", "clips_per_second"])
        gpus = read_json(f"{folder}/environment.json").get("gpus", [])
    except DamagedFile:
        return None
    clips = batch_size * np.diff(epochs.step, prepend=0)
    return float((clips / epochs.clips_per_second).sum() / HOUR * (len(gpus) or 1))
