"""Checks of what users write, config and tables, before anything runs; an InputError says where, in one line."""

import csv
import math
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from trainer.config import Run, load, result_fingerprint, training_config
from trainer.metrics.bootstrap import LEVEL, fewest_resamples
from trainer.models.backbones import BACKBONES
from trainer.models.layouts import LAYOUTS
from trainer.run_files import DamagedFile
from trainer.utils.errors import InputError
from trainer.utils.settings import plain, read
from trainer.utils.text import quoted
from trainer.utils.text_files import check_columns, text_lines
from workflow.lib.changed_settings import compare
from workflow.lib.settings import (
    AUTHORS,
    ODD,
    ODD_WORDS,
    RENAMED_KEYS,
    ROOT,
    Config,
    MethodRow,
    PublishedRow,
    SourceRow,
    check_path,
)

# Folders of `data` to which rules write files under the names of their sources, as a user's files may have, too.
FILLED_BY_RULES = ("ava/annotations", "ava/films", "checkpoints", "downloads")
FILM = re.compile(rf"[^/\s{ODD}]+\.(mkv|mp4|webm)")


# --- Config ----------------------------------------------------------------------------------------------------------


def read_config(config: dict) -> Config:
    """Return the config, checked; raise InputError naming the key that is wrong."""
    return read(Config, config, "config", RENAMED_KEYS)


def check_checkout(folder: Path):
    """Raise InputError if the path of this checkout has braces, which Snakemake fills in, in paths of scripts."""
    if re.search("[{}]", str(folder)):
        raise InputError(f"{folder}: expected a path without braces, which Snakemake fills in; move this checkout")


def check_cluster_paths(config: Config, methods: pd.DataFrame, sources: pd.DataFrame):
    """Raise InputError if a path has letters that a cluster's shell would interpret on its way to a job."""
    paths = [
        ("this checkout", ROOT),
        ("the working directory", Path.cwd()),
        ("config: data", config.data),
        ("config: results", config.results),
        ("config: published_table", config.published_table),
        ("config: charades: label_map", config.charades.label_map),
        *((f"config: existing: {key}", path) for key, path in asdict(config.existing).items()),
        *((f"{row.table}: {row.method}: checkpoint", own_file(row)) for row in methods.itertuples()),
        *((f"{config.sources_table}: {row.source}: url", row.url) for row in sources.itertuples()),
    ]
    for where, path in paths:
        if re.search(r'^-|[$`"\\%]', str(path)) and "://" not in str(path):
            words = 'expected a path without $ ` " \\ % and a first letter -, as jobs run on a cluster'
            raise InputError(f"{where}: {words}, got {path}")


def read_run(run: dict) -> Run:
    """Return a run of the config, checked."""
    return read(Run, run, f"{run['dataset']}, {run['method']}")


def check_existing(config: Config, methods: pd.DataFrame):
    """Raise InputError if a file or folder is missing that the user has according to config or a methods table.

    Also if it lies where rules make it: `snakemake --delete-all-output` would delete it.
    """
    for key, path in asdict(config.existing).items():
        if not path or not key.startswith((*config.datasets, "checkpoints")):
            continue
        where = f"config: existing: {key}: {path}"
        if any(Path(path).is_relative_to(Path(config.data, folder)) for folder in FILLED_BY_RULES):
            raise InputError(f"{where}: the workflow makes and deletes files there; move yours, or leave the key out")
        if not Path(path).exists():
            emptied = "; if its frames are extracted, an empty folder is enough" * (key in ("ava_films", "ava_cuts"))
            raise InputError(f"{where}: no such file or folder{emptied}")
    if config.shared_cache and not Path(config.shared_cache).is_dir():
        raise InputError(
            f"config: shared_cache: {config.shared_cache}: no such folder; make it, writable for its users"
        )
    for row in methods.itertuples():
        own = own_file(row)
        if own and not own.is_file():
            problem = (
                "is a folder; name the file in it"
                if own.is_dir()
                else "no such file; correct the path or name its source"
            )
            raise InputError(f"{row.table}: {row.method}: checkpoint: {own}: {problem}")


def own_file(row) -> Path | None:
    """Return the user's own checkpoint of a row of the methods table, which has no source, or None."""
    return Path(row.checkpoint).expanduser() if row.checkpoint and not row.source else None


def link_resume_checkpoints(folders: Iterable[str]):
    """Link a deleted resume.pth of each run that was trained on GPUs to its model.pth, also in a dry run.

    Snakemake deletes model.pth before each training job. From resume.pth the job writes the same weights again, e.g.
    for a prediction by other views.
    """
    for folder in filter(_on_gpus, folders):
        with suppress(OSError):  # it is there, nothing is trained, or its file system has no hard links
            Path(folder, "resume.pth").hardlink_to(Path(folder, "model.pth"))


def check_trained(runs: dict[str, dict]):
    """Raise InputError if a folder holds another run than config wants, trained on GPUs.

    Snakemake would delete its weights and train again. ``runs``: the settings of each run by its folder, in the shape
    of `trainer.config.Run`.
    """
    for folder, run in runs.items():
        model, resume, path = (Path(folder, name) for name in ("model.pth", "resume.pth", "config.yaml"))
        if not _on_gpus(folder) or not (model.is_file() or resume.is_file()):
            continue
        decisive = training_config if resume.is_file() else plain  # without it, all is trained again
        if change := _change_of(path, run, decisive):
            raise InputError(
                f"{folder}: its training {change}; give the --configfile of that training, or name another `results` "
                "folder for this experiment, or delete this run to train it again"
            )


def _on_gpus(folder):
    """Return whether the run in a folder was to be trained on GPUs."""
    path = Path(folder, "config.yaml")
    return path.is_file() and b"device: cuda" in path.read_bytes()


def same_run(path, run: dict) -> Run | None:
    """Return the run of a config.yaml if it differs from ``run`` by machine settings at most."""
    try:
        made = load(path)
    except InputError:
        return None
    return made if result_fingerprint(made) == result_fingerprint(read_run(run)) else None


def _change_of(path, run, decisive):
    """Return how the run of a config.yaml differs from what config wants in its ``decisive`` settings, or None.

    Of a damaged one it is not known; its resume checkpoint knows it, and training refuses to replace it.
    """
    try:
        changes = compare(decisive(read_run(run)), decisive(load(path)))
    except DamagedFile:
        return None
    except InputError as error:
        return f"is of another version ({error})"
    return "has {} {}, config says {}".format(*changes[0]) if changes else None


# --- Films -----------------------------------------------------------------------------------------------------------


def read_films(films: str | tuple[str, ...], exclude_videos: tuple[str, ...]) -> dict[str, str]:
    """Return film file names by video (the YouTube id, the name's stem), without those to exclude.

    ``films``: names, or the path of a file with a name per line; there, lines that begin with # are comments.
    """
    by_video = {}
    for where, film in _film_names(films):
        if not film.endswith((".mkv", ".mp4", ".webm")):
            raise InputError(
                f"{where}: expected the name of a film that ends in .mkv, .mp4 or .webm, got {quoted(film)}"
            )
        if not FILM.fullmatch(film):
            raise InputError(f"{where}: expected the name of a film without spaces, / {ODD_WORDS}, got {quoted(film)}")
        if (video := Path(film).stem) in by_video:
            raise InputError(f"{where}: {film}: listed already, as {by_video[video]}")
        by_video[video] = film
    if unknown := set(exclude_videos) - set(by_video) - set(by_video.values()):
        raise InputError(f"config: ava: exclude_videos: {', '.join(sorted(unknown))}: not among the films")
    left = {video: film for video, film in by_video.items() if not {video, film} & set(exclude_videos)}
    if not left:
        where = f": {films}" if isinstance(films, str) else ""
        raise InputError(f"config: ava: films{where}: expected at least one film that is not excluded, got none")
    return left


def _film_names(films):
    """Yield (where it stands, name) of each film."""
    if not isinstance(films, str):
        yield from ((f"config: ava: films: {number}", film) for number, film in enumerate(films))
        return
    if not Path(films).is_file():
        raise InputError(f"config: ava: films: {films}: no such file")
    for number, line in enumerate(text_lines(films), start=1):
        if (name := line.strip()) and not name.startswith("#"):
            yield f"{films}, line {number}", name


# --- Tables ----------------------------------------------------------------------------------------------------------


def read_sources(config: Config) -> pd.DataFrame:
    """Return the sources table."""
    return read_table(config.sources_table, SourceRow)


def read_methods(config: Config, sources: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the methods table and of the user's own, by method; ``table`` says where a row stands."""
    paths = [config.methods_table]
    if config.local_methods_table and os.path.lexists(config.local_methods_table):
        paths.append(config.local_methods_table)
    tables = [read_table(path, MethodRow).assign(table=path) for path in paths]
    methods = pd.concat(tables).set_index("method", drop=False)
    if twice := methods.index[methods.index.duplicated()].tolist():
        raise InputError(f"{methods.table[twice[0]].iloc[-1]}: {twice[0]}: two rows have this id; rename one of them")
    for row in methods.itertuples():
        _check_method(row, set(sources.source), config)
    return methods


def select_methods(config: Config, methods: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that config selects, in its order; raise InputError if the recipe of one does not fit."""
    names = methods.index.tolist() if config.methods == "all" else list(config.methods)
    if not names or len(set(names)) < len(names):
        raise InputError(f"config: methods: expected methods, each once, or all, got {names}")
    selected = []
    for name in names:
        of_recipe = [] if name in methods.index else methods.index[methods.recipe == name].tolist()
        selected += of_recipe or [name]
    selected = list(dict.fromkeys(selected))
    if unknown := [method for method in selected if method not in methods.index]:
        tables = " and ".join(dict.fromkeys(methods.table))
        raise InputError(
            f"config: methods: {', '.join(unknown)}: no such row in {tables}; known: {', '.join(methods.index)}"
        )
    for dataset in config.datasets:
        for row in methods.loc[selected].itertuples():
            check_recipe_fits(row, dataset, config)
        for recipe in methods.recipe[selected].unique():
            _check_used_recipe(config, dataset, recipe)
    return methods.loc[selected]


def check_resamples(resamples: int, groups: pd.Series):
    """Raise InputError if no two methods could differ, as resamples are too few for the pairs of a group.

    ``groups``: the group of each method.
    """
    largest = groups.value_counts().iloc[0]
    if resamples < (needed := fewest_resamples(largest)):
        raise InputError(
            f"config: bootstrap: resamples: expected at least {needed}, got {resamples}; with fewer, no corrected "
            f"p-value of {math.comb(largest, 2)} pairs of {largest} methods can be below {LEVEL}"
        )


def _check_used_recipe(config, dataset, recipe):
    """Raise InputError if settings of a dataset do not serve a recipe of its runs."""
    key, of_dataset = f"recipes: {recipe}: {dataset}", getattr(config, dataset)
    settings = config.recipes[recipe][dataset]
    gpus, micro_batches = of_dataset.gpus, settings.training.micro_batches
    if micro_batches % gpus:
        raise InputError(
            f"config: {dataset}: gpus: expected a divisor of {key}: training: micro_batches {micro_batches}, got {gpus}"
        )
    listed, used = getattr(of_dataset, "min_person_score", 0), settings.boxes.min_score
    if used < listed:
        raise InputError(
            f"config: {key}: boxes: min_score: expected at least ava: min_person_score {listed}, got {used}"
        )


def check_published(config: Config):
    """Raise InputError if the published table cannot be read, or has two numbers of one method, dataset and source."""
    path = config.published_table
    if not path:
        return
    table = read_table(path, PublishedRow)
    if twice := table[table.duplicated(["method", "dataset", "source"])].to_dict("records"):
        first = twice[0]
        raise InputError(f"{path}: {first['method']}: two numbers on {first['dataset']} from {first['source']}")


def read_table(path, kind) -> pd.DataFrame:
    """Return a tab-separated table whose rows are ``kind``, each checked; lines that begin with # are comments."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; the config names it as a table")
    columns = [field.name for field in fields(kind)]
    lines = csv.reader(text_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        numbered = [(lines.line_num, line) for line in lines if line and not line[0].startswith("#")]
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: {error}") from error
    first, header = numbered[0] if numbered else (1, [])
    check_columns(header, columns, f"{path}, line {first}")
    rows = []
    for number, row in numbered[1:]:
        where = f"{path}, line {number}"
        if len(row) != len(header):
            raise InputError(f"{where}: expected {len(header)} tab-separated columns, got {len(row)}")
        rows.append(asdict(read(kind, dict(zip(header, row, strict=True)), where)))
    return pd.DataFrame(rows, columns=columns)


def _check_method(row, sources, config):
    """Raise InputError if the cells of a row contradict each other."""
    where = f"{row.table}: {row.method}"
    if not row.checkpoint and (row.layout or row.source):
        raise InputError(f"{where}: layout, source: expected empty cells without a checkpoint")
    if (row.pretraining == "none") == bool(row.checkpoint):
        expected = "self-supervised or supervised with" if row.checkpoint else "none without"
        raise InputError(f"{where}: pretraining: expected {expected} a checkpoint, got {row.pretraining}")
    if row.checkpoint and row.layout not in ("auto", *LAYOUTS):
        raise InputError(f"{where}: layout: expected auto or one of {', '.join(LAYOUTS)}, got {row.layout!r}")
    if row.source and row.source not in (*sources, AUTHORS):
        raise InputError(
            f"{where}: source: expected a source of {config.sources_table}, {AUTHORS} for a file in existing: "
            f"checkpoints, or nothing for your own file, got {row.source!r}"
        )
    _check_checkpoint(f"{where}: checkpoint", row)
    if row.backbone not in BACKBONES:
        raise InputError(f"{where}: backbone: expected one of {', '.join(BACKBONES)}, got {row.backbone!r}")


def _check_checkpoint(where, row):
    """Raise InputError if a row's checkpoint is not a file name of its source, or the path of the user's own file."""
    if row.checkpoint.startswith("~") and not row.checkpoint.startswith("~/"):
        raise InputError(f"{where}: expected a file name or a path (~/ is your home), got {row.checkpoint}")
    if row.source and "/" in row.checkpoint:
        raise InputError(
            f"{where}: expected a file name of source {row.source}, got a path; for your own file leave source empty"
        )
    if row.source and re.search(f"[{ODD}]", row.checkpoint):
        raise InputError(f"{where}: expected a file name without {ODD_WORDS}, got {row.checkpoint!r}")
    if own := own_file(row):
        try:
            check_path(str(own))
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error


def check_recipe_fits(row, dataset: str, config: Config):
    """Raise InputError if a row's recipe is unknown, lacks a dataset, or does not fit the backbone there."""
    where, backbone = f"{row.table}: {row.method}", BACKBONES[row.backbone]
    if row.recipe not in config.recipes:
        raise InputError(f"{where}: recipe: expected one of {', '.join(config.recipes)}, got {row.recipe!r}")
    if dataset not in config.recipes[row.recipe]:
        raise InputError(f"{where}: recipe: {row.recipe} has no settings for {dataset}")
    recipe = config.recipes[row.recipe][dataset]
    if problem := backbone.misfit(recipe.clip, recipe.drop_path, recipe.training.layer_decay):
        own = f"; its own recipe is {backbone.recipe}" * (row.recipe != backbone.recipe)
        raise InputError(
            f"config: recipes: {row.recipe}: {dataset}: {problem}, with backbone {row.backbone} ({where}){own}"
        )
