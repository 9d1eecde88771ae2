"""Resume checkpoints: a run that was stopped at any moment goes on from its last whole one."""

import hashlib
import io
import logging
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import torch

from trainer import config
from trainer.errors import InputError
from trainer.files import whole_file
from trainer.frames import FrameArchive

log = logging.getLogger("trainer")


@dataclass
class Progress:
    """How far a run is, and what its history will say of the epoch under way."""

    epoch: int = 0  # finished epochs
    iteration: int = 0  # finished iterations of the next
    loss: float = 0.0  # their sum
    seconds: float = 0.0  # they took
    history: list[dict] = field(default_factory=list)  # a row per finished epoch
    environment: dict = field(default_factory=dict)  # on what it is trained, see trainer.environment

    def finish_epoch(self, row):
        self.history.append(row)
        self.epoch, self.iteration, self.loss, self.seconds = self.epoch + 1, 0, 0.0, 0.0


class Pause:
    """Called between steps: saves every so many minutes, and saves and ends the process once SIGTERM came.

    A cluster sends SIGTERM before it kills a job at its time limit or takes its node away. Only the rank that ``leads``
    listens to it: another that ended first would leave it waiting in the middle of a step. The launcher ends those.
    """

    def __init__(self, minutes, save, leads):
        self.seconds, self.save = 60 * minutes, save
        self.saved = time.monotonic()
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask if leads else signal.SIG_IGN)

    def _ask(self, *_):
        self.asked = True

    def __call__(self):
        if self.asked:
            self.save()
            log.info("asked to stop: saved; the run goes on from here when it is started again")
            sys.exit(128 + signal.SIGTERM)
        if time.monotonic() - self.saved > self.seconds:
            self.save()
            self.saved = time.monotonic()


@cache
def identity(run: config.Run) -> str:
    """What decides the result: the run's settings and the contents of its files, wherever they lie.

    Files may be made anew under the same names, from other films or boxes, say. Of frames the indices are read, not the
    images: other frames have other sizes.
    """
    frames = FrameArchive(run.data.frames)
    lists = [path for name, path in asdict(run.data).items() if name != "frames"]
    files = digest(filter(None, [run.model.checkpoint, *lists, *frames.indices]))
    return config.dump(config.settings(run)) + f"files: {files}\nvideos: {frames.counts}\n"


@cache
def code() -> str:
    """What else decides it: a training begun by other code does not go on, one that is finished stays."""
    return digest(sorted(Path(__file__).parent.rglob("*.py")))


def digest(paths) -> str:
    """One SHA-256 of the contents of files, in their order."""
    whole = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def save(path, run, model, progress: Progress, optimiser=None):
    """Write a resume checkpoint, whole or not at all; a finished run has no more use for the optimiser."""
    content = {"identity": identity(run), "code": code(), "progress": asdict(progress), "model": model.state_dict()}
    if optimiser:
        content["optimiser"] = optimiser.state_dict()
    memory = io.BytesIO()  # torch.save into a file would hide why it fails
    torch.save(content, memory)
    with whole_file(path) as partial:
        partial.write_bytes(memory.getbuffer())


def load(path, run, model, optimiser, device) -> Progress:
    """Restore model and optimiser from ``path``; a fresh Progress if there is no such file, or it is another run's.

    Raises InputError if that other run took GPU hours, which are not thrown away unasked.
    """
    if not Path(path).exists():
        return Progress()
    saved = torch.load(path, map_location=device, weights_only=True)
    progress = Progress(**saved["progress"])
    finished = progress.epoch == run.training.epochs
    if saved["identity"] != identity(run) or not (finished or saved["code"] == code()):
        if "gpus" in progress.environment:
            raise InputError(
                f"{path}: holds {progress.epoch} epochs trained on GPUs with other settings, files or code; delete it "
                "to train anew, or name another `results` folder"
            )
        log.info("%s is of a run with other settings, files or code: starting from the beginning", path)
        return Progress()
    model.load_state_dict(saved["model"])
    if "optimiser" in saved:
        optimiser.load_state_dict(saved["optimiser"])
    log.info("going on after epoch %d and %d steps", progress.epoch, progress.iteration)
    return progress
