"""Score AVA by frame mAP at IoU 0.5, by three protocols, and write files for ActivityNet's own script.

"published" is how SlowFast's helper, and with it the SEVERE benchmark, scores; its published numbers compare only with
it. "official" is ActivityNet's script (get_ava_performance.py). "alphaction" is how AlphAction, and with it VideoMAE's
action detection, scores. They share these rules:

    An image is a video and a second.
    A detection is compared only with the box of its class and image that it overlaps most (first of equals), and
    matches it at IoU >= 0.5.
    The first detection to match a box is a true positive, every other one a false positive.
    Detections without extent do not count.
    AP is the area under the precision envelope at all points.

They differ in these:

                                           published            alphaction           official
    "first" among detections               in order of rows     by descending score  by descending score
    "first" among boxes                    in order of rows     in order of rows     by descending person number
    detections of an image                 all                  all                  the 50 best of all classes
    images that the ground truth lacks     false positives      false positives      ignored

How much the numbers differ depends on duplicate detections of a person: the published protocol gives a box to the
first row, not to the best score. On the duplicates of tests/fixtures/metrics/medium_a they are 0.329, 0.415 and 0.420.
All leave out the excluded seconds.

Tied scores: both references sort a class's detections by an unstable argsort and reverse the result, so their order
among ties depends on numpy and CPU. Here the sort is stable, then reversed: of equal scores, later rows rank first. It
is what the references give wherever theirs is defined (two or three detections), and the same on every machine.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.metrics import ava_csv, ava_official
from trainer.metrics.ava_csv import Detections, GroundTruth, image_key
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

PREDICTIONS = {"score": (80,), "box": (4,), "second": ()}  # arrays of numbers that are scored: shape of a box's row


def score_test(data, predictions) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the average precision of each class, by the protocol of ``data`` and the official one, and the means.

    ``data``: paths and protocol (trainer.config.Data); ``predictions``: arrays video, second, box, score, a row per
    person box.
    """
    arguments = compared(data, predictions)
    table, official = (frame_map(*arguments, protocol=name) for name in (data.protocol, "official"))
    table["official_ap"] = official["ap"]
    return table, {"mAP": table["ap"].mean(), "official_mAP": official["ap"].mean()}


def score_validation(data, predictions) -> float:
    """Return the mAP of every fourth second, by the protocol of ``data``; arguments as in ``score_test``."""
    ground_truth, *rest = compared(data, predictions)
    return frame_map(ava_csv.every_fourth_second(ground_truth), *rest, protocol=data.protocol)["ap"].mean()


def judge_test(data, predictions) -> pd.DataFrame:
    """Return every detection that counts, a row each: video, second, x1, y1, x2, y2, name (of its class), score, hit.

    ``hit``: a true positive by the protocol of ``data``; arguments as in ``score_test``.
    """
    ground_truth, detections, classes, excluded = compared(data, predictions)
    matched = match(ground_truth, detections, classes, excluded, data.protocol)
    counted = detections.select(matched.row)
    return pd.DataFrame(
        {
            "video": pd.Categorical.from_codes(counted.video, counted.videos),
            "second": counted.second,
            **dict(zip(("x1", "y1", "x2", "y2"), counted.box.T, strict=True)),
            "name": pd.Categorical.from_codes(matched.label, list(classes.values())),
            "score": matched.score,
            "hit": matched.hit,
        }
    )


def write_official_files(data, predictions, folder):
    """Write the detections in AVA's format, and the two files from which ActivityNet's script gives official_mAP.

    detections.csv.gz has all rows, rounded as the published experiment writes them. official/detections.csv.gz and
    official/ground_truth.csv.gz have all digits. They hold the tested videos only, the rows that the script keeps, and
    no excluded second, so the script needs no list of them. It reads plain text:

        gunzip --keep official/*.gz
        python get_ava_performance.py -l LABEL_MAP -g official/ground_truth.csv -d official/detections.csv

    Only detections of one class with exactly the same score can make a difference, see the module's docstring.
    """
    ground_truth, detections, classes, excluded = compared(data, predictions)
    kept_truth, kept = official_input(ground_truth, detections, classes, excluded)
    with atomic_write(Path(folder, "detections.csv.gz")) as partial:
        ava_csv.write_detections(partial, detections)
    with atomic_write(Path(folder, "official", "ground_truth.csv.gz")) as partial:
        ava_csv.write_all_digits(partial, kept_truth)
    with atomic_write(Path(folder, "official", "detections.csv.gz")) as partial:
        ava_csv.write_all_digits(partial, kept)


def compared(data, predictions):
    """Return what frame mAP compares, of the videos of the test list: the first four arguments of ``frame_map``."""
    videos = pd.read_csv(data.test, usecols=["video"], dtype=str, keep_default_na=False)["video"].unique()
    classes = ava_csv.read_label_map(data.label_map)
    columns = (predictions[name] for name in ("box", "score", "video", "second"))
    return (
        ava_csv.of_videos(ava_csv.read_ground_truth(data.ground_truth), videos),
        ava_csv.to_detections(*columns, classes),
        classes,
        ava_csv.read_exclusions(data.excluded),
    )


def frame_map(ground_truth: GroundTruth, detections: Detections, classes, excluded=(), protocol="published"):
    """Return the average precision of each class; the mAP is ``frame_map(...)["ap"].mean()``, which skips NaN.

    ``classes``: names by id (``read_label_map``); rows of other classes do not count. ``excluded``: (video, second)
    pairs to leave out of both.
    Returns a DataFrame, a row per class in the order of ``classes``: class_id, name, ap (NaN without ground truth, 0
    with ground truth alone), positives (boxes of the ground truth), detections, true_positives.
    Raises InputError if a score is not finite.
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
    """Return the area under the precision envelope of detections, ``score`` and ``hit`` (N,); NaN without positives."""
    if positives == 0:
        return np.nan
    rank = np.flatnonzero(hit[np.argsort(score, kind="stable")[::-1]])
    precision = np.arange(1, len(rank) + 1) / (rank + 1)  # where recall rises, by 1 / positives each time
    return np.maximum.accumulate(precision[::-1]).sum() / positives


@dataclass(frozen=True)
class Matched:
    """The detections that count, images in the order of their first row, in matching order within an image.

    label: (N,) positions in the class list; score: (N,); hit: (N,) bool, a true positive; positives: (classes,) counts
    of ground truth; row: (N,) positions in the detections; truth_row: positions of the ground truth that counts.
    """

    label: np.ndarray
    score: np.ndarray
    hit: np.ndarray
    positives: np.ndarray
    row: np.ndarray
    truth_row: np.ndarray


def match(ground_truth: GroundTruth, detections: Detections, classes, excluded, protocol) -> Matched:
    """Decide for each detection that counts whether it is a true positive; arguments as in ``frame_map``."""
    if protocol not in ("published", "official", "alphaction"):
        raise ValueError(f"protocol must be 'published', 'official' or 'alphaction', not {protocol!r}")
    bad = len(detections) - np.isfinite(detections.score).sum()
    if bad:
        raise InputError(f"{bad} of {len(detections)} scores are not finite: did training diverge?")
    ids = pd.Index(list(classes))
    truth_key, found_key, excluded_keys = _image_keys(ground_truth, detections, excluded)

    only_keys = truth_key if protocol == "official" else None
    rows, image, images = _by_image(detections, ids, found_key, excluded_keys, only_keys)
    if protocol == "official":
        best = ava_official.best_of_image(image, detections.action[rows], detections.box[rows], detections.score[rows])
        rows, image = rows[best], image[best]
    elif protocol == "alphaction":
        rows = rows[np.lexsort((-detections.score[rows], image))]
    x1, y1, x2, y2 = detections.box[rows].T
    extended = (x1 < x2) & (y1 < y2)
    rows, image = rows[extended], image[extended]
    label = ids.get_indexer(detections.action[rows]).astype(np.int16)

    truth_label = ids.get_indexer(ground_truth.action)
    truth_rows = np.flatnonzero((truth_label >= 0) & ~np.isin(truth_key, excluded_keys))
    if protocol == "official":
        truth_rows = truth_rows[ava_official.order_by_person(ground_truth.person[truth_rows])]
    truth_label = truth_label[truth_rows]
    truth_image = pd.Index(images).get_indexer(truth_key[truth_rows])

    # Boxes meet only within their image and class. Where an image has no detection, truth_image is -1, the group
    # negative, and the ground truth meets nothing.
    group, truth_group = (i * len(ids) + c for i, c in ((image, label), (truth_image, truth_label)))
    hit = _first_hits(detections.box[rows], group, ground_truth.box[truth_rows], truth_group)
    positives = np.bincount(truth_label, minlength=len(ids))
    return Matched(label, detections.score[rows], hit, positives, rows, truth_rows)


def official_input(ground_truth: GroundTruth, detections: Detections, classes, excluded):
    """Return ground truth and detections from which the official protocol gives the same result without ``excluded``.

    Detections are those that the script keeps. Images are in the order of their first row, then scores ascend, as a
    heap that is filled so keeps the order of most ties.
    """
    truth_key, found_key, excluded_keys = _image_keys(ground_truth, detections, excluded)
    rows, image, _ = _by_image(detections, pd.Index(list(classes)), found_key, excluded_keys, truth_key)
    action, box, score = detections.action[rows], detections.box[rows], detections.score[rows]
    kept = np.sort(ava_official.best_of_image(image, action, box, score))
    kept = kept[np.lexsort((score[kept], image[kept]))]
    return ground_truth.select(~np.isin(truth_key, excluded_keys)), detections.select(rows[kept])


def _by_image(detections, ids, key, excluded_keys, only_keys):
    """Return the rows to compare, grouped by image, the image number of each, and the key of each image number.

    Images are numbered in the order of their first row of a class of ``ids``. Rows of other classes, of excluded
    images, and of images not in ``only_keys`` (None: all) are left out.
    """
    rows = np.flatnonzero(ids.get_indexer(detections.action) >= 0)
    image, images = pd.factorize(key[rows])
    counts = ~np.isin(images, excluded_keys)
    if only_keys is not None:
        counts &= np.isin(images, only_keys)
    order = np.argsort(image, kind="stable")
    order = order[counts[image[order]]]
    return rows[order], image[order], images


def _image_keys(ground_truth, detections, excluded):
    """Return a key for each (video, second) of ground truth, detections and excluded pairs: three int64 arrays."""
    names = pd.Index(ground_truth.videos).append(pd.Index(detections.videos)).unique()
    videos, seconds = zip(*excluded, strict=True) if excluded else ((), ())
    return (
        image_key(names.get_indexer(ground_truth.videos)[ground_truth.video], ground_truth.second),
        image_key(names.get_indexer(detections.videos)[detections.video], detections.second),
        image_key(names.get_indexer(list(videos)), np.array(seconds, dtype=np.int64)),
    )


def _first_hits(box, group, truth_box, truth_group):
    """Return (N,) bool: is the detection the first of its group to reach IoU 0.5 with the box that it overlaps most?

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
    """Return the intersection over union of boxes (N, 4) x1, y1, x2, y2, pair by pair, in double precision.

    One of them may be a single box (1, 4), compared with all others. The references use double precision, too.
    """
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T.astype(np.float64), b.T.astype(np.float64)
    width = np.maximum(np.minimum(ax2, bx2) - np.maximum(ax1, bx1), 0)
    height = np.maximum(np.minimum(ay2, by2) - np.maximum(ay1, by1), 0)
    intersection = width * height
    return intersection / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection)
