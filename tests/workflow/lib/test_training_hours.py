"""Hours of the runs that are left: by number of GPUs, recipe, and runs that are finished here."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers.config import published
from tests.helpers.paths import ROOT
from trainer.config import training_fingerprint
from workflow.doctor import run_lines
from workflow.lib.experiment import Experiment
from workflow.lib.machine import Gpu
from workflow.lib.remaining import remaining
from workflow.lib.training_hours import MEASURED_GPU, PREDICTED, hours_at_once, trainings
from workflow.lib.validation import read_run

GPU = Gpu("NVIDIA RTX 2080 Ti", 11, "590.48.01")
SHORT = {"epochs": 5, "lr_milestones": [0], "lr_factors": [1]}
H100 = Gpu(MEASURED_GPU, 80, "590.48.01")


def experiment_in(folder, **changes):
    return Experiment(published(results=str(folder), **changes))


def hours(experiment, gpus):
    """Return hours of a run by dataset and recipe."""
    return {(one.dataset, one.recipe): one.hours for one in trainings(experiment, [GPU] * gpus)}


def finish(experiment, method, *jobs):
    """Write what a training on AVA leaves; ``jobs``: (hours, GPUs) of each."""
    path = Path(experiment.config.results, "runs/ava", method, "seed0")
    run = read_run(experiment.run("ava", method, 0))
    path.mkdir(parents=True)
    (path / "model.pth").touch()
    made = {
        "time": "2026-01-02T03:04:05+00:00",
        "code": "commit a",
        "processor": "a CPU",
        "packages": {"torch": "2.15"},
    }
    *earlier, last = [made | {"hours": hours, "gpus": ["a GPU"] * gpus} for hours, gpus in jobs]
    (path / "environment.json").write_text(json.dumps(last | {"earlier_jobs": earlier}))
    (path / "summary.json").write_text(json.dumps({"fingerprint": training_fingerprint(run)}))


def test_reported_hours_follow_gpus_and_epochs(tmp_path):
    experiment = experiment_in(tmp_path)
    for gpus, of_ava in {0: 8, 8: 8, 4: 8, 3: 16, 2: 16, 1: 32}.items():  # 3 do not divide 4 micro-batches
        assert hours(experiment, gpus) == {("ava", "r2plus1d"): of_ava, ("charades", "r2plus1d"): 8}
    short = experiment_in(tmp_path, recipes={"r2plus1d": {"ava": {"training": SHORT}}})
    assert hours(short, 4)["ava", "r2plus1d"] == 2


def test_hours_on_the_measured_gpu_are_those_that_its_steps_predict(tmp_path):
    def found(gpus, **training):
        experiment = experiment_in(tmp_path, recipes={"r2plus1d": {"ava": {"training": training}}})
        return [(one.hours, one.source) for one in trainings(experiment, gpus)]

    predicted, reported = "predicted from steps on one H100", "reported by the authors on 4 GTX 1080 Ti"
    assert found([H100]) == [(18.4, predicted), (0.8, predicted)]
    assert found([H100] * 4)[0] == (18.4 / 4, predicted)
    assert found([H100], precision="bfloat16", **SHORT)[0] == (3.8 / 4, predicted)
    assert found([H100, GPU])[0] == (16, reported)


def test_predicted_hours_are_those_of_the_benchmark():
    text = (ROOT / "benchmarks/README.md").read_text()
    assert MEASURED_GPU in text
    names = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
    for dataset, column in (("ava", 0), ("charades", 1)):
        for precision, hours in PREDICTED[dataset, "r2plus1d"].items():
            cells = re.search(rf"^\| ours, {names[precision]} \| (\S+) \+ \S+ \| (\S+)", text, re.MULTILINE)
            assert float(cells.groups()[column]) == hours


def test_nobody_reported_the_hours_of_other_recipes_and_of_cpus(tmp_path):
    both = experiment_in(tmp_path, methods=["scratch", "moco", "scratch_vit_b"], datasets=["ava"])
    assert hours(both, 4) == {("ava", "r2plus1d"): 8, ("ava", "vit"): None}
    assert [one.left for one in trainings(both, [GPU] * 4)] == [2, 1]
    assert not [line for line in run_lines(trainings(both, [GPU] * 4), 4) if line.startswith("all:")]
    for change in (
        {"frozen": True},
        {"clip": {"num_frames": 16}},
        {"clip": {"crop": 160, "short_side_range": [182, 228]}},
    ):
        other = experiment_in(tmp_path, recipes={"r2plus1d": {"ava": change}})
        assert hours(other, 4) == {("ava", "r2plus1d"): None, ("charades", "r2plus1d"): 8}
    assert set(hours(experiment_in(tmp_path, machine={"device": "cpu"}), 0).values()) == {None}


def test_all_jobs_of_finished_runs_count(tmp_path):
    experiment = experiment_in(tmp_path, datasets=["ava"])
    finish(experiment, "moco", (1.0, 4), (4.0, 2))
    finish(experiment, "tclr", (1.0, 2))
    [four], [two] = trainings(experiment, [GPU] * 4), trainings(experiment, [GPU] * 2)
    assert four.hours == pytest.approx((1 * 4 + 4 * 2 + 1 * 2) / 2 / 4)
    assert two.hours == pytest.approx((1 * 4 + 4 * 2 + 1 * 2) / 2 / 2)
    assert (four.left, four.source) == (9, "mean of 2 finished here")
    assert hours_at_once([four], 8) == pytest.approx(5 * four.hours)
    (tmp_path / "runs/ava/moco/seed0/environment.json").write_text("{")  # a damaged run does not count
    assert trainings(experiment, [GPU] * 2)[0].hours == pytest.approx(1)


def test_a_run_of_another_recipe_is_still_to_be_trained(tmp_path):
    experiment = experiment_in(tmp_path, datasets=["ava"])
    finish(experiment, "moco", (1.0, 4))
    assert remaining(experiment).runs == trainings(experiment, [GPU] * 4)[0].left == 10
    faster = experiment_in(tmp_path, datasets=["ava"], machine={"workers": 3})
    assert remaining(faster).runs == 10
    short = experiment_in(tmp_path, datasets=["ava"], recipes={"r2plus1d": {"ava": {"training": SHORT}}})
    assert remaining(short).runs == trainings(short, [GPU] * 4)[0].left == 11
