"""Hashes by which two trainings are compared: of a run's settings and files, and of the code."""

import ast
import hashlib
import json
import os
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path

from trainer import config
from trainer.data.frame_archive import FrameArchive
from trainer.utils.errors import InputError

PINNED_CODE = "VSSL_CODE"  # environment variable: the hash of the code with which a launcher started

# Code that determines weights, below this folder; {} is the dataset.
WEIGHT_CODE = (
    "train.py",
    "step.py",
    "optim.py",
    "tasks/{}.py",
    "data/{}_lists.py",
    "data/clips.py",
    "data/frame_archive.py",
    "data/jpeg.py",
    "data/loaders.py",
    "data/regions.py",
    "data/transforms.py",
    "models/backbones.py",
    "models/channels_last.py",
    "models/cuda_graph.py",
    "models/network.py",
    "models/vit.py",
    "distributed/process_group.py",
)


@cache
def run_fingerprint(run: config.Run) -> str:
    """Return a hash of what determines a run's weights: its settings and the contents of its files, not their paths.

    Files may have been re-created under the same names, e.g. from other films or boxes. Frames are compared by their
    indices instead of their images: other frames have other sizes.
    """
    frames = FrameArchive(run.data.frames)
    lists = [path for name, path in asdict(run.data).items() if name not in ("frames", "protocol")]
    files = digest(filter(None, [run.model.checkpoint, *lists, *frames.indices]))
    content = json.dumps([config.training_fingerprint(run), files, frames.counts])
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def code_fingerprint(dataset: str, folder=Path(__file__).parent) -> str:
    """Return a hash of the code that determines weights; unfinished runs with another hash are not resumed.

    Comments, docstrings and the words of logs and errors do not count.
    """
    trees = [ast.parse((folder / name.format(dataset)).read_text(encoding="utf-8")) for name in WEIGHT_CODE]
    text = "\n".join(ast.dump(_WithoutWords().visit(tree)) for tree in trees)
    return hashlib.sha256(text.replace(", type_params=[]", "").encode()).hexdigest()  # which Python 3.12 writes


def pin_code(dataset: str):
    """Import and hash the code that determines weights, so that a later update of its files does not affect this run.

    A job may wait for GPUs before it trains, and imports some modules only where they are used. Ranks import the code
    anew after the wait of their launcher, so they inherit its hash, see ``check_pinned_code``.
    """
    for name in WEIGHT_CODE:
        import_module("trainer." + name.format(dataset).removesuffix(".py").replace("/", "."))
    os.environ.setdefault(PINNED_CODE, code_fingerprint(dataset))


def check_pinned_code(dataset: str):
    """Raise InputError in a rank whose code is not that with which its launcher started."""
    if os.environ.get(PINNED_CODE) not in (None, code_fingerprint(dataset)):
        raise InputError("the code of trainer/ changed while this job waited for GPUs; start it again")


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
