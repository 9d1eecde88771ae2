import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tests.helpers.paths import FIXTURES, ROOT
from trainer.metrics.charades import (
    average_precision,
    read_class_names,
    score_test,
    score_validation,
    video_map,
)
from trainer.utils.errors import InputError

DATA = FIXTURES / "metrics" / "charades"
EXPECTED = json.loads((DATA / "expected.json").read_text())
CLASSES = ROOT / "config" / "charades_classes.tsv"
NAMES = [f"class {number}" for number in range(157)]


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: f"case{case['case']}")
def test_equal_to_the_published_score(case):
    arrays = np.load(DATA / "preds_labels.npz")
    labels = arrays[f"labels_{case['case']}"]
    scores = arrays[f"preds_{case['case']}"]
    table = video_map(scores, labels, NAMES[: labels.shape[1]])
    found = table.dropna().set_index("class_id")["ap"]
    assert found.to_dict() == pytest.approx({int(key): ap for key, ap in case["per_class_ap"].items()}, abs=1e-12)
    assert table["ap"].mean() == pytest.approx(case["map"], abs=1e-12)
    assert table["ap"].isna().sum() == case["classes_without_positives"]
    assert table["positives"].tolist() == labels.sum(axis=0).tolist()


def test_a_video_has_the_maximum_of_its_views():
    arrays = np.load(DATA / "views.npz")
    expected = EXPECTED["ensemble_max_over_30_views"]
    scores = arrays["view_preds"].reshape(-1, 30, arrays["view_preds"].shape[1]).max(axis=1)
    assert scores.shape == arrays["labels"].shape
    assert scores[0, :5].tolist() == expected["video_preds_row0_first5"]
    names = NAMES[: scores.shape[1]]
    assert video_map(scores, arrays["labels"], names)["ap"].mean() == pytest.approx(expected["map"], abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_equal_to_scikit_learn_with_ties(pairs):
    score, label = np.array(pairs).T
    score, label = score.astype(np.float32) / 7, label.astype(bool)
    if label.any():
        assert average_precision(score, label) == pytest.approx(average_precision_score(label, score), abs=1e-12)
    else:
        assert np.isnan(average_precision(score, label))


def test_score_of_predictions_names_the_classes():
    rng = np.random.default_rng(0)
    predictions = {"score": rng.random((6, 157)), "target": rng.integers(0, 2, (6, 157))}
    data = SimpleNamespace(label_map=CLASSES)
    table, means = score_test(data, predictions)
    assert table["name"][[0, 156]].tolist() == ["Holding some clothes", "Someone is eating something"]
    assert means == {"mAP": table["ap"].mean()} == {"mAP": score_validation(data, predictions)}
    assert table["ap"][5] == average_precision(predictions["score"][:, 5], predictions["target"][:, 5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the columns action and name, a tab between them, got ''"),
        ("c000 Holding some clothes\n", "line 1: expected the columns action and name"),
        ("action\tname\n0\tsit\n1\tsit\n", r"line 3: expected action 1, a tab and its own name, got '1\tsit'"),
        ("action\tname\n0\tsit\n2\tstand\n", r"line 3: expected action 1, a tab and its own name, got '2\tstand'"),
        ("action\tname\n0\tsit\n1\t\n", r"line 3: expected action 1, a tab and its own name, got '1\t'"),
        ("action\tname\n0 sit\n", "line 2: expected action 0, a tab and its own name, got '0 sit'"),
        ("action\tname\n0\tsit\tdown\n", "line 2: expected action 0"),
        ('action\tname\n0\t=HYPERLINK("x")\n', "line 2: expected text without control characters that does not begin"),
        ("action\tname\n0\tsit\n", ": expected the names of 2 classes, got 1"),
        ("action\tname\n0\tsit\n1\tstand\n2\tlie\n", ": expected the names of 2 classes, got 3"),
    ],
)
def test_a_bad_table_of_class_names_is_named_with_its_line(text, message, tmp_path):
    path = tmp_path / "classes.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_class_names(path, 2)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_missing_table_of_class_names(tmp_path):
    with pytest.raises(InputError, match=r"classes\.tsv: no such file"):
        read_class_names(tmp_path / "classes.tsv", 157)


def test_what_cannot_be_scored_is_refused():
    scores = np.zeros((2, 3))
    with pytest.raises(ValueError, match="same shape"):
        video_map(scores, np.zeros((3, 3)), NAMES[:3])
    scores[1, 2] = np.nan
    with pytest.raises(InputError, match="1 of 2 videos have scores that are not finite"):
        video_map(scores, np.zeros((2, 3)), NAMES[:3])
