"""Resume checkpoints: a run that was interrupted at any moment resumes from its last complete one."""

import ast
import hashlib
import io
import json
import logging
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import torch

from trainer import config
from trainer.data.frame_archive import FrameArchive
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

log = logging.getLogger("trainer")

# Code that determines weights, below this folder; {} is the dataset.
WEIGHT_CODE = (
    "train.py",
    "optim.py",
    "tasks/{}.py",
    "data/{}_lists.py",
    "data/clips.py",
    "data/frame_archive.py",
    "data/jpeg.py",
    "data/loaders.py",
    "data/transforms.py",
    "models/backbones.py",
    "models/network.py",
)


@dataclass
class TrainingState:
    """How far a run is, and what its history will say of the epoch under way."""

    epoch: int = 0  # finished epochs
    iteration: int = 0  # finished iterations of the next epoch
    loss: float = 0.0  # sum over these
    seconds: float = 0.0  # wall time of these
    history: list[dict] = field(default_factory=list)  # a row per finished epoch
    environment: dict = field(default_factory=dict)  # on what it is trained, see trainer.utils.environment

    def finish_epoch(self, row):
        self.history.append(row)
        self.epoch, self.iteration, self.loss, self.seconds = self.epoch + 1, 0, 0.0, 0.0


class PreemptionHandler:
    """Save a checkpoint every so many minutes, and save and end the process once SIGTERM came.

    A cluster sends SIGTERM before it kills a job at its time limit or takes its node away. Only the main rank handles
    it: if another rank ended first, the main rank would wait for it within a step. The launcher ends the others.
    """

    def __init__(self, minutes, save, is_main):
        self.seconds, self.save = 60 * minutes, save
        self.saved = time.monotonic()
        self.stop_requested = False
        signal.signal(signal.SIGTERM, self._request_stop if is_main else signal.SIG_IGN)

    def _request_stop(self, *_):
        self.stop_requested = True

    def checkpoint_if_due(self):
        """Save if it is time; save and exit if SIGTERM came. To be called between steps."""
        if self.stop_requested:
            self.save()
            log.info("SIGTERM received: checkpoint saved; the run resumes from it when it is started again")
            sys.exit(128 + signal.SIGTERM)
        if time.monotonic() - self.saved > self.seconds:
            self.save()
            self.saved = time.monotonic()


@cache
def run_fingerprint(run: config.Run) -> str:
    """Return a hash of what determines a run's result: its settings and the contents of its files, wherever they lie.

    Files may be made again under the same names, e.g. from other films or boxes. Of frames the indices are read, not
    the images: other frames have other sizes.
    """
    frames = FrameArchive(run.data.frames)
    lists = [path for name, path in asdict(run.data).items() if name != "frames"]
    files = digest(filter(None, [run.model.checkpoint, *lists, *frames.indices]))
    content = json.dumps([config.result_config(run), files, frames.counts])
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def code_fingerprint(dataset: str, folder=Path(__file__).parent) -> str:
    """Return a hash of the code that determines weights; unfinished runs with another hash are not resumed.

    Comments, docstrings and the words of logs and errors do not count.
    """
    trees = [ast.parse((folder / name.format(dataset)).read_text()) for name in WEIGHT_CODE]
    return hashlib.sha256("\n".join(ast.dump(_WithoutWords().visit(tree)) for tree in trees).encode()).hexdigest()


class _WithoutWords(ast.NodeTransformer):
    """Drop docstrings, calls of ``log`` and what is raised."""

    def visit_Expr(self, node):
        call = node.value.func if isinstance(node.value, ast.Call) else None
        is_log = isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id == "log"
        return ast.Pass() if is_log or isinstance(node.value, ast.Constant) else node

    def visit_Raise(self, node):
        return ast.Raise()


def digest(paths) -> str:
    """Return one SHA-256 of the contents of files, in their order."""
    whole = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def save(path, run, model, state: TrainingState, optimizer=None):
    """Write a resume checkpoint atomically; a finished run needs no optimizer."""
    content = {
        "run_fingerprint": run_fingerprint(run),
        "code_fingerprint": code_fingerprint(run.dataset),
        "state": asdict(state),
        "model": model.state_dict(),
    }
    if optimizer:
        content["optimizer"] = optimizer.state_dict()
    memory = io.BytesIO()  # torch.save into a file would hide why it fails
    torch.save(content, memory)
    with atomic_write(path) as partial:
        partial.write_bytes(memory.getbuffer())


def load(path, run, model, optimizer, device) -> TrainingState:
    """Restore model and optimizer from ``path``; return a new state if there is no such file, or it is another run's.

    Raises InputError if that other run took GPU hours: the user decides whether to delete it.
    """
    if not Path(path).exists():
        return TrainingState()
    saved = torch.load(path, map_location=device, weights_only=True)
    state = TrainingState(**saved.get("state", {}))
    finished = state.epoch == run.training.epochs
    same_run = saved.get("run_fingerprint") == run_fingerprint(run)
    same_code = saved.get("code_fingerprint") == code_fingerprint(run.dataset)
    if not (same_run and (finished or same_code)):
        if "gpus" in state.environment:
            raise InputError(
                f"{path}: holds {state.epoch} epochs trained on GPUs with other settings, files or code; delete it "
                "to train from the start, or name another `results` folder"
            )
        log.info("%s: made with other settings, files or code; training starts from the beginning", path)
        return TrainingState()
    model.load_state_dict(saved["model"])
    if "optimizer" in saved:
        optimizer.load_state_dict(saved["optimizer"])
    log.info("resuming after epoch %d and %d steps", state.epoch, state.iteration)
    return state
