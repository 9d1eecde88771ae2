"""Run folders as training, prediction and score write them, with made-up numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from trainer.config import Run, score_fingerprint
from trainer.metrics.bootstrap import interval
from trainer.utils import settings
from workflow.lib.report.results import read_results, scored

ALIKE = {"recipe": "r2plus1d", "group": "r2plus1d", "backbone": "r2plus1d_18"}
METHODS = {
    "scratch": {"label": "No pre-training", "pretraining": "none"} | ALIKE,
    "moco": {"label": "MoCo", "pretraining": "self-supervised"} | ALIKE,
    "video_moco": {"label": "VideoMoCo", "pretraining": "self-supervised"} | ALIKE,
    "supervised": {"label": "Supervised", "pretraining": "supervised"} | ALIKE,
}
RUN = yaml.safe_load((Path(__file__).parents[1] / "fixtures/made_up_run.yaml").read_text())
RESAMPLES = 400
ONE_SEED = (
    "Differences between trainings (seeds) are not covered for methods with one seed; to cover them, add seeds "
    "to charades: seeds."
)
FEW_SEEDS = (
    "Two or three seeds say little of their spread: if seeds vary more than test videos, intervals are too narrow and "
    "p-values too small."
)
CLASSES = ["bend/bow (at the waist)", "talk to (e.g., self, a person, a group)", "dance", "never seen"]


def run_config(dataset, method, seed):
    """Return a run's settings in the shape of `trainer.config.Run`."""
    return RUN | {"dataset": dataset, "method": method, "seed": seed}


def made_up_score(dataset, method, seed):
    """Return by what the score of a run is recognized."""
    return scored(settings.read(Run, run_config(dataset, method, seed), "made up"))


def write_run(root, dataset, method, seed, precisions):
    """Write a finished run; ``precisions``: average precision of each class, a fraction, NaN without a positive."""
    folder = root / dataset / method / f"seed{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(run_config(dataset, method, seed)))
    metrics = {
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "fingerprint": score_fingerprint(settings.read(Run, run_config(dataset, method, seed), "made up")),
        "trained": "2026-11-25T08:00:00.000+00:00",
        "mAP": float(np.nanmean(precisions)),
        "parameters": 31_381_000,
        "gflops": 40.719,
        "epochs": 4,
        "videos_trained": 6,
        "clips_trained": 60,
        "videos_tested": 1_814,
    }
    if dataset == "ava":
        metrics["official_mAP"] = metrics["mAP"] - 0.01
    made = {"time": metrics["trained"], "code": "commit a", "processor": "a CPU", "packages": {"torch": "2.15.0"}}
    (folder / "environment.json").write_text(json.dumps(made))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    names = CLASSES[: len(precisions)]
    classes = {"class_id": range(1, len(names) + 1), "name": names, "ap": precisions, "positives": 5}
    pd.DataFrame(classes).to_csv(folder / "per_class.csv", index=False)
    epochs = [1, 2, 3, 4]
    history = {"epoch": epochs, "step": [10, 20, 30, 40], "lr": 0.1, "loss": [0.7, 0.5, 0.4, 0.35]}
    pd.DataFrame(history | {"mAP": [None, 0.1, None, metrics["mAP"]]}).to_csv(folder / "history.csv", index=False)
    write_bootstrap(folder, metrics, names, np.array(precisions, dtype=float))
    return folder


def write_bootstrap(folder, metrics, names, precisions):
    """Write bootstrap.npz: values of all classes and methods vary alike, and a little on their own."""
    rng = np.random.default_rng(len(metrics["method"]))
    together, alone = np.random.default_rng(0).normal(0, 0.02, RESAMPLES), rng.normal(0, 0.01, (len(names), RESAMPLES))
    metric = [name for name in ("mAP", "official_mAP") if name in metrics]
    class_point = np.stack([precisions - np.nanmean(precisions) + metrics[name] for name in metric])
    class_ap = class_point[..., None] + together + alone
    point, values = np.nanmean(class_point, axis=1), np.nanmean(class_ap, axis=1)
    content = {"metric": metric, "point": point, "mAP": values, "interval": interval(point, values)}
    content |= {"class_name": names, "class_point": class_point, "class_ap": class_ap}
    content |= {"class_interval": interval(class_point, class_ap), "video": ["a", "b"], "digest": "0123", "seed": 0}
    np.savez(folder / "bootstrap.npz", **content, **{name: metrics[name] for name in ("fingerprint", "trained")})


def made_up(root, dataset="charades", seeds=(1,), published=None, without=()):
    """Return results of four methods; the runs (method, seed) in ``without`` are not finished."""
    precisions = {
        "scratch": [0.10, 0.20, 0.06, np.nan],  # mean 0.12
        "moco": [0.20, 0.20, 0.20, np.nan],  # 0.20
        "video_moco": [0.30, 0.25, 0.20, np.nan],  # 0.25
        "supervised": [0.50, 0.30, 0.40, np.nan],  # 0.40
    }
    for method, values in precisions.items():
        for seed in set(seeds) - {number for name, number in without if name == method}:
            # seed 1 has the values above, each later one lies 0.02 higher
            write_run(root, dataset, method, seed, [value + 0.02 * (seed - 1) for value in values])
    return read(root, dataset, seeds, published)


def read(root, dataset="charades", seeds=(1,), published=None, partial=False, bootstrap=None):
    """Read the finished runs below ``root`` as the workflow does, with ``partial`` as for results/partial/."""
    runs = {
        method: {str(root / dataset / method / f"seed{seed}"): made_up_score(dataset, method, seed) for seed in seeds}
        for method in METHODS
    }
    return read_results(dataset, METHODS, runs, published, bootstrap, partial=partial)


def nearly_equal(results, method, other, by):
    """Give a method the mAP of another, lower ``by`` a fraction."""
    folders = results.runs.set_index("method").folder
    arrays, others = (results.bootstraps[folders[name]] for name in (method, other))
    arrays["point"] = others["point"] - by
    return results


def write_published(path):
    """Write a table of published mAP: of some methods only, and of MoCo on Charades by two sources."""
    rows = [
        "method\tdataset\tmAP\tsource",
        "moco\tcharades\t21.5\tnew paper",
        "video_moco\tcharades\t24.0\tnew paper",
        "moco\tava\t11.0\tnew paper",
        "moco\tcharades\t20.5\told paper",
        "scratch\tcharades\t9.0\told paper",
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


def with_recipes(results, *recipes):
    """Return results whose methods have these recipes, of which none compare."""
    return replace(results, methods=results.methods.assign(recipe=recipes, group=recipes))
