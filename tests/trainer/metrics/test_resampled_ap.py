"""AP of resamples against scoring each resampled data set from scratch."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.paths import FIXTURES
from trainer.metrics import resampled_ap
from trainer.metrics.ava import frame_map
from trainer.metrics.ava_csv import (
    Detections,
    GroundTruth,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
)
from trainer.metrics.ava_resampled import frame_aps
from trainer.metrics.bootstrap import draw_resamples, mean_ap, percentile_interval
from trainer.metrics.charades import video_map
from trainer.metrics.charades_resampled import video_aps
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
    monkeypatch.setattr(resampled_ap, "CHUNK", chunk)
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
