"""One damaged file of one run: results/partial/ is made and shows it; the table of all runs fails in one line."""

import json
import subprocess

import pandas as pd
import pytest
import yaml

from tests.helpers.config import published, read_yaml
from tests.helpers.damage import empty, make_folder, write_noise
from tests.helpers.made_up_results import write_run
from tests.helpers.paths import ROOT, SNAKEMAKE
from trainer import config
from workflow.lib.experiment import Experiment
from workflow.lib.validation import read_run

METHODS = ["moco", "tclr"]


def make(results, *targets):
    """Let the workflow make files from the runs in ``results``, and nothing else; return the finished process."""
    (results / "changes.yaml").write_text(yaml.safe_dump({"results": str(results), "methods": METHODS}))
    command = [SNAKEMAKE, "--nolock", "--cores", "1", "--configfile", "config/demo.yaml", results / "changes.yaml"]
    command += ["--allowed-rules", "table", "side_by_side", "partial", "report_html", "plot_mean_ap", "plot_classes"]
    command += ["plot_training", "plot_gains", "plot_dataset_scatter", "plot_differences", "comparisons"]
    command += ["--", *(results / target for target in targets)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def finish_runs(results):
    """Write what finished runs of the demo on Charades leave."""
    experiment = Experiment(published(**read_yaml("demo.yaml") | {"results": str(results), "methods": METHODS}))
    for method in METHODS:
        folder = write_run(results / "runs", "charades", method, 1, [0.5, 0.25])
        metrics = json.loads((folder / "metrics.json").read_text())
        run = read_run(experiment.run("charades", method, 1))
        (folder / "config.yaml").write_text(config.dump(run))
        metrics["fingerprint"] = config.fingerprint(run)
        (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("metrics.json", empty), ("environment.json", write_noise), ("history.csv", make_folder), ("config.yaml", empty)],
)
def test_a_damaged_file_of_one_run(tmp_path, name, damage):
    finish_runs(tmp_path)
    path = tmp_path / "runs/charades/tclr/seed1" / name
    damage(path)
    counts = name != "config.yaml"  # tables need no config
    done = make(tmp_path, "partial/side_by_side.csv", "partial/charades_table.md", "partial/report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_csv(tmp_path / "partial/side_by_side.csv").set_index("method")
    shown = rows.get("charades_status", pd.Series("finished", rows.index)).tolist()
    assert shown == ["finished", f"damaged: seed1/{name}" if counts else "finished"]
    assert rows.charades_mAP["moco"] == 37.5
    assert (f"Not counted: {path}: damaged (" in (tmp_path / "partial/report.html").read_text()) == counts

    done = make(tmp_path, "charades_table.csv")
    assert (done.returncode == 0) == (not counts), done.stdout + done.stderr
    if counts:
        *_, last = (tmp_path / "logs/table/charades.log").read_text().splitlines()
        assert last.startswith(f"error: {path}: damaged (")
        assert not (tmp_path / "charades_table.csv").exists()
