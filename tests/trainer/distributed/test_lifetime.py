"""How one process ends; tests/integration/test_lifetime.py disturbs whole runs."""

import gc
import multiprocessing
import os
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader

from trainer.distributed.lifetime import start_worker

STALLED = """
import multiprocessing, signal, time
from trainer.distributed.lifetime import process_life, start_watchdog

def worker_died(*_):
    raise RuntimeError("DataLoader worker is killed by signal: Killed.")

if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, worker_died)  # as PyTorch does
    with process_life():
        for _ in range(8):
            multiprocessing.Process(target=time.sleep, args=(60,)).start()
        start_watchdog(0.001)
        time.sleep(60)
"""


def test_a_stalled_process_reports_the_stall_not_the_death_of_its_workers(tmp_path):
    script = tmp_path / "stalled.py"
    script.write_text(STALLED)
    command = [sys.executable, script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env={"PYTHONPATH": "."})
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: no step or batch within 0.001 minutes"), ended.stderr


class Garbage:
    """An object in a reference cycle, which writes a file if another process than its maker frees it."""

    def __init__(self, path):
        self.cycle, self.path, self.maker = self, path, os.getpid()

    def __del__(self):
        if os.getpid() != self.maker:
            self.path.touch()


class Collecting:
    """A dataset whose items let the garbage collector run."""

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return gc.collect()


def test_a_worker_does_not_free_what_it_inherits(tmp_path):
    gc.collect()
    gc.disable()
    try:
        Garbage(tmp_path / "freed")
        list(DataLoader(Collecting(), num_workers=1, worker_init_fn=start_worker))
    finally:
        gc.enable()
    assert not (tmp_path / "freed").exists()


class Unsendable(Collecting):
    """A dataset whose items cannot be handed over."""

    def __getitem__(self, _):
        return lambda: None


def test_a_worker_that_loses_a_batch_ends():
    loader = DataLoader(Unsendable(), 1, num_workers=1, worker_init_fn=start_worker, collate_fn=tuple, timeout=30)
    try:
        with pytest.raises(RuntimeError, match=r"DataLoader worker .* exited unexpectedly"):
            list(loader)
    finally:
        for worker in multiprocessing.active_children():  # it ignores SIGTERM, and Python would wait for it
            worker.kill()
