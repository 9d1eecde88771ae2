"""Odd letters in paths, names, addresses and labels: they work, or the plan refuses them by their key or line."""

import os
from contextlib import nullcontext

import pytest
import yaml

from tests.helpers.config import published
from tests.helpers.damage import DAMAGES
from tests.helpers.methods import ROW, own_row, write_methods
from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.lib import validation
from workflow.lib.experiment import Experiment
from workflow.lib.settings import MethodRow, SourceRow
from workflow.lib.validation import check_published, read_config, read_films, read_table

WORKING = [
    "a b",
    "it's",
    '"',
    "$(touch x)",
    "`x`;&|",
    "é",
    "%s%",
    "{}",
    "a{b",
    "a<b",
    "<B>",
    "-r",
    "a*[b]?",
    "a\\b",
    "a#b",
]
REFUSED = ["a{b}", "{{b}}", "{b,[0-9]+}", "a<data>", "<results>", "a\nb", "a\tb", "a\0b", "a\x1b[2Jb"]
PATH_KEYS = [
    "data",
    "results",
    "published_table",
    "charades: label_map",
    "existing: ava_films",
    "existing: charades_tar",
]


def with_path(key, path):
    """Return a config whose ``key`` is ``path``."""
    first, _, second = key.partition(": ")
    return published(**{first: {second: path} if second else path})


@pytest.mark.parametrize("key", PATH_KEYS)
def test_paths_of_the_config(key):
    for path in WORKING:
        read_config(with_path(key, path))
    for path in REFUSED:
        with pytest.raises(InputError) as refused:
            read_config(with_path(key, path))
        message = "expected a path without control characters, {...} and <...>, which Snakemake fills in, got "
        assert str(refused.value) == f"config: {key}: {message}{path!r}"


@pytest.mark.parametrize("folder", ["/home/me/a{b}", "/home/me/{}", "/home/}"])
def test_the_path_of_a_checkout(folder):
    with pytest.raises(InputError, match=r"^\S+: expected a path without braces, which Snakemake fills in; move this"):
        validation.check_checkout(folder)
    for name in WORKING:
        if not set(name) & set("{}"):
            validation.check_checkout(f"/home/me/{name}")


@pytest.mark.parametrize("name", ["a{b}", "{}", "a<b", "it's", 'a"b', "$(touch x)", "a,b", "a\\b", "a\x1bb"])
def test_films_whose_names_a_cluster_or_snakemake_would_change(tmp_path, name):
    with pytest.raises(InputError) as refused:
        read_films((f"{name}.mkv",), ())
    words = "expected the name of a film without spaces, / \\ ' \" ` $ , { } < > and control characters"
    assert str(refused.value) == f"config: ava: films: 0: {words}, got {f'{name}.mkv'!r}"


def test_films_of_other_odd_names():
    names = ("-a--b_.mkv", "é(1)&;#50%.mp4", "a=b:c+d@e~!.webm", "a.b.mkv")
    assert list(read_films(names, ()).values()) == list(names)


@pytest.mark.parametrize("name", ["$(touch x)", "`touch x`", 'a"b', "a\\b", "50%", "-d"])
def test_paths_that_a_cluster_would_change(tmp_path, monkeypatch, name):
    own = {
        "methods_table": str(write_methods(tmp_path / "methods.tsv", own_row("mine", f"{name}.pth"))),
        "methods": ["mine"],
    }
    url = f"val\t{name}/val.csv\tval.csv\t\t\t\n"
    refused = {
        "config: data": experiment(tmp_path, data=name),
        "config: existing: charades_tar": experiment(tmp_path, existing={"charades_tar": name}),
        f"{tmp_path}/methods.tsv: mine: checkpoint": experiment(tmp_path, **own),
        f"{tmp_path}/sources.tsv: val: url": experiment(tmp_path, url),
    }
    for where, odd in refused.items():
        with pytest.raises(InputError) as error:
            odd.check_cluster()
        assert str(error.value).startswith(
            f'{where}: expected a path without $ ` " \\ % and a first letter -, as jobs run'
        )
    usual = experiment(tmp_path, data="it's ;&| é {}", results="r-r")
    usual.check_cluster()
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with (
        nullcontext() if name == "-d" else pytest.raises(InputError, match=r"^the working directory: expected a path ")
    ):
        usual.check_cluster()


SOURCES = "source\turl\tfile\tbytes\tsha256\tabout\n"


def experiment(tmp_path, sources="", **changes):
    """Return an experiment on Charades, with these lines of the sources table."""
    table = tmp_path / "sources.tsv"
    own = {line.partition("\t")[0] for line in sources.splitlines()}
    lines = (ROOT / "config/sources.tsv").read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if line.partition("\t")[0] not in own) + sources)
    settings = {"datasets": ["charades"], "sources_table": str(table)} | changes
    return Experiment(published(**settings))


def test_addresses_with_braces(tmp_path):
    rows = [
        "ava_films\thttps://x/{}/{a}/{film}?v={video}&{0.__class__}\t{film}\t\t\t",
        "ava_films\tmirror/$(x)/{film}\t{film}\t\t\t",
        "charades_val_list\thttps://x/{a}/<b>?{c}\tcharades/val.csv\t\t\t",
    ]
    odd = experiment(tmp_path, "\n".join(rows) + "\n")
    assert odd.film_urls("-a#1.mkv") == [
        "https://x/{}/{a}/-a%231.mkv?v=-a%231&{0.__class__}",
        "mirror/$(x)/-a#1.mkv",
    ]
    assert odd.urls("charades/val.csv") == ["https://x/{a}/<b>?{c}"]


@pytest.mark.parametrize(
    ("url", "file", "message"),
    [
        ("mirror/{a}/val.csv", "val.csv", "url: expected a path without control characters, {...} and <...>, "),
        ("mirror/<data>/val.csv", "val.csv", "url: expected a path without control characters, {...} and <...>, "),
        ("https://x/val.csv", "{a}/val.csv", "file: expected a path below data/downloads, without .. "),
        ("https://x/val.csv", "a,b.csv", "file: expected a path below data/downloads, without .. "),
        ("https://x/val.csv", "it's.csv", "file: expected a path below data/downloads, without .. "),
        ("https://x/val.csv", "../val.csv", "file: expected a path below data/downloads, without .. "),
        ("https://x/val.csv", "a/../../val.csv", "file: expected a path below data/downloads, without .. "),
        ("https://x/val.csv", "/etc/val.csv", "file: expected a path below data/downloads, without .. "),
    ],
)
def test_sources_whose_files_would_lie_elsewhere(tmp_path, url, file, message):
    path = tmp_path / "sources.tsv"
    path.write_text(f"{SOURCES}val\t{url}\t{file}\t\t\t\n")
    with pytest.raises(InputError) as refused:
        read_table(path, SourceRow)
    assert str(refused.value).startswith(f"{path}, line 2: {message}")
    path.write_text(f"{SOURCES}val\tmirror/it's (1) {{}}/-x.csv\tmy lists/-x.csv\t\t\t\n")
    read_table(path, SourceRow)


def select(tmp_path, *rows):
    table = write_methods(tmp_path / "methods.tsv", *rows)
    return experiment(tmp_path, methods_table=str(table), methods=["mine"])


@pytest.mark.parametrize("name", ["a{b}.pth", "<data>.pth"])
def test_checkpoints_whose_paths_snakemake_would_change(tmp_path, name):
    where = f"{tmp_path}/methods.tsv: mine: checkpoint: expected a "
    with pytest.raises(InputError) as refused:
        select(tmp_path, own_row("mine", name))
    assert str(refused.value).startswith(f"{where}path without control characters, {{...}} and <...>, ")
    with pytest.raises(InputError) as refused:
        select(tmp_path, own_row("mine", name) | {"source": "checkpoints"})
    assert str(refused.value).startswith(f"{where}file name without ")


@pytest.mark.parametrize("name", ["-x.pth", "it's $(touch x) {}.pth"])
def test_checkpoints_of_other_odd_names(tmp_path, name):
    assert select(tmp_path, own_row("mine", name)).checkpoint("mine") == name


def test_a_checkpoint_is_found_by_its_name_and_not_by_a_pattern(tmp_path):
    for name in ("a/[x]*.pth", "b/x1.pth"):
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / name).touch()
    row = own_row("mine", "[x]*.pth") | {"source": "checkpoints"}
    table = write_methods(tmp_path / "methods.tsv", row)
    existing = {"checkpoints": str(tmp_path / "own")}
    odd = experiment(tmp_path, methods_table=str(table), methods=["mine"], existing=existing)
    assert odd.checkpoint("mine") == f"{tmp_path}/own/a/[x]*.pth"


# --- Labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label", ['=HYPERLINK("http://x")', "+1", "-Ours", "@SUM(A1)", "a\x1b[2Jb", "a\x9b2Jb", "a\u2028b", "a\0b"]
)
def test_labels_that_a_spreadsheet_or_terminal_would_run(tmp_path, label):
    path = write_methods(tmp_path / "methods.tsv", ROW, ROW | {"label": label})
    words = "expected text without control characters that does not begin with = + - @, which spreadsheets take for a"
    with pytest.raises(InputError) as refused:
        read_table(path, MethodRow)
    refusal = f": label: {words} formula, got {label!r}" if label.isprintable() else ": a "
    assert str(refused.value).startswith(f"{path}, line 4{refusal}")
    path = tmp_path / "published.tsv"
    path.write_text(f"method\tdataset\tmAP\tsource\nmoco\tava\t11.7\t{label}\n")
    with pytest.raises(InputError) as refused:
        check_published(read_config(published(published_table=str(path))))
    assert str(refused.value).startswith(f"{path}, line 2{refusal.replace('label', 'source')}")


@pytest.mark.parametrize("label", ["[12] Ours", "$x$ & <b>", "a=b", "Ours (no aug.)", "Méthode –", "*ours", "1-2"])
def test_other_labels(tmp_path, label):
    read_table(write_methods(tmp_path / "methods.tsv", ROW | {"label": label}), MethodRow)


# --- Files -----------------------------------------------------------------------------------------------------------


def test_tables_that_cannot_be_read(tmp_path):
    path = write_methods(tmp_path / "methods.tsv", ROW | {"label": "x" * 200_000})
    with pytest.raises(InputError, match=rf"^{path}, line 3: field larger than field limit"):
        read_table(path, MethodRow)
    path = write_methods(tmp_path / "methods.tsv", ROW, encoding="utf-16")
    with pytest.raises(InputError, match=rf"^{path}: UTF-16 text; expected UTF-8"):
        read_table(path, MethodRow)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_without_permission(tmp_path):
    path = write_methods(tmp_path / "methods.tsv", ROW)
    path.chmod(0)
    with pytest.raises(InputError, match=rf"^{path}: cannot be read \(.*Permission denied"):
        read_table(path, MethodRow)


RUN = yaml.safe_load((ROOT / "tests/fixtures/made_up_run.yaml").read_text())


@pytest.mark.parametrize("damage", [*DAMAGES, lambda path: path.write_bytes(path.read_bytes() + b"\xff\n")])
def test_a_damaged_config_of_a_run_does_not_stop_the_plan(tmp_path, damage):
    """What is beside it and took GPU hours is safe: training compares the resume checkpoint with the config."""
    path = tmp_path / "config.yaml"
    trained = RUN | {"seed": RUN["seed"] + 1, "machine": RUN["machine"] | {"device": "cuda"}}
    path.write_text(yaml.safe_dump(trained, sort_keys=False))
    (tmp_path / "resume.pth").touch()
    with pytest.raises(InputError, match=r"its training has seed"):
        validation.check_trained({str(tmp_path): RUN})
    damage(path)
    validation.check_trained({str(tmp_path): RUN})
