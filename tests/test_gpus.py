"""GPUs are leased by real processes; the GPUs are pretended: names in CUDA_VISIBLE_DEVICES that nothing computes on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from tests.small_run import small_run
from trainer import command, gpus
from trainer.errors import InputError
from trainer.locks import told_each_minute

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(60)  # a deadlock is a failure, not a wait

# A job that holds its GPUs for some seconds and says from when to when, by the clock all processes share.
JOB = """
import json, os, sys, time
from trainer import gpus
with gpus.lease(int(sys.argv[1])) as mine:
    print(json.dumps({"gpus": mine, "start": time.monotonic()}), flush=True)
    time.sleep(float(sys.argv[2]))
    print(json.dumps({"end": time.monotonic()}), flush=True)
"""


@pytest.fixture
def four_gpus(tmp_path, monkeypatch):
    """Four pretended GPUs that nobody holds, for this process and its children."""
    for name in gpus.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("VSSL_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("VSSL_GPU_LEASE", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def start(count, seconds, program=JOB):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(count), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def held(job):
    """Wait for the next thing that the job says of its GPUs."""
    return json.loads(job.stdout.readline())


def nobody_shares(leases):
    for i, one in enumerate(leases):
        for other in leases[:i]:
            apart = one["end"] <= other["start"] or other["end"] <= one["start"]
            assert apart or not set(one["gpus"]) & set(other["gpus"]), (one, other)


def test_each_gpu_has_one_job_and_many_small_ones_do_not_starve_a_large_one(four_gpus):
    early = [start(1, 1.0) for _ in range(3)]
    leases = [held(job) for job in early]
    large = start(4, 0.5)
    time.sleep(0.6)  # it queues now
    late = [start(1, 0.5) for _ in range(3)]
    leases += [held(job) for job in [large, *late]]
    jobs = [*early, large, *late]
    nobody_shares([lease | held(job) for lease, job in zip(leases, jobs, strict=True)])
    assert all(job.wait() == 0 for job in jobs)
    assert leases[3]["gpus"] == ["0", "1", "2", "3"]
    assert all(leases[3]["start"] < lease["start"] for lease in leases[4:])


def test_large_jobs_do_not_wait_for_each_other(four_gpus):
    early = [start(1, 0.6 + i * gpus.POLL_SECONDS / 3) for i in range(4)]
    leases = [held(job) for job in early]
    large = []
    for _ in range(3):  # they look for free GPUs in turns: each would get one or two of the four it wants
        time.sleep(gpus.POLL_SECONDS / 3)
        large.append(start(4, 0))
    leases += [held(job) for job in large]
    jobs = [*early, *large]
    nobody_shares([lease | held(job) for lease, job in zip(leases, jobs, strict=True)])
    assert all(job.wait() == 0 for job in jobs)


def test_a_killed_job_frees_its_gpus_at_once_though_a_data_loader_outlives_it(four_gpus):
    with_loader = JOB.replace("time.sleep", "os.fork() or (time.sleep(3), os._exit(0)); time.sleep", 1)
    killed = start(4, 60, with_loader)
    held(killed)
    waiting = start(4, 0)
    time.sleep(0.5)
    killed.kill()
    asked = time.monotonic()
    assert held(waiting)["start"] - asked < 2 * gpus.POLL_SECONDS + 0.5
    assert waiting.wait() == 0


def test_an_orphan_rank_keeps_the_gpus_of_its_killed_launcher(four_gpus):
    rank = "import sys, time; from trainer import gpus; gpus.hold(); print('{}', flush=True); time.sleep(60)"
    program = f"import subprocess; {JOB}".replace(
        "    time.sleep(float(sys.argv[2]))",
        f"    print(subprocess.Popen([sys.executable, '-c', {rank!r}]).pid, flush=True); time.sleep(60)",
    )
    launcher = start(2, 0, program)
    taken = held(launcher)["gpus"]
    orphan = int(launcher.stdout.readline())
    assert held(launcher) == {}  # the rank's word that it holds them
    launcher.kill()
    launcher.wait()
    other = start(2, 0)
    assert not set(held(other)["gpus"]) & set(taken)
    all_four = start(4, 0)
    time.sleep(1)
    killed = time.monotonic()
    os.kill(orphan, signal.SIGKILL)
    assert held(all_four)["start"] > killed
    assert other.wait() == all_four.wait() == 0


def test_two_workflows_on_one_machine(four_gpus, tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "Snakefile").write_text(
        textwrap.dedent(f"""
        rule all:
            input: expand("{{job}}.json", job=range(2))
        rule train:
            output: "{{job}}.json"
            resources: gpu=2
            shell: "{sys.executable} {tmp_path}/job.py 2 0.5 > {{output}}"
        """)
    )
    command = [sys.executable, "-m", "snakemake", "--cores=4", "--resources=gpu=4", "--quiet=all"]
    workflows = []
    for user in ("ann", "bob"):
        arguments = [f"--snakefile={tmp_path}/Snakefile", f"--directory={tmp_path}/{user}"]
        workflows.append(subprocess.Popen([*command, *arguments], cwd=tmp_path))
    assert [workflow.wait() for workflow in workflows] == [0, 0]
    texts = [path.read_text().splitlines() for path in tmp_path.glob("*/?.json")]
    assert len(texts) == 4
    nobody_shares([json.loads(first) | json.loads(last) for first, last in texts])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_can_lock_the_same_files(four_gpus, monkeypatch):
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setenv("VSSL_GPU_LOCKS", f"{directory}/locks")
        with gpus.lease(2):
            pass
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            with gpus.lease(4) as mine:
                os._exit(len(mine))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4


def test_only_what_the_scheduler_gave_is_used(four_gpus, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-8f3c")
    with gpus.lease(2) as mine:
        assert mine == ["2", "GPU-8f3c"]
        # a job of another cgroup calls another GPU by the same name: not to be waited for
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        job = start(2, 0)
        assert held(job)["gpus"] == mine
        assert job.wait() == 0
    with pytest.raises(InputError, match="3 GPUs are asked for, 2 can be used"), gpus.lease(3):
        pass
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(InputError, match=r"SLURM_JOB_ID=18.* no GPU.*device: cpu"):
        gpus.visible()


@pytest.mark.parametrize(("given", "used"), [(1, 1), (2, 2), (3, 2), (4, 4)])
def test_gpus_that_do_not_divide_the_shares_stay_free(four_gpus, tmp_path, monkeypatch, given, used):
    path = small_run(tmp_path, "charades", machine={"device": "cuda", "ranks": 4}, shares=4)
    monkeypatch.setattr(sys, "argv", ["train", "--config", str(path), "--gpus", str(given)])
    _, run, _folder = command.parse("train")
    with gpus.lease(run.machine.ranks) as mine:
        assert len(mine) == used


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_are_said_plainly(four_gpus, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with pytest.raises(InputError, match="hides all GPUs; set `machine: device: cpu`"):
        gpus.visible()


def test_a_machine_without_gpus_is_said_plainly(four_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpus, "_count", lambda: 0)
    with pytest.raises(InputError, match="sees no GPU"):
        gpus.visible()


def test_waiting_is_said(caplog):
    caplog.set_level("INFO")
    with told_each_minute("waiting"):
        time.sleep(1.2)
    with told_each_minute("no wait"):
        pass
    assert [record.message for record in caplog.records] == ["waiting"]
