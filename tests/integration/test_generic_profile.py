"""The profile for other schedulers, with Snakemake's generic executor and stand-ins for the commands of PBS and LSF."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.stand_in_trainer import RUN, TRAINER, write_run

UV = str(Path(sys.executable).with_name("uv"))
PROFILE = ROOT / "workflow/profiles/generic/profile.yaml"

# Starts the script, its last argument, in a session of its own, whose end it notes; the text is what it prints.
SUBMIT = """#!/bin/sh
for script; do :; done
job=$(ls jobs | grep -c words)
echo "$*" >jobs/$job.words
JOB=$job setsid sh -c 'echo $$ >jobs/$JOB.pid; sh "$0"; echo $? >jobs/$JOB.code' "$script" >jobs/$job.out 2>&1 &
echo "%s"
"""
QSTAT = """#!/bin/sh
[ "$1 $2" = "-x -f" ] || exit 1
job=${3%.server}
echo "Job Id: $3"
[ -e jobs/$job.code ] || { echo "    job_state = R"; exit; }
echo "    job_state = F"
echo "    Exit_status = $(cat jobs/$job.code)"
"""
BJOBS = """#!/bin/sh
[ "$1 $2 $3" = "-noheader -o stat" ] || exit 1
case $(cat jobs/$4.code 2>/dev/null) in 0) echo DONE;; "") echo RUN;; *) echo EXIT;; esac
"""
SCHEDULERS = {
    "PBS": ({"qsub": SUBMIT % "$job.server", "qstat": QSTAT}, ["walltime=86400", "ncpus=10:mem=64000mb:ngpus=2"]),
    "LSF": (
        {"bsub": SUBMIT % "Job <$job> is submitted to queue <q7>.", "bjobs": BJOBS},
        ["-W 1440 -n 10", "rusage[mem=64000MB]", "-gpu num=2"],
    ),
}
# The first job is killed as at its time limit, whole and without a trace but in the scheduler's records.
KILLED = """
import os, signal
job = os.environ["JOB"]
if job == "0":
    open("jobs/0.code", "w").write("271")
    os.killpg(int(open("jobs/0.pid").read()), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_that_the_scheduler_kills_is_submitted_again(tmp_path, scheduler):
    install = ["pip", "install", "-q", "--no-deps", "--target", tmp_path / "packages"]
    done = subprocess.run([UV, *install, "snakemake-executor-plugin-cluster-generic"], check=False)
    if done.returncode:
        pytest.skip("no package index with the generic executor")
    write_run(tmp_path, KILLED + TRAINER)
    text = PROFILE.read_text().replace("latency-wait: 60", "latency-wait: 5")
    if scheduler == "LSF":  # of equal keys, the last one counts
        [block] = re.findall(r"^# LSF:\n((?:# .*\n)+)", text, re.MULTILINE)
        text += re.sub("^# ", "", block, flags=re.MULTILINE)
    programs, requested = SCHEDULERS[scheduler]
    for name, content in {
        "profile/profile.yaml": text,
        **{f"bin/{name}": text for name, text in programs.items()},
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "jobs").mkdir()
    found = {"PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{tmp_path}/packages"}
    command = [SNAKEMAKE, f"{RUN}/model.pth", "-s", ROOT / "workflow/Snakefile", "--configfile", "settings.yaml"]
    command += ["--workflow-profile", "profile", "--seconds-between-status-checks", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | found, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trying to restart job" in done.stdout + done.stderr
    assert json.loads((tmp_path / RUN / "model.pth").read_text())["arguments"] == ["--gpus", "2"]
    first, again = ((tmp_path / f"jobs/{job}.words").read_text() for job in (0, 1))
    assert all(words in first for words in requested)
    assert again.rpartition(" ")[0] == first.rpartition(" ")[0]
