"""Frame-mAP of AVA at IoU 0.5, as array code, by two protocols.

"published" is how SlowFast's helper, and with it the SEVERE benchmark, scores; its numbers compare only with each
other. "official" is ActivityNet's script (get_ava_performance.py). They share these rules: an image is a video and a
second; a detection looks only at the box of its class and image that it overlaps most (first of equals) and matches
at IoU >= 0.5; the first detection to match a box is a true positive, every other one a false positive; detections
without extent do not count; AP is the area under the precision envelope at all points. They differ in these:

                                           published            official
    "first" among detections               in order of rows     by descending score
    "first" among boxes                    in order of rows     by descending person number
    detections of an image                 all                  the 50 best, all classes together
    images that the ground truth lacks     false positives      ignored

Tied scores: both references sort a class's detections by an unstable argsort and reverse the result, so their order
among ties depends on numpy and CPU. Here the sort is stable, then reversed: of equal scores, later rows rank first. It
is what the references give wherever theirs is defined (two or three detections), and the same on every machine.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer.errors import InputError
from trainer.metrics.ava_files import Detections, GroundTruth, image_key

IMAGE_CAPACITY = 50  # detections of an image that the official script keeps


def frame_map(ground_truth: GroundTruth, detections: Detections, classes, excluded=(), protocol="published"):
    """Average precision of each class; the mAP is ``frame_map(...)["ap"].mean()``, which skips NaN.

    ``classes``: names by id (``read_label_map``); rows of other classes do not count. ``excluded``: (video, second)
    pairs to leave out of both; leave it empty for the number of an official script that has no such list.
    Returns a DataFrame, a row per class in the order of ``classes``: class_id, name, ap (NaN without ground truth, 0
    with ground truth alone), positives (boxes of the ground truth), detections, true_positives.
    Raises InputError where a score is not finite.
    """
    matched = match(ground_truth, detections, classes, excluded, protocol)
    found = np.bincount(matched.label, minlength=len(classes))
    by_class = np.argsort(matched.label, kind="stable")
    ap = [
        average_precision(matched.score[rows], matched.hit[rows], positives)
        for rows, positives in zip(np.split(by_class, found.cumsum()[:-1]), matched.positives, strict=True)
    ]
    return pd.DataFrame(
        {
            "class_id": list(classes),
            "name": list(classes.values()),
            "ap": ap,
            "positives": matched.positives,
            "detections": found,
            "true_positives": np.bincount(matched.label[matched.hit], minlength=len(classes)),
        }
    )


def average_precision(score, hit, positives):
    """Area under the precision envelope of detections with ``score`` and ``hit`` (both (N,)); NaN without positives."""
    if positives == 0:
        return np.nan
    rank = np.flatnonzero(hit[np.argsort(score, kind="stable")[::-1]])
    precision = np.arange(1, len(rank) + 1) / (rank + 1)  # where recall rises, by 1 / positives each time
    return np.maximum.accumulate(precision[::-1]).sum() / positives


@dataclass(frozen=True)
class Matched:
    """The detections that count, images in the order of their first row, in matching order within an image.

    label: (N,) positions in the class list; score: (N,); hit: (N,) bool, a true positive; positives: (classes,) counts
    of ground truth.
    """

    label: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    positives: np.ndarray


def match(ground_truth: GroundTruth, detections: Detections, classes, excluded, protocol) -> Matched:
    """Decide for each detection that counts whether it is a true positive; arguments as in ``frame_map``."""
    if protocol not in ("published", "official"):
        raise ValueError(f"protocol must be 'published' or 'official', not {protocol!r}")
    bad = len(detections) - np.isfinite(detections.score).sum()
    if bad:
        raise InputError(f"{bad} of {len(detections)} scores are not finite: did training diverge?")
    ids = pd.Index(list(classes))
    truth_key, found_key, excluded_keys = _image_keys(ground_truth, detections, excluded)

    label = ids.get_indexer(detections.action).astype(np.int16)
    rows = np.flatnonzero(label >= 0)
    order, image, images = _by_image(found_key[rows], excluded_keys, truth_key if protocol == "official" else None)
    rows = rows[order]
    if protocol == "official":
        best = _best_of_image(image, detections.action[rows], detections.box[rows], detections.score[rows])
        rows, image = rows[best], image[best]
    x1, y1, x2, y2 = detections.box[rows].T
    extended = (x1 < x2) & (y1 < y2)
    rows, image = rows[extended], image[extended]
    label = label[rows]

    truth_label = ids.get_indexer(ground_truth.action)
    truth_rows = np.flatnonzero((truth_label >= 0) & ~np.isin(truth_key, excluded_keys))
    if protocol == "official":  # matters where a detection overlaps two boxes equally
        truth_rows = truth_rows[np.argsort(-ground_truth.person[truth_rows], kind="stable")]
    truth_label = truth_label[truth_rows]
    truth_image = pd.Index(images).get_indexer(truth_key[truth_rows])

    # Boxes meet only within their image and class. Where an image has no detection, truth_image is -1, the group
    # negative, and the ground truth meets nothing.
    group, truth_group = (i * len(ids) + c for i, c in ((image, label), (truth_image, truth_label)))
    hit = _first_hits(detections.box[rows], group, ground_truth.box[truth_rows], truth_group)
    return Matched(label, detections.score[rows], hit, np.bincount(truth_label, minlength=len(ids)))


def _by_image(key, excluded_keys, only_keys):
    """Group rows by image: their order, the image number of each in that order, and the key of each image number.

    Images are numbered in the order of their first row. Rows of excluded images, and of images not in ``only_keys``
    (None: all), are left out.
    """
    image, images = pd.factorize(key)
    counts = ~np.isin(images, excluded_keys)
    if only_keys is not None:
        counts &= np.isin(images, only_keys)
    order = np.argsort(image, kind="stable")
    order = order[counts[image[order]]]
    return order, image[order], images


def _image_keys(ground_truth, detections, excluded):
    """One number per (video, second), the same in both and in the excluded pairs; -> three int64 arrays."""
    names = pd.Index(ground_truth.videos).append(pd.Index(detections.videos)).unique()
    videos, seconds = zip(*excluded, strict=True) if excluded else ((), ())
    return (
        image_key(names.get_indexer(ground_truth.videos)[ground_truth.video], ground_truth.second),
        image_key(names.get_indexer(detections.videos)[detections.video], detections.second),
        image_key(names.get_indexer(list(videos)), np.array(seconds, dtype=np.int64)),
    )


def _best_of_image(image, action, box, score):
    """The rows that the official script keeps of each image, by image and descending score; ``image`` is sorted."""
    # Complex numbers sort by their real part, then by their imaginary one: lexsort's order, eight times as fast on
    # rows that are grouped by image already. image[order] is image again.
    order = np.argsort(image - 1j * score.astype(np.float64), kind="stable")
    place = _rank_in_group(image)
    keep = np.zeros(len(image), dtype=bool)
    keep[order[place < IMAGE_CAPACITY]] = True

    # Images whose last score to be kept is also the first to be dropped.
    beyond = np.flatnonzero(place == IMAGE_CAPACITY)
    beyond = beyond[score[order[beyond]] == score[order[beyond - 1]]]
    threshold = np.full(image.max(initial=-1) + 1, np.nan)
    threshold[image[beyond]] = score[order[beyond]]
    keep[score == threshold[image]] = False
    keep[_ties_that_a_heap_keeps(image, action, box, score, threshold)] = True
    return order[keep[order]]


def _ties_that_a_heap_keeps(image, action, box, score, threshold):
    """The rows of score ``threshold[image]`` (NaN: none) that remain in the official script's heap of an image.

    A row enters unless IMAGE_CAPACITY rows of no lower score came before it. Of those that entered, higher scores push
    out the least by (action, y1, x1, y2, x2) first.
    """
    rows = np.flatnonzero(score >= threshold[image])
    entered = rows[_rank_in_group(image[rows]) < IMAGE_CAPACITY]
    entered = entered[score[entered] == threshold[image[entered]]]
    x1, y1, x2, y2 = box[entered].T
    entered = entered[np.lexsort((-x2, -y2, -x1, -y1, -action[entered], image[entered]))]
    places = IMAGE_CAPACITY - np.bincount(image[score > threshold[image]], minlength=len(threshold))
    return entered[_rank_in_group(image[entered]) < places[image[entered]]]


def _rank_in_group(group):
    """Position of each element within its run of equal values: 5 5 5 7 7 -> 0 1 2 0 1."""
    position = np.arange(len(group))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return position - np.repeat(starts, np.diff(starts, append=len(group)))


def _first_hits(box, group, truth_box, truth_group):
    """(N,) bool: is the detection the first of its group to reach IoU 0.5 with the box that it overlaps most?

    All pairs of a detection and a box of its group are laid out in one long array, by detection.
    """
    truth_order = np.argsort(truth_group, kind="stable")
    sorted_group = truth_group[truth_order]
    first = np.searchsorted(sorted_group, group, side="left")
    pairs = np.searchsorted(sorted_group, group, side="right") - first
    paired = np.flatnonzero(pairs)
    first, pairs = first[paired], pairs[paired]
    start = pairs.cumsum() - pairs
    truth = truth_order[np.arange(pairs.sum()) + np.repeat(first - start, pairs)]

    iou = box_iou(box[np.repeat(paired, pairs)], truth_box[truth])
    best_iou = np.maximum.reduceat(iou, start)
    best_pair = np.where(iou == np.repeat(best_iou, pairs), np.arange(len(iou)), len(iou))
    best_pair = np.minimum.reduceat(best_pair, start)  # the first of equals

    reached = best_iou >= 0.5
    _, first_to_reach = np.unique(truth[best_pair[reached]], return_index=True)
    hit = np.zeros(len(box), dtype=bool)
    hit[paired[reached][first_to_reach]] = True
    return hit


def box_iou(a, b):
    """Intersection over union of boxes (N, 4) x1, y1, x2, y2, pair by pair, in double precision as the references.

    One of them may be a single box (1, 4), compared with all others.
    """
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T.astype(np.float64), b.T.astype(np.float64)
    width = np.maximum(np.minimum(ax2, bx2) - np.maximum(ax1, bx1), 0)
    height = np.maximum(np.minimum(ay2, by2) - np.maximum(ay1, by1), 0)
    intersection = width * height
    return intersection / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection)
