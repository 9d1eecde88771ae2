"""Tables while runs are going: they show the finished ones, and start none."""

import json
import subprocess

import pandas as pd

from tests.helpers.config import published, read_yaml
from tests.helpers.made_up_results import write_run
from tests.helpers.paths import ROOT, SNAKEMAKE
from trainer import config
from workflow.lib.experiment import Experiment
from workflow.lib.validation import read_run

TABLE = "partial/side_by_side.csv"
OTHER = "recipes: {r2plus1d: {charades: {dropout: 0.25}}}"  # than the demo's


def make(results, target, *options, other="{}", status=0):
    """Let the workflow make a file of a folder of results, with ``other`` settings; return what Snakemake prints."""
    (results / "other.yaml").write_text(other)
    command = [SNAKEMAKE, "--configfile", "config/demo.yaml", results / "other.yaml", "--config", f"results={results}"]
    command += [*options, "--nolock", "--cores", "1", "--", f"{results}/{target}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def finish_run(results, method, precisions):
    """Write what a finished run of the demo on Charades leaves; return its folder."""
    folder = write_run(results / "runs", "charades", method, 1, precisions)
    experiment = Experiment(published(**read_yaml("demo.yaml") | {"results": str(results)}))
    run = read_run(experiment.run("charades", method, 1))
    (folder / "config.yaml").write_text(config.dump(run))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["fingerprint"] = config.score_fingerprint(run)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def partial_table(results):
    return pd.read_csv(results / TABLE).set_index("method")


def test_partial_tables_start_no_run_and_are_remade_when_a_run_ends(tmp_path):
    finish_run(tmp_path, "moco", [0.5, 0.25])
    said = make(tmp_path, TABLE)
    assert "Fine-tune" not in said and "Score" not in said
    table = partial_table(tmp_path)
    assert table.loc["moco", ["charades_mAP", "charades_status"]].tolist() == [37.5, "finished"]
    assert table.loc["tclr", "charades_status"] == "pending" and pd.isna(table.loc["tclr", "charades_mAP"])
    assert (table.ava_status == "pending").all()

    assert "Nothing to be done" in make(tmp_path, TABLE, "--dry-run")
    finish_run(tmp_path, "tclr", [0.5, 0.5])
    assert "side_by_side.csv" in make(tmp_path, TABLE, "--dry-run")


def test_partial_tables_do_not_count_runs_of_other_settings(tmp_path):
    finish_run(tmp_path, "moco", [0.5, 0.25])
    make(tmp_path, TABLE, other=OTHER)
    assert (partial_table(tmp_path).charades_status == "pending").all()


def test_the_report_is_remade_when_its_note_changes(tmp_path):
    finish_run(tmp_path, "moco", [0.5, 0.25])
    for note in ("First try.", "Second try."):
        make(tmp_path, "partial/report.html", other=f"{{note: {note}, datasets: [charades]}}")
        assert f'role="note">{note}' in (tmp_path / "partial/report.html").read_text()


def test_a_run_trained_on_gpus_is_not_overwritten_by_other_settings(tmp_path):
    folder = finish_run(tmp_path, "moco", [0.5, 0.25])
    (folder / "model.pth").touch()
    make(tmp_path, TABLE, "--dry-run", other=OTHER)
    run_config = folder / "config.yaml"
    run_config.write_text(run_config.read_text().replace("device: cpu", "device: cuda"))
    make(tmp_path, TABLE, "--dry-run")  # only the machine differs
    message = "its training has model: dropout 0, config says 0.25; give the --configfile of that training"
    assert f"{folder}: {message}" in make(tmp_path, TABLE, "--dry-run", other=OTHER, status=1)
    (folder / "model.pth").rename(folder / "resume.pth")  # not finished yet
    make(tmp_path, TABLE, "--dry-run", other="recipes: {r2plus1d: {charades: {clip: {test_clips: 3}}}}")
    assert f"{folder}: {message}" in make(tmp_path, TABLE, "--dry-run", other=OTHER, status=1)
