"""python -m trainer.evaluate bootstrap: from predictions to bootstrap.npz."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.damage import empty, make_folder, truncate, write_noise
from tests.helpers.paths import ROOT
from tests.helpers.small_run import small_run
from trainer import bootstrap, config, evaluate
from trainer.config import result_fingerprint, score_fingerprint, training_fingerprint
from trainer.datasets import DATASETS
from trainer.metrics.bootstrap import interval
from trainer.score import score
from trainer.utils.errors import InputError

VIDEOS = [f"video{number}" for number in range(6)]


def scored_run(folder, dataset, seed=0):
    """Write config, predictions and score of a run; return the config's path."""
    path = small_run(folder, dataset)
    rng, classes = np.random.default_rng(seed), DATASETS[dataset].num_classes
    arrays = {"video": np.array(VIDEOS), "score": rng.random((6, classes))}
    if dataset == "ava":
        arrays = {name: np.repeat(array, 2, axis=0) for name, array in arrays.items()}
        box = np.tile(np.float32([0.1, 0.1, 0.6, 0.9]), (12, 1))
        # one box lies in a second without ground truth, which the two protocols of AVA count differently
        arrays |= {"box": box, "second": np.array([904, 905] * 5 + [904, 906]), "score": rng.random((12, classes))}
    else:
        arrays["target"] = np.random.default_rng(0).integers(0, 2, (6, classes))
    run = config.load(path)
    np.savez_compressed(folder / "predictions.npz", fingerprint=result_fingerprint(run), **arrays)
    (folder / "summary.json").write_text(json.dumps({"epochs": 3, "fingerprint": training_fingerprint(run)}))
    (folder / "environment.json").write_text(json.dumps({"time": "2026-11-25T08:00:00.000+00:00"}))
    score(run, folder)
    return path


def run_command(path, *options):
    evaluate.main(["bootstrap", f"--config={path}", *options])
    with np.load(path.parent / "bootstrap.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("dataset", DATASETS)
def test_bootstrap_of_a_run(tmp_path, dataset):
    path = scored_run(tmp_path, dataset)
    content = run_command(path, "--resamples", "50", "--seed", "4")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    names = content["metric"].tolist()
    assert names == [name for name in ("mAP", "official_mAP") if name in metrics]
    assert content["point"].tolist() == pytest.approx([metrics[name] for name in names])
    assert content["video"].tolist() == VIDEOS and content["seed"] == 4
    assert metrics["fingerprint"] == score_fingerprint(config.load(path))
    assert str(content["fingerprint"]) == metrics["fingerprint"] and str(content["trained"]) == metrics["trained"]

    classes = pd.read_csv(tmp_path / "per_class.csv")["name"].tolist()
    assert content["class_name"].tolist() == classes
    assert content["mAP"].shape == (len(names), 50)
    assert content["class_ap"].shape == (len(names), len(classes), 50)
    assert content["class_interval"].shape == (len(names), len(classes), 2)
    np.testing.assert_allclose(np.nanmean(content["class_ap"], axis=1), content["mAP"], rtol=1e-6)
    of_classes = interval(content["class_point"], content["class_ap"]).clip(0, 1)
    np.testing.assert_allclose(content["class_interval"], of_classes, atol=1e-6)
    low, high = content["interval"].T
    assert (low < content["point"]).all() and (content["point"] < high).all()
    assert len(np.unique(content["mAP"][0])) > 10
    assert len(set(content["point"].tolist())) == len(names)  # the protocols differ
    assert [file.name for file in tmp_path.iterdir() if ".part" in file.name] == []


def test_methods_share_their_resamples(tmp_path):
    one, other = (run_command(scored_run(tmp_path / str(seed), "charades", seed)) for seed in (1, 2))
    assert one["mAP"].shape == (1, 10_000)
    assert one["digest"] == other["digest"]
    assert (one["mAP"] != other["mAP"]).any()
    again = run_command(tmp_path / "1" / "config.yaml")
    assert all(np.array_equal(again[name], array, equal_nan=array.dtype.kind == "f") for name, array in one.items())
    assert run_command(tmp_path / "1" / "config.yaml", "--seed", "1")["digest"] != one["digest"]


def test_the_command_needs_no_torch(tmp_path):
    path = scored_run(tmp_path, "ava")
    code = "import sys; sys.modules['torch'] = None; from trainer.evaluate import main; main()"
    command = [sys.executable, "-c", code, "bootstrap", f"--config={path}", "--resamples=20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert " mAP 0." in done.stderr and " official_mAP 0." in done.stderr
    assert (tmp_path / "bootstrap.npz").exists()


def test_a_score_of_other_predictions_is_refused(tmp_path):
    path = scored_run(tmp_path, "charades")
    with np.load(tmp_path / "predictions.npz") as arrays:
        changed = dict(arrays) | {"score": 1 - arrays["score"]}
    np.savez_compressed(tmp_path / "predictions.npz", **changed)
    message = rf"^{tmp_path}/metrics.json: mAP 0\.\d+; expected 0\.\d+, as predictions.npz has it. Delete it to score"
    with pytest.raises(InputError, match=message):
        bootstrap.bootstrap(config.load(path), tmp_path, bootstrap.Bootstrap(resamples=10))
    assert not (tmp_path / "bootstrap.npz").exists()


def test_predictions_of_other_settings_are_refused(tmp_path):
    run = config.load(scored_run(tmp_path, "charades"))
    with pytest.raises(InputError, match=rf"^{tmp_path}/predictions\.npz: made with other settings than config\.yaml"):
        bootstrap.bootstrap(replace(run, seed=run.seed + 1), tmp_path, bootstrap.Bootstrap(resamples=10))


@pytest.mark.parametrize("damage", [empty, truncate, make_folder, write_noise])
@pytest.mark.parametrize("name", ["predictions.npz", "metrics.json", "environment.json"])
def test_nothing_is_made_of_a_damaged_file(tmp_path, name, damage):
    run = config.load(scored_run(tmp_path, "charades"))
    damage(tmp_path / name)
    with pytest.raises(InputError, match=rf"^{tmp_path / name}: damaged \(.*\); delete it"):
        bootstrap.bootstrap(run, tmp_path, bootstrap.Bootstrap())
    assert not (tmp_path / "bootstrap.npz").exists()


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ("metrics.json", [], "metrics.json: no such file; predict and score first, see python -m trainer.evaluate"),
        ("config.yaml", [], "config.yaml: no such file; give the config.yaml of a run"),
        (None, ["--resamples=0"], "resamples: expected a number greater than or equal to 1, got 0"),
        (None, ["--seed=-1"], "seed: expected a number greater than or equal to 0, got -1"),
    ],
)
def test_what_it_cannot_work_with_gets_one_line(tmp_path, missing, options, message, capsys):
    path = scored_run(tmp_path, "charades")
    if missing:
        (tmp_path / missing).unlink()
    with pytest.raises(SystemExit) as ended:
        evaluate.main(["bootstrap", f"--config={path}", *options])
    [line] = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert line.startswith("error: ") and line.endswith(message)
