"""From predictions to the uncertainty of their score: mAP of resampled test videos. Needs no GPU and no PyTorch.

A separate rule after the score: with other settings it runs again in minutes, and nothing else of a run changes.
"""

import logging
from dataclasses import asdict

import numpy as np

from trainer import config
from trainer.datasets import DATASETS
from trainer.metrics.bootstrap import interval, mean_ap
from trainer.run_files import check_fingerprint, read_arrays, read_json
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from trainer.utils.settings import Count, Whole, documented_keys, read, settings

log = logging.getLogger("trainer")


@settings
class Bootstrap:
    """How uncertainty is estimated."""

    resamples: Count = 10_000
    """resamples of the test videos; at least 20 for each pair of methods that compare, as corrected p-values are not
    below the number of pairs / (1 + resamples)"""
    seed: Whole = 0
    """seed of the random resamples, which all methods share"""


def add_options(parser):
    """Add an option for each setting to a parser."""
    for name, _, default, words in documented_keys(Bootstrap):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{words}. Default: {default}")


def read_options(options):
    """Return the settings that a command's options say; raise InputError if one is wrong."""
    return read(Bootstrap, {name: getattr(options, name) for name in asdict(Bootstrap())}, "bootstrap")


def bootstrap(run, folder, chosen: Bootstrap):
    """Write bootstrap.npz of ``folder``'s predictions: mAP of resampled test videos, and 95 % intervals."""
    for name in ("predictions.npz", "environment.json", "metrics.json"):
        if not (folder / name).exists():
            raise InputError(f"{folder / name}: no such file; predict and score first, see python -m trainer.evaluate")
    trained = read_json(folder / "environment.json", time=str)["time"]
    predictions = read_arrays(folder / "predictions.npz", "video", "score", "fingerprint")
    check_fingerprint(folder / "predictions.npz", predictions["fingerprint"], config.result_fingerprint(run))
    resampled_aps = DATASETS[run.dataset].resampled_aps
    resamples, classes, aps = resampled_aps(run.data, predictions, chosen.resamples, chosen.seed)
    values = np.stack(list(aps.values()))  # (metrics, classes, 1 + resamples), the test set itself first
    means = np.stack([mean_ap(of_metric) for of_metric in values])
    check_scores(folder / "metrics.json", dict(zip(aps, means[:, 0].tolist(), strict=True)))
    content = {
        "fingerprint": config.score_fingerprint(run),
        "trained": trained,
        "seed": chosen.seed,
        "digest": resamples.digest,
        "video": resamples.videos,
        "class_name": np.array(classes, dtype=str),
        "metric": np.array(list(aps), dtype=str),
        "point": means[:, 0],
        "mAP": means[:, 1:],
        "interval": interval(means[:, 0], means[:, 1:]).clip(0, 1),
        "class_point": values[..., 0],
        "class_ap": values[..., 1:].astype(np.float32),
        "class_interval": interval(values[..., 0], values[..., 1:]).clip(0, 1),
    }
    with atomic_write(folder / "bootstrap.npz") as partial:
        np.savez_compressed(partial, **content)
    for name, point, (low, high) in zip(aps, content["point"], content["interval"], strict=True):
        log.info("%s %.4f [%.4f, %.4f]", name, point, low, high)


def check_scores(path, expected):
    """Raise InputError if the metrics in ``path`` are not ``expected``: those of other predictions."""
    metrics = read_json(path, mAP=float)
    for name, value in expected.items():
        if not np.isclose(metrics.get(name, np.nan), value, rtol=1e-9, atol=0, equal_nan=True):
            raise InputError(
                f"{path}: {name} {metrics.get(name)}; expected {value}, as predictions.npz has it. "
                "Delete it to score again"
            )
