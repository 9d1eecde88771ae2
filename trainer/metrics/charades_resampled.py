"""AP of Charades of many resamples of the test videos at once, see ``trainer.metrics.resampled_ap``.

Equal scores of a class are one threshold, as in scikit-learn; copies change nothing.
"""

import numpy as np
import pandas as pd

from trainer.metrics import charades
from trainer.metrics.bootstrap import draw_resamples
from trainer.metrics.resampled_ap import Curve, cumulative_counts, resampled_ap


def resampled_aps(data, predictions, number: int, seed: int):
    """Return (resamples, names of classes, AP by metric: (classes, 1 + number)); column 0 is the test set itself.

    ``data``, ``predictions``: as of ``trainer.metrics.charades.score_test``. AP is named as the mAP that it returns.
    """
    scores, labels, videos = (predictions[name] for name in ("score", "target", "video"))
    names = charades.read_class_names(data.label_map, scores.shape[1])
    resamples = draw_resamples(videos, number, seed)
    return resamples, names, {"mAP": video_aps(scores, labels, videos, resamples.videos, resamples.with_test_set)}


def video_aps(scores, labels, names, videos, weights):
    """Return AP of Charades (classes, R) under ``weights`` (R, V) of ``videos``.

    ``scores``, ``labels``: (N, classes) as of ``trainer.metrics.charades.video_map``; ``names``: (N,) of their videos.
    """
    charades.video_map(scores, labels, range(np.shape(scores)[1]))  # refuses what cannot be scored
    labels, video = np.asarray(labels, dtype=bool), pd.Index(videos).get_indexer(names)
    aps = np.full((scores.shape[1], len(weights)), np.nan)
    for number, (score, label) in enumerate(zip(scores.T, labels.T, strict=True)):
        if label.any():
            positives = np.bincount(video[label], minlength=len(videos))
            aps[number] = resampled_ap(_video_curve(video, label, score, len(videos)), weights, positives)
    return aps


def _video_curve(video, label, score, videos):
    """Return the curve of videos (N,), of which equal scores are one threshold."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf)) + 1
    step = np.flatnonzero(label[order])
    counted = ends[np.searchsorted(ends, step, side="right")]
    last = np.searchsorted(counted, counted, side="right") - 1
    return Curve(video[order][step], cumulative_counts(video[order], counted, videos), last=last)
