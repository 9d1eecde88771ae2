import pytest

from trainer.models.methods_table import DEFAULTS, PUBLISHED_TABLE, add_method, method_id
from trainer.utils.errors import InputError

HEADER = "\t".join(DEFAULTS) + "\n"


def test_rows_are_appended_and_others_stay(tmp_path):
    table = tmp_path / "table.tsv"
    header = HEADER.replace("method\tlabel", "label\tmethod")
    table.write_text(f"# my own\n{header}First\tfirst\tsupervised")  # no line break at its end
    assert add_method(table, "Second ", tmp_path / "a.pth", backbone="r3d_18", recipe="r2plus1d") == "second"
    assert add_method(table, "Third", tmp_path / "b.pth", backbone="mc3_18", recipe="r2plus1d") == "third"
    lines = table.read_text().splitlines()
    assert lines[:3] == ["# my own", header.strip(), "First\tfirst\tsupervised"]
    assert [line.split("\t")[:4] for line in lines[3:]] == [
        ["Second", "second", "self-supervised", f"{tmp_path}/a.pth"],
        ["Third", "third", "self-supervised", f"{tmp_path}/b.pth"],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["table.tsv"]


@pytest.mark.parametrize(
    ("label", "method"),
    [("My method", "my_method"), ("R(2+1)D: 3rd try!", "r_2_1_d_3rd_try"), (" VideoMAE-v2 ", "videomae_v2")],
)
def test_ids_are_made_of_labels(label, method):
    assert method_id(label) == method


@pytest.mark.parametrize("label", ["", "  ", "方法", "2024", "null", "On", "1_000"])
def test_labels_that_give_no_id(label):
    with pytest.raises(InputError, match="expected a name with letters a to z"):
        method_id(label)


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "a\x1b[2J"])
@pytest.mark.parametrize("column", ["label", "checkpoint", "recipe"])
def test_what_cannot_stand_in_a_table(column, value, tmp_path):
    row = {"label": "Mine", "checkpoint": "a.pth", column: value}
    with pytest.raises(InputError, match=f"^{column} '.*: a table cannot hold it; expected one line without tabs"):
        add_method(tmp_path / "table.tsv", **row)
    assert not (tmp_path / "table.tsv").exists()


@pytest.mark.parametrize("label", ["=HYPERLINK(a)", "+mine", "-mine", " @mine"])
def test_a_label_that_is_a_formula(label, tmp_path):
    with pytest.raises(InputError, match=r"^label: expected text .* which spreadsheets take for a formula"):
        add_method(tmp_path / "table.tsv", label, tmp_path / "a.pth")
    assert not (tmp_path / "table.tsv").exists()


def test_an_id_that_is_there_already(tmp_path):
    table = tmp_path / "table.tsv"
    add_method(table, "Mine", tmp_path / "a.pth")
    before = table.read_text()
    with pytest.raises(InputError, match=f"{table}: has a method mine already; give another label than 'mine!'$"):
        add_method(table, "mine!", tmp_path / "a.pth")
    with pytest.raises(InputError, match=f"{PUBLISHED_TABLE}: has .* or use that row: name the file .*0199.*, and its"):
        add_method(table, "MoCo", tmp_path / "a.pth")
    with pytest.raises(
        InputError, match=f"{PUBLISHED_TABLE}: has a method scratch already; give another .* 'scratch'$"
    ):
        add_method(table, "scratch", tmp_path / "a.pth")
    assert table.read_text() == before


@pytest.mark.parametrize(("text", "line"), [("", 1), ("# mine\n\nmethod\tlabel\n", 3)])
def test_a_table_with_other_columns(text, line, tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text(text)
    got = "method, label" if text else "none"
    with pytest.raises(InputError, match=f"{table}, line {line}: expected the columns method, .*, got {got}$"):
        add_method(table, "Mine", tmp_path / "a.pth")
    assert table.read_text() == text


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "table.tsv").write_bytes(b"method\n\xff")
    with pytest.raises(InputError, match=r"table\.tsv, line 2: not UTF-8"):
        add_method(tmp_path / "table.tsv", "Mine", tmp_path / "a.pth")
