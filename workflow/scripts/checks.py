"""What users write, config and tables, checked before anything runs; an InputError says where, in one line."""

import csv
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pandas as pd
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from trainer.config import build, check_settings, load, settings
from trainer.errors import InputError
from trainer.models.layouts import LAYOUTS
from workflow.scripts.differences import compare

KINDS = {
    "array": "a list, such as [a, b]",
    "object": "a mapping of keys",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "null": "null",
}
SCHEMAS = Path(__file__).parents[1] / "schemas"


@cache
def schema_of(name):
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())


def check(content, schema, where):
    """Hold ``content`` against the schema of that name; the message names the key, from ``where`` on."""
    error = best_match(Draft202012Validator(schema_of(schema)).iter_errors(content))
    if error:
        raise InputError(": ".join([where, *map(str, error.absolute_path), _told(error)]))


def _told(error):
    """A schema's complaint for a person; jsonschema's own words may hold the whole config."""
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = [str(key) for key in error.instance if key not in known]
        return f"unknown key {', '.join(unknown)}; known: {', '.join(known)}"
    if error.validator == "pattern":
        return f"{error.instance!r} is not {error.schema['description']}"
    if error.validator == "type" and re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", str(error.instance)):
        return f"{error.instance!r} is text in YAML; a number with an exponent needs a dot and a sign, as in 1.0e-3"
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"{error.instance!r} is not {' or '.join(KINDS[kind] for kind in kinds)}"
    return error.message


def _text(path):
    """The text of a file, without the mark that some editors put before it."""
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}); save it in that encoding") from error


# --- config ----------------------------------------------------------------------------------------------------------


def check_config(config):
    """Each key by itself, and those that must go together."""
    check(config, "config", "config")
    for dataset in ("ava", "charades"):
        gpu, training = config[dataset]["gpu"], config[dataset]["training"]
        check_settings(config[dataset]["clip"], training, f"config: {dataset}: ")
        if training["shares"] % gpu:
            raise InputError(f"config: {dataset}: gpu: {gpu} does not divide training: shares {training['shares']}")
    start, stop = config["ava"]["start"], config["ava"]["stop"]
    if stop - start < 5:
        raise InputError(f"config: ava: stop: {stop}: no second lies from start + 2 to stop - 3, as start is {start}")
    if config["shared"]:
        own, shared = Path(config["data"]).resolve(), Path(config["shared"]).resolve()
        if own.is_relative_to(shared) or shared.is_relative_to(own):
            raise InputError(f"config: shared: {shared} and data: {own} must lie apart, neither within the other")


def check_files(config, methods):
    """What the user says is there must be there. To be asked once, as a cluster's machines need not see every file."""
    for key, path in config["have"].items():
        if path and key.startswith((*config["datasets"], "checkpoints")) and not Path(path).exists():
            raise InputError(f"config: have: {key}: {path}: no such file or folder")
    if config["shared"] and not Path(config["shared"]).is_dir():
        raise InputError(f"config: shared: {config['shared']}: no such folder; make it, writable for its users")
    for row in methods.loc[config["methods"]].itertuples():
        own = own_file(row)
        if own and not own.is_file():
            trouble = "is a folder; name the file in it" if own.is_dir() else "no such file; name yours, or its source"
            raise InputError(f"{config['methods_table']}: {row.method}: checkpoint: {own}: {trouble}")


def own_file(row):
    """The user's own checkpoint of a row of the methods table, which has no source, or None."""
    return Path(row.checkpoint).expanduser() if row.checkpoint and not row.source else None


def check_trained(runs):
    """What took GPU hours stays: where settings have changed, Snakemake would delete the weights and train anew.

    ``runs``: what config says of each run, in the shape of trainer.config.Run, by its folder.
    """
    for folder, run in runs.items():
        if not any(Path(folder, name).is_file() for name in ("model.pth", "resume.pth")):
            continue
        path = Path(folder, "config.yaml")
        on_gpus = path.is_file() and "device: cuda" in path.read_text()
        if on_gpus and (trouble := _change_of(path, run)):
            raise InputError(
                f"{folder}: the training in it {trouble}; give the --configfile of that training, or name another "
                "`results` folder for this experiment, or delete this run to train it anew"
            )


def _change_of(path, run):
    """How the run of a config.yaml differs from what config says, or None."""
    try:
        changes = compare(asdict(settings(build(run))), asdict(settings(load(path))))
    except InputError as error:
        return f"is of another version ({error})"
    return "has {} {}, config says {}".format(*changes[0]) if changes else None


def read_films(films, leave_out):
    """Film file names by video (the YouTube id, the name's stem), without those to ``leave_out``.

    ``films``: a list of names, or the path of a file with a name per line; there, lines that begin with # are comments.
    """
    by_video = {}
    for where, film in _names(films):
        if not re.fullmatch(r"[^/\s]+\.(mkv|mp4|webm)", film):
            raise InputError(f"{where}: {film!r} is no name of a film; it ends in .mkv, .mp4 or .webm")
        if (video := Path(film).stem) in by_video:
            raise InputError(f"{where}: {film} is there already, as {by_video[video]}")
        by_video[video] = film
    if unknown := set(leave_out) - set(by_video) - set(by_video.values()):
        raise InputError(f"config: ava: leave_out: {', '.join(sorted(unknown))}: not among the films")
    left = {video: film for video, film in by_video.items() if not {video, film} & set(leave_out)}
    if not left:
        raise InputError("config: ava: films: none is named, or all are left out")
    return left


def _names(films):
    """(where it stands, name) of each film."""
    if not isinstance(films, str):
        yield from ((f"config: ava: films: {number}", film) for number, film in enumerate(films))
        return
    if not Path(films).is_file():
        raise InputError(f"config: ava: films: {films}: no such file")
    for number, line in enumerate(_text(films).splitlines(), start=1):
        if (name := line.strip()) and not name.startswith("#"):
            yield f"{films}, line {number}", name


# --- Tables ----------------------------------------------------------------------------------------------------------


def read_table(path, schema):
    """A tab-separated table as text, each row checked; lines that begin with # are comments."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; the config names it as a table")
    lines = csv.reader(_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    numbered = [(lines.line_num, line) for line in lines if line and not line[0].startswith("#")]
    header = numbered[0][1] if numbered else []
    if sorted(header) != sorted(schema_of(schema)["required"]):
        columns = ", ".join(schema_of(schema)["required"])
        raise InputError(f"{path}: the first line must name the columns {columns}, with a tab between two of them")
    for number, row in numbered[1:]:
        where = f"{path}, line {number}"
        if len(row) != len(header):
            raise InputError(
                f"{where}: {len(row)} columns instead of {len(header)}; a tab stands between two, and a line break "
                "between two rows"
            )
        check(dict(zip(header, row, strict=True)), schema, where)
    return pd.DataFrame([row for _, row in numbered[1:]], columns=header, dtype=str)


def check_methods(config, methods, sources):
    """The rows of the methods table, each as a whole, beside the sources table; those that are chosen must be there."""
    table = config["methods_table"]
    if unknown := [method for method in config["methods"] if method not in methods.index]:
        raise InputError(
            f"config: methods: {', '.join(unknown)}: no such row in {table}; known: {', '.join(methods.index)}"
        )
    if twice := methods.index[methods.index.duplicated()].tolist():
        raise InputError(f"{table}: {twice[0]}: two rows have this id; give one of them another")
    for row in methods.itertuples():
        check_method(row, list(dict.fromkeys(sources.source)), f"{table}: {row.method}")


def check_published(config):
    """A method has one published number on a dataset."""
    path = config["published_table"]
    if not path:
        return
    table = read_table(path, "published")
    if twice := table[table.duplicated(["method", "dataset"])].to_dict("records"):
        raise InputError(f"{path}: {twice[0]['method']} has two numbers on {twice[0]['dataset']}; one can be compared")


def check_method(row, sources, where):
    """What a row says of its checkpoint must go together."""
    wrong = None
    if not row.checkpoint:
        wrong = (row.layout or row.source) and "without a checkpoint, layout and source must be empty, too"
    elif row.layout not in ("auto", *LAYOUTS):
        wrong = f"layout: {row.layout!r} is unknown; write auto, or one of {', '.join(LAYOUTS)}"
    elif row.source and row.source not in sources:
        wrong = (
            f"source: {row.source!r} is unknown; leave it empty for your own file, or write one of {', '.join(sources)}"
        )
    elif row.source and "/" in row.checkpoint:
        wrong = f"checkpoint: a path, and source is {row.source}; leave source empty for your own file"
    if wrong:
        raise InputError(f"{where}: {wrong}")
