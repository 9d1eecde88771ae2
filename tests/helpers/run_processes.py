"""All processes of one training or prediction: started as a user does, found wherever they went, and disturbed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.helpers.events import wait_until
from tests.helpers.paths import ROOT
from tests.helpers.small_run import small_run
from tests.helpers.users import UNPRIVILEGED

END_SECONDS = 15  # in which all processes of a run that ends must be gone
MARK = "VSSL_TEST_RUN"  # environment variable by which the processes of a run are recognized

# Read by Python at its start: a network that trains in milliseconds, and a fault from the fourth batch on.
SITE = """
import os, sys
if {"trainer.train", "trainer.evaluate"} & set(sys.orig_argv):
    from trainer.models import backbones

    def build():
        from torch import nn
        return nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm3d(8), nn.ReLU(inplace=True))

    backbones.BACKBONES["tiny"] = backbones.Backbone(build, 8, 2, 2, "r2plus1d")
    if os.environ["VSSL_TEST_FAULT"] and os.environ.get("LOCAL_RANK", "0") == os.environ["VSSL_TEST_RANK"]:
        import time
        from pathlib import Path
        import torch
        from trainer.data import loaders
        normalize_clips, calls = loaders.normalize_clips, []

        def faulty(*arguments):
            calls.append(1)
            if len(calls) > 3:
                Path(os.environ["VSSL_TEST_RUN"]).with_name("ready").touch()
                exec(os.environ["VSSL_TEST_FAULT"])
            return normalize_clips(*arguments)

        loaders.normalize_clips = faulty
"""


def tiny_run(folder, epochs, **machine):
    """Write a run of a tiny network with two workers, which saves after every step; return its config's path."""
    machine = {"workers": 2, "checkpoint_minutes": 1e-6} | machine
    path = small_run(folder, "charades", machine=machine, epochs=epochs, evaluate_every=1000)
    path.write_text(path.read_text().replace("r2plus1d_18", "tiny"))
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(SITE)
    return path


class RunProcesses:
    """The processes of ``python -m <module> [action] --config <path> --gpus <gpus>``.

    ``fault``: a Python statement that the last rank executes at every batch from the fourth on.
    """

    def __init__(self, path, *command, gpus=1, fault="", before=()):
        self.path = Path(path)
        self.ready = self.path.with_name("ready")
        self.ready.unlink(missing_ok=True)
        module, *action = command or ["trainer.train"]
        line = [*before, sys.executable, "-m", module, *action, "--config", str(path), "--gpus", str(gpus)]
        with self.path.with_name("log").open("w") as log:
            self.main = subprocess.Popen(
                line,
                cwd=ROOT,
                env=run_environment(path, fault, gpus - 1),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # --- Who they are ------------------------------------------------------------------------------------------------

    def all(self) -> list[int]:
        """Return the ids of all processes of the run that have not ended."""
        self.main.poll()
        return processes_of(self.path)

    def ranks(self) -> list[int]:
        """Return the processes that train or predict, in the order of their start."""
        started = [pid for pid in self.all() if parent(pid) == self.main.pid and environment_of(pid, "LOCAL_RANK")]
        return started or [self.main.pid]

    def workers(self, rank=0) -> list[int]:
        """Return the loader workers of a rank."""
        above = self.ranks()[rank]
        return [pid for pid in self.all() if parent(pid) == above and command_of(pid) == command_of(above)]

    # --- What they do ------------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        return self.path.with_name("log").read_text(errors="replace")

    def wait_until_ready(self):
        """Wait until the fault occurs, i.e. the run has made three steps; fail if it ends before."""
        wait_until(lambda: self.ready.exists() or self.main.poll() is not None)
        assert self.ready.exists(), self.log

    def send(self, number, to_all=False):
        """Send a signal to the first process, or to every process of the run, as a cluster does."""
        for pid in self.all() if to_all else [self.main.pid]:
            os.kill(pid, number)

    def end(self, seconds=60):
        """Wait for the first process to end, then at most ``END_SECONDS`` for all; return its exit status."""
        wait_until(lambda: self.main.poll() is not None, seconds)
        self.expect_gone()
        return self.main.returncode

    def expect_gone(self):
        """Fail if a process of the run is left after ``END_SECONDS``; it is killed then."""
        deadline = time.monotonic() + END_SECONDS
        while (left := self.all()) and time.monotonic() < deadline:
            time.sleep(0.02)
        names = [f"{pid}: {command_of(pid)}" for pid in left]
        self.kill()
        assert not left, "\n".join(["left:", *names, self.log])

    def kill(self):
        """Kill whatever is left of the run."""
        for pid in self.all():
            kill(pid)
        self.main.wait()


def run_environment(path, fault="", rank=0):
    """Return the environment for processes of the run of a config: the tiny network, and a fault in a rank."""
    own = {"PYTHONPATH": f"{path.parent}/site:{ROOT}", "VSSL_TEST_FAULT": fault, "VSSL_TEST_RANK": str(rank)}
    return {**os.environ, **own, MARK: str(path)}


def processes_of(path) -> list[int]:
    """Return the ids of the processes that were started for the run of a config, however far they moved."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if _is_of(entry.name, path)]


def _is_of(name, path):
    return name.isdigit() and environment_of(int(name), MARK) == str(path)


def parent(pid) -> int:
    """Return the id of a process's parent; 0 if it has ended."""
    return int(_read(pid, "stat").rpartition(b")")[2].split()[1:2][0]) if _read(pid, "stat") else 0


def command_of(pid) -> str:
    """Return a process's command line."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def environment_of(pid, name):
    """Return a variable of the environment that a process was started with."""
    found = [entry for entry in _read(pid, "environ").split(b"\0") if entry.startswith(f"{name}=".encode())]
    return found[0].decode().partition("=")[2] if found else None


def _read(pid, name) -> bytes:
    """Return a file of /proc; nothing if the process has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


# --- What may happen to them -----------------------------------------------------------------------------------------

SLOW = "time.sleep(0.2)"  # a fault by which the run does not end before it is disturbed


@dataclass(frozen=True)
class Disturbance:
    """What happens to a run that trains, and how it must end."""

    name: str
    status: int
    last_line: str  # stands in it
    act: Callable[[RunProcesses], None] | None = None
    fault: str = SLOW
    stall_minutes: float = 30.0
    min_ranks: int = 1


def _sent(name, to_all=False):
    """Describe a signal on which a run saves."""
    number = signal.Signals[name]
    words = f"{name} received: checkpoint saved; start the run again to resume it"
    return Disturbance(f"{name}{'_to_all' * to_all}", 128 + number, words, lambda run: run.send(number, to_all))


def _killed(rank):
    """Describe the death of one of several ranks."""
    words = f"error: rank {rank} was killed by SIGKILL"
    return Disturbance(f"rank_{rank}_killed", 1, words, lambda run: kill(run.ranks()[rank]), min_ranks=2)


def _stop_a_worker(run):
    os.kill(run.workers(-1)[0], signal.SIGSTOP)


def _let_it_wait(run):
    """Let the last rank wait for a worker, and others for that rank, then end the run."""
    _stop_a_worker(run)
    folder = run.path.parent
    wait_until(lambda: time.time() - folder.stat().st_mtime > 2)  # it has used up what the worker had loaded ahead
    run.send(signal.SIGTERM)


OUT_OF_MEMORY = "raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')"
DISTURBANCES = [
    Disturbance("exception", 1, "error: ZeroDivisionError: division by zero", fault="1 / 0"),
    Disturbance("out_of_memory", 1, "error: out of memory (OutOfMemoryError: CUDA out of mem", fault=OUT_OF_MEMORY),
    Disturbance("worker_killed", 1, "error: a loader worker died (", lambda run: kill(run.workers(-1)[0])),
    Disturbance(
        "rank_0_killed", 1, "error: rank 0 was killed by SIGKILL", lambda run: kill(run.ranks()[0]), min_ranks=2
    ),
    Disturbance(
        "rank_1_killed", 1, "error: rank 1 was killed by SIGKILL", lambda run: kill(run.ranks()[1]), min_ranks=2
    ),
    Disturbance("main_killed", -signal.SIGKILL, "", lambda run: (_stop_a_worker(run), kill(run.main.pid))),
    *(_sent(f"SIG{name}", to_all) for name in ("TERM", "INT", "HUP", "QUIT") for to_all in (False, True)),
    Disturbance(
        "SIGTERM_while_waiting", 128 + signal.SIGTERM, "SIGTERM received: start the run again to resume", _let_it_wait
    ),
    Disturbance("results_read_only", 1, "error: PermissionError: ", lambda run: run.path.parent.chmod(0o555)),
    Disturbance("lock_deleted", 1, "/.lock: was deleted", lambda run: run.path.with_name(".lock").unlink()),
    Disturbance("worker_stopped", 1, "error: the loader brought no batch (", _stop_a_worker, stall_minutes=0.2),
    Disturbance("stall", 1, "error: no step or batch within 0.1 min", fault="time.sleep(1e3)", stall_minutes=0.1),
]


def disturb(path, disturbance: Disturbance, gpus):
    """Start or resume the run of a config, disturb it, and check how it ends and that no process is left."""
    started = has_checkpoint(path)
    _set_stall_minutes(path, disturbance.stall_minutes)
    run = RunProcesses(path, gpus=gpus, fault=disturbance.fault, before=UNPRIVILEGED)
    try:
        if disturbance.act:
            run.wait_until_ready()
            disturbance.act(run)
        status = run.end()
        assert status == disturbance.status, run.log
        lines = [line for line in run.log.splitlines() if not re.match(r"W\d{4} ", line)]  # PyTorch's launcher warns
        assert disturbance.last_line in lines[-1], run.log
        assert ("resuming after epoch" in run.log) == started, run.log
        assert has_checkpoint(path), run.log
    finally:
        run.kill()
        path.parent.chmod(0o755)


def has_checkpoint(path):
    """Return whether the run of a config can be resumed."""
    return any(path.with_name(name).exists() for name in ("resume.pth", "resume.previous.pth"))


def finish(path, gpus=1):
    """Train the run of a config to its end."""
    _set_stall_minutes(path, 30.0)
    run = RunProcesses(path, gpus=gpus)
    try:
        assert run.end(600) == 0, run.log
    finally:
        run.kill()


def _set_stall_minutes(path, minutes):
    settings = yaml.safe_load(path.read_text())
    settings["machine"]["stall_minutes"] = minutes
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
