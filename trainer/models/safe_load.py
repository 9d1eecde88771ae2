"""Read a checkpoint from the internet without letting it run code or control the terminal."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch.serialization import safe_globals

from trainer.utils.errors import InputError


class Placeholder:
    """Stands for an object that a published file holds beside its weights: accepts any arguments, keeps nothing."""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


def _placeholder(name):
    """Return a placeholder class named like the last part of ``name``, and ``name``."""
    return type(name.rpartition(".")[2], (Placeholder,), {}), name


def _nothing(*_args):
    """Do nothing, in place of a function that a published file names."""


def _plain_dict(*_args):
    """Return a dict in place of ``defaultdict``, whose items the weights-only reader would refuse to set."""
    return OrderedDict()


# What the published files name beyond PyTorch's own list of safe types. None of it is used, and none runs code.
STUBBED_GLOBALS = [
    # GDT: its command line, and its warm-up scheduler with the scheduler and optimizer inside
    _placeholder("argparse.Namespace"),
    _placeholder("torch.optim.lr_scheduler.MultiStepLR"),
    _placeholder("torch.optim.sgd.SGD"),
    # TCLR: the scaler of mixed precision (its module until PyTorch 2.3, and since) and the best score so far
    _placeholder("torch.cuda.amp.grad_scaler.GradScaler"),
    (_nothing, "torch.cuda.amp.grad_scaler._refresh_per_optimizer_state"),
    _placeholder("torch.amp.grad_scaler.GradScaler"),
    (_nothing, "torch.amp.grad_scaler._refresh_per_optimizer_state"),
    (_nothing, "numpy.core.multiarray.scalar"),
    (_nothing, "numpy._core.multiarray.scalar"),
    _placeholder("numpy.dtype"),
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

    Objects in ``STUBBED_GLOBALS`` become placeholders. Raises InputError for a file that is no checkpoint, is damaged,
    or names any other type; the message names the type.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the checkpoint in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        beginning = file.read(64).lstrip()
    for mark, problem in NOT_CHECKPOINTS.items():
        if beginning.startswith(mark) if mark else not beginning:
            raise InputError(f"{path}: {problem}")
    try:
        with safe_globals(STUBBED_GLOBALS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(printable(f"{path}: {_explain(error)}")) from error


def _explain(error):
    """Return what torch.load's exception means for the file."""
    words = str(error)
    refused = re.search(r"GLOBAL (\S+)", words)
    if refused:
        return (
            f"holds {refused[1]}, a type or function that could run code when it is read; only weights are read. "
            "If you trust the file, load it and save its state_dict alone: torch.save(model.state_dict(), path)"
        )
    reason = words.rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0].partition(". ")[0]
    return f"is damaged, incomplete or no PyTorch checkpoint; download it again ({type(error).__name__}: {reason})"


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped, as keys of a file may hold what a terminal obeys."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
