"""Tables and report while runs are going: they show what there is, and start nothing."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.made_up_results import write_run

ROOT = Path(__file__).parents[1]
TABLE = "partial/side_by_side.csv"


def make(results, target, *options):
    """Let the workflow make a file of a folder of results of ava and charades; returns what Snakemake says."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/demo.yaml", "--config", f"results={results}"]
    command += [*options, "--nolock", "--cores", "1", "--", f"{results}/{target}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def finish_run(results, method, precisions):
    """What a run of the demo on Charades leaves."""
    folder = write_run(results / "runs", "charades", method, 1, precisions)
    make(results, folder.relative_to(results) / "config.yaml", "--force")
    (folder / "metrics.json").touch()


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
