"""Reading a checkpoint from the internet without letting it run code."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch.serialization import safe_globals

from trainer.errors import InputError


class Inert:
    """Stands for an object that a published file holds beside its weights: made of anything, keeps nothing."""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


def _inert(name):
    """A class that can be told by its name from the others."""
    return type(name.rpartition(".")[2], (Inert,), {}), name


def _nothing(*_args):
    """Stands for a function that a published file names."""


def _plain_dict(*_args):
    """Stands for ``defaultdict``, whose items the weights-only reader would refuse to set."""
    return OrderedDict()


# What the published files name beyond PyTorch's own list of safe types. None of it is used; none of it can act.
HARMLESS = [
    # GDT: its command line, and its warm-up scheduler with the scheduler and optimiser inside
    _inert("argparse.Namespace"),
    _inert("torch.optim.lr_scheduler.MultiStepLR"),
    _inert("torch.optim.sgd.SGD"),
    # TCLR: the scaler of mixed precision (its module until PyTorch 2.3, and since) and the best score so far
    _inert("torch.cuda.amp.grad_scaler.GradScaler"),
    (_nothing, "torch.cuda.amp.grad_scaler._refresh_per_optimizer_state"),
    _inert("torch.amp.grad_scaler.GradScaler"),
    (_nothing, "torch.amp.grad_scaler._refresh_per_optimizer_state"),
    (_nothing, "numpy.core.multiarray.scalar"),
    (_nothing, "numpy._core.multiarray.scalar"),
    _inert("numpy.dtype"),
    # both
    (_plain_dict, "collections.defaultdict"),
    (dict, "builtins.dict"),
]

NOT_CHECKPOINTS = {
    b"": "is empty; download it again",
    b"<": "is a web page, not a checkpoint (an error or log-in page saved under its name?); download it again",
    b"version https://git-lfs": "is a Git LFS pointer, not the checkpoint itself; fetch it with `git lfs pull`",
}


def read_checkpoint(path):
    """Read a file of ``torch.save``, zip or legacy, onto the CPU; return what was saved.

    Objects in ``HARMLESS`` come back inert. Raises InputError for a file that is no checkpoint, is damaged, or names
    any other type: the message names the type.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the checkpoint in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        beginning = file.read(64).lstrip()
    for mark, problem in NOT_CHECKPOINTS.items():
        if beginning.startswith(mark) if mark else not beginning:
            raise InputError(f"{path}: {problem}")
    try:
        with safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: {_explain(error)}") from error


def _explain(error):
    """What torch.load's exception means for the file."""
    words = str(error)
    refused = re.search(r"GLOBAL (\S+)", words)
    if refused:
        return (
            f"holds {refused[1]}, a type or function that could run code when it is read; only weights are read. "
            "Where you trust the file, load it and save its state_dict alone: torch.save(model.state_dict(), path)"
        )
    reason = words.rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0].partition(". ")[0]
    return f"is damaged, incomplete or no PyTorch checkpoint; download it again ({type(error).__name__}: {reason})"
