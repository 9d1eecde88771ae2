"""Damaged files of runs: results/partial/ is made and shows them; the table of all runs fails in one line."""

import json
import subprocess

import numpy as np
import pandas as pd
import yaml

from tests.helpers.config import published, read_yaml
from tests.helpers.damage import empty, make_folder, write_noise
from tests.helpers.made_up_results import RESAMPLES, write_run
from tests.helpers.paths import ROOT, SNAKEMAKE
from trainer import config
from workflow.lib.experiment import Experiment
from workflow.lib.validation import read_run

DAMAGED = {  # method: a file of its run and how it is damaged; other damages are in workflow/lib/report/test_damaged.py
    "tclr": ("metrics.json", empty),
    "gdt": ("environment.json", write_noise),
    "ctp": ("history.csv", make_folder),
    "rspnet": ("config.yaml", empty),
}
METHODS = ["moco", *DAMAGED]


def make(results, *targets):
    """Let the workflow make files from the runs in ``results``, and nothing else; return the finished process."""
    changes = {"results": str(results), "methods": METHODS, "bootstrap": {"resamples": RESAMPLES, "seed": 0}}
    (results / "changes.yaml").write_text(yaml.safe_dump(changes))
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
        run = read_run(experiment.run("charades", method, 1))
        (folder / "config.yaml").write_text(config.dump(run))
        fingerprint = config.score_fingerprint(run)
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(metrics | {"fingerprint": fingerprint}))
        with np.load(folder / "bootstrap.npz") as arrays:
            content = dict(arrays)
        np.savez(folder / "bootstrap.npz", **content | {"fingerprint": fingerprint})


def test_damaged_files_of_runs(tmp_path):
    finish_runs(tmp_path)
    paths = {method: tmp_path / f"runs/charades/{method}/seed1/{name}" for method, (name, _) in DAMAGED.items()}
    for method, (_, damage) in DAMAGED.items():
        damage(paths[method])
    done = make(tmp_path, "partial/side_by_side.csv", "partial/charades_table.md", "partial/report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_csv(tmp_path / "partial/side_by_side.csv").set_index("method")
    expected = {method: f"damaged: seed1/{name}" for method, (name, _) in DAMAGED.items()}
    expected |= {"moco": "finished", "rspnet": "finished"}  # tables need no config
    assert rows.charades_status.to_dict() == expected
    assert rows.charades_mAP["moco"] == 37.5
    page = (tmp_path / "partial/report.html").read_text()
    assert all((f"{path}: damaged (" in page) == (method != "rspnet") for method, path in paths.items())

    done = make(tmp_path, "charades_table.csv")
    assert done.returncode != 0
    *_, last = (tmp_path / "logs/table/charades.log").read_text().splitlines()
    assert last.startswith(f"error: {paths['tclr']}: damaged (")
    assert not (tmp_path / "charades_table.csv").exists()
