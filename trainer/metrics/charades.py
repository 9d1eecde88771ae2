"""Charades mAP: average precision per class over whole videos, as scikit-learn's average_precision_score has it."""

import numpy as np
import pandas as pd

from trainer.errors import InputError


def video_score(views):
    """A video's scores: the element-wise maximum over those of its views, (views, classes) -> (classes,)."""
    return np.max(views, axis=0)


def video_map(scores, labels):
    """Average precision of each class; the mAP is ``video_map(...)["ap"].mean()``, which skips NaN.

    ``scores``: (videos, classes), any monotone scale; ``labels``: (videos, classes) of 0 and 1.
    Returns a DataFrame, a row per class: class_id (from 0), name (of Charades' class files: c000, ...), ap (NaN without
    a positive), positives.
    Raises InputError where a score is not finite.
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
            "name": [f"c{number:03d}" for number in classes],
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
