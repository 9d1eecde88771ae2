"""Tables and report while runs are going: they show what there is, and start nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.made_up_results import write_run
from trainer import config

ROOT = Path(__file__).parents[1]
TABLE = "partial/side_by_side.csv"


def make(results, target, *options, status=0):
    """Let the workflow make a file of a folder of results of ava and charades; returns what Snakemake says."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/demo.yaml", "--config", f"results={results}"]
    command += [*options, "--nolock", "--cores", "1", "--", f"{results}/{target}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def finish_run(results, method, precisions):
    """What a run of the demo on Charades leaves."""
    folder = write_run(results / "runs", "charades", method, 1, precisions)
    make(results, folder.relative_to(results) / "config.yaml", "--force")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["settings"] = config.fingerprint(config.load(folder / "config.yaml"))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def partial_table(results):
    return pd.read_csv(results / TABLE).set_index("method")


def test_partial_tables_start_no_run_and_are_made_again_when_a_run_ends(tmp_path):
    finish_run(tmp_path, "moco", [0.5, 0.25])
    said = make(tmp_path, TABLE)
    assert "rule finetune" not in said and "rule score" not in said
    table = partial_table(tmp_path)
    assert table.loc["moco", ["charades_mAP", "charades_status"]].tolist() == [37.5, "finished"]
    assert table.loc["tclr", "charades_status"] == "pending" and pd.isna(table.loc["tclr", "charades_mAP"])
    assert (table.ava_status == "pending").all()

    assert "Nothing to be done" in make(tmp_path, TABLE, "--dry-run")
    finish_run(tmp_path, "tclr", [0.5, 0.5])
    assert "rule side_by_side" in make(tmp_path, TABLE, "--dry-run")


def test_partial_tables_leave_out_runs_of_other_settings(tmp_path):
    finish_run(tmp_path, "moco", [0.5, 0.25])
    make(tmp_path, TABLE, "dropout=0.25")
    assert (partial_table(tmp_path).charades_status == "pending").all()


@pytest.mark.parametrize("weights", ["model.pth", "resume.pth"])
def test_what_took_gpu_hours_is_not_overwritten_by_other_settings(tmp_path, weights):
    folder = finish_run(tmp_path, "moco", [0.5, 0.25])
    (folder / weights).touch()
    make(tmp_path, TABLE, "dropout=0.25", "--dry-run")
    made = folder / "config.yaml"
    made.write_text(made.read_text().replace("device: cpu", "device: cuda"))
    make(tmp_path, TABLE, "--dry-run")  # the machine is another one now, and nothing else
    said = make(tmp_path, TABLE, "dropout=0.25", "--dry-run", status=1)
    assert (
        f"{folder}: the training in it has model: dropout 0.0, config says 0.25; give the --configfile of that training"
        in said
    )
