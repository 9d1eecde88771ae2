"""The profile for other schedulers, with Snakemake's generic executor and stand-ins for the schedulers' commands."""

import json

import pytest

from tests.helpers.generic_executor import command, train
from tests.helpers.stand_in_trainer import RUN, TRAINER, write_run

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


# What the schedulers' commands say of a job that is submitted, runs, is done, failed, or is not known any more.
SAY = """#!/bin/sh
%s
"""
SUBMITTED = {
    "PBS": ("qsub", "echo 7.server", "7.server"),
    "LSF": ("bsub", "echo 'Job <7> is submitted to queue <q7>.'", "7"),
    "SLURM": ("sbatch", """case "$*" in *--nodes=1*) echo 7;; esac""", "7"),
}
STATES = {
    "PBS": (
        "qstat",
        {
            "running": "echo '    job_state = R'",
            "success": "echo '    job_state = F'; echo '    Exit_status = 0'",
            "failed": "echo '    job_state = F'; echo '    Exit_status = 271'",
        },
        "echo 'qstat: Unknown Job Id 7.server' >&2; exit 153",
    ),
    "LSF": (
        "bjobs",
        {"running": "echo PEND", "success": "echo DONE", "failed": "echo EXIT"},
        "echo 'Job <7> is not found' >&2; exit 255",
    ),
    "SLURM": (
        "scontrol",
        {
            "running": "echo '   JobState=PENDING Reason=None'",
            "success": "echo '   JobState=COMPLETED Reason=None'",
            "failed": "echo '   JobState=PREEMPTED Reason=None'",
        },
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
    ),
}


def write_programs(folder, programs):
    """Write programs, by name, that the profile's commands find first."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, content in programs.items():
        (folder / "bin" / name).write_text(content)
        (folder / "bin" / name).chmod(0o755)


@pytest.mark.parametrize("scheduler", SUBMITTED)
def test_a_refused_job_is_not_taken_for_a_submitted_one(tmp_path, scheduler):
    program, says, job = SUBMITTED[scheduler]
    write_programs(tmp_path, {program: SAY % says})
    assert command(tmp_path, scheduler, "submit", "script") == (0, job)
    write_programs(tmp_path, {program: SAY % "echo 'the queue is closed' >&2; exit 255"})
    assert command(tmp_path, scheduler, "submit", "script") == (255, "")


@pytest.mark.parametrize("scheduler", STATES)
def test_the_state_of_a_job(tmp_path, scheduler):
    program, states, unknown = STATES[scheduler]
    unanswered = "echo 'cannot connect to the server' >&2; exit 1"
    for state, says in [*states.items(), ("failed", unknown), ("running", unanswered)]:
        write_programs(tmp_path, {program: SAY % says})
        assert command(tmp_path, scheduler, "status", "7") == (0, state), says


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_that_the_scheduler_kills_is_submitted_again(tmp_path, scheduler):
    write_run(tmp_path, KILLED + TRAINER)
    programs, requested = SCHEDULERS[scheduler]
    (tmp_path / "jobs").mkdir()
    write_programs(tmp_path, programs)
    assert "Trying to restart job" in train(tmp_path, scheduler, f"{RUN}/model.pth")
    assert json.loads((tmp_path / RUN / "model.pth").read_text())["arguments"] == ["--gpus", "2"]
    first, again = ((tmp_path / f"jobs/{job}.words").read_text() for job in (0, 1))
    assert all(words in first for words in requested)
    assert again.rpartition(" ")[0] == first.rpartition(" ")[0]
