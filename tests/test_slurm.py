"""A part of the demo through a real SLURM: its training is cancelled, then timed out, and its table is the demo's."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.checkout import MIRROR, checkout, snakemake
from tests.test_workflow import ROOT

METHOD = "scratch"
TABLE = ROOT / "results/ava_table.csv"


def slurm(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not shutil.which("sinfo") or "idle" not in slurm("sinfo", "--noheader", "--partition=normal"),
        reason="no SLURM of tests/slurm/setup.sh runs here",
    ),
    pytest.mark.skipif(not (TABLE.exists() and MIRROR.exists()), reason="no demo; run `make demo` first"),
]


@pytest.fixture
def workflow(tmp_path):
    """AVA with one method, on the cluster, with GPUs that are given out but not computed on."""
    folder = checkout(tmp_path / "checkout", datasets=["ava"], methods=[METHOD])
    running = snakemake(
        folder,
        *("--workflow-profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "5"),
        *("--set-resources", "finetune:gpu=1", "finetune:runtime=1", "predict:gpu=1"),
        *("--latency-wait", "5", "results/ava_table.csv"),
    )
    yield folder, running
    if running.poll() is None:
        running.terminate()
        running.communicate()


def wait_for(what, workflow, seconds=300):
    """The first true answer of ``what()``, while the workflow is running."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert workflow.poll() is None, workflow.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer


def test_training_outlives_a_cancelled_and_a_timed_out_job(workflow):
    folder, running = workflow
    run, log = folder / f"results/runs/ava/{METHOD}/seed0", folder / f"results/logs/finetune/ava/{METHOD}/seed0.log"

    def training():
        """SLURM's number of the job that trains, and the trainer's process, once it has taken steps."""
        found = slurm("pgrep", "--full", "^python -m trainer.train").split()
        mine = [int(pid) for pid in found if Path(f"/proc/{pid}/cwd").resolve() == folder]
        if not mine or "clips/s" not in log.read_text():
            return None
        job = slurm("squeue", "--noheader", "--states=running", "--format=%i", "--partition=normal").split()
        return (job[0], mine[0]) if job else None

    def state(job):
        return re.search(r"JobState=(\w+)", slurm("scontrol", "show", "job", job))[1]

    cancelled, _ = wait_for(training, running)
    assert "gres/gpu=1" in slurm("scontrol", "show", "job", cancelled)
    slurm("scancel", cancelled)
    wait_for(lambda: state(cancelled) == "CANCELLED", running)
    wait_for((run / "resume.pth").exists, running)

    timed_out, trainer = wait_for(training, running)
    assert timed_out != cancelled
    os.kill(trainer, signal.SIGSTOP)  # it is not done before its minute is over; SLURM wakes it to end it
    wait_for(lambda: state(timed_out) == "TIMEOUT", running)

    out, _ = running.communicate()
    assert running.returncode == 0, out
    assert "going on after" in log.read_text()
    # 10 films are downloaded in one job, cut and extracted in another
    submitted = re.findall(r"SLURM jobid", out)
    assert len(submitted) == 10, out
    mine, demo = (pd.read_csv(path).set_index("method")["mAP"] for path in (folder / "results/ava_table.csv", TABLE))
    assert mine[METHOD] == demo[METHOD]
