"""Read a checkpoint from the internet without letting it run code or control the terminal."""

import json
import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import safetensors.torch
import torch
from torch.serialization import safe_globals

from trainer.utils.errors import InputError, is_out_of_memory
from trainer.utils.text import listed, quoted, shown


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


# What published files name beyond PyTorch's own list of safe types. None of it is used, and none runs code.
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
    # other files: arrays and states of random numbers (NumPy 1 and 2), folders, times and versions
    _placeholder("numpy.ndarray"),
    _placeholder("numpy.core.multiarray._reconstruct"),
    _placeholder("numpy._core.multiarray._reconstruct"),
    *map(_placeholder, ("pathlib.Path", "pathlib.PosixPath", "pathlib._local.PosixPath")),  # the last: Python 3.13
    *map(_placeholder, ("datetime.datetime", "datetime.timedelta", "torch.torch_version.TorchVersion")),
]

NOT_CHECKPOINTS = {
    b"": "is empty; download it again",
    b"<": "is a web page, not a checkpoint (an error or log-in page saved under its name?); download it again",
    b"version https://git-lfs": "is a Git LFS pointer, not the checkpoint itself; fetch it with `git lfs pull`",
}

MOST_JSON = 100_000_000  # bytes read of a file that begins like JSON; indices of shards have some 100 kB


def read_checkpoint(path):
    """Read a file of ``torch.save``, zip or legacy, or of safetensors, onto the CPU; return what was saved.

    Objects in ``STUBBED_GLOBALS`` become placeholders. Raises InputError for a file that is no checkpoint, is damaged,
    or names any other type; the message names the type.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the checkpoint in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if problem := _other_kind(path):
            raise InputError(f"{path}: {problem}")
        if path.suffix == ".safetensors" or _begins_as_safetensors(path):
            return safetensors.torch.load_file(path)
        with safe_globals(STUBBED_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a refusal is one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise anything
        if is_out_of_memory(error):
            raise
        raise InputError(f"{path}: {_explain(error)}") from error


def _other_kind(path):
    """Return what a file that is no checkpoint is instead, and what to do; None for what may be one."""
    if _begins_as_safetensors(path):  # its first bytes are a size, which may look like the marks below
        return None
    with path.open("rb") as file:
        beginning = file.read(64).lstrip()
    for mark, problem in NOT_CHECKPOINTS.items():
        if beginning.startswith(mark) if mark else not beginning:
            return problem
    if beginning.startswith(b"{"):
        return _explain_json(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _explain_zip(archive.namelist())
    return None


def _explain_json(path):
    with path.open("rb") as file:
        text = file.read(MOST_JSON)
    try:
        files = sorted(set(json.loads(text)["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "is text in braces (JSON?), not a checkpoint; give the file of weights"
    return (
        f"is only the index of a checkpoint in {len(files)} files, {listed(shown(str(file)) for file in files)}; merge "
        "their tensors into one file: safetensors.torch.load_file (.bin: torch.load) reads each into a dict, and "
        "safetensors.torch.save_file writes the dict of all"
    )


def _explain_zip(names):
    if any(name.endswith("/constants.pkl") for name in names):
        return (
            "is a TorchScript program; only weights are read. If you trust the file, save its state_dict alone: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pth')"
        )
    if not any(name.endswith("/data.pkl") for name in names):
        return f"is a zip, but not one of torch.save; it holds {listed(map(shown, names))}. Give a checkpoint in it"
    return None


def _begins_as_safetensors(path):
    """Return whether a file begins with the size of a JSON header (100 MB at most) and its brace."""
    with path.open("rb") as file:
        size, brace = int.from_bytes(file.read(8), "little"), file.read(1)
    return brace == b"{" and size <= 100_000_000


def _explain(error):
    """Return what an exception of the reader means for the file."""
    words = str(error)
    refused = re.search(r"GLOBAL (\S+)", words)
    if refused:
        return (
            f"holds {shown(refused[1])}, a type or function that could run code when it is read; only weights are "
            "read. If you trust the file, save its weights alone: saved = torch.load(path, weights_only=False); "
            "torch.save(saved['state_dict'] if isinstance(saved, dict) else saved.state_dict(), 'weights.pth'); for a "
            "network in an entry 'model': saved['model'].state_dict()"
        )
    reason = words.rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0].partition(". ")[0]
    reason = f"{type(error).__name__}: {quoted(reason)}"
    return f"is damaged, incomplete or no PyTorch checkpoint; download it again ({reason})"
