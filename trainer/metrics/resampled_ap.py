"""Average precision (AP) of many resamples of the test videos at once.

Detections are matched and sorted once. Then AP of all resamples follows from weighted counts: a true positive of a
video of weight w counts as w of them.

The result is that of scoring the resampled data set itself, in which each row of a video of weight w is followed by its
w - 1 copies, of new names. A copy is another image, so its boxes meet only its own ground truth. Where a class has no
positive in a resample, its AP is NaN, and the resample's mean leaves it out.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 2**18  # numbers computed at once: 2 MB each of some arrays, which a processor's cache holds


@dataclass(frozen=True)
class Curve:
    """Where recall of a class rises as the threshold falls: a step for each true positive, H in all.

    video: (H,) whose true positive it is; counts: (H, V) detections by video that count at this step.
    AVA, if equal scores of an image need a step per copy: copy: (H,) which copy of the video the step is, from 1, or 0
    for all at once; before: (H,) detections in the copies of the tie up to this step, which ``counts`` leave out.
    Charades: last: (H,) the last step of the same threshold.
    """

    video: np.ndarray
    counts: np.ndarray
    copy: np.ndarray | None = None
    before: np.ndarray | None = None
    last: np.ndarray | None = None


def cumulative_counts(video, counted, videos):
    """Return (H, V): of the first ``counted[h]`` detections, how many are of each video; ``counted`` (H,) ascends."""
    step = np.searchsorted(counted, np.arange(len(video)), side="right")
    inside = step < len(counted)
    return count(step[inside], video[inside], len(counted), videos).cumsum(axis=0, dtype=np.float64)


def count(row, column, rows, columns):
    """Return (rows, columns) how often each pair occurs."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)


def resampled_ap(curve, weights, positives):
    """Return AP (R,) of a class under ``weights`` (R, V); ``positives`` (V,) of its ground truth."""
    counts = np.ascontiguousarray(curve.counts.T)
    chunk = max(1, CHUNK // max(1, len(curve.video)))
    parts = [weights[start : start + chunk].astype(np.float64) for start in range(0, len(weights), chunk)]
    area = np.concatenate([_weighted_area(curve, counts, part) for part in parts])
    with np.errstate(invalid="ignore"):
        return area / (weights @ positives)  # 0 / 0 without a positive


def _weighted_area(curve, counts, weights):
    """Return (R,) the sum over true positives of their precision, or of its envelope on AVA."""
    gained = weights[:, curve.video]
    found = weights @ counts  # whole numbers below 2 ** 53: exact in any order of summation
    if curve.copy is not None:
        gained = np.where(curve.copy, gained >= curve.copy, gained)
        found += curve.before
    true = gained.cumsum(axis=1)
    if curve.last is not None:
        return (gained * true[:, curve.last] / np.maximum(found, 1)).sum(axis=1)
    # A step without weight has as many true positives as the one before and no fewer detections: no envelope rises.
    precision = true / np.maximum(found, 1)
    return (gained * np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]).sum(axis=1)
