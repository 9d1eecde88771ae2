"""Run folders as training, prediction and score leave them, with numbers made up for a test."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from trainer.config import build, fingerprint
from workflow.scripts.results import read_results

METHODS = {
    "scratch": {"label": "No pre-training", "pretraining": "none"},
    "moco": {"label": "MoCo", "pretraining": "self-supervised"},
    "video_moco": {"label": "VideoMoCo", "pretraining": "self-supervised"},
    "supervised": {"label": "Supervised", "pretraining": "supervised"},
}
RUN = yaml.safe_load(Path(__file__).with_name("data").joinpath("made_up_run.yaml").read_text())
CLASSES = ["bend/bow (at the waist)", "talk to (e.g., self, a person, a group)", "dance", "never seen"]


def settings(dataset, method, seed):
    """What decides a run, in the shape of `trainer.config.Run`."""
    return RUN | {"dataset": dataset, "method": method, "seed": seed}


def write_run(root, dataset, method, seed, precisions):
    """One finished run; ``precisions``: average precision of each class, a fraction, NaN without a positive."""
    folder = root / dataset / method / f"seed{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings(dataset, method, seed)))
    metrics = {
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "settings": fingerprint(build(settings(dataset, method, seed))),
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
    history = {"epoch": epochs, "step": [10, 20, 30, 40], "rate": 0.1, "loss": [0.7, 0.5, 0.4, 0.35]}
    pd.DataFrame(history | {"mAP": [None, 0.1, None, metrics["mAP"]]}).to_csv(folder / "history.csv", index=False)
    return folder


def made_up(root, dataset="charades", seeds=(1,), published=None, without=()):
    """Results of four methods; runs named (method, seed) in ``without`` are not finished."""
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


def read(root, dataset="charades", seeds=(1,), published=None):
    """What the workflow reads of the runs below ``root`` that are finished."""
    runs = {
        method: {str(root / dataset / method / f"seed{seed}"): settings(dataset, method, seed) for seed in seeds}
        for method in METHODS
    }
    return read_results(dataset, METHODS, runs, published)


def write_published(path):
    """Published mAP of two of the methods; none of the others."""
    rows = ["method\tdataset\tmAP\tsource", "moco\tcharades\t21.5\tmade up", "video_moco\tcharades\t24.0\tmade up"]
    path.write_text("\n".join([*rows, "moco\tava\t11.0\tmade up"]) + "\n")
    return path
