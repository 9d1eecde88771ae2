"""GPUs are leased by real processes; the GPUs are pretended: names in CUDA_VISIBLE_DEVICES that nothing computes on."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from argparse import Namespace
from pathlib import Path

import pytest

from tests.helpers.events import wait_until
from tests.helpers.paths import ROOT
from tests.helpers.small_run import small_run
from tests.helpers.users import UNPRIVILEGED
from trainer import cli
from trainer.distributed import gpu_lease
from trainer.utils.errors import InputError
from trainer.utils.locks import log_while_waiting

pytestmark = pytest.mark.timeout(120)  # a deadlock is a failure, not a wait

# A job that holds its GPUs until a line comes, and says from when to when, by the clock all processes share.
JOB = """
import json, os, sys, time
from trainer.distributed import gpu_lease
print("starting", flush=True)
with gpu_lease.lease(int(sys.argv[1])) as mine:
    print(json.dumps({"gpus": mine, "start": time.monotonic()}), flush=True)
    sys.stdin.readline()
    print(json.dumps({"end": time.monotonic()}), flush=True)
"""


JOBS = []  # started by a test


@pytest.fixture
def four_gpus(tmp_path, monkeypatch):
    """Pretend four GPUs that nobody holds, for this process and its children; return the folder of their locks."""
    for name in gpu_lease.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("VSSL_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("VSSL_GPU_LEASE", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield tmp_path / "locks"
    while JOBS:  # of a test that failed; the others are over
        JOBS.pop().kill()


def start(count, program=JOB, hold=True):
    """Start a job that leases GPUs, and without ``hold`` returns them at once; return it when it is about to lease."""
    command, stdin = [sys.executable, "-c", program, str(count)], subprocess.PIPE if hold else subprocess.DEVNULL
    job = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
    JOBS.append(job)
    assert job.stdout.readline() == "starting\n"
    return job


def said(job):
    """Return the next thing that the job says of its GPUs, once it does."""
    return json.loads(job.stdout.readline())


def release(job):
    """Let the job end; return when that was."""
    if job.stdin:
        job.stdin.close()
    end = said(job)
    assert job.wait() == 0
    return end


def is_locked(path):
    """Return whether another process holds the lock exclusively."""
    with path.open("r+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def assert_nobody_shares(leases):
    for i, one in enumerate(leases):
        for other in leases[:i]:
            apart = one["end"] <= other["start"] or other["end"] <= one["start"]
            assert apart or not set(one["gpus"]) & set(other["gpus"]), (one, other)


def test_each_gpu_has_one_job_and_many_small_ones_do_not_starve_a_large_one(four_gpus):
    early = [start(1) for _ in range(3)]
    leases = [said(job) for job in early]
    large = start(4)
    wait_until(lambda: is_locked(four_gpus / "queue"))
    late = [start(1) for _ in range(3)]
    ends = [release(job) for job in early]
    leases.append(said(large))
    ends.append(release(large))
    leases += [said(job) for job in late]
    ends += [release(job) for job in late]
    assert_nobody_shares([lease | end for lease, end in zip(leases, ends, strict=True)])
    assert leases[3]["gpus"] == ["0", "1", "2", "3"]
    assert all(leases[3]["start"] < lease["start"] for lease in leases[4:])


def test_large_jobs_do_not_wait_for_each_other(four_gpus):
    early = [start(1) for _ in range(4)]
    leases = [said(job) for job in early]
    large = [start(4, hold=False) for _ in range(3)]
    ends = []
    for job, lease in zip(early, leases, strict=True):
        ends.append(release(job))
        # They look for free GPUs in turns: without a queue, each would get one or two of the four it wants.
        if job is not early[-1]:
            wait_until(lambda gpu=lease["gpus"][0]: is_locked(four_gpus / f"gpu-{gpu}"))
    leases += [said(job) for job in large]
    ends += [release(job) for job in large]
    assert_nobody_shares([lease | end for lease, end in zip(leases, ends, strict=True)])


def test_a_killed_job_frees_its_gpus_at_once_though_a_data_loader_outlives_it(four_gpus):
    fork = "pid = os.fork() or time.sleep(600); print(pid, flush=True); sys.stdin.readline()"
    killed = start(4, JOB.replace("sys.stdin.readline()", fork))
    said(killed)
    loader = said(killed)
    waiting = start(4, hold=False)
    wait_until(lambda: is_locked(four_gpus / "queue"))
    killed.kill()
    said(waiting)
    os.kill(loader, 0)  # is alive
    os.kill(loader, signal.SIGKILL)
    release(waiting)
    killed.wait()


def test_an_orphan_rank_keeps_the_gpus_of_its_killed_launcher(four_gpus):
    rank = "import time; from trainer.distributed.gpu_lease import share_lease; share_lease(); print('{}', flush=True)"
    run_rank = f"print(subprocess.Popen([sys.executable, '-c', {rank + '; time.sleep(600)'!r}]).pid, flush=True)"
    program = JOB.replace("import json", "import subprocess, json").replace("    sys.", f"    {run_rank}; sys.")
    launcher = start(2, program)
    taken = said(launcher)["gpus"]
    orphan = said(launcher)
    assert said(launcher) == {}  # the rank holds them
    launcher.kill()
    launcher.wait()
    other = start(2, hold=False)
    assert not set(said(other)["gpus"]) & set(taken)
    release(other)
    all_four = start(4, hold=False)
    free = set(os.environ["CUDA_VISIBLE_DEVICES"].split(",")) - set(taken)
    wait_until(lambda: all(is_locked(four_gpus / f"gpu-{gpu}") for gpu in free))  # it collects
    killed = time.monotonic()
    os.kill(orphan, signal.SIGKILL)
    assert said(all_four)["start"] > killed
    release(all_four)


@pytest.mark.long
def test_two_workflows_on_one_machine(four_gpus, tmp_path):
    (tmp_path / "job.py").write_text(JOB.replace("sys.stdin.readline()", "time.sleep(0.5)"))  # it computes
    (tmp_path / "Snakefile").write_text(
        textwrap.dedent(f"""
        rule all:
            input: expand("{{job}}.json", job=range(2))
        rule train:
            output: "{{job}}.json"
            resources: gpu=2
            shell: "{sys.executable} {tmp_path}/job.py 2 > {{output}}"
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
    assert_nobody_shares([json.loads(first) | json.loads(last) for _, first, last in texts])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_can_lock_the_same_files(four_gpus, monkeypatch):
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setenv("VSSL_GPU_LOCKS", f"{directory}/locks")
        with gpu_lease.lease(2):
            pass
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            with gpu_lease.lease(4) as mine:
                os._exit(len(mine))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4


def odd_locks(kind, folder):
    """Make a folder of locks that cannot be used; return what must be put before a command that shall find it so."""
    if kind == "file for a folder":
        folder.touch()
    elif kind == "dangling link for a folder":
        folder.symlink_to("nowhere")
    else:
        folder.mkdir()
    queue = folder / "queue"
    if kind == "dangling link":
        queue.symlink_to("nowhere")
    elif kind == "link to itself":
        queue.symlink_to("queue")
    elif kind == "folder for a file":
        queue.mkdir()
    elif kind == "file of another user":
        queue.touch(0o600)
    elif kind == "GPU's file of another user":
        (folder / "gpu-0").touch(0o600)
    for path in (folder, *folder.glob("*")) if "of another user" in kind else ():
        path.chmod(path.stat().st_mode & 0o555)


OWN = ["file for a folder", "dangling link for a folder", "dangling link", "link to itself", "folder for a file"]
OTHERS = ["folder of another user", "file of another user", "GPU's file of another user"]


@pytest.mark.parametrize("kind", [*OWN, *OTHERS])
def test_locks_that_cannot_be_used_are_named(four_gpus, kind):
    odd_locks(kind, four_gpus)
    program = (
        "from trainer.utils.errors import exit_on_input_error\nfrom trainer.distributed import gpu_lease\n"
        "with exit_on_input_error(), gpu_lease.lease(4): pass"
    )
    command = [*(UNPRIVILEGED if kind in OTHERS else ()), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert re.fullmatch(rf"error: {four_gpus}/[^:]*: .*expected .* Set VSSL_GPU_LOCKS to .*\n", done.stderr)


def test_a_file_system_without_locks_is_named(four_gpus, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(gpu_lease.fcntl, "lockf", no_locks)
    with (
        pytest.raises(InputError, match=r"locks/queue: No locks available; expected .*VSSL_GPU_LOCKS"),
        gpu_lease.lease(1),
    ):
        pass
    monkeypatch.setenv("VSSL_GPU_LEASE", str(four_gpus / "gpu-0"))
    with pytest.raises(InputError, match=r"locks/gpu-0: No locks available; expected .*VSSL_GPU_LOCKS"):
        gpu_lease.share_lease()


def test_only_gpus_that_the_scheduler_assigned_are_used(four_gpus, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-8f3c")
    with gpu_lease.lease(2) as mine:
        assert mine == ["2", "GPU-8f3c"]
        # a job of another cgroup calls another GPU by the same name: not to be waited for
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        job = start(2, hold=False)
        assert said(job)["gpus"] == mine
        release(job)
    with pytest.raises(InputError, match="expected 3 GPUs, 2 can be used"), gpu_lease.lease(3):
        pass
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(InputError, match=r"assigned no GPU.*SLURM_JOB_ID=18.*device: cpu"):
        gpu_lease.visible()


def test_several_mig_instances_are_refused(four_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-8f3c,MIG-9a1d")
    with pytest.raises(InputError, match=r"several MIG instances; give --gpus 1, .*gpu=1"), gpu_lease.lease(2):
        pass
    with gpu_lease.lease(1) as mine:
        assert mine == ["MIG-8f3c"]


@pytest.mark.parametrize(("given", "used"), [(1, 1), (2, 2), (3, 2), (4, 4)])
def test_gpus_that_do_not_divide_the_micro_batches_stay_free(four_gpus, tmp_path, given, used):
    path = small_run(tmp_path, "charades", machine={"device": "cuda", "world_size": 4}, micro_batches=4)
    run, _ = cli.read_run(Namespace(config=path, gpus=given))
    with gpu_lease.lease(run.machine.world_size) as mine:
        assert len(mine) == used


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles", "-1,0", "none", "0,1,0", "GPU-8f3c,GPU-8f3c"])
def test_hidden_gpus_are_reported(four_gpus, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    message = rf"^CUDA_VISIBLE_DEVICES \('{hidden}'\) hides all GPUs; set `machine: device: cpu`"
    with pytest.raises(InputError, match=message):
        gpu_lease.visible()


def test_a_machine_without_gpus_is_reported(four_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(gpu_lease, "_count", lambda: 0)
    with pytest.raises(InputError, match="sees no GPU"):
        gpu_lease.visible()


def test_waiting_is_logged(caplog):
    caplog.set_level("INFO")
    with log_while_waiting("waiting"):
        wait_until(lambda: caplog.records)
    with log_while_waiting("no wait"):
        pass
    assert [record.message for record in caplog.records] == ["waiting"]
