from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from trainer.utils.errors import InputError
from workflow.lib.validation import check_config, check_files, check_methods, check_published, read_films, read_table

CONFIG = Path(__file__).parents[2] / "config"


def changed(config, changes):
    """A copy of nested mappings with changes merged in, as Snakemake merges them."""
    config = deepcopy(config)
    for key, value in changes.items():
        config[key] = changed(config[key], value) if isinstance(value, dict) and key in config else value
    return config


@pytest.fixture(scope="module")
def published():
    return yaml.safe_load((CONFIG / "config.yaml").read_text())


def test_the_published_and_the_demos_config_are_right(published):
    check_config(published)
    check_config(changed(published, yaml.safe_load((CONFIG / "demo.yaml").read_text())))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("methods: moco", r"methods: 'moco' is not a list, such as \[a, b\]"),
        ("ava: {short_side: small}", "ava: short_side: 'small' is not a whole number or null"),
        ("epochs: 3", "unknown key epochs; known: datasets, methods, "),
        ("ava: {training: {epohcs: 3}}", "ava: training: unknown key epohcs; known: batch, shares, epochs, "),
        ("have: {ava_film: /films}", "have: unknown key ava_film; known: ava_films, ava_cuts, "),
        ("ava: {start: early}", "ava: start: 'early' is not a whole number"),
        ("ava: ", "ava: None is not a mapping of keys"),
        ("charades: {clip: {crop: 100}}", "charades: clip: crop: 100 is not a multiple of 16"),
        ("datasets: [ava, kinetics]", "datasets: 1: 'kinetics' is not one of "),
        ("temp: [frames]", "temp: 0: 'frames' is not one of "),
        ("ava: {training: {base_lr: 1e-3}}", "ava: training: base_lr: '1e-3' is text in YAML; .* as in 1.0e-3"),
        ("have: {ava_films: ~/films}", r"have: ava_films: '~/films' is not a path written out \(no ~\)"),
        ("ava: {films: ~/films.txt}", "ava: films: '~/films.txt' is not a path written out"),
        ("data: ~/data", "data: '~/data' is not a path written out"),
        ("ava: {training: {shares: 5}}", "ava: training: shares: 5 does not divide training: batch 32"),
        ("charades: {training: {steps: [1]}}", "charades: training: steps: "),
        ("ava: {clip: {test_crops: 3}}", "ava: clip: test_crops: 1 was expected"),
        ("ava: {gpu: 3}", "ava: gpu: 3 does not divide training: shares 4"),
        (
            "ava: {start: 900, stop: 904}",
            r"ava: stop: 904: no second lies from start \+ 2 to stop - 3, as start is 900",
        ),
        ("{data: data, shared: data/common}", "shared: .*/data/common and data: .*/data must lie apart"),
    ],
)
def test_wrong_config(published, changes, message):
    with pytest.raises(InputError, match=f"^config: {message}") as refused:
        check_config(changed(published, yaml.safe_load(changes)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_films_of_a_file(tmp_path, encoding):
    path = tmp_path / "films.txt"
    path.write_text("-a_1.mkv\n# more\n\n  b2.mp4  \r\nc.3.webm\n", encoding)
    films = {"-a_1": "-a_1.mkv", "b2": "b2.mp4", "c.3": "c.3.webm"}
    assert read_films(str(path), []) == read_films(list(films.values()), []) == films
    assert list(read_films(str(path), ["b2", "c.3.webm"])) == ["-a_1"]


@pytest.mark.parametrize(
    ("text", "leave_out", "message"),
    [
        ("a.mkv\n\nb.avi\n", [], "FILE, line 3: 'b.avi' is no name of a film; it ends in .mkv, .mp4 or .webm"),
        ("a.mkv b.mkv\n", [], "FILE, line 1: 'a.mkv b.mkv' is no name of a film"),
        ("films/a.mkv\n", [], "FILE, line 1: 'films/a.mkv' is no name of a film"),
        ("#\na.mkv\nb.mkv\na.mp4\n", [], "FILE, line 4: a.mp4 is there already, as a.mkv"),
        ("# nothing\n", [], "config: ava: films: none is named, or all are left out"),
        ("a.mkv\n", ["a"], "config: ava: films: none is named, or all are left out"),
        ("a.mkv\n", ["b.mkv"], "config: ava: leave_out: b.mkv: not among the films"),
        (None, [], "config: ava: films: FILE: no such file"),
    ],
)
def test_wrong_films(tmp_path, text, leave_out, message):
    path = tmp_path / "films.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"^{message.replace('FILE', str(path))}"):
        read_films(str(path), leave_out)


def test_wrong_films_of_a_list():
    with pytest.raises(InputError, match=r"^config: ava: films: 1: 'b' is no name of a film"):
        read_films(["a.mkv", "b"], [])


ROW = {
    "method": "mine",
    "label": 'My # "method',
    "pretraining": "self-supervised",
    "checkpoint": "",
    "source": "",
    "layout": "",
    "backbone": "r2plus1d_18",
    "bn_eps": "1e-5",
    "channels": "rgb",
    "mean": "0.45",
    "std": "0.225",
}


def write(path, *rows, columns=ROW, encoding="utf-8"):
    lines = ["# a comment", "\t".join(columns), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_text_as_it_stands(tmp_path, encoding):
    path = write(tmp_path / "methods.tsv", ROW, ROW | {"method": "other"}, encoding=encoding)
    table = read_table(path, "methods")
    assert table.to_dict("records") == [ROW, ROW | {"method": "other"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "", "channels": "grb"}, "channels: 'grb' is not one of"),
        ({"method": "Mine"}, "method: 'Mine' is not an id of small letters, digits and _"),
        ({"checkpoint": "~other/own.pth"}, "checkpoint: '~other/own.pth' is not a file name in its source or the path"),
        ({"bn_eps": "small"}, "bn_eps: 'small' is not a number, such as 1e-5"),
        ({"bn_eps": "1..e5"}, "bn_eps: '1..e5' is not a number, such as 1e-5"),
        ({"std": "0.0"}, "std: '0.0' is not a number above 0"),
        ({"std": "0.2.5"}, "std: '0.2.5' is not a number"),
        ({"std": "0.225\t"}, "12 columns instead of 11; a tab stands between two"),
    ],
)
def test_wrong_row_is_named_by_its_line(tmp_path, change, message):
    path = write(tmp_path / "methods.tsv", ROW, ROW | change)
    with pytest.raises(InputError, match=f"^{path}, line 4: {message}"):
        read_table(path, "methods")


@pytest.mark.parametrize("columns", [{}, {"methode": ""} | ROW, dict.fromkeys(list(ROW)[1:])])
def test_wrong_header(tmp_path, columns):
    path = write(tmp_path / "methods.tsv", columns=columns)
    with pytest.raises(InputError, match=f"^{path}: the first line must name the columns method, label, "):
        read_table(path, "methods")


def test_a_table_in_another_encoding(tmp_path):
    path = write(tmp_path / "methods.tsv", ROW | {"label": "Méthode"}, encoding="latin-1")
    with pytest.raises(InputError, match=f"^{path}: not UTF-8 .*; save it in that encoding$"):
        read_table(path, "methods")


def test_no_table(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.tsv: no such file; the config names it as a table"):
        read_table(tmp_path / "nowhere.tsv", "methods")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["moco\tava\t11.7\tpaper", "moco\tava\t12.0\tother"], ": moco has two numbers on ava; one can be compared"),
        (["moco\tava\t-\tpaper"], ", line 2: mAP: '-' is not a number of percent, such as 21.3"),
    ],
)
def test_wrong_published_numbers(tmp_path, rows, message):
    path = tmp_path / "published.tsv"
    path.write_text("\n".join(["method\tdataset\tmAP\tsource", *rows]) + "\n")
    with pytest.raises(InputError, match=f"^{path}{message}"):
        check_published({"published_table": str(path)})
    check_published({"published_table": None})
    check_published({"published_table": str(CONFIG / "published.tsv")})


@pytest.fixture
def tables(tmp_path):
    """check_methods of rows, those of the published table and one more."""

    def check(*rows, chosen=("mine",)):
        path = write(tmp_path / "methods.tsv", *rows)
        config = {"methods": list(chosen), "methods_table": "methods.tsv"}
        methods = read_table(path, "methods").set_index("method", drop=False)
        check_methods(config, methods, read_table(CONFIG / "sources.tsv", "sources"))

    return check


def test_methods_are_chosen_by_their_ids(tables):
    tables(ROW)
    with pytest.raises(InputError, match=r"^config: methods: mime: no such row in methods.tsv; known: mine, scratch$"):
        tables(ROW, ROW | {"method": "scratch"}, chosen=["scratch", "mime"])
    with pytest.raises(InputError, match=r"^methods.tsv: mine: two rows have this id"):
        tables(ROW, ROW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "auto"}, "without a checkpoint, layout and source must be empty"),
        ({"source": "checkpoints"}, "without a checkpoint, layout and source must be empty"),
        ({"checkpoint": "OWN"}, "layout: '' is unknown; write auto, or one of selavi, moco"),
        ({"checkpoint": "OWN", "layout": "moko"}, "layout: 'moko' is unknown"),
        ({"checkpoint": "OWN", "layout": "auto", "source": "web"}, "source: 'web' is unknown; .* one of ava_films, "),
        (
            {"checkpoint": "OWN", "layout": "auto", "source": "checkpoints"},
            "checkpoint: a path, and source is checkpoints; leave source empty for your own file",
        ),
    ],
)
def test_a_row_that_does_not_go_together(tables, change, message):
    own = {key: value.replace("OWN", "/nowhere/own.pth") for key, value in change.items()}
    for chosen in ("mine", "other"):  # what is wrong in the table is told of rows that nobody chose, too
        with pytest.raises(InputError, match=f"^methods.tsv: mine: {message}"):
            tables(ROW | own, ROW | {"method": "other"}, chosen=[chosen])
    tables(ROW | {"checkpoint": "/nowhere/own.pth", "layout": "auto"})
    tables(ROW | {"checkpoint": "anywhere.pth", "layout": "moco", "source": "checkpoints"})


@pytest.mark.parametrize(
    ("changes", "checkpoint", "message"),
    [
        ("have: {ava_cuts: /nowhere/cuts}", "", "config: have: ava_cuts: /nowhere/cuts: no such file or folder"),
        ("shared: /nowhere/group", "", "config: shared: /nowhere/group: no such folder; make it"),
        ("{}", "FOLDER", "methods.tsv: mine: checkpoint: FOLDER: is a folder; name the file in it"),
        ("{}", "FOLDER/no.pth", "methods.tsv: mine: checkpoint: FOLDER/no.pth: no such file; name yours"),
        ("{}", "~/no.pth", "methods.tsv: mine: checkpoint: FOLDER/no.pth: no such file; name yours"),
    ],
)
def test_files_that_are_not_there(published, tmp_path, monkeypatch, changes, checkpoint, message):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.pth").touch()

    def check(changes, checkpoint):
        row = ROW | {"checkpoint": checkpoint.replace("FOLDER", str(tmp_path))}
        methods = read_table(write(tmp_path / "methods.tsv", row), "methods").set_index("method", drop=False)
        table = {"methods": ["mine"], "methods_table": "methods.tsv"}
        check_files(changed(published, table | yaml.safe_load(changes)), methods)

    with pytest.raises(InputError, match=f"^{message.replace('FOLDER', str(tmp_path))}"):
        check(changes, checkpoint)
    check("{datasets: [charades], have: {ava_cuts: /nowhere/cuts}}", "~/own.pth")
