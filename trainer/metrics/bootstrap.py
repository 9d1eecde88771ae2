"""Bootstrap over test videos: resamples, intervals and paired comparisons.

A resample draws as many videos as there are, with replacement: it gives each video a whole number, its weight. Videos
are drawn (films on AVA), never frames, as the frames of a video resemble each other. ``resampled_ap`` scores resamples.
"""

import hashlib
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from trainer.utils.errors import InputError

TAILS = [2.5, 97.5]  # percentiles that bound an interval of 95 %
LEVEL = 0.05  # two methods differ if their corrected p-value is at most this


# --- Resamples -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resamples:
    """Weights of test videos, the same for all methods. videos: (V,) sorted names; weights: (resamples, V) counts."""

    videos: np.ndarray
    weights: np.ndarray

    @property
    def with_test_set(self) -> np.ndarray:
        """The weights, after those of the test set itself: (1 + resamples, V)."""
        return np.concatenate([np.ones_like(self.weights[:1]), self.weights])

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


# --- Intervals -------------------------------------------------------------------------------------------------------


def mean_ap(aps):
    """Return mAP (R,) of AP (classes, R), over the classes that have a positive; NaN where none has."""
    return _nan_mean(aps, axis=0)


def interval(points, values):
    """Return (..., 2) the 95 % interval of estimates (...), given their resampled values (..., R).

    The interval holds the mean that would be measured over many test sets of this size: percentiles of the centered
    values (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
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
    """Return (..., R) a method's resampled values, from those of its runs (runs, ..., R).

    They vary with the test videos and with the seed.

    The point estimate is the mean over runs of other seeds. So each resample draws as many runs as there are, with
    replacement, and takes their mean. Draws of different methods are independent; one run is returned as it is.
    Such means of n runs vary by too little, by the factor sqrt(1 - 1 / n), so their deviations are enlarged by its
    inverse (Rao and Wu, Journal of the American Statistical Association 83, 1988). Few runs still say little of their
    spread: of three that vary twice as much as the videos do, 91 % of simulated intervals cover.
    """
    values = np.asarray(values)
    runs, *between, number = values.shape
    drawn = np.random.default_rng([seed, *method.encode()]).integers(runs, size=(runs, number))
    means = np.take_along_axis(values, drawn.reshape(runs, *[1] * len(between), number), axis=0).mean(axis=0)
    of_all = values.mean(axis=0)
    return of_all + np.sqrt(runs / max(1, runs - 1)) * (means - of_all)


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
    as much as it is. Centering, so that values are as under a difference of 0: Hall and Wilson, Biometrics 47 (1991).
    The ones, by which p is never 0: Davison and Hinkley, Bootstrap Methods and their Application (1997). So few
    resamples cannot show any difference of many methods, see ``fewest_resamples``.
    """
    moves, given = centered(np.zeros(np.shape(difference)), resampled), ~np.isnan(resampled)
    reached = given & ~(np.abs(moves) < np.abs(difference)[..., None])  # all, if the difference is NaN: p is 1
    return (1 + reached.sum(axis=-1)) / (1 + given.sum(axis=-1))


def holm(p):
    """Return p-values (pairs,) corrected for their number: Holm, Scandinavian Journal of Statistics 6 (1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


def fewest_resamples(methods: int) -> int:
    """Return by how many resamples the least corrected p-value of all pairs of ``methods`` is below LEVEL.

    The least p-value is 1 / (1 + resamples); Holm multiplies it by the number of pairs.
    """
    return math.ceil(math.comb(methods, 2) / LEVEL)


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
    """
    values, published = np.asarray(values, dtype=float), np.asarray(published, dtype=float)
    values, published = values[~np.isnan(published)], published[~np.isnan(published)]
    first, second = np.triu_indices(len(published), 1)
    ours, theirs = np.sign(values[first] - values[second]), np.sign(published[first] - published[second])
    untied = (ours**2).sum(axis=0) * (theirs**2).sum()
    with np.errstate(invalid="ignore"):
        return np.tensordot(theirs, ours, axes=1) / np.sqrt(untied)


def kendall_tau_interval(points, values, published):
    """Return low and high of the 95 % interval of the tau of ``points`` (M,), of resampled ``values`` (M, R).

    Percentiles of the tau of centered values, extended to the estimate: noise of mAP brings tau near 0, in resamples
    twice, so up to 3 % of simulated intervals of percentiles left their own estimate out.
    """
    tau = kendall_tau(points, published)
    low, high = percentile_interval(kendall_tau(centered(points, values), published))
    return np.minimum(low, tau), np.maximum(high, tau)
