"""Bootstrap over test videos: average precision (AP) of many resamples at once, intervals, and paired comparisons.

A resample draws as many videos as there are, with replacement: it gives each video a whole number, its weight. Videos
are drawn (films on AVA), never frames, as the frames of a video resemble each other. Detections are matched and sorted
once. Then AP of all resamples follows from weighted counts: a true positive of a video of weight w counts as w of them.

The result is that of scoring the resampled data set itself, in which each row of a video of weight w is followed by its
w - 1 copies, of new names. A copy is another image, so its boxes meet only its own ground truth. Where a class has no
positive in a resample, its AP is NaN, and the resample's mean leaves it out.

AVA, equal scores of a class: later rows rank first, see ``trainer.metrics.ava``. The copies of an image follow each
other, so equal scores of one image alternate: true, false, true, false. Then precision depends on the copy, and each
copy is a step of its own. All other true positives of a video are w equal ones in a row. Precision rises along them,
so its envelope is that of the last: one step of height w.
Charades, equal scores of a class: one threshold, as in scikit-learn; copies change nothing.
"""

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from trainer.metrics import ava, charades
from trainer.metrics.ava_csv import image_key
from trainer.utils.errors import InputError

CHUNK = 2**18  # numbers computed at once: 2 MB each of some arrays, which a processor's cache holds
TAILS = [2.5, 97.5]  # percentiles that bound an interval of 95 %


# --- Resamples -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resamples:
    """Weights of test videos, the same for all methods. videos: (V,) sorted names; weights: (resamples, V) counts."""

    videos: np.ndarray
    weights: np.ndarray

    @cached_property
    def digest(self) -> str:
        """A short hash of names and weights: results are paired only if theirs are equal."""
        names = "\n".join(self.videos).encode()
        return hashlib.sha256(names + self.weights.astype("<i4").tobytes()).hexdigest()[:16]


def draw_resamples(videos: Iterable[str], number: int, seed: int) -> Resamples:
    """Draw ``number`` resamples of the videos (names, in any order); they depend only on the arguments.

    More resamples begin with the same ones.
    """
    names = np.array(sorted(set(videos)), dtype=str)
    if not len(names):
        raise InputError("the predictions hold no video, so there is nothing to resample; predict again")
    rng = np.random.default_rng(seed)
    return Resamples(names, rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=number))


def resampled_scores(metric, data, predictions, number: int, seed: int):
    """Return (resamples, names of classes, AP by metric: (classes, 1 + number)); column 0 is the test set itself.

    ``metric``: ``trainer.metrics.ava`` or ``charades``; ``data``, ``predictions``: as of its ``score_test``. AP is
    named as the mAP that ``score_test`` returns.
    """
    if metric is ava:
        truth, detections, classes, excluded = ava.compared(data, predictions)
        videos = {*truth.videos[np.unique(truth.video)], *detections.videos}
        resamples = draw_resamples(videos, number, seed)
        arguments = truth, detections, classes, excluded, resamples.videos, _with_test_set(resamples)
        protocols = {"mAP": data.protocol, "official_mAP": "official"}
        return resamples, list(classes.values()), {name: frame_aps(*arguments, of) for name, of in protocols.items()}
    scores, labels = predictions["score"], predictions["target"]
    names = charades.read_class_names(data.label_map, scores.shape[1])
    resamples = draw_resamples(predictions["video"], number, seed)
    aps = video_aps(scores, labels, predictions["video"], resamples.videos, _with_test_set(resamples))
    return resamples, names, {"mAP": aps}


def _with_test_set(resamples):
    return np.concatenate([np.ones_like(resamples.weights[:1]), resamples.weights])


# --- Average precision -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
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


def frame_aps(ground_truth, detections, classes, excluded, videos, weights, protocol="published"):
    """Return frame AP of AVA (classes, R) under ``weights`` (R, V) of ``videos``, all that have boxes.

    The other arguments are those of ``trainer.metrics.ava.frame_map``.
    """
    matched = ava.match(ground_truth, detections, classes, excluded, protocol)
    names, ids = pd.Index(videos), pd.Index(list(classes))
    video = names.get_indexer(detections.videos)[detections.video[matched.row]]
    image = image_key(video, detections.second[matched.row])
    truth_video = names.get_indexer(ground_truth.videos)[ground_truth.video[matched.truth_row]]
    positives = _count(ids.get_indexer(ground_truth.action[matched.truth_row]), truth_video, len(ids), len(names))

    by_class = np.argsort(matched.label, kind="stable")
    ends = np.bincount(matched.label, minlength=len(ids)).cumsum()
    aps = np.full((len(ids), len(weights)), np.nan)
    for number, of_class in enumerate(np.split(by_class, ends[:-1])):
        if positives[number].any():
            rows = of_class[np.argsort(matched.score[of_class], kind="stable")[::-1]]
            found = (column[rows] for column in (video, matched.hit, matched.score, image))
            aps[number] = _resampled_ap(_frame_curve(*found, len(names), weights.max()), weights, positives[number])
    return aps


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
            aps[number] = _resampled_ap(_video_curve(video, label, score, len(videos)), weights, positives)
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
        return _Curve(video[step], _cumulative_counts(video, step + 1, videos))

    times = np.where(mixed[tie[step]], copies, 1)
    copy = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times) + 1
    step = np.repeat(step, times)
    copy[~mixed[tie[step]]] = 0
    order = np.lexsort((step, copy, tie[step]))
    step, copy = step[order], copy[order]
    start = first[tie[step]]
    before = np.where(copy, size[tie[step]] * (copy - 1) + step + 1 - start, 0)
    return _Curve(video[step], _cumulative_counts(video, np.where(copy, start, step + 1), videos), copy, before)


def _video_curve(video, label, score, videos):
    """Return the curve of videos (N,), of which equal scores are one threshold."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf)) + 1
    step = np.flatnonzero(label[order])
    counted = ends[np.searchsorted(ends, step, side="right")]
    last = np.searchsorted(counted, counted, side="right") - 1
    return _Curve(video[order][step], _cumulative_counts(video[order], counted, videos), last=last)


def _cumulative_counts(video, counted, videos):
    """Return (H, V) how many of the first ``counted`` (H,), ascending, detections are of each video."""
    step = np.searchsorted(counted, np.arange(len(video)), side="right")
    inside = step < len(counted)
    return _count(step[inside], video[inside], len(counted), videos).cumsum(axis=0, dtype=np.float64)


def _count(row, column, rows, columns):
    """Return (rows, columns) how often each pair occurs."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)


def _resampled_ap(curve, weights, positives):
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


# --- Intervals -------------------------------------------------------------------------------------------------------


def mean_ap(aps):
    """Return mAP (R,) of AP (classes, R), over the classes that have a positive; NaN where none has."""
    return _nan_mean(aps, axis=0)


def interval(points, values):
    """Return (..., 2) the 95 % interval of estimates (...), given their resampled values (..., R).

    It is of the mean over test sets of as many videos: percentiles of the centered values. Percentiles: Efron and
    Tibshirani, An Introduction to the Bootstrap (1993), chapters 10 (bias) and 13.
    """
    return percentile_interval(centered(points, values))


def centered(points, values):
    """Return resampled values (..., R), shifted so that their mean is the estimate ``points`` (...).

    AP of a resample is too high, as its copies agree with each other, and most so for rare classes. On made-up test
    sets of Charades' size, mAP rose by 0.008, of a standard deviation of 0.003. Without this shift, 27 % of intervals
    held the mean over test sets, and few their own estimate; with it, 97 % did (``benchmarks/interval_coverage.py``).
    """
    values = np.asarray(values, dtype=float)
    return values - _nan_mean(values)[..., None] + np.asarray(points)[..., None]


def percentile_interval(values):
    """Return (..., 2) the percentiles of values (..., R), those that are not NaN, between which 95 % lie."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.moveaxis(np.nanpercentile(values, TAILS, axis=-1), 0, -1)


def _nan_mean(values, axis=-1):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(values, axis=axis)


def over_runs(values, method: str, seed: int):
    """Return (..., R) a method's resampled values over its runs, of ``values`` (runs, ..., R): they vary with both.

    The point estimate is the mean over runs of other seeds. So each resample draws as many runs as there are, with
    replacement, and takes their mean. Draws of different methods are independent; one run is returned as it is.
    With few runs the spread is too small, by the factor sqrt(1 - 1 / runs), as in any bootstrap of so few.
    """
    values = np.asarray(values)
    runs, *between, number = values.shape
    drawn = np.random.default_rng([seed, *method.encode()]).integers(runs, size=(runs, number))
    return np.take_along_axis(values, drawn.reshape(runs, *[1] * len(between), number), axis=0).mean(axis=0)


# --- Paired comparisons ----------------------------------------------------------------------------------------------


def compare_pairs(points, values) -> pd.DataFrame:
    """Compare each pair of methods, of ``points`` (M,) and resampled ``values`` (M, R) of the same resamples.

    Returns a row per pair: first, second (positions), difference (first - second), low, high (its interval), p, p_holm.
    """
    first, second = np.triu_indices(len(points), 1)
    difference = np.asarray(points)[first] - np.asarray(points)[second]
    resampled = np.asarray(values)[first] - np.asarray(values)[second]
    low, high = interval(difference, resampled).reshape(-1, 2).T
    p = bootstrap_p_value(difference, resampled)
    columns = {"first": first, "second": second, "difference": difference, "low": low, "high": high}
    return pd.DataFrame(columns | {"p": p, "p_holm": holm(p)})


def bootstrap_p_value(difference, resampled):
    """Return the two-sided p-value of a ``difference`` (...) of 0, given its ``resampled`` values (..., R).

    p = (1 + #{|resampled - mean(resampled)| >= |difference|}) / (1 + R): how often resampling moves the difference by
    as much as it is. Centering, so that values are as under a difference of 0, follows Hall and Wilson (Biometrics 47,
    1991), and the ones, by which p is never 0, Davison and Hinkley (Bootstrap Methods and their Application, 1997,
    chapter 4). 2,000 resamples leave room for Holm's correction of up to 100 pairs at 0.05: the least p is 1 / 2,001.
    """
    moves, given = centered(np.zeros(np.shape(difference)), resampled), ~np.isnan(resampled)
    reached = given & (np.abs(moves) >= np.abs(difference)[..., None])
    return (1 + reached.sum(axis=-1)) / (1 + given.sum(axis=-1))


def holm(p):
    """Return p-values (pairs,) corrected for their number: Holm, Scandinavian Journal of Statistics 6 (1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


def ranks(values):
    """Return each method's rank among ``values`` (M, ...): 1 + the number of better methods."""
    values = np.asarray(values)
    return 1 + (values[None] > values[:, None]).sum(axis=1)


def rank_intervals(points, values):
    """Return (M, 2) the best and worst rank of each method, of ``points`` (M,) and resampled ``values`` (M, R).

    They bound its rank in at least 95 % of the resamples, centered.
    """
    return np.percentile(ranks(centered(points, values)), TAILS, axis=1, method="inverted_cdf").T


def kendall_tau(values, published):
    """Return Kendall's tau-b (...) between ``values`` (M, ...) of methods and their ``published`` numbers (M,).

    Methods without a published number (NaN) do not count. NaN if all of either are equal, or fewer than two are left.
    Its interval: ``percentile_interval(kendall_tau(centered(points, values), published))``.
    """
    values, published = np.asarray(values, dtype=float), np.asarray(published, dtype=float)
    values, published = values[~np.isnan(published)], published[~np.isnan(published)]
    first, second = np.triu_indices(len(published), 1)
    ours, theirs = np.sign(values[first] - values[second]), np.sign(published[first] - published[second])
    untied = (ours**2).sum(axis=0) * (theirs**2).sum()
    with np.errstate(invalid="ignore"):
        return np.tensordot(theirs, ours, axes=1) / np.sqrt(untied)
