"""Files of a run that are damaged: each is named in one line, with what to do about it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.damage import DAMAGES, empty, make_folder, truncate, write_noise
from tests.helpers.small_run import small_run
from trainer import config
from trainer.config import result_fingerprint, training_fingerprint
from trainer.run_files import DamagedFile, read_arrays, read_csv, read_json
from trainer.score import score
from trainer.utils.errors import InputError


def write_files(folder):
    """Write a sound file of each kind; return {file: function that reads it}."""
    (folder / "metrics.json").write_text(json.dumps({"mAP": 0.5, "method": "moco", "epochs": 20}))
    (folder / "history.csv").write_text("epoch,loss,mAP\n1,0.7,\n2,0.5,0.25\n")
    arrays = {"video": np.array(["-v", "w"]), "score": np.random.default_rng(0).random((2, 157))}
    np.savez_compressed(folder / "predictions.npz", **arrays, fingerprint="abc")
    return {
        "metrics.json": lambda path: read_json(path, mAP=float, method=str),
        "history.csv": lambda path: read_csv(path, ["epoch", "loss", "mAP"]),
        "predictions.npz": lambda path: read_arrays(path, "video", "score", "fingerprint"),
        "config.yaml": config.load,
    }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("metrics.json", "delete it to score again"),
        ("history.csv", "delete it; the training job writes it again from resume.pth, without training"),
        ("predictions.npz", "delete it to predict again"),
        ("config.yaml", "give the config.yaml of a run; the workflow writes it again once it is deleted"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, advice, damage):
    small_run(tmp_path, "charades")
    path, read = tmp_path / name, write_files(tmp_path)[name]
    read(path)
    if (name, damage.__name__) == ("config.yaml", "write_utf16"):  # YAML may be UTF-16
        damage(path)
        read(path)
        return
    damage(path)
    with pytest.raises(InputError) as refused:
        read(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 600
    if (name, damage.__name__) != ("config.yaml", "truncate"):  # whose first lines are YAML, too
        assert message.endswith(f"; {advice}")
        assert isinstance(refused.value, DamagedFile) and refused.value.path == path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", r"expected an object, got '\[1, 2\]'"),
        ("{}", "lacks mAP, method"),
        ('{"mAP": 0.5, "method": "a\u2028b"}', r"a control character, '\\u2028'"),
        ('{"mAP": "high", "method": "moco"}', "mAP: expected float, got 'high'"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_json_of_another_content(tmp_path, content, message):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \(.*{message}.*\); delete it to score again$"):
        read_json(path, mAP=float, method=str)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch,los\n1,0.5\n", "lacks loss"),
        ("epoch,loss\n", "no rows"),
        ("epoch,loss\n1,high\n", "loss: expected numbers"),
        ("epoch,loss\n1,-inf\n", "an infinite number"),
        ("epoch,loss\n1,0.5", "empty, or ends within a line"),
        ("epoch,loss\n1,0.5\n2,0.5,7,8\n", "Error tokenizing data.*"),
    ],
)
def test_a_csv_of_another_content(tmp_path, content, message):
    path = tmp_path / "history.csv"
    path.write_text(content)
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \({message}\); delete it"):
        read_csv(path, ["epoch", "loss"])


def test_arrays_of_another_content(tmp_path):
    path = tmp_path / "predictions.npz"
    np.savez(path, video=np.array(["a"]), score=np.zeros((2, 3)))
    with pytest.raises(DamagedFile, match=r"video, score: expected one row per example in each"):
        read_arrays(path, "video", "score")
    np.savez(path, video=np.array(["a"]))
    with pytest.raises(DamagedFile, match=r"lacks score"):
        read_arrays(path, "video", "score")
    np.savez(path, video=np.array([{"a": 1}]), score=np.zeros((1, 3)))  # a pickle, which may run code
    with pytest.raises(DamagedFile, match=r"Object arrays cannot be loaded"):
        read_arrays(path, "video", "score")
    for odd in np.zeros((1, 2)), np.array([["a", "b", "c"]]), np.zeros((0, 3)):
        np.savez(path, video=np.array(["a"][: len(odd)]), score=odd)
        with pytest.raises(DamagedFile, match=r"score: expected numbers of shape \('examples', 3\)"):
            read_arrays(path, "video", score=(3,))
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.write_bytes(path.with_suffix(".npy").read_bytes())
    with pytest.raises(DamagedFile, match=r"expected an .npz"):
        read_arrays(path, "video", "score")


def test_text_with_a_byte_order_mark_is_read(tmp_path):
    files = write_files(tmp_path)
    for name in ("metrics.json", "history.csv"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        files[name](path)


def test_names_that_pandas_takes_for_missing_are_names(tmp_path):
    path = tmp_path / "per_class.csv"
    path.write_text("name,ap\nNone,0.5\nNA,\n")
    rows = read_csv(path, ["ap"], ["name"])
    assert rows.name.tolist() == ["None", "NA"] and rows.ap.isna().tolist() == [False, True]


def predicted_run(folder, scores=None, **changes):
    """Write what score reads of a run on Charades, with ``changes`` of its settings; return the run."""
    run, rng = replace(config.load(small_run(folder, "charades")), **changes), np.random.default_rng(0)
    arrays = {"target": rng.integers(0, 2, (6, 157)), "score": rng.random((6, 157)) if scores is None else scores}
    videos = np.array([f"video{number}" for number in range(6)])
    np.savez_compressed(folder / "predictions.npz", fingerprint=result_fingerprint(run), video=videos, **arrays)
    summary = {"epochs": 3, "gflops": 40.7, "fingerprint": training_fingerprint(run)}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    (folder / "environment.json").write_text(json.dumps({"time": "2026-11-25T08:00:00.000+00:00"}))
    return run


@pytest.mark.parametrize("damage", [empty, truncate, make_folder, write_noise])
@pytest.mark.parametrize("name", ["predictions.npz", "summary.json", "environment.json"])
def test_nothing_is_scored_from_a_damaged_file(tmp_path, name, damage):
    run = predicted_run(tmp_path)
    score(run, tmp_path)
    (tmp_path / "metrics.json").unlink()
    damage(tmp_path / name)
    with pytest.raises(InputError, match=rf"^{tmp_path / name}: damaged \(.*\); delete it"):
        score(run, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("name", ["predictions.npz", "summary.json"])
def test_nothing_is_scored_from_a_file_of_other_settings(tmp_path, name):
    run = predicted_run(tmp_path / "mine")
    score(run, tmp_path / "mine")
    predicted_run(tmp_path / "other", seed=4)
    (tmp_path / "other" / name).replace(tmp_path / "mine" / name)
    with pytest.raises(InputError, match=rf"^{tmp_path}/mine/{name}: made with other settings than config\.yaml besi"):
        score(run, tmp_path / "mine")


def test_scores_that_are_not_finite_are_not_scored(tmp_path):
    scores = np.random.default_rng(0).random((6, 157))
    scores[2, 3] = np.nan
    run = predicted_run(tmp_path, scores)
    with pytest.raises(InputError, match=rf"^{tmp_path}/predictions.npz: scores that are not finite: did training div"):
        score(run, tmp_path)
