"""Read the files of a run's folder; a damaged one is named in one line, with what to do about it."""

import json
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.utils.errors import InputError, is_out_of_memory
from trainer.utils.files import check_last_line
from trainer.utils.text import quoted
from trainer.utils.text_files import CONTROL

REWRITE = "delete it; the training job writes it again from resume.pth, without training"
ADVICE = {
    "environment.json": REWRITE,
    "history.csv": REWRITE,
    "model.pth": REWRITE,
    "summary.json": REWRITE,
    "predictions.npz": "delete it to predict again",
    "metrics.json": "delete it to score again",
    "per_class.csv": "delete it to score again",
    "bootstrap.npz": "delete it to bootstrap again",
}
# Exceptions that readers raise on a damaged file; those of pandas, json and UTF-8 are ValueErrors.
DAMAGE = (
    *(OSError, ValueError, ArithmeticError, EOFError, LookupError, RecursionError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


class DamagedFile(InputError):
    """A file that is not as it was written: truncated, empty, of another encoding, or a folder."""

    def __init__(self, path, problem, advice=None):
        self.path, self.problem = Path(path), problem
        super().__init__(f"{path}: {problem}; {advice or ADVICE.get(self.path.name, 'delete it to make it again')}")


@contextmanager
def explain_damage(path, advice=None):
    """Raise DamagedFile if the block cannot read ``path``; a missing file counts."""
    try:
        yield
    except DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) else None
        reason = " ".join(str(reason or error).split()) or type(error).__name__
        raise DamagedFile(path, f"damaged ({reason[:200]})", advice) from error


@contextmanager
def explain_damaged_pickle(path):
    """Raise DamagedFile if the block cannot read ``path``, a file of torch.save."""
    try:
        yield
    except Exception as error:  # a damaged pickle can raise anything
        if is_out_of_memory(error):
            raise
        raise DamagedFile(path, f"damaged ({type(error).__name__})") from error


def read_json(path, **kinds) -> dict:
    """Return the object in a JSON file; ``kinds``: keys that it must have, and the type of their values."""
    with explain_damage(path):
        text = Path(path).read_text("utf-8-sig")
        if odd := CONTROL.search(text):
            raise ValueError(f"a control character, {odd[0]!r}")
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, got {quoted(str(content))}")
        _require(kinds, content)
        for key, kind in kinds.items():
            if not isinstance(content[key], kind):
                raise ValueError(f"{key}: expected {kind.__name__}, got {quoted(str(content[key]))}")
        return content


def read_csv(path, numbers, text=()) -> pd.DataFrame:
    """Return a CSV that has at least one row and these columns, of numbers (an empty cell is NaN) and of text."""
    with explain_damage(path):
        check_last_line(path)
        rows = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(text, str))
        _require([*numbers, *text], rows)
        if rows.empty:
            raise ValueError("no rows")
        if wrong := [name for name in numbers if rows[name].dtype.kind not in "if"]:
            raise ValueError(f"{wrong[0]}: expected numbers")
        if empty := [name for name in text if rows[name].isna().any()]:
            raise ValueError(f"{empty[0]}: an empty cell")
        if np.isinf(rows[numbers].to_numpy(float)).any():
            raise ValueError("an infinite number")
        return rows


def read_arrays(path, *names, **shapes) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz, of which ``names`` must be there: scalars, or one row per example.

    ``shapes``: those of an example's row in the arrays of numbers that must be there, by name.
    """
    with explain_damage(path):
        arrays = np.load(path)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("expected an .npz")
        with arrays:
            content = dict(arrays)
        names = [*names, *shapes]
        _require(names, content)
        if len({len(content[name]) for name in names if content[name].ndim}) > 1:
            raise ValueError(f"{', '.join(names)}: expected one row per example in each")
        for name, shape in shapes.items():
            if content[name].shape[1:] != shape or content[name].dtype.kind not in "biuf" or not len(content[name]):
                raise ValueError(f"{name}: expected numbers of shape {('examples', *shape)}")
        return content


def check_fingerprint(path, found, expected):
    """Raise InputError if a file of a run's folder holds another fingerprint than that of the run's settings."""
    if found != expected:
        raise InputError(
            f"{path}: made with other settings than config.yaml beside it; restore it, or train and predict again"
        )


def _require(names, content):
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"lacks {', '.join(missing)}")
