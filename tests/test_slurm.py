"""A part of the demo through a real SLURM: whatever ends its training's jobs, its table is the demo's."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.checkout import MIRROR, checkout, finish, snakemake
from tests.test_workflow import ROOT

METHOD = "scratch"
NOT_THERE = ["-NightShop4", "DanceHall_2", "StreetView0"]
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


def works_in(folder, pid):
    """Whether a process, which may end at any moment, has this working directory."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except FileNotFoundError:
        return False


def link_data(folder):
    """Give a checkout the demo's films, cuts and frames, but for a few."""
    for kind in ("films", "cuts_*", "frames_*"):  # in this order: times tell Snakemake what is up to date
        for path in sorted((ROOT / "data/demo/ava").glob(f"{kind}/*")):
            if path.stem not in NOT_THERE:
                link = folder / path.relative_to(ROOT)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


@pytest.fixture
def workflow(tmp_path):
    """AVA with one method, on the cluster, with GPUs that are given out but not computed on; most films are there."""
    folder = checkout(tmp_path / "checkout", datasets=["ava"], methods=[METHOD])
    link_data(folder)
    path = folder / "workflow/profiles/slurm/profile.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"] |= {"finetune": {"gpu": 1, "runtime": 1}, "predict": {"gpu": 1}}
    profile |= {"slurm-init-seconds-before-status-checks": 5, "latency-wait": 5}
    path.write_text(yaml.safe_dump(profile))
    running = snakemake(folder, "--workflow-profile", path.parent, "results/ava_table.csv")
    yield folder, running
    if running.poll() is None:
        running.terminate()
        running.wait()


def wait_for(what, folder, workflow, seconds=200):
    """The first true answer of ``what()``, while the workflow is running."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert workflow.poll() is None and time.monotonic() < deadline, (folder / "words").read_text()
        time.sleep(0.2)
    return answer


def test_training_outlives_a_cancelled_a_timed_out_and_a_preempted_job(workflow):
    folder, running = workflow
    log = folder / f"results/logs/finetune/ava/{METHOD}/seed0.log"

    def training(words):
        """SLURM's number of the job that trains, and the trainer's process, once its log has ``words``."""

        def look():
            found = slurm("pgrep", "--full", "^python -m trainer.train").split()
            mine = [int(pid) for pid in found if works_in(folder, pid)]
            job = slurm("squeue", "--noheader", "--states=running", "--format=%i", "--partition=normal").split()
            return (job[0], mine[0]) if mine and job and words in log.read_text() else None

        return wait_for(look, folder, running)

    def wait_for_word(job, word):
        wait_for(lambda: word in slurm("scontrol", "show", "job", job), folder, running)

    cancelled, _ = training("epoch 1")
    given = slurm("scontrol", "show", "job", cancelled)
    assert "TresPerJob=gres:gpu:1" in given
    assert "CpusPerTres=gres:gpu:2" in given
    slurm("scancel", cancelled)
    wait_for_word(cancelled, "JobState=CANCELLED")

    timed_out, trainer = training("going on after")
    os.kill(trainer, signal.SIGSTOP)  # it shall not end before its minute does; SLURM wakes it to end it
    wait_for_word(timed_out, "JobState=TIMEOUT")

    preempted, trainer = training("going on after")
    os.kill(trainer, signal.SIGSTOP)  # it shall not end before it is preempted
    slurm("sbatch", "--partition=urgent", "--gres=gpu:4", "--output=/dev/null", "--wrap=sleep 1")
    wait_for_word(preempted, "Restarts=1")
    assert len({cancelled, timed_out, preempted}) == 3

    out = finish(folder, running)
    assert "going on after" in log.read_text()
    assert out.count("rule extract_frames:") == len(NOT_THERE)
    jobs = re.findall(r"Job (\S+) has been submitted with SLURM jobid", out)
    groups = [job for job in jobs if not job.isdigit()]
    assert len(groups) == len(NOT_THERE), out  # a film is cut and extracted in one job
    mine, demo = (pd.read_csv(path).set_index("method")["mAP"] for path in (folder / "results/ava_table.csv", TABLE))
    assert mine[METHOD] == demo[METHOD]
