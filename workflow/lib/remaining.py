"""What an experiment still has to make: files with their sizes, and runs."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainer.config import training_fingerprint
from trainer.run_files import DamagedFile, read_json
from workflow.lib.experiment import Experiment, local_paths
from workflow.lib.validation import read_run

GB, MB = 1e9, 1e6
# Published sizes, see workflow/profiles/README.md.
FILM_BYTES = 157 * GB / 299
CUT_BYTES_PER_SECOND = FILM_BYTES / 1801  # at most, as every film has these 1801 s; no size of cuts is published
FRAMES_BYTES_PER_SECOND = 392 * GB / 299 / 901  # at 30 frames per second and native size
SMALL_FRAMES = 0.5  # of that with short_side 320
CHARADES_BYTES = 76 * GB
# Of a run's final weights, by backbone. Here, as trainer/models/backbones.py counts as code that determines weights.
WEIGHT_BYTES = {
    "r2plus1d_18": 125 * MB,
    "r2plus1d_18_tclr": 125 * MB,
    "r3d_18": 133 * MB,
    "mc3_18": 46 * MB,
    "vit_s_16": 90 * MB,
    "vit_b_16": 350 * MB,
    "vit_l_16": 1222 * MB,
    "vit_b_16_umt": 347 * MB,
}


@dataclass(frozen=True)
class Remaining:
    """What is missing."""

    disk: dict[str, float]  # bytes by folder, at most; of runs the final weights
    runs: int  # without weights


def remaining(experiment: Experiment) -> Remaining:
    """Return what is still to be made for all that the config selects."""
    disk, config = Counter(), experiment.config
    existing, cache = experiment.existing, config.shared_cache
    if "ava" in config.datasets and not existing.ava_frames:
        of_own_files = existing.ava_films or existing.ava_cuts  # whose frames other users do not share
        ava_cache = None if of_own_files else cache
        disk[ava_cache or config.data] += _ava_bytes(experiment, ava_cache)
    if "charades" in config.datasets and not existing.charades_frames:
        missing = not _is_made(experiment.charades_tar, config.data, cache)
        if missing and not local_paths(experiment.urls("charades/Charades_v1_rgb.tar")):
            disk[cache or config.data] += CHARADES_BYTES
    runs = [experiment.run_folders(dataset, *experiment.methods.index) for dataset in config.datasets]
    left = [run for folders in runs for folder, run in folders.items() if not is_trained(folder, run)]
    disk[config.results] += sum(WEIGHT_BYTES.get(run["model"]["backbone"], max(WEIGHT_BYTES.values())) for run in left)
    return Remaining(dict(disk), len(left))


def is_trained(folder, run: dict) -> bool:
    """Return whether ``folder`` has the final weights of ``run``, in the shape of `trainer.config.Run`."""
    if not Path(folder, "model.pth").exists():
        return False
    try:
        trained = read_json(f"{folder}/summary.json", fingerprint=str)["fingerprint"]
    except DamagedFile:
        return False
    return trained == training_fingerprint(read_run(run))


def _ava_bytes(experiment, cache):
    """Return the size of the films, cuts and frames that are missing; links to local films need no space."""
    ava, existing, deleted = experiment.ava, experiment.existing, experiment.config.delete_after_use
    is_made = partial(_is_made, data=experiment.config.data, cache=cache)
    window = ava.stop - ava.start
    frames = FRAMES_BYTES_PER_SECOND * window * ava.fps / 30 * (SMALL_FRAMES if ava.short_side else 1)
    missing = [video for video in experiment.films if not is_made(f"{experiment.frames_folder}/{video}.tar")]
    uncut = [video for video in missing if not (existing.ava_cuts or is_made(experiment.cut(video)))]
    absent = [video for video in uncut if not (existing.ava_films or is_made(experiment.film(video)))]
    remote = [video for video in absent if not local_paths(experiment.film_urls(experiment.films[video]))]
    cuts = CUT_BYTES_PER_SECOND * window * len(uncut) * ("cuts" not in deleted)
    films = FILM_BYTES * len(remote) * ("films" not in deleted)
    return frames * len(missing) + cuts + films


def _is_made(path, data, cache):
    """Return whether a file exists, in the folder ``data`` or in ``cache`` (or None), to which its job will link."""
    path = Path(path)
    cached = cache and path.is_relative_to(data)
    return path.exists() or bool(cached and Path(cache, path.relative_to(data)).exists())
