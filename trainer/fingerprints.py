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

# Code that determines weights, below this folder ({} is the dataset): these files, what they import of the folders
# FOLLOWED, and what that imports of them.
WEIGHT_CODE = ("train.py", "step.py", "optim.py", "tasks/{}.py")
FOLLOWED = ("data/", "models/", "tasks/")
NOT_FOLLOWED = ("models/checkpoints.py", "models/cost.py")  # strict loading, and a count of operations
GROUP_CODE = "distributed/process_group.py"  # of its folder, it alone determines weights


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
    trees = [_WithoutWords().visit(_parse(folder / name)) for name in weight_code(dataset, folder)]
    text = "\n".join(map(ast.dump, trees))
    return hashlib.sha256(text.replace(", type_params=[]", "").encode()).hexdigest()  # which Python 3.12 writes


def weight_code(dataset: str, folder=Path(__file__).parent) -> list[str]:
    """Return the files of code that determines weights, relative to ``folder``."""
    roots = [name.format(dataset) for name in WEIGHT_CODE]
    files = list(roots)
    for name in files:  # it grows
        for module in _imports(_parse(folder / name)):
            path = module.removeprefix("trainer.").replace(".", "/")
            for file in (f"{path}.py", f"{path}/__init__.py"):
                if path.startswith(FOLLOWED) and file not in (*files, *NOT_FOLLOWED) and (folder / file).is_file():
                    files.append(file)
    return [*roots, *sorted(files[len(roots) :]), GROUP_CODE]


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree):
    """Yield the dotted names of all that is imported: modules, and names of modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names))


def pin_code(dataset: str):
    """Import and hash the code that determines weights, so that a later update of its files does not affect this run.

    A job may wait for GPUs before it trains, and imports some modules only where they are used. Ranks import the code
    anew after the wait of their launcher, so they inherit its hash, see ``check_pinned_code``.
    """
    for name in weight_code(dataset):
        import_module("trainer." + name.removesuffix(".py").replace("/", "."))
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
