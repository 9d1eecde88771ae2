"""Snakemake itself, while jobs that are ready wait for a GPU."""

import subprocess
from pathlib import Path

import pytest

from tests.helpers.events import wait_until
from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.stand_in_trainer import TRAINER, write_run

RUNS = "out/runs/ava/scratch/seed"
WAIT = """
import time
from pathlib import Path
while not Path("go").exists():
    time.sleep(0.01)
"""


SNAKEFILE = f"""
include: "{ROOT}/workflow/Snakefile"

rule quick:
    output: "quick/{{i}}"
    shell: "touch {{output}}"
"""


@pytest.mark.long
def test_finished_jobs_leave_no_threads(tmp_path):
    folder, runs = write_run(tmp_path, WAIT + TRAINER), 60
    (folder / "Snakefile").write_text(SNAKEFILE)
    command = [SNAKEMAKE, "--resources", "gpu=2", "--cores", "4", "--nolock", "--configfile", "settings.yaml", "--"]
    models, quick = [f"{RUNS}{run}/model.pth" for run in range(2)], [f"quick/{i}" for i in range(runs)]
    subprocess.run([*command, *(f"{RUNS}{run}/config.yaml" for run in range(2))], cwd=folder, check=True)
    process = subprocess.Popen([*command, *quick, *models], cwd=folder)  # a training runs, one waits
    try:
        wait_until(lambda: process.poll() is not None or all((folder / name).exists() for name in quick))
        threads = len([*Path(f"/proc/{process.pid}/task").iterdir()])
    finally:
        (folder / "go").touch()
        status = process.wait()
    assert status == 0
    assert threads < 14


@pytest.mark.long
def test_a_limit_of_jobs_that_was_given_is_kept(tmp_path):
    folder = write_run(tmp_path, TRAINER)
    command = [SNAKEMAKE, "-s", ROOT / "workflow/Snakefile", "--cores", "4", "--max-jobs-per-timespan", "1/1h"]
    configs = [f"{RUNS}{run}/config.yaml" for run in range(2)]
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen([*command, *configs, "--configfile", "settings.yaml"], cwd=folder, stderr=stderr)
    try:
        wait_until(lambda: "Job rate limit reached" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()
