"""A part of the demo through a real SLURM: its training is interrupted in three ways, and its table is the demo's."""

import os
import re
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.checkout import checkout, finish, snakemake
from tests.helpers.paths import MIRROR, ROOT
from tests.helpers.slurm import slurm

METHOD = "scratch"
MISSING = ["-NightShop4", "DanceHall_2"]
TABLE = "results/demo/ava_table.csv"


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not shutil.which("sinfo") or "idle" not in slurm("sinfo", "--noheader", "--partition=normal"),
        reason="no SLURM of tests/slurm/setup.sh runs here",
    ),
    pytest.mark.skipif(not ((ROOT / TABLE).exists() and MIRROR.exists()), reason="no demo; run `make demo` first"),
]


def works_in(folder, pid):
    """Return whether a process, which may end at any moment, has this working directory."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except FileNotFoundError:
        return False


def link_data(folder, without):
    """Link the demo's annotations, films, cuts and frames into a checkout, except those of the films ``without``."""
    for kind in ("annotations", "films", "cuts_*", "frames_*"):  # in order: Snakemake compares times
        for path in sorted((ROOT / "data/demo/ava").glob(f"{kind}/**/*")):
            if path.is_file() and path.stem not in without:
                link = folder / path.relative_to(ROOT)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


@contextmanager
def workflow(folder, target, without=()):
    """Start AVA with one method on the cluster, with GPUs that are assigned but not used."""
    folder = checkout(folder / "checkout", datasets=["ava"], methods=[METHOD])
    link_data(folder, without)
    path = folder / "workflow/profiles/slurm/profile.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"] = {"finetune": {"gpu": 1, "runtime": 1}, "predict": {"gpu": 1}}
    profile |= {"slurm-init-seconds-before-status-checks": 5, "latency-wait": 5}
    path.write_text(yaml.safe_dump(profile))
    running = snakemake(folder, "--workflow-profile", path.parent, target)
    try:
        yield folder, running
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()


def wait_for(what, folder, workflow, seconds=200):
    """Return the first true answer of ``what()`` while the workflow is running."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert workflow.poll() is None and time.monotonic() < deadline, (folder / "output").read_text()
        time.sleep(0.2)
    return answer


def jobs_of(folder):
    """Return the numbers of the running jobs that a checkout has submitted."""
    listed = slurm("squeue", "--noheader", "--states=running", "--format=%i %Z").splitlines()
    return [job for job, place in (line.split() for line in listed) if place == str(folder)]


@pytest.mark.xdist_group("slurm")
def test_films_are_prepared_in_a_job_each(tmp_path):
    with workflow(tmp_path, "results/demo/lists/ava_frames.csv", without=MISSING) as (folder, running):
        out = finish(folder, running)
    for action in ("Download", "Cut", "Extract the frames of"):
        assert len(re.findall(rf"Job \d+: {action} .*({'|'.join(MISSING)})", out)) == len(MISSING), out
    submitted = re.findall(r"Job (\S+) has been submitted with SLURM jobid", out)
    groups = [job for job in submitted if not job.isdigit()]
    assert len(groups) == len(MISSING), out  # a film is cut and extracted in one job
    for name in ("frames", "train", "val"):
        path = f"results/demo/lists/ava_{name}.csv"
        assert (folder / path).read_text() == (ROOT / path).read_text()


def test_training_resumes_after_a_canceled_a_timed_out_and_a_preempted_job(tmp_path):
    with workflow(tmp_path, TABLE) as (folder, running):
        disturb(folder, running)
        finish(folder, running)
    log = folder / f"results/demo/logs/finetune/ava/{METHOD}/seed0.log"
    assert "resuming after" in log.read_text()
    mine, demo = (pd.read_csv(path).set_index("method")["mAP"] for path in (folder / TABLE, ROOT / TABLE))
    assert mine[METHOD] == demo[METHOD]


def disturb(folder, running):
    """Cancel the job that trains, then let it time out, then preempt it."""
    log = folder / f"results/demo/logs/finetune/ava/{METHOD}/seed0.log"

    def training(message):
        """Return the number of the job that trains, and the trainer's process, once its log has ``message``."""

        def look():
            found = slurm("pgrep", "--full", "^python -m trainer.train").split()
            mine = [int(pid) for pid in found if works_in(folder, pid)]
            job = jobs_of(folder)
            return (job[0], mine[0]) if mine and job and message in log.read_text() else None

        return wait_for(look, folder, running)

    def wait_for_word(job, word):
        wait_for(lambda: word in slurm("scontrol", "show", "job", job), folder, running)

    canceled, _ = training("epoch 1")
    given = slurm("scontrol", "show", "job", canceled)
    assert "TresPerJob=gres:gpu:1" in given
    assert "CPUs/Task=2" in given
    assert "NumNodes=1 " in given
    slurm("scancel", canceled)
    wait_for_word(canceled, "JobState=CANCELLED")

    timed_out, trainer = training("resuming after")
    os.kill(trainer, signal.SIGSTOP)  # so that its minute ends first; SLURM wakes it to end it
    wait_for_word(timed_out, "JobState=TIMEOUT")

    preempted, trainer = training("resuming after")
    os.kill(trainer, signal.SIGSTOP)  # so that it is preempted first
    slurm("sbatch", "--partition=urgent", "--gres=gpu:4", "--output=/dev/null", "--wrap=sleep 1")
    wait_for_word(preempted, "Restarts=1")
    assert len({canceled, timed_out, preempted}) == 3
