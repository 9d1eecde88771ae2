"""Trainings whose processes are killed at random moments, and trainings that are disturbed in all known ways."""

import fcntl
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.helpers.paths import SNAKEMAKE
from tests.helpers.run_processes import (
    DISTURBANCES,
    END_SECONDS,
    command_of,
    disturb,
    environment_of,
    finish,
    kill,
    parent,
    processes_of,
    run_environment,
    tiny_run,
)

RANKS, EPOCHS = 2, 60  # of one step each
KINDS = ("snakemake", "launcher", "rank", "worker")

# The shell line is that of rule finetune.
SNAKEFILE = """
rule finetune:
    input:
        config="config.yaml",
    output:
        "model.pth",
        "history.csv",
        "summary.json",
        "environment.json",
    log:
        "train.log",
    shell:
        "exec python -m trainer.train --config {input.config:q} --gpus RANKS 3>&2 > {log:q} 2>&1"
"""


def kill_at_random(scratch: Path, count: int, seed: int) -> int:
    """Kill a random process of a training ``count`` times; print what came of it and return the exit status."""
    print(f"seed {seed}: --kills {count} --seed {seed} repeats it")
    rng = random.Random(seed)
    reference = tiny_run(scratch / "undisturbed", EPOCHS, checkpoint_minutes=1000.0)
    finish(reference, RANKS)
    expected = _weights(reference)
    started = time.monotonic()
    _finish_by_snakemake(_new_run(scratch / "timed"))
    duration = time.monotonic() - started
    print(f"an undisturbed run by Snakemake takes {duration:.1f} s; kills come at any moment of it")
    bad = 0
    for number in range(count):
        path = _new_run(scratch / f"run{number}")
        kind, words = "?", ""
        try:
            kind, words = _kill_one(path, rng, duration)
            _finish_by_snakemake(path)
            found = _weights(path)
            assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items()), "other weights"
            epochs = [
                int(line.partition(",")[0]) for line in (path.parent / "history.csv").read_text().splitlines()[1:]
            ]
            assert epochs == list(range(1, EPOCHS + 1)), epochs
            outcome = "same weights"
        except AssertionError as error:
            outcome = f"BAD: {error}; the run is kept in {_keep(path)}"
            bad += 1
        finally:
            for pid in processes_of(path):
                kill(pid)
        print(f"kill {number + 1:2}: {kind:9} {words}; restarted: {outcome}", flush=True)
        shutil.rmtree(path.parent)
    print(f"{count} kills, {bad} bad")
    return int(bad > 0)


def _keep(path):
    kept = Path("/tmp") / f"attack-kept-{path.parent.name}"
    shutil.rmtree(kept, ignore_errors=True)
    return shutil.copytree(path.parent, kept)


def _new_run(folder):
    path = tiny_run(folder, EPOCHS)
    (folder / "Snakefile").write_text(SNAKEFILE.replace("RANKS", str(RANKS)))
    return path


def _start(path):
    """Start Snakemake on the run of a config, as a user does."""
    command = [SNAKEMAKE, "--cores", "2", "--nolock", "--rerun-incomplete", "--quiet", "all"]
    with path.with_name("snakemake.log").open("a") as log:
        return subprocess.Popen(
            command,
            cwd=path.parent,
            env=run_environment(path) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _kill_one(path, rng, duration):
    """Start a run and kill one process of it; return its kind and what came of the others."""
    kind, moment, choice = rng.choice(KINDS), rng.uniform(0, duration), rng.random()
    snakemake = _start(path)
    time.sleep(moment)
    while not (found := _by_kind(path, snakemake.pid).get(kind)) and snakemake.poll() is None:
        time.sleep(0.02)
    if not found:
        return kind, "the run had ended"
    kill(found[int(choice * len(found))])
    killed, state = time.monotonic(), _last_line(path)
    while (left := _left(path, snakemake)) and time.monotonic() - killed < END_SECONDS:
        time.sleep(0.02)
    words = f"after {moment:4.1f} s ({state})"
    if not left:
        return kind, f"{words}: gone in {time.monotonic() - killed:.1f} s"
    if kind != "snakemake":
        raise AssertionError(f"after {kind} was killed {words}, left: {[command_of(pid) for pid in left]}")
    lock = "holds the lock" if _is_locked(path) else "does not hold the lock"
    return kind, f"{words}: the orphan trains on and {lock} ({_last_line(path)})"


def _last_line(path):
    """Return the last line of the training's log, shortened."""
    log = path.with_name("train.log")
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1][9:45].strip() if lines else "no log yet"


def _left(path, snakemake):
    snakemake.poll()
    return processes_of(path)


def _by_kind(path, snakemake):
    """Return the processes of a run by kind: snakemake, launcher, rank, worker."""
    kinds = {}
    trainers = {
        pid for pid in processes_of(path) if "trainer.train" in command_of(pid) and "bash" not in command_of(pid)
    }
    for pid in trainers:
        if parent(pid) not in trainers:
            kind = "launcher"
        elif environment_of(pid, "LOCAL_RANK") and command_of(parent(pid)) == command_of(pid):
            kind = "worker"
        else:
            kind = "rank"
        kinds.setdefault(kind, []).append(pid)
    if snakemake in processes_of(path):
        kinds["snakemake"] = [snakemake]
    return {kind: sorted(pids) for kind, pids in kinds.items()}


def _is_locked(path):
    lock = os.open(path.with_name(".lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _finish_by_snakemake(path):
    """Let Snakemake run, again if it refuses as an orphan trains, until it has succeeded."""
    for _ in range(3):
        status = _start(path).wait(600)
        if status == 0:
            break
    logs = "".join(path.with_name(name).read_text()[-2000:] for name in ("snakemake.log", "train.log"))
    assert status == 0, logs
    deadline = time.monotonic() + END_SECONDS
    while (left := processes_of(path)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, [command_of(pid) for pid in left]


def _weights(path):
    return torch.load(path.with_name("model.pth"), weights_only=True)["model"]


def disturb_in_all_ways(scratch: Path) -> int:
    """Disturb trainings of one and two ranks in all known ways; print a table and return the exit status."""
    bad = tries = 0
    for gpus in 1, RANKS:
        path = tiny_run(scratch / f"disturbed{gpus}", 200)
        for disturbance in DISTURBANCES:
            if disturbance.min_ranks > gpus:
                continue
            tries += 1
            started = time.monotonic()
            try:
                disturb(path, disturbance, gpus)
                words = "ended, all processes gone, resumes"
            except AssertionError as error:
                words, bad = f"BAD: {error}", bad + 1
            print(f"{gpus} ranks, {disturbance.name:22} {time.monotonic() - started:5.1f} s  {words}", flush=True)
        finish(path, gpus)
    print(f"{tries} disturbances, {bad} bad")
    return int(bad > 0)
