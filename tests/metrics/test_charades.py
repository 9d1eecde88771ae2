import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from trainer.errors import InputError
from trainer.metrics.charades import average_precision, video_map, video_score

DATA = Path(__file__).parents[1] / "data" / "metrics" / "charades"
EXPECTED = json.loads((DATA / "expected.json").read_text())


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: f"case{case['case']}")
def test_equal_to_the_published_score(case):
    arrays = np.load(DATA / "preds_labels.npz")
    labels = arrays[f"labels_{case['case']}"]
    table = video_map(arrays[f"preds_{case['case']}"], labels)
    found = table.dropna().set_index("class_id")["ap"]
    assert found.to_dict() == pytest.approx({int(key): ap for key, ap in case["per_class_ap"].items()}, abs=1e-12)
    assert table["ap"].mean() == pytest.approx(case["map"], abs=1e-12)
    assert table["ap"].isna().sum() == case["classes_without_positives"]
    assert table["positives"].tolist() == labels.sum(axis=0).tolist()


def test_a_video_has_the_maximum_of_its_views():
    arrays = np.load(DATA / "views.npz")
    expected = EXPECTED["ensemble_max_over_30_views"]
    views = arrays["view_preds"].reshape(-1, 30, arrays["view_preds"].shape[1])
    scores = np.stack([video_score(of_video) for of_video in views])
    assert scores.shape == arrays["labels"].shape
    assert scores[0, :5].tolist() == expected["video_preds_row0_first5"]
    assert video_map(scores, arrays["labels"])["ap"].mean() == pytest.approx(expected["map"], abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_equal_to_scikit_learn_with_ties(pairs):
    score, label = np.array(pairs).T
    score, label = score.astype(np.float32) / 7, label.astype(bool)
    if label.any():
        assert average_precision(score, label) == pytest.approx(average_precision_score(label, score), abs=1e-12)
    else:
        assert np.isnan(average_precision(score, label))


def test_names_of_classes():
    assert video_map(np.array([[0.2, 0.9]]), np.array([[1, 0]]))["name"].tolist() == ["c000", "c001"]


def test_what_cannot_be_scored_is_refused():
    scores = np.zeros((2, 3))
    with pytest.raises(ValueError, match="same shape"):
        video_map(scores, np.zeros((3, 3)))
    scores[1, 2] = np.nan
    with pytest.raises(InputError, match="1 of 2 videos have scores that are not finite"):
        video_map(scores, np.zeros((2, 3)))
