"""AP of resamples against scoring each resampled data set from scratch, and comparisons against known values."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.interval_coverage import AVA, CHARADES, coverage, false_alarms, simulate
from tests.helpers.paths import FIXTURES
from trainer.metrics import bootstrap
from trainer.metrics.ava import frame_map
from trainer.metrics.ava_csv import (
    Detections,
    GroundTruth,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
)
from trainer.metrics.bootstrap import (
    bootstrap_p_value,
    centered,
    compare_pairs,
    draw_resamples,
    frame_aps,
    holm,
    interval,
    kendall_tau,
    mean_ap,
    over_runs,
    percentile_interval,
    rank_intervals,
    ranks,
    video_aps,
)
from trainer.metrics.charades import video_map
from trainer.utils.errors import InputError

DATA = FIXTURES / "metrics"
PROTOCOLS = ["published", "official", "alphaction"]


def load(name, detections="det"):
    """Ground truth, detections, classes, excluded seconds and the sorted names of the videos."""
    folder = DATA / name
    suffix = ".gz" if name == "medium_a" else ""
    truth = read_ground_truth(folder / f"gt.csv{suffix}")
    found = read_detections(folder / f"{detections}.csv{suffix}")
    classes, excluded = read_label_map(folder / "labelmap.pbtxt"), read_exclusions(folder / "exclusions.csv")
    return truth, found, classes, excluded, sorted({*truth.videos, *found.videos})


def repeat(boxes, weights):
    """Repeat each row as often as its video weighs (mapping by name), each copy under a name of its own."""
    times = np.array([weights[video] for video in boxes.videos])[boxes.video]
    copy = np.concatenate([np.arange(number) for number in times]) if len(times) else np.zeros(0)
    chosen = boxes.select(np.repeat(np.arange(len(boxes)), times))
    names = [f"{boxes.videos[video]}/{number:.0f}" for video, number in zip(chosen.video, copy, strict=True)]
    videos, video = np.unique(np.array(names, dtype=object), return_inverse=True) if names else (np.zeros(0), [])
    return replace(chosen, videos=videos, video=np.asarray(video, dtype=np.int32))


def from_scratch(truth, detections, classes, excluded, videos, weights, protocol):
    """AP (classes, R) of each resampled data set, scored as any other."""
    aps = []
    for row in weights:
        of = dict(zip(videos, row, strict=True))
        left_out = {(f"{video}/{number}", second) for video, second in excluded for number in range(of.get(video, 0))}
        table = frame_map(repeat(truth, of), repeat(detections, of), classes, left_out, protocol)
        aps.append(table["ap"])
    return np.transpose(aps)


def assert_same(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12, equal_nan=True)
    np.testing.assert_allclose(mean_ap(ours), mean_ap(expected), rtol=0, atol=1e-12, equal_nan=True)


# --- Average precision of resamples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("detections", ["det", "det_noties"])
@pytest.mark.parametrize(("name", "number"), [("small_a", 20), ("medium_a", 3)])
def test_ava_equals_scoring_from_scratch(name, number, detections, protocol):
    *arguments, videos = load(name, detections)
    weights = draw_resamples(videos, number, seed=1).weights
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    aps = frame_aps(*arguments, videos, weights, protocol)
    assert_same(aps, from_scratch(*arguments, videos, weights, protocol))
    assert_same(aps[:, :1], frame_map(*arguments, protocol)["ap"].to_numpy()[:, None])
    assert len(np.unique(mean_ap(aps))) > 3  # the weights matter


def random_boxes(rng, kind, last, number):
    """Boxes of few places, seconds and scores, so that many overlap and tie."""
    corner = rng.integers(0, 3, (number, 2))
    columns = {
        "videos": np.array(["a", "b", "c"], dtype=object),
        "video": rng.integers(3, size=number, dtype=np.int32),
        "second": rng.integers(902, 904, number, dtype=np.int32),
        "box": np.concatenate([corner, corner + 2], axis=1).astype(float),
        "action": rng.integers(1, 4, number, dtype=np.int32),
        last: rng.integers(3, size=number).astype(float),
    }
    return kind(**columns)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ava_equals_scoring_from_scratch_where_scores_of_an_image_tie(protocol):
    rng = np.random.default_rng(0)
    classes, excluded, videos = {2: "two", 3: "three", 1: "one"}, {("b", 903)}, ["a", "b", "c"]
    for _ in range(100):
        truth = random_boxes(rng, GroundTruth, "person", rng.integers(1, 25))
        found = random_boxes(rng, Detections, "score", rng.integers(40))
        weights = rng.integers(5, size=(4, 3))
        weights[0] = [0, 7, 1]
        aps = frame_aps(truth, found, classes, excluded, videos, weights, protocol)
        assert_same(aps, from_scratch(truth, found, classes, excluded, videos, weights, protocol))


@pytest.mark.parametrize("case", range(4))
def test_charades_equals_scoring_from_scratch(case):
    with np.load(DATA / "charades" / "preds_labels.npz") as arrays:
        scores, labels = arrays[f"preds_{case}"], arrays[f"labels_{case}"]
    scores[:, ::3] = scores[:, ::3].round(1)  # ties
    names = np.array([f"video{number:03d}" for number in range(len(scores))])
    resamples = draw_resamples(names, 10, seed=1)
    aps = video_aps(scores, labels, names, resamples.videos, resamples.weights)
    classes = range(scores.shape[1])
    for column, weight in zip(aps.T, resamples.weights, strict=True):
        rows = np.repeat(np.arange(len(names)), weight)
        assert_same(column, video_map(scores[rows], labels[rows], classes)["ap"].to_numpy())


def test_a_class_without_a_positive_is_left_out_of_the_mean():
    labels, names = np.array([[1, 0, 0], [0, 1, 0]]), ["a", "b"]
    aps = video_aps(np.full((2, 3), 0.5), labels, names, names, np.array([[1, 1], [2, 0], [0, 0]]))
    np.testing.assert_array_equal(aps.T, [[0.5, 0.5, np.nan], [1, np.nan, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(mean_ap(aps), [0.5, 1, np.nan])
    np.testing.assert_array_equal(percentile_interval(aps)[2], [np.nan, np.nan])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="1 of 2 videos have scores that are not finite"):
        video_aps(np.array([[np.nan], [0]]), np.ones((2, 1)), ["a", "b"], ["a", "b"], np.ones((1, 2), dtype=int))


@pytest.mark.parametrize("chunk", [1, 1000])
def test_how_many_are_computed_at_once_changes_nothing(chunk, monkeypatch):
    *arguments, videos = load("small_a")
    weights = draw_resamples(videos, 30, seed=2).weights
    expected = frame_aps(*arguments, videos, weights)
    monkeypatch.setattr(bootstrap, "CHUNK", chunk)
    np.testing.assert_array_equal(frame_aps(*arguments, videos, weights), expected)
    np.testing.assert_array_equal(frame_aps(*arguments, videos, weights[:4])[:, :3], expected[:, :3])


def test_the_order_of_videos_does_not_matter():
    truth, found, classes, excluded, videos = load("medium_a", "det_noties")
    weights = draw_resamples(videos, 5, seed=0).weights
    expected = frame_aps(truth, found, classes, excluded, videos, weights)
    by_video = found.select(np.argsort(-found.video, kind="stable"))
    truth = truth.select(np.argsort(-truth.video, kind="stable"))
    assert_same(frame_aps(truth, by_video, classes, excluded, videos, weights), expected)
    turned = frame_aps(truth, found, classes, excluded, videos[::-1], weights[:, ::-1])
    assert_same(turned, expected)


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
    points, values = simulate(simulation, sets=500, resamples=400)
    assert 0.93 <= coverage(points, interval(points, values)) <= 0.97
    assert false_alarms(points, values) <= 0.08


def test_several_runs_widen_the_interval():
    rng = np.random.default_rng(0)
    videos = rng.normal(0, 1, 2000)
    one, runs = 20 + videos[None], np.array([17, 20, 23])[:, None] + videos
    np.testing.assert_array_equal(over_runs(one, "moco", seed=0), one[0])
    drawn = over_runs(runs, "moco", seed=0)
    # variance over videos, and over runs: 6 among three of them, a third of it in their mean
    assert drawn.mean() == pytest.approx(20, abs=0.1)
    assert drawn.var() == pytest.approx(videos.var() + 6 / 3, rel=0.1)
    np.testing.assert_array_equal(over_runs(runs, "moco", seed=0), drawn)
    other = over_runs(runs, "rspnet", seed=0)
    assert abs(np.corrcoef(other - videos, drawn - videos)[0, 1]) < 0.1


# --- Paired comparisons ----------------------------------------------------------------------------------------------


def test_holm_against_known_values():
    # R 4.3: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_bootstrap_p_value_counts_moves_as_large_as_the_difference():
    resampled = np.array([0.0, 1.0, 5.0, 2.0, np.nan])  # of mean 2: moves of -2, -1, 3 and 0
    assert bootstrap_p_value(2.0, resampled) == (1 + 2) / 5
    assert bootstrap_p_value(-2.5, resampled) == (1 + 1) / 5
    assert bootstrap_p_value(0.0, np.zeros(9)) == 1
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
