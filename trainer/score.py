"""From predictions to mAP and average precision per class. Needs no GPU and no PyTorch."""

import json
import logging

import numpy as np
import pandas as pd

from trainer import config
from trainer.errors import InputError
from trainer.files import whole_file
from trainer.metrics import ava, ava_files, charades

log = logging.getLogger("trainer")


def score(run, folder):
    """Write metrics.json and per_class.csv of ``folder``'s predictions; for AVA detections.csv.gz, too."""
    for name in ("predictions.npz", "summary.json", "environment.json"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; train and predict first, see python -m trainer.evaluate")
    with np.load(folder / "predictions.npz") as arrays:
        predictions = dict(arrays)
    rows, metrics = score_test(run, predictions)
    metrics = {
        "dataset": run.dataset,
        "method": run.method,
        "seed": run.seed,
        "settings": config.fingerprint(run),
        "trained": json.loads((folder / "environment.json").read_text())["time"],
        **metrics,
        **json.loads((folder / "summary.json").read_text()),
        "videos_tested": len(np.unique(predictions["video"])),
    }
    if run.dataset == "ava":
        with whole_file(folder / "detections.csv.gz") as partial:
            ava_files.write_detections(partial, detections_of(run, predictions))
    with whole_file(folder / "per_class.csv") as partial:
        rows.to_csv(partial, index=False)
    with whole_file(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=2) + "\n")
    log.info("mAP %.4f", metrics["mAP"])


def score_test(run, predictions):
    """Average precision of each class, as a DataFrame, and the metrics that are made of it."""
    if run.dataset == "charades":
        rows = charades.video_map(predictions["score"], predictions["target"])
        return rows, {"mAP": rows["ap"].mean()}
    boxes = boxes_of(run, predictions)
    rows, official = ava.frame_map(*boxes), ava.frame_map(*boxes, protocol="official")
    rows["official_ap"] = official["ap"]
    return rows, {"mAP": rows["ap"].mean(), "official_mAP": official["ap"].mean()}


def score_validation(run, predictions):
    """mAP of what training is watched by."""
    if run.dataset == "charades":
        return charades.video_map(predictions["score"], predictions["target"])["ap"].mean()
    ground_truth, *rest = boxes_of(run, predictions)
    return ava.frame_map(ava_files.every_fourth_second(ground_truth), *rest)["ap"].mean()


def boxes_of(run, predictions):
    """What frame-mAP compares, on the films of the test list: ground truth, detections, classes, excluded seconds."""
    videos = pd.read_csv(run.data.test, dtype=str)["video"].unique()
    return (
        ava_files.of_videos(ava_files.read_ground_truth(run.data.ground_truth), videos),
        detections_of(run, predictions),
        ava_files.read_label_map(run.data.label_map),
        ava_files.read_exclusions(run.data.excluded),
    )


def detections_of(run, predictions):
    """AVA predictions as detections of the evaluated classes."""
    return ava_files.to_detections(
        predictions["box"],
        predictions["score"],
        predictions["video"],
        predictions["second"],
        ava_files.read_label_map(run.data.label_map),
    )
