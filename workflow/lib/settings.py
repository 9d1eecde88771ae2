"""The workflow's config and tables: each key and column with its type, bounds and sentence.

`config/README.md` and `workflow/schemas/config.schema.json` are written from these classes:
``python -m workflow.lib.settings``.
"""

import json
import re
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from trainer.bootstrap import Bootstrap
from trainer.config import Machine, Recipe, check_for_dataset, check_pixel_scale
from trainer.datasets import DATASETS
from trainer.utils.files import atomic_write
from trainer.utils.settings import Count, Number, PathText, Text, Whole, documented_keys, json_schema, settings
from trainer.utils.text import check_label

ROOT = Path(__file__).parents[2]
Name = Annotated[str, Field(pattern="^[a-z0-9_]+$")]
DatasetName = Literal[*DATASETS]
AUTHORS = "authors"  # source of the checkpoints of which no address is known

# Characters, in a class of a pattern, that names of films and downloads do not have: Snakemake fills in {...} and
# <...>, and hands the others to a cluster's jobs in a way that changes them or lets the shell run them.
ODD = r"\\'\"`$,{}<>\x00-\x1f\x7f"
ODD_WORDS = "\\ ' \" ` $ , { } < > and control characters"


def check_path(path: str) -> str:
    """Return a path of a rule's input or output; raise ValueError if Snakemake would take a part for a wildcard."""
    if re.search(r"\{.+\}|<[a-z][a-z0-9_]*>|[\x00-\x1f\x7f]", path):
        raise ValueError(
            f"expected a path without control characters, {{...}} and <...>, which Snakemake fills in, got {path!r}"
        )
    return path


def _check_distinct(values):
    if twice := sorted({str(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"expected each value once, got {twice[0]} more than once")
    return values


def _check_url(url):
    if "://" not in url:
        check_path(url.replace("{film}", "").replace("{video}", ""))
    return url


def _check_file(path):
    if re.search(f"[{ODD}]", path.replace("{film}", "")) or ".." in Path(path).parts or path.startswith("/"):
        raise ValueError(f"expected a path below data/downloads, without .. {ODD_WORDS}, got {path!r}")
    return path


def _split_numbers(cell):
    return tuple(cell.split(",")) if isinstance(cell, str) and "," in cell else cell


Mean = Annotated[float, Field(ge=0), AfterValidator(check_pixel_scale)]
Std = Annotated[float, Field(gt=0), AfterValidator(check_pixel_scale)]
PlannedPath = Annotated[PathText, AfterValidator(check_path)]  # becomes part of the paths of a rule
Label = Annotated[Text, AfterValidator(check_label)]  # a cell of tables, also of those that spreadsheets open


# --- config.yaml -----------------------------------------------------------------------------------------------------


@settings
class Existing:
    """What the user has already. Files are used in place, and the steps before them do not run."""

    ava_films: PlannedPath | None
    """folder of films, named as in `ava.films`"""
    ava_cuts: PlannedPath | None
    """folder of cuts, named as in `ava.films`, made by `ffmpeg -ss 900 -t 901 -i FILM CUT`"""
    ava_frames: PlannedPath | None
    """folder of SlowFast's loose frames, `<video>/<video>_000001.jpg`: numbered from 1 without gaps, `ava.fps` a
    second, the first at second `ava.start`; size and quality are not checked and change results"""
    ava_annotations: PlannedPath | None
    """folder with the contents of `ava_annotations.tar`, its subfolder `person_box_67091280_iou90` included"""
    charades_tar: PlannedPath | None
    """`Charades_v1_rgb.tar` itself"""
    charades_frames: PlannedPath | None
    """folder of SlowFast's loose frames: `<video>/<video>-000001.jpg`"""
    charades_lists: PlannedPath | None
    """folder with `train.csv` and `val.csv`"""
    checkpoints: PlannedPath | None
    """folder that holds the files whose source is `checkpoints` or `authors`, at any depth; others are downloaded if
    not in it"""


@settings
class DatasetConfig:
    """How the runs of a dataset are scheduled."""

    seeds: Annotated[tuple[Whole, ...], Field(min_length=1), AfterValidator(_check_distinct)]
    """one run each; tables show their mean, `mAP_std` in the CSV their deviation"""
    gpus: Count
    """GPUs of a job, a divisor of its recipe's `micro_batches`. Fewer (`--resources gpu=1`) give the same result more
    slowly"""
    runtime: Count
    """min; time limit of a training job on a cluster, after which the next job resumes"""


@settings
class Ava(DatasetConfig):
    """AVA's films, frames and boxes."""

    films: PathText | tuple[Text, ...]
    """file names that end in `.mkv`, `.mp4` or `.webm`: a list, or a file with one per line (`#` begins a comment)"""
    exclude_videos: tuple[Text, ...]
    """names or ids of films to skip, e.g. because no source has them; tables count the others"""
    start: Whole
    """s; begin of the annotated window. Boxes are used from `start + 2` to `stop - 3`"""
    stop: Count
    """s; end of the annotated window"""
    fps: Count
    """frames per second to extract"""
    jpeg_quality: Annotated[Count, Field(le=31)]
    """ffmpeg's `-q:v`; 1 is best"""
    short_side: Annotated[Count, Field(ge=16)] | None
    """px; null: native size. Another size makes other archives and changes the pixels"""
    min_person_score: Annotated[Number, Field(le=1)]
    """person detections with a lower score are not listed; recipes use those from their `boxes.min_score` on"""

    @model_validator(mode="after")
    def _check(self):
        if self.stop - self.start < 5:
            raise ValueError(f"stop: expected at least start {self.start} + 5, got {self.stop}")
        return self


@settings
class Charades(DatasetConfig):
    """Charades' classes."""

    label_map: PlannedPath
    """table with the columns action and name: the names of the classes"""


@settings
class Config:
    """All keys of config.yaml and recipes.yaml."""

    datasets: Annotated[tuple[DatasetName, ...], Field(min_length=1), AfterValidator(_check_distinct)]
    """which datasets to run"""
    methods: Literal["all"] | tuple[Text, ...]
    """which rows of the methods tables to run, in the order of the tables: ids, or recipes, which select all of their
    rows, yours too; `all` selects every row, and needs the ViT files of `existing: checkpoints`"""
    methods_table: PathText
    """the table of methods"""
    local_methods_table: PathText | None
    """your own rows, in the same columns; read if the file exists"""
    local_config: PathText | None
    """your own settings; read after `config.yaml` and `recipes.yaml` if the file exists"""
    sources_table: PathText
    """the table of addresses"""
    published_table: PlannedPath | None
    """the table of published numbers; null: tables have no published columns"""
    show_intervals: bool
    """tables for readers show `17.9 [16.8, 19.1]`, mAP and its 95 % interval; false: mAP ± deviation over seeds"""
    note: Text | None
    """text for readers at the top of the report"""
    data: PlannedPath
    """folder of downloads, cuts, frames and indices"""
    results: PlannedPath
    """folder of lists, runs, tables, figures and logs; one for each experiment"""
    shared_cache: PathText | None
    """folder of a group: the first workflow to need a file of `data` creates it there, others wait and link to it"""
    against: PathText | None
    """folder of another experiment's results, with which `snakemake compare` compares those of this one"""
    delete_after_use: tuple[Literal["films", "cuts"], ...]
    """which files to delete as soon as no step needs them; of `shared_cache` only the links are deleted"""
    strict: bool
    """true: what this machine lacks (GPUs, disk, driver, locks) stops the workflow at the plan; false: a warning"""
    existing: Existing
    ffmpeg: PathText | None
    """your own binary, at the same path on every machine; null: the pinned one. Its version is part of paths"""
    ava: Ava
    charades: Charades
    recipes: dict[Name, dict[DatasetName, Recipe]]
    bootstrap: Bootstrap
    machine: Machine

    @model_validator(mode="after")
    def _check(self):
        for name, recipe in self.recipes.items():
            for dataset, on_dataset in recipe.items():
                _check_recipe(f"recipes: {name}: {dataset}", on_dataset, dataset)
        if self.shared_cache:
            own, shared = Path(self.data).resolve(), Path(self.shared_cache).resolve()
            if own.is_relative_to(shared) or shared.is_relative_to(own):
                raise ValueError(f"shared_cache: expected a folder apart from data {own}, got {shared}")
        return self


def _check_recipe(key, recipe, dataset):
    try:
        check_for_dataset(dataset, recipe, recipe.protocol)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    views = (recipe.clip.test_clips, recipe.clip.test_crops)
    if DATASETS[dataset].single_view and views != (1, 1):
        raise ValueError(f"{key}: clip: expected test_clips 1 and test_crops 1, got {views[0]} and {views[1]}")


# Former names of keys, for the message about an unknown key. To be removed with version 0.3.
RENAMED_KEYS = {
    "shared": "shared_cache",
    "temp": "delete_after_use",
    "have": "existing",
    "dropout": "recipes: <recipe>: <dataset>: dropout",
    "ava: leave_out": "ava: exclude_videos",
    "ava: quality": "ava: jpeg_quality",
    "ava: min_score": "ava: min_person_score",
    "machine: save_minutes": "machine: checkpoint_minutes",
    "machine: precision": "recipes: <recipe>: <dataset>: training: precision",
} | {
    f"{dataset}: {old}": new
    for dataset in DATASETS
    for old, new in {
        "gpu": f"{dataset}: gpus",
        "clip": f"recipes: <recipe>: {dataset}: clip",
        "training": f"recipes: <recipe>: {dataset}: training",
    }.items()
}


# --- Tables ----------------------------------------------------------------------------------------------------------


@settings
class MethodRow:
    """A row of methods.tsv: one pre-training method."""

    method: Name
    """id in paths and config: small letters, digits and _"""
    label: Label
    """name in tables and figures"""
    pretraining: Literal["none", "self-supervised", "supervised"]
    """how the checkpoint was trained: the kinds that tables and figures compare"""
    checkpoint: str
    """file name in its source, or the path of your file (`~/` is your home); empty: random initialization"""
    source: str
    """the source in `sources.tsv` that has it; `authors`: no address is known, put the file into `existing:
    checkpoints`; empty for your own file"""
    layout: str
    """names of the checkpoint's tensors, see `trainer/models/layouts.py`; `auto` finds them. Empty: no checkpoint"""
    backbone: Text
    """architecture; a name of `trainer/models/backbones.py`"""
    recipe: Text
    """how it is fine-tuned; a name of `recipes.yaml`"""
    bn_eps: Annotated[float, Field(gt=0)]
    """epsilon of BatchNorm. CtP was pre-trained with 1e-3; the released code runs 1e-5"""
    channel_order: Literal["rgb", "bgr"]
    """order of the input's color channels. TCLR was pre-trained on BGR; the released configs feed RGB"""
    mean: Annotated[Mean | tuple[Mean, Mean, Mean], BeforeValidator(_split_numbers)]
    """subtracted from pixels in [0, 1]: a number, or red,green,blue. TCLR was pre-trained without normalization; the
    released configs normalize"""
    std: Annotated[Std | tuple[Std, Std, Std], BeforeValidator(_split_numbers)]
    """by which the difference is divided: a number, or red,green,blue"""


@settings
class SourceRow:
    """A row of sources.tsv: one address of a file. The rows of one source are tried in order."""

    source: Name
    """what the file is"""
    url: Annotated[Text, AfterValidator(_check_url)]
    """web address, or a path on this machine; `{film}` and `{video}` are filled in for films"""
    file: Annotated[Text, AfterValidator(_check_file)]
    """path below `data/downloads`"""
    bytes: Annotated[str, Field(pattern="^[0-9]*$")]
    """size, checked where known"""
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{8,64})?$")]
    """SHA-256, or at least 8 digits of its beginning, checked where known"""
    about: str
    """what it is, for readers"""


@settings
class PublishedRow:
    """A row of published.tsv: one number printed in a paper."""

    method: Name
    """id of the methods table"""
    dataset: DatasetName
    """where it was measured"""
    mAP: Annotated[float, Field(ge=0, le=100)]
    """percent"""
    source: Label
    """the paper. Tables show the first row of a method and dataset, so the order of rows is the order of preference"""


# --- Documentation ---------------------------------------------------------------------------------------------------

SCHEMA = ROOT / "workflow/schemas/config.schema.json"
README = ROOT / "config/README.md"
TABLES = {"methods.tsv": MethodRow, "sources.tsv": SourceRow, "published.tsv": PublishedRow}


def documentation() -> dict[Path, str]:
    """Return the contents of the files that are written from the classes above, by path."""
    text = README.read_text(encoding="utf-8")
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    keys = list(documented_keys(Config))
    config_rows = [(key, kind, _default(defaults, key), words) for key, kind, _, words in keys if "<" not in key]
    recipe_rows = [
        (key.split(">.")[-1], kind, _shown(default), words) for key, kind, default, words in keys if "<" in key
    ]
    text = _fill(text, "config.yaml", _table(["key", "type", "default", "meaning"], config_rows))
    text = _fill(text, "recipes.yaml", _table(["key", "type", "default", "meaning"], recipe_rows))
    for name, row in TABLES.items():
        columns = [(key, kind, words) for key, kind, _, words in documented_keys(row)]
        text = _fill(text, name, _table(["column", "type", "meaning"], columns))
    return {README: text, SCHEMA: json.dumps(json_schema(Config), indent=2) + "\n"}


def _default(config, key):
    for part in key.split("."):
        config = config[part]
    return _shown(config)


def _shown(value):
    """Return a default for readers; nothing for a setting that must be given."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return {MISSING: "", None: "null"}.get(value, str(value))


def _table(heading, rows):
    lines = [heading, ["---"] * len(heading), *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join("| " + " | ".join(" ".join(str(cell).split()) for cell in line) + " |" for line in lines)


def _fill(text, name, table):
    """Replace what stands between the marks of a table."""
    begin, end = f"<!-- begin {name}, written by workflow/lib/settings.py -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text, count=1)


if __name__ == "__main__":
    for path, content in documentation().items():
        with atomic_write(path) as partial:
            partial.write_text(content, encoding="utf-8")
