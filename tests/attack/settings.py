"""The workflow's config, tables of methods, sources and published numbers, and a run's config."""

import yaml

from tests.attack.damage import (
    NO_NUMBERS,
    STRUCTURE,
    YAML,
    Damage,
    bad_values,
    cells,
    columns,
    lines,
    values,
)
from tests.attack.samples import (
    TEXT_TABLE,
    YAML_FILE,
)
from tests.attack.tries import Reader
from tests.helpers.config import published
from tests.helpers.paths import ROOT
from tests.helpers.small_run import small_run
from trainer import config
from trainer.models.methods_table import add_method
from workflow.lib.config_files import read_file, read_settings
from workflow.lib.experiment import Experiment
from workflow.lib.machine_warnings import check_machine
from workflow.lib.report.results import read_published
from workflow.lib.validation import read_films


def make_config(folder):
    settings = published(published_table=None, methods=["scratch", "moco"])
    settings["ava"]["films"] = ["a.mkv", "b.mp4"]
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def read_config(folder):
    return Experiment(read_file(folder / "config.yaml")).config


def read_with_local_config(folder):
    """Read settings with a damaged local_config as the Snakefile does, up to the plan; a key is named by its path."""
    own = {"local_config": f"{folder}/local.yaml", "results": f"{folder}/results", "data": f"{folder}/data"}
    experiment = Experiment(read_settings({**own, "local_methods_table": None}))
    experiment.check_files()
    check_machine(experiment, jobs_run_here=True)
    return experiment.config


def make_local_config(folder):
    (folder / "local.yaml").write_text("methods: [scratch]\nava: {gpus: 2}\n")


def make_tables(folder):
    for name in ("methods.tsv", "sources.tsv", "published.tsv"):
        (folder / name).write_bytes((ROOT / "config" / name).read_bytes())
    (folder / "videos.txt").write_text("# films\n-5KQ66BBWC4.mkv\n1j20qq1JyX4.mp4\nabc.webm\n")
    header, first, *_ = (folder / "methods.tsv").read_text().splitlines()
    (folder / "local_methods.tsv").write_text(f"{header}\n{first.replace('scratch', 'mine', 1)}\n")


def read_tables(folder):
    tables = {f"{name}_table": str(folder / f"{name}.tsv") for name in ("methods", "sources", "published")}
    found = Experiment(
        published(**tables, local_methods_table=str(folder / "local_methods.tsv"), methods="all", datasets=["ava"])
    )
    return found.methods.drop(columns="table"), found.sources, read_published(tables["published_table"], "ava")


def read_films_list(folder):
    return read_films(str(folder / "videos.txt"), ())


def add_to_table(folder):
    """Append a row; return it by column."""
    new = {"backbone": "r3d_18", "recipe": "r2plus1d"}
    add_method(folder / "local_methods.tsv", "New", folder / "new.pth", published=folder / "methods.tsv", **new)
    header, *_, last = (line.split("\t") for line in (folder / "local_methods.tsv").read_text("utf-8-sig").splitlines())
    return sorted(zip(header, last, strict=True))


FILM_NAMES: dict[str, Damage] = {
    f"a film named {name!r}": lines(lambda rows, name=name: [*rows, f"{name}\n"])
    for name in (
        "a",
        "a.avi",
        "a/b.mkv",
        "../b.mkv",
        "a b.mkv",
        "a{x}.mkv",
        "\x1b[2J.mkv",
        ".mkv",
        "abc.mkv",
    )
}


def make_charades_run(folder):
    small_run(folder, "charades")


def read_run(folder):
    return config.load(folder / "config.yaml")


NAMES = ("", "A", "a b", "a/b", "../a", "\x1b[2J", "é")


METHOD_CELLS = {
    0: NAMES,
    1: ("", "\x1b[2J"),
    2: ("", "other"),
    5: ("", "other"),
    6: ("", "other"),
    7: ("", "other"),
    8: (*NO_NUMBERS, "-1", "0"),
    9: ("", "bgr2"),
    10: (*NO_NUMBERS, "-1"),
    11: (*NO_NUMBERS, "-1", "0"),
}


SOURCE_CELLS = {
    0: NAMES,
    1: ("",),
    2: ("", "../a", "/etc/passwd", "a{b}"),
    3: ("x", "-1", "1.5", "nan"),
    4: ("x", "ABCDEF12", "1"),
}


PUBLISHED_CELLS = {0: NAMES, 1: ("", "kinetics"), 2: (*NO_NUMBERS, "-1", "101"), 3: ("",)}


def _yaml_values(only=lambda keys: True):
    return values(yaml.safe_load, lambda tree: yaml.safe_dump(tree, sort_keys=False), bad_values, only)


READERS = [
    Reader(
        "config of the workflow",
        ("config.yaml",),
        make_config,
        read_config,
        STRUCTURE | YAML,
        _yaml_values(),
        named="config",
    ),
    Reader(
        "local config",
        ("local.yaml",),
        make_local_config,
        read_with_local_config,
        YAML_FILE,
        named="local.yaml|config: ",  # settings are named by key, whatever file they are in
    ),
    Reader("config of a run", ("config.yaml",), make_charades_run, read_run, YAML_FILE, _yaml_values()),
    Reader(
        "table of methods",
        ("methods.tsv",),
        make_tables,
        read_tables,
        TEXT_TABLE | columns("\t") | cells("\t", METHOD_CELLS),
    ),
    Reader("own table of methods", ("local_methods.tsv",), make_tables, read_tables, TEXT_TABLE),
    Reader(
        "table of sources",
        ("sources.tsv",),
        make_tables,
        read_tables,
        TEXT_TABLE | columns("\t") | cells("\t", SOURCE_CELLS),
    ),
    Reader(
        "published table",
        ("published.tsv",),
        make_tables,
        read_tables,
        TEXT_TABLE | columns("\t") | cells("\t", PUBLISHED_CELLS),
    ),
    Reader(
        "inspect --add", ("local_methods.tsv", "methods.tsv"), make_tables, add_to_table, TEXT_TABLE | columns("\t")
    ),
    Reader("list of films", ("videos.txt",), make_tables, read_films_list, TEXT_TABLE | FILM_NAMES),
]
