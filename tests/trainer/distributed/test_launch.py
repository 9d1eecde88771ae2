"""Two ranks on the CPU: they meet, one fails, the run is ended, the launcher is killed."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.events import wait_until
from tests.helpers.paths import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]  # a rank that is not ended sleeps for longer

RANK = """
import os, signal, sys, time
import torch
from trainer.distributed import gpu_lease, launch

what = sys.argv[1]
if not launch.is_rank():
    with gpu_lease.lease(2):
        launch.run_ranks(2, [__file__, what])
    sys.exit()
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"saved\\n"), sys.exit()))  # print may be at work already
launch.bind_to_launcher()
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
total = torch.tensor([rank + 1])
torch.distributed.all_reduce(total)
print(f"rank {rank}, {total.item()}, {os.getpid()}\\n", end="", flush=True)
if what == "fail" and rank == 1:
    raise ValueError("rank one's error")
if what != "end":
    time.sleep(1000)
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def launch(tmp_path):
    (tmp_path / "rank.py").write_text(RANK)
    pretended = {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "VSSL_GPU_LOCKS": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def start(what):
        return subprocess.Popen(
            [sys.executable, tmp_path / "rank.py", what],
            env=os.environ | pretended | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def ranks(job):
    """Wait until both ranks have met; return their process ids."""
    return [int(job.stdout.readline().split(", ")[-1]) for _ in range(2)]


def test_ranks_meet_and_two_jobs_do_not_clash(launch):
    jobs = [launch("end"), launch("end")]
    for job in jobs:
        out, _ = job.communicate()
        assert job.returncode == 0
        assert sorted(line.rsplit(", ", 1)[0] for line in out.splitlines()) == ["rank 0, 3", "rank 1, 3"]


def test_a_failing_rank_ends_the_job_with_its_error(launch):
    job = launch("fail")
    _, log = job.communicate()  # rank 0 would sleep
    assert job.returncode == 1
    assert "ValueError: rank one's error" in log
    # 1, or by a signal where the dying process group aborts
    assert re.match(r"error: rank 1 (ended with status 1|was killed by \w+); the log above", log.splitlines()[-1])


def test_sigterm_lets_the_ranks_save(launch):
    job = launch("sleep")
    ranks(job)
    job.send_signal(signal.SIGTERM)
    out, _ = job.communicate()
    assert out.split() == ["saved", "saved"]
    assert job.returncode == 128 + signal.SIGTERM


def test_ranks_do_not_outlive_a_killed_launcher(launch):
    job = launch("sleep")
    pids = ranks(job)
    job.kill()
    job.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
