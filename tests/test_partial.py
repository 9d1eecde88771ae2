"""Tables and report while runs are going: they show what there is, and start nothing."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.made_up_results import write_run

ROOT = Path(__file__).parents[1]


def partial_tables(results, *options):
    """Run the rules of the partial tables on a folder of results of ava and charades; returns what Snakemake says."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/demo.yaml", "--config", f"results={results}"]
    command += ["--nolock", "--cores", "1", *options, "--", f"{results}/partial/side_by_side.csv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_partial_tables_start_no_run_and_are_made_again_when_a_run_ends(tmp_path):
    results = tmp_path
    write_run(results / "runs", "charades", "moco", 1, [0.5, 0.25])
    said = partial_tables(results)
    assert "rule finetune" not in said and "rule score" not in said
    table = pd.read_csv(results / "partial/side_by_side.csv").set_index("method")
    assert table.loc["moco", ["charades_mAP", "charades_status"]].tolist() == [37.5, "finished"]
    assert table.loc["tclr", "charades_status"] == "pending" and pd.isna(table.loc["tclr", "charades_mAP"])
    assert (table.ava_status == "pending").all()

    assert "Nothing to be done" in partial_tables(results, "--dry-run")
    write_run(results / "runs", "charades", "tclr", 1, [0.5, 0.5])
    assert "rule side_by_side" in partial_tables(results, "--dry-run")
