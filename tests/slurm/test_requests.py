"""What jobs request of a real SLURM, in the ways of several clusters. A stand-in for the trainer tells what it got."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.helpers.generic_executor import train
from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.slurm import slurm
from tests.helpers.stand_in_trainer import RUN, TRAINER, write_run

PREEMPTED = """
import subprocess, time
from pathlib import Path
if not Path("tried").exists():
    Path("tried").touch()
    subprocess.run(["sbatch", "--partition=urgent", "--gpus=4", "--output=/dev/null", "--wrap=true"], check=True)
    time.sleep(300)  # until it is preempted
"""
PREDICTOR = """
import json, os, sys
from pathlib import Path
run = Path(sys.argv[2].removeprefix("--config=")).parent
if not (run / "tried").exists():
    (run / "tried").touch()
    sys.exit(1)
(run / "predictions.npz").write_text(json.dumps({"arguments": sys.argv[3:], **os.environ}))
"""


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),  # one at a time waits for SLURM, beside the long test of test_slurm.py
    pytest.mark.skipif(
        not shutil.which("sinfo") or "fragile" not in slurm("sinfo", "--noheader", "--format=%P"),
        reason="no SLURM of tests/slurm/setup.sh runs here",
    ),
]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with settings, prepared lists and stand-ins for training and prediction."""
    write_run(tmp_path)
    (tmp_path / "trainer/evaluate.py").write_text(PREDICTOR)
    return tmp_path


def make(folder, file="model.pth", site=None, finetune=None, limits=(), retries=0):
    """Make a file of the run with the profile for SLURM; return status, output and the environment of the job's step.

    ``site``: default resources in a site's own profile; ``finetune``: resources that a user sets for the rule.
    """
    for name, content in {
        "site": {"default-resources": site or {}},
        "own": (ROOT / "workflow/profiles/slurm/profile.yaml").read_text(),
    }.items():
        (folder / name).mkdir()
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        for quick in (
            ("status-checks: 60", "status-checks: 2"),
            ("wait: 60", "wait: 5"),
            ("retries: 5", f"retries: {retries}"),
        ):
            text = text.replace(*quick)
        if name == "own" and finetune:
            text += yaml.safe_dump({"set-resources": {"finetune": finetune}})
        (folder / name / "profile.yaml").write_text(text)
    profiles = ["--profile", str(folder / "site"), "--workflow-profile", str(folder / "own")]
    settings = ["--configfile", "settings.yaml", "-s", str(ROOT / "workflow/Snakefile")]
    command = [SNAKEMAKE, f"{RUN}/{file}", *profiles, *settings, *limits]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    made = folder / RUN / file
    return done.returncode, done.stdout + done.stderr, yaml.safe_load(made.read_text()) if made.exists() else {}


def job(step):
    """Return SLURM's record of a step's job."""
    return dict(re.findall(r"(\S+?)=(\S*)", slurm("scontrol", "show", "job", step["SLURM_JOB_ID"])))


def test_a_sites_profile_survives_and_cpus_and_memory_follow_the_granted_gpus(folder):
    for name in ("sacctmgr", "sshare"):  # there is no accounting that would know the account
        (folder / name).write_text("#!/bin/sh\necho my-account\n")
        (folder / name).chmod(0o755)
    site = {"slurm_account": "my-account", "slurm_partition": "urgent"}
    status, output, step = make(folder, site=site, limits=["--resources", "gpu=1"])
    assert status == 0, output
    record = job(step)
    assert (record["Account"], record["Partition"]) == ("my-account", "urgent")
    assert record["TimeLimit"] == "1-00:00:00"
    assert (record["CPUs/Task"], record["MinMemoryNode"]) in (("5", "32000M"), ("5", "31.25G"))
    assert step["CUDA_VISIBLE_DEVICES"] == "0"
    assert step["arguments"] == ["--gpus", "1"]


def test_a_cluster_that_wants_gres_gives_the_step_all_cpus(folder):
    status, output, step = make(folder, finetune={"gpu": 0, "gres": "gpu:2"})
    assert status == 0, output
    record = job(step)
    assert record["TresPerNode"] == "gres:gpu:2"
    assert (step["SLURM_CPUS_PER_TASK"], record["MinMemoryNode"]) == ("10", "62.50G")
    assert step["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_prediction_which_cannot_resume_gets_more_time_when_tried_again(folder):
    status, output, step = make(folder, "predictions.npz", retries=1)
    assert status == 0, output
    assert job(step)["TimeLimit"] == "08:00:00"


def test_a_partition_that_cancels_preempted_jobs_is_refused(folder):
    status, output, step = make(folder, finetune={"slurm_partition": "fragile"})
    assert status == 1 and not step
    assert "partition fragile: SLURM cancels its preempted jobs (PreemptMode=CANCEL)" in output


def test_the_generic_profile_survives_preemption_by_cancel(folder):
    (folder / "trainer/train.py").write_text(PREEMPTED + TRAINER)
    output = train(folder, "SLURM", f"{RUN}/model.pth", **{"my-partition": "fragile"})
    first, again = re.findall(r"Submitted job 0 with external jobid '(\d+)'", output)
    assert "JobState=PREEMPTED" in slurm("scontrol", "show", "job", first)
    step = yaml.safe_load((folder / RUN / "model.pth").read_text())
    assert (step["SLURM_JOB_ID"], step["SLURM_JOB_PARTITION"], step["SLURM_CPUS_PER_TASK"]) == (again, "fragile", "10")
    assert (step["arguments"], step["CUDA_VISIBLE_DEVICES"]) == (["--gpus", "2"], "0,1")
