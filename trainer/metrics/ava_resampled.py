"""Frame AP of AVA of many resamples of the test videos at once, see ``trainer.metrics.resampled_ap``.

Equal scores of a class: later rows rank first, see ``trainer.metrics.ava``. The copies of an image follow each other,
so equal scores of one image alternate: true, false, true, false. Then precision depends on the copy, and each copy is a
step of its own. The copies of any other true positive of a video with w copies follow each other. Precision rises along
them, so the envelope takes that of the last: one step of height w.
"""

import numpy as np
import pandas as pd

from trainer.metrics import ava
from trainer.metrics.ava_csv import image_key
from trainer.metrics.bootstrap import draw_resamples
from trainer.metrics.resampled_ap import Curve, count, cumulative_counts, resampled_ap


def resampled_aps(data, predictions, number: int, seed: int):
    """Return (resamples, names of classes, AP by metric: (classes, 1 + number)); column 0 is the test set itself.

    ``data``, ``predictions``: as of ``trainer.metrics.ava.score_test``. AP is named as the mAP that it returns.
    """
    truth, detections, classes, excluded = ava.compared(data, predictions)
    resamples = draw_resamples({*truth.videos[np.unique(truth.video)], *detections.videos}, number, seed)
    arguments = truth, detections, classes, excluded, resamples.videos, resamples.with_test_set
    protocols = {"mAP": data.protocol, "official_mAP": "official"}
    aps = {name: frame_aps(*arguments, protocol) for name, protocol in protocols.items()}
    return resamples, list(classes.values()), aps


def frame_aps(ground_truth, detections, classes, excluded, videos, weights, protocol="published"):
    """Return frame AP of AVA (classes, R) under ``weights`` (R, V) of ``videos``, all that have boxes.

    The other arguments are those of ``trainer.metrics.ava.frame_map``.
    """
    matched = ava.match(ground_truth, detections, classes, excluded, protocol)
    names, ids = pd.Index(videos), pd.Index(list(classes))
    video = names.get_indexer(detections.videos)[detections.video[matched.row]]
    image = image_key(video, detections.second[matched.row])
    truth_video = names.get_indexer(ground_truth.videos)[ground_truth.video[matched.truth_row]]
    positives = count(ids.get_indexer(ground_truth.action[matched.truth_row]), truth_video, len(ids), len(names))

    by_class = np.argsort(matched.label, kind="stable")
    ends = np.bincount(matched.label, minlength=len(ids)).cumsum()
    aps = np.full((len(ids), len(weights)), np.nan)
    for number, of_class in enumerate(np.split(by_class, ends[:-1])):
        if positives[number].any():
            rows = of_class[np.argsort(matched.score[of_class], kind="stable")[::-1]]
            found = (column[rows] for column in (video, matched.hit, matched.score, image))
            aps[number] = resampled_ap(_frame_curve(*found, len(names), weights.max()), weights, positives[number])
    return aps


def _frame_curve(video, hit, score, image, videos, copies):
    """Return the curve of detections (N,) in their order; ``copies``: the largest weight."""
    starts = np.ones(len(score), dtype=bool)  # of ties: equal scores of one image
    starts[1:] = (score[1:] != score[:-1]) | (image[1:] != image[:-1])
    tie, first = starts.cumsum() - 1, np.flatnonzero(starts)
    size, hits = np.diff(first, append=len(score)), np.bincount(tie, hit, minlength=len(first))
    mixed = (hits > 0) & (hits < size)
    step = np.flatnonzero(hit)
    if not mixed.any():
        return Curve(video[step], cumulative_counts(video, step + 1, videos))

    times = np.where(mixed[tie[step]], copies, 1)
    copy = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times) + 1
    step = np.repeat(step, times)
    copy[~mixed[tie[step]]] = 0
    order = np.lexsort((step, copy, tie[step]))
    step, copy = step[order], copy[order]
    start = first[tie[step]]
    before = np.where(copy, size[tie[step]] * (copy - 1) + step + 1 - start, 0)
    return Curve(video[step], cumulative_counts(video, np.where(copy, start, step + 1), videos), copy, before)
