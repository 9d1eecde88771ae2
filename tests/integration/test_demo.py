"""What `make demo` left behind: tables of runs that learned, and nothing more to do."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest

from tests.helpers.paths import ROOT, SNAKEMAKE
from trainer import config
from trainer.score import score_test

RESULTS = ROOT / "results"
DATASETS = ["ava", "charades"]
METHODS = pd.read_csv(ROOT / "config/methods.tsv", sep="\t").method.tolist()
SHUFFLES = 9

pytestmark = [
    pytest.mark.demo,
    pytest.mark.skipif(not (RESULTS / "report.html").exists(), reason="no results of the demo; run `make demo` first"),
]


def folders(dataset):
    return [path.parent for path in sorted(RESULTS.glob(f"runs/{dataset}/*/seed*/metrics.json"))]


@pytest.mark.parametrize("dataset", DATASETS)
def test_table(dataset):
    table = pd.read_csv(RESULTS / f"{dataset}_table.csv")
    assert table.method.tolist() == METHODS
    assert not {"published_mAP", "difference"} & set(table.columns)
    assert (
        table[["mAP", "seeds", "parameters", "gflops", "epochs", "videos_trained", "videos_tested"]].notna().all(None)
    )
    scores = {
        folder.parent.name: json.loads((folder / "metrics.json").read_text())["mAP"] for folder in folders(dataset)
    }
    assert table.mAP.to_numpy() == pytest.approx([100 * scores[method] for method in METHODS], abs=0.005)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_run_is_better_than_chance(dataset):
    """Chance: the run's own scores, dealt out to other examples."""
    rng = np.random.default_rng(0)
    for folder in folders(dataset):
        run = config.load(folder / "config.yaml")
        with np.load(folder / "predictions.npz") as arrays:
            predictions = dict(arrays)
        shuffled = []
        for _ in range(SHUFFLES):
            order = rng.permutation(len(predictions["score"]))
            _, metrics = score_test(run, predictions | {"score": predictions["score"][order]})
            shuffled.append(metrics["mAP"])
        reached = json.loads((folder / "metrics.json").read_text())["mAP"]
        assert reached > max(np.mean(shuffled) + 0.1, *shuffled), f"{folder}: mAP {reached:.3f}, shuffled {shuffled}"


def test_detections_are_in_the_official_format(tmp_path):
    first = folders("ava")[0] / "detections.csv.gz"
    rows = pd.read_csv(first, header=None)
    assert rows.shape[1] == 8
    assert rows[2].between(0, 1).all()
    assert rows[7].between(0, 1).all()


def test_nothing_is_left_to_do():
    command = [SNAKEMAKE, "-n", "--nolock", "--configfile", "config/demo.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_no_half_written_file_is_left():
    assert not [*RESULTS.rglob(".*.part*"), *(ROOT / "data/demo").rglob(".*.part*")]
