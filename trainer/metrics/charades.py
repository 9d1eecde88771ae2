"""Score Charades by mAP: average precision per class over whole videos, as scikit-learn's average_precision_score."""

import numpy as np
import pandas as pd

from trainer.utils.errors import InputError
from trainer.utils.text import quoted
from trainer.utils.text_files import read_label, text_lines

PREDICTIONS = {"score": (157,), "target": (157,)}  # arrays of numbers that are scored: shape of a video's row


def score_test(data, predictions) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the average precision of each class and its mean.

    ``data``: paths (trainer.config.Data); ``predictions``: arrays score and target (videos, classes).
    """
    names = read_class_names(data.label_map, predictions["score"].shape[1])
    table = video_map(predictions["score"], predictions["target"], names)
    return table, {"mAP": table["ap"].mean()}


def score_validation(data, predictions) -> float:
    """Return the mAP; arguments as in ``score_test``."""
    return score_test(data, predictions)[1]["mAP"]


def judge_test(data, predictions) -> pd.DataFrame:
    """Return every score, a row each: video, name (of its class), score, hit (the video shows the class)."""
    videos, classes = predictions["score"].shape
    names = read_class_names(data.label_map, classes)
    video, label = np.indices((videos, classes)).reshape(2, -1)
    return pd.DataFrame(
        {
            "video": predictions["video"][video],
            "name": pd.Categorical.from_codes(label, names),
            "score": predictions["score"].ravel(),
            "hit": predictions["target"].ravel().astype(bool),
        }
    )


def read_class_names(path, num: int) -> list[str]:
    """Read the names of classes 0 to ``num`` - 1 from a table with the columns action and name, tab-separated.

    Raises InputError naming the line.
    """
    header, *lines = [line.rstrip("\n") for line in text_lines(path)] or [""]
    if header != "action\tname":
        raise InputError(
            f"{path}, line 1: expected the columns action and name, a tab between them, got {quoted(header)}"
        )
    names = []
    for number, line in enumerate(lines):
        action, _, name = line.partition("\t")
        if action != str(number) or not name.strip() or "\t" in name or name in names:
            raise InputError(
                f"{path}, line {number + 2}: expected action {number}, a tab and its own name, got {quoted(line)}"
            )
        names.append(read_label(name, f"{path}, line {number + 2}"))
    if len(names) != num:
        raise InputError(f"{path}: expected the names of {num} classes, got {len(names)}")
    return names


def video_map(scores, labels, names):
    """Return the average precision of each class; the mAP is ``video_map(...)["ap"].mean()``, which skips NaN.

    ``scores``: (videos, classes), any monotone scale; ``labels``: (videos, classes) of 0 and 1; ``names``: of classes.
    Returns a DataFrame, a row per class: class_id (from 0), name, ap (NaN without a positive), positives.
    Raises InputError if a score is not finite.
    """
    scores, labels = np.asarray(scores), np.asarray(labels, dtype=bool)
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must have the same shape (videos, classes)")
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise InputError(f"{bad.sum()} of {len(scores)} videos have scores that are not finite: did training diverge?")
    classes = range(scores.shape[1])
    return pd.DataFrame(
        {
            "class_id": list(classes),
            "name": names,
            "ap": [average_precision(scores[:, number], labels[:, number]) for number in classes],
            "positives": labels.sum(axis=0),
        }
    )


def average_precision(score, label):
    """Sum over thresholds of recall gained times precision, (N,) each; equal scores are one threshold.

    NaN without a positive label.
    """
    if not label.any():
        return np.nan
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.flatnonzero(np.diff(score, append=-np.inf))  # of each run of equal scores
    hits = label.cumsum()[last]
    return (np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hits[-1]
