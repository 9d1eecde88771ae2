"""Resume checkpoints: a run that was interrupted at any moment resumes from its last complete one."""

import io
import logging
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from trainer.config import training_fingerprint
from trainer.distributed.lifetime import STOP_SIGNALS, Stopped, end_stopped, handle_signals
from trainer.fingerprints import code_fingerprint, run_fingerprint
from trainer.run_files import DamagedFile, explain_damaged_pickle
from trainer.utils.errors import InputError, is_out_of_memory
from trainer.utils.files import atomic_write
from trainer.utils.locks import log_while_waiting, try_lock
from trainer.utils.text import shortened

log = logging.getLogger("trainer")

GRACE_SECONDS = 10  # from a signal to the end of the step under way; SLURM kills after 30
LOCK_SECONDS = 60  # to wait for a process that is about to end, e.g. of a requeued job


@dataclass
class TrainingState:
    """How far a run is, and what its history will say of the epoch under way."""

    epoch: int = 0  # finished epochs
    iteration: int = 0  # finished iterations of the next epoch
    loss: float = 0.0  # sum over these
    seconds: float = 0.0  # wall time of these
    history: list[dict] = field(default_factory=list)  # a row per finished epoch
    jobs: list[dict] = field(default_factory=list)  # on what each trained (trainer.utils.environment), and its hours

    def finish_epoch(self, row):
        self.history.append(row)
        self.epoch, self.iteration, self.loss, self.seconds = self.epoch + 1, 0, 0.0, 0.0


class PreemptionHandler:
    """Save a checkpoint every so many minutes; upon SIGTERM, Ctrl-C or a closed terminal, save and end the process.

    A cluster sends SIGTERM before it kills a job at its time limit or takes its node away. A step that does not end
    within ``GRACE_SECONDS``, e.g. as it waits for the loader or another rank, is given up: the last checkpoint stays.
    """

    def __init__(self, minutes, finish_steps, save, is_main):
        """``finish_steps`` waits for the steps that the device still computes, and raises if one of them failed."""
        self.seconds, self.finish_steps, self.save = 60 * minutes, finish_steps, save
        self.saved = time.monotonic()
        self.stop_requested = None
        self.step_ended = threading.Event()
        if is_main:
            arrived, wakeup = os.pipe()
            os.set_blocking(wakeup, False)
            signal.set_wakeup_fd(wakeup)
            threading.Thread(target=self._limit_step, args=(arrived,), daemon=True).start()
            handle_signals(self._request_stop)

    def _request_stop(self, number, _frame):
        self.stop_requested = self.stop_requested or number

    def _limit_step(self, arrived):
        """End the process if a step goes on too long after a signal.

        No handler runs while the main thread waits for another rank, but Python writes the signal's number to a pipe.
        """
        while (number := os.read(arrived, 1)[0]) not in STOP_SIGNALS:
            pass
        if not self.step_ended.wait(GRACE_SECONDS):
            end_stopped(Stopped(number))

    def checkpoint_if_due(self):
        """Save if it is time; save and raise `Stopped` if a signal came. To be called between steps."""
        if self.stop_requested:
            try:
                self.finish_steps()
            finally:
                self.step_ended.set()
            self.save()
            raise Stopped(self.stop_requested, saved=True)
        if time.monotonic() - self.saved > self.seconds:
            self.finish_steps()
            self.save()
            self.saved = time.monotonic()


@contextmanager
def exclusive_run(folder):
    """Hold the lock of a run's folder; raise InputError if another process, on any machine, keeps holding it.

    The kernel releases the lock however its holder ends. Yields a function that raises InputError if the folder was
    deleted since: its lock is gone with it, and another process may train in a new one.
    """
    path = folder / ".lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    with log_while_waiting(f"{folder}: another process trains in it; waiting for its end"):
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(lock, folder):
            if time.monotonic() > deadline:
                holder = os.read(lock, 200).decode(errors="replace") or "another process"
                raise InputError(f"{folder}: {holder} trains in it; end that one or wait for it, then start again")
            time.sleep(0.2)
    os.truncate(lock, 0)
    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def check_held():
        if not (path.exists() and os.path.samestat(path.stat(), os.fstat(lock))):
            raise InputError(f"{path}: was deleted, perhaps with its folder, while this process trained; start again")

    try:
        yield check_held
    finally:
        os.close(lock)


def _try_lock(lock, folder):
    try:
        return try_lock(lock)
    except OSError as error:
        raise InputError(
            f"{folder}: its file system supports no POSIX locks ({error.strerror}); write results to another one"
        ) from error


def save(path, run, model, state: TrainingState, optimizer=None):
    """Write a resume checkpoint atomically; a finished run needs no optimizer."""
    content = {
        "fingerprint": training_fingerprint(run),
        "run_fingerprint": run_fingerprint(run),
        "code_fingerprint": code_fingerprint(run.dataset),
        "state": asdict(state),
        "model": {name: tensor.contiguous() for name, tensor in model.state_dict().items()},  # in any layout of memory
    }
    if optimizer:
        content["optimizer"] = optimizer.state_dict()
    memory = io.BytesIO()  # torch.save into a file would hide why it fails
    torch.save(content, memory)
    with atomic_write(path, sole_writer=True) as partial:
        partial.write_bytes(memory.getbuffer())
        if path.exists():  # kept until the next one: a disk that loses blocks costs minutes, not the run
            path.replace(previous(path))


def previous(path) -> Path:
    """Return the path of the checkpoint before the last one."""
    return path.with_stem(f"{path.stem}.previous")


def load(path, run, model, optimizer) -> TrainingState:
    """Restore model and optimizer from ``path``; return a new state if there is no such file, or it is another run's.

    Raises InputError if that other run took GPU hours: the user decides whether to delete it.
    """
    saved, state = _read(path)
    if saved is None:
        return state
    finished = state.epoch == run.training.epochs
    same_run = saved.get("run_fingerprint") == run_fingerprint(run)
    same_code = saved.get("code_fingerprint") == code_fingerprint(run.dataset)
    if not (same_run and (finished or same_code)):
        if any("gpus" in job for job in state.jobs):
            raise InputError(
                f"{path}: holds {state.epoch} epochs trained on GPUs with other settings, files or code. Restore these "
                "to resume it; nothing is lost. Or delete it to train from the start, or name another `results` folder"
            )
        log.info("%s: made with other settings, files or code; training starts from the beginning", path)
        return TrainingState()
    restore(path, saved, model, optimizer)
    log.info("resuming after epoch %d and %d steps", state.epoch, state.iteration)
    return state


def restore(path, saved, model, optimizer=None):
    """Restore ``model``, and ``optimizer`` if it was saved, from the content of a checkpoint of this run at ``path``.

    Raises InputError if the content is not that of the run's network.
    """
    try:
        model.load_state_dict(saved["model"])
        if optimizer and "optimizer" in saved:
            optimizer.load_state_dict(saved["optimizer"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(shortened(str(error)).split())
        raise InputError(f"{path}: not weights of this run's network ({reason}); delete it to train again") from error


def _read(path):
    """Return the last complete checkpoint's content (or None) and state; raise InputError if all are damaged."""
    damaged = []
    for file in (path, previous(path)):
        if not file.exists():
            continue
        try:
            with explain_damaged_pickle(file):
                saved = torch.load(file, map_location="cpu", weights_only=True)
                return saved, _state_of(saved)
        except DamagedFile as error:
            log.info("%s: %s", file, error.problem)
            damaged.append(str(file))
    if damaged:
        raise InputError(f"{' and '.join(damaged)}: damaged; delete the file to train from the start")
    return None, TrainingState()


def _state_of(saved) -> TrainingState:
    state = TrainingState(**saved["state"])
    if not all(isinstance(number, int) and number >= 0 for number in (state.epoch, state.iteration)):
        raise ValueError(f"epoch {state.epoch}, iteration {state.iteration}")
    return state
