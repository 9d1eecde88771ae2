"""Resamples, intervals and comparisons against known values."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.interval_coverage import AVA, CHARADES, coverage, false_alarms, over_classes, simulate
from trainer.metrics.bootstrap import (
    LEVEL,
    bootstrap_p_value,
    centered,
    compare_pairs,
    draw_resamples,
    fewest_resamples,
    holm,
    interval,
    kendall_tau,
    kendall_tau_interval,
    over_runs,
    percentile_interval,
    rank_intervals,
    ranks,
)
from trainer.utils.errors import InputError

# --- Resamples and intervals -----------------------------------------------------------------------------------------


def test_resamples_depend_on_names_seed_and_number_alone():
    resamples = draw_resamples(["b", "a", "c", "a"], 50, seed=3)
    assert resamples.videos.tolist() == ["a", "b", "c"]
    assert (resamples.weights.sum(axis=1) == 3).all()
    again = draw_resamples(["c", "b", "a"], 50, seed=3)
    np.testing.assert_array_equal(again.weights, resamples.weights)
    assert again.digest == resamples.digest
    others = [draw_resamples("abc", 50, seed=4), draw_resamples("abd", 50, 3), draw_resamples("abc", 49, 3)]
    assert len({resamples.digest, *(other.digest for other in others)}) == 4
    np.testing.assert_array_equal(others[2].weights, resamples.weights[:49])
    with pytest.raises(InputError, match="no video"):
        draw_resamples([], 50, seed=3)
    assert draw_resamples(map(str, range(64)), 2000, 0).weights.mean(axis=0) == pytest.approx(1, abs=0.1)


def test_an_interval_lies_about_its_estimate():
    values = np.append(np.arange(1001.0), np.nan)  # of mean 500
    np.testing.assert_allclose(percentile_interval([values, -values]), [[25, 975], [-975, -25]])
    np.testing.assert_allclose(centered(3, values)[[0, 1000]], [-497, 503])
    np.testing.assert_allclose(interval([3, -500], [values, -values]), [[-472, 478], [-975, -25]])


@pytest.mark.long
@pytest.mark.parametrize("simulation", [AVA, CHARADES], ids=lambda simulation: simulation.title)
def test_intervals_of_95_percent_cover_in_93_to_97_percent_of_test_sets(simulation):
    points, values = map(over_classes, simulate(simulation, sets=100, resamples=400))
    assert 0.93 <= coverage(points, interval(points, values)) <= 0.97
    assert false_alarms(points, values) <= 0.1


def test_several_runs_widen_the_interval():
    rng = np.random.default_rng(0)
    videos = rng.normal(0, 1, 2000)
    one, runs = 20 + videos[None], np.array([17, 20, 23])[:, None] + videos
    np.testing.assert_array_equal(over_runs(one, "moco", seed=0), one[0])
    drawn = over_runs(runs, "moco", seed=0)
    # variance over videos, and over runs: 9 of each, estimated from three of them, a third of it in their mean
    assert drawn.mean() == pytest.approx(20, abs=0.1)
    assert drawn.var() == pytest.approx(videos.var() + 9 / 3, rel=0.1)
    np.testing.assert_array_equal(over_runs(runs, "moco", seed=0), drawn)
    other = over_runs(runs, "rspnet", seed=0)
    assert abs(np.corrcoef(other - videos, drawn - videos)[0, 1]) < 0.1


# --- Paired comparisons ----------------------------------------------------------------------------------------------


def test_holm_against_known_values():
    # R 4.3: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_bootstrap_p_value_counts_moves_as_large_as_the_difference():
    resampled = np.array([0.0, 1.0, 5.0, 2.0, np.nan])  # of mean 2: moves of -2, -1, 3 and 0
    assert bootstrap_p_value(2.0, resampled) == (1 + 2) / 5
    assert bootstrap_p_value(-2.5, resampled) == (1 + 1) / 5
    assert bootstrap_p_value(0.0, np.zeros(9)) == bootstrap_p_value(np.nan, np.arange(9.0)) == 1
    assert bootstrap_p_value([5.0], np.full((1, 1999), 7.0)).tolist() == [1 / 2000]


def test_pairs_share_what_makes_videos_hard():
    rng = np.random.default_rng(0)
    videos = rng.normal(2, 5, 2000)  # far more than what tells methods apart
    points, spread = np.array([30, 31, 31.02]), rng.normal(0, 0.1, (3, 2000))
    pairs = compare_pairs(points, points[:, None] + videos + spread)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 2]]
    assert pairs["difference"].tolist() == pytest.approx([-1, -1.02, -0.02])
    assert (pairs["high"] < 0).tolist() == [True, True, False]
    assert (pairs["low"] < pairs["difference"]).all() and (pairs["difference"] < pairs["high"]).all()
    assert pairs["p"].tolist()[:2] == [1 / 2001, 1 / 2001] and pairs["p"][2] > 0.5
    assert pairs["p_holm"].tolist() == holm(pairs["p"]).tolist()
    assert compare_pairs([1.0], np.ones((1, 5))).empty


@pytest.mark.parametrize("methods", [2, 11, 15, 32])
def test_fewer_resamples_show_no_difference_of_so_many_methods(methods):
    points = np.arange(methods, dtype=float)
    number = fewest_resamples(methods)
    for resamples, least in ((number, 0), (number - 2, LEVEL)):
        p_holm = compare_pairs(points, np.tile(points[:, None], resamples))["p_holm"]
        assert least < p_holm.min() < least + LEVEL


def test_one_method_needs_no_resamples():
    assert fewest_resamples(1) == 0


def test_ranks_and_their_intervals():
    values = np.array([[3.0, 1.0, 3.0], [2.0, 2.0, 3.0], [1.0, 0.0, 0.0]])
    assert ranks(values).tolist() == [[1, 2, 1], [2, 1, 1], [3, 3, 3]]
    assert rank_intervals(values.mean(axis=1), values).tolist() == [[1, 2], [1, 2], [3, 3]]
    seldom = np.tile([[2.0], [1.0]], (1, 1000))
    seldom[:, :20] = seldom[::-1, :20]  # in 2 % of the resamples
    assert rank_intervals(seldom.mean(axis=1), seldom).tolist() == [[1, 1], [2, 2]]
    seldom[:, 20:30] = seldom[::-1, 20:30]
    assert rank_intervals(seldom.mean(axis=1), np.add(seldom, [[0], [9]])).tolist() == [[1, 2], [1, 2]]


def test_kendall_tau_equals_scipy_with_ties():
    rng = np.random.default_rng(0)
    published = np.array([10.0, 11.7, 10.0, 17.9, 12.6])
    values = rng.integers(0, 5, (5, 40)).astype(float)
    expected = [kendalltau(column, published).statistic for column in values.T]
    np.testing.assert_allclose(kendall_tau(values, published), expected, atol=1e-12)
    assert kendall_tau(published, published) == pytest.approx(1)
    assert kendall_tau([3, 1, 9], [np.nan, 2, 1]) == -1
    assert np.isnan(kendall_tau([1, 1], [1, 2]))
    assert np.isnan(kendall_tau([1, 2], [1, np.nan]))


def test_the_interval_of_tau_is_of_centered_values_and_holds_its_estimate():
    rng, points = np.random.default_rng(0), np.arange(11.0)
    values = points[:, None] + rng.normal(0, 3, (11, 400))
    low, high = kendall_tau_interval(points, values, points)
    assert 0 < low < 0.5 and kendall_tau(values, points).max() < high == 1
    shifted = kendall_tau_interval(points, values + rng.normal(0, 9, (11, 1)), points)
    assert shifted == (low, high)
