"""Append a checkpoint to the user's own table of methods, which has the columns of config/methods.tsv."""

import re
from pathlib import Path

import yaml

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from trainer.utils.text_files import check_columns, read_label, text_lines

CONFIG = Path(__file__).parents[2] / "config"
LOCAL_TABLE = CONFIG / "local_methods.tsv"
PUBLISHED_TABLE = CONFIG / "methods.tsv"
RECIPES = CONFIG / "recipes.yaml"

# A row's default in each column; pixels are normalized as in the released configs.
DEFAULTS = {
    "method": "",
    "label": "",
    "pretraining": "self-supervised",
    "checkpoint": "",
    "source": "",
    "layout": "auto",
    "backbone": "",
    "recipe": "",
    "bn_eps": "1e-5",
    "channel_order": "rgb",
    "mean": "0.45",
    "std": "0.225",
}


def add_method(table, label: str, checkpoint, published=PUBLISHED_TABLE, **columns) -> str:
    """Append a row for ``checkpoint`` to ``table`` and return its id, which is made from ``label``.

    ``columns``: those that are not ``DEFAULTS``. The table is created if it is missing. Raises InputError if a value
    cannot stand in a table, if a row of ``table`` or ``published`` has the id, or if the table has other columns.
    """
    method = method_id(label)
    own = {"method": method, "label": label.strip(), "checkpoint": str(Path(checkpoint).resolve())}
    row = DEFAULTS | own | columns
    for column, value in row.items():
        if not value.isprintable():
            raise InputError(f"{column} {value!r}: a table cannot hold it; expected one line without tabs")
    read_label(label.strip(), "label")
    text, header = _read_table(table)
    for path in table, published:
        for known in (row for row in _rows(path) if row.get("method") == method):
            advice = f"give another label than {label!r}"
            if path == published and (file := known.get("checkpoint")):
                advice += f", or use that row: name the file {file}, and its folder in existing: checkpoints"
            raise InputError(f"{path}: has a method {method} already; {advice}")
    with atomic_write(table) as partial:
        partial.write_text(text + "\t".join(row[column] for column in header) + "\n", "utf-8")
    return method


def baselines(recipe: str) -> list[str]:
    """Return the ids of the published rows without pre-training that are fine-tuned by ``recipe``."""
    return [row["method"] for row in _rows(PUBLISHED_TABLE) if (row["pretraining"], row["recipe"]) == ("none", recipe)]


def method_id(label: str) -> str:
    """Return the id of a method: ``label`` in small letters, digits and _."""
    method = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if not isinstance(yaml.safe_load(method), str):  # nothing, 2024, null, on: no text in a list of --config
        raise InputError(f"label {label!r}: its id would be {method!r}; expected a name with letters a to z")
    return method


def _read_table(path):
    """Return the text of a table, ended by a line break, and its columns; those of a new one if there is no file."""
    if not Path(path).exists():
        return "\t".join(DEFAULTS) + "\n", list(DEFAULTS)
    text = "".join(text_lines(path))
    number, header = next(_lines(text), (1, []))
    check_columns(header, list(DEFAULTS), f"{path}, line {number}")
    return text if text.endswith("\n") else text + "\n", header


def _rows(path):
    """Return the rows of a table as mappings, cut off where a row is too short; none if there is no file."""
    text, header = _read_table(path)
    return [dict(zip(header, cells, strict=False)) for _, cells in _lines(text)][1:]


def _lines(text):
    """Yield the number and the cells of each line; empty lines and those that begin with # are not read."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not line.startswith("#"):
            yield number, line.split("\t")
