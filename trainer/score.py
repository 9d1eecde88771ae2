"""From predictions to mAP and average precision per class. Needs no GPU and no PyTorch."""

import json
import logging

import numpy as np

from trainer.config import result_fingerprint, score_fingerprint, training_fingerprint
from trainer.datasets import DATASETS
from trainer.run_files import check_fingerprint, read_arrays, read_json
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

log = logging.getLogger("trainer")


def score(run, folder):
    """Write metrics.json and per_class.csv of ``folder``'s predictions, and files for the dataset's official script."""
    for name in ("predictions.npz", "summary.json", "environment.json"):
        if not (folder / name).exists():
            raise InputError(f"{folder / name}: no such file; train and predict first, see python -m trainer.evaluate")
    trained = read_json(folder / "environment.json", time=str)["time"]
    summary = read_json(folder / "summary.json", epochs=int, fingerprint=str)
    check_fingerprint(folder / "summary.json", summary["fingerprint"], training_fingerprint(run))
    dataset = DATASETS[run.dataset]
    predictions = read_arrays(folder / "predictions.npz", "video", "fingerprint", **dataset.metric.PREDICTIONS)
    check_fingerprint(folder / "predictions.npz", predictions["fingerprint"], result_fingerprint(run))
    if wrong := [name for name in dataset.metric.PREDICTIONS if not np.isfinite(predictions[name]).all()]:
        raise InputError(f"{folder / 'predictions.npz'}: {wrong[0]}s that are not finite: did training diverge?")
    rows, scores = dataset.metric.score_test(run.data, predictions)
    metrics = {
        "dataset": run.dataset,
        "method": run.method,
        "seed": run.seed,
        "trained": trained,
        **scores,
        **summary,
        "fingerprint": score_fingerprint(run),
        "videos_tested": len(np.unique(predictions["video"])),
    }
    if dataset.write_official_files:
        dataset.write_official_files(run.data, predictions, folder)
    with atomic_write(folder / "per_class.csv") as partial:
        rows.to_csv(partial, index=False)
    with atomic_write(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=2) + "\n")
    log.info("mAP %.4f", metrics["mAP"])
