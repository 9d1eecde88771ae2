"""How one process ends; tests/integration/test_lifetime.py disturbs whole runs."""

import subprocess
import sys

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
