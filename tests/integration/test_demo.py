"""The results of `make demo`: tables of runs that learned, and nothing more to do."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.helpers.paths import DEMO_RESULTS, ROOT, SNAKEMAKE
from tests.helpers.plan import plan
from tests.helpers.positive_control import mean_ap_intervals, tau_with_pretraining
from trainer import config
from trainer.datasets import DATASETS

PUBLISHED = yaml.safe_load((ROOT / "config/config.yaml").read_text())["methods"]
METHODS = [*PUBLISHED, "scratch_vit_s", "videomae_vit_s"]
SHUFFLES = 19  # a run by chance is above all of them in one of 20 cases

pytestmark = [
    pytest.mark.demo,
    pytest.mark.skipif(not (DEMO_RESULTS / "report.html").exists(), reason="no demo; run `make demo` first"),
]


def folders(dataset):
    return [path.parent for path in sorted(DEMO_RESULTS.glob(f"runs/{dataset}/*/seed*/metrics.json"))]


@pytest.mark.parametrize("dataset", DATASETS)
def test_table(dataset):
    table = pd.read_csv(DEMO_RESULTS / f"{dataset}_table.csv")
    assert table.method.tolist() == METHODS
    assert not {"published_mAP", "difference"} & set(table.columns)
    assert (
        table[["mAP", "seeds", "parameters", "gflops", "epochs", "videos_trained", "videos_tested"]]
        .notna()
        .all(axis=None)
    )
    scores = {
        folder.parent.name: json.loads((folder / "metrics.json").read_text())["mAP"] for folder in folders(dataset)
    }
    assert table.mAP.to_numpy() == pytest.approx([100 * scores[method] for method in METHODS], abs=0.005)


@pytest.mark.parametrize("dataset", DATASETS)
def test_transformers_are_ranked_among_themselves(dataset):
    table = pd.read_csv(DEMO_RESULTS / f"{dataset}_table.csv").set_index("method")
    transformers = table.index.isin(["scratch_vit_s", "videomae_vit_s"])
    assert table.recipe.where(transformers).dropna().tolist() == ["vit", "vit"]
    for rows in (table[transformers], table[~transformers]):
        assert rows.rank_best.min() == 1 and rows.rank_worst.max() == len(rows)
    pairs = pd.read_csv(DEMO_RESULTS / f"{dataset}_comparisons.csv")
    assert len(pairs) == 11 * 10 / 2 + 1


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_run_is_better_than_chance(dataset):
    """Chance: the run's own scores, assigned to other examples.

    No margin: how far a run of a few steps is above it depends on the processor. SeLaVi on AVA has 32.9 mAP on an EPYC.
    """
    rng = np.random.default_rng(0)
    for folder in folders(dataset):
        run = config.load(folder / "config.yaml")
        with np.load(folder / "predictions.npz") as arrays:
            predictions = dict(arrays)
        shuffled = []
        for _ in range(SHUFFLES):
            order = rng.permutation(len(predictions["score"]))
            assigned = predictions | {"score": predictions["score"][order]}
            _, metrics = DATASETS[dataset].metric.score_test(run.data, assigned)
            shuffled.append(metrics["mAP"])
        reached = json.loads((folder / "metrics.json").read_text())["mAP"]
        assert reached > max(shuffled), f"{folder}: mAP {reached:.3f}, shuffled {shuffled}"


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_longest_pretraining_beats_none(dataset):
    _, scratch = mean_ap_intervals(DEMO_RESULTS, dataset, "scratch")
    supervised, _ = mean_ap_intervals(DEMO_RESULTS, dataset, "supervised")
    assert scratch < supervised


def test_a_pretrained_transformer_beats_a_random_one():
    _, scratch = mean_ap_intervals(DEMO_RESULTS, "ava", "scratch_vit_s")
    pretrained, _ = mean_ap_intervals(DEMO_RESULTS, "ava", "videomae_vit_s")
    assert scratch < pretrained


def test_the_longer_the_pretraining_the_better():
    tau, low, _ = tau_with_pretraining(DEMO_RESULTS)
    assert tau > low > 0


def test_the_protocols_of_ava_differ():
    table = pd.read_csv(DEMO_RESULTS / "ava_table.csv")
    assert ((table.mAP - table.official_mAP).abs() > 0.05).all()


def test_detections_are_in_the_official_format():
    first = folders("ava")[0] / "detections.csv.gz"
    rows = pd.read_csv(first, header=None)
    assert rows.shape[1] == 8
    assert rows[2].between(0, 1).all()
    assert rows[7].between(0, 1).all()


def test_it_is_compared_with_another_experiment(tmp_path):
    """There, what is called no pre-training is the demo's Supervised."""
    (tmp_path / "results").mkdir()
    without = shutil.ignore_patterns("compare")
    shutil.copytree(DEMO_RESULTS, tmp_path / "results/demo", ignore=without, copy_function=os.link)  # with its times
    for name in ("config", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    for dataset in DATASETS:
        shutil.copytree(DEMO_RESULTS / f"runs/{dataset}/supervised", tmp_path / f"other/runs/{dataset}/scratch")
    against = ["--configfile", "config/demo.yaml", "--config", "against=other"]
    command = [SNAKEMAKE, "compare", "-s", ROOT / "workflow/Snakefile", "--cores", "2", *against]
    command += ["--allowed-rules", "compare"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 of 1 steps (100%) done" in done.stdout + done.stderr, done.stdout + done.stderr
    rows = pd.read_csv(tmp_path / "results/demo/compare/methods.csv").set_index("dataset")
    for dataset in DATASETS:
        table = pd.read_csv(DEMO_RESULTS / f"{dataset}_table.csv").set_index("method")
        assert rows.method[dataset] == "scratch" and rows.p_holm[dataset] < 0.01
        assert rows.difference[dataset] == pytest.approx(table.mAP.scratch - table.mAP.supervised, abs=0.02)
    assert "1 of 1 methods differ" in (tmp_path / "results/demo/compare/report.html").read_text()


def test_nothing_is_left_to_do():
    output, status = plan("--configfile", "config/demo.yaml")
    assert status == 0
    assert "Nothing to be done" in output


def test_its_results_are_packed_with_their_settings_and_run_times(tmp_path):
    path = tmp_path / "report.zip"
    output, status = plan("--report", str(path), "--configfile", "config/demo.yaml")
    assert status == 0, output
    names = {Path(name).name for name in zipfile.ZipFile(path).namelist()}
    assert {"report.html", "side_by_side.csv", *(f"{dataset}_table.csv" for dataset in DATASETS)} <= names


def test_no_temporary_file_is_left():
    assert not [*DEMO_RESULTS.rglob(".*.part*"), *(ROOT / "data/demo").rglob(".*.part*")]
