"""A run with a damaged file: the tables of all runs fail and name it, those in partial/ show the run as damaged."""

import json

import pandas as pd
import pytest

from tests.helpers.damage import DAMAGES, empty, make_folder, repair
from tests.helpers.made_up_results import made_up, read
from trainer.run_files import DamagedFile
from workflow.lib.report.step_costs import step_costs
from workflow.lib.report.tables import side_by_side_text_tables, table, text_table
from workflow.lib.report.text_table import markdown
from workflow.scripts.plot_classes import plot_classes
from workflow.scripts.plot_mean_ap import plot_mean_ap
from workflow.scripts.plot_training import plot_training

pytestmark = pytest.mark.long

FILES = ["metrics.json", "environment.json", "per_class.csv", "history.csv", "bootstrap.npz"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_run_stands_in_partial_tables_and_fails_the_others(tmp_path, name, damage):
    made_up(tmp_path)
    path = tmp_path / "charades/moco/seed1" / name
    content = path.read_bytes()
    damage(path)
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \(.*\); delete it") as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)

    results = read(tmp_path, partial=True)
    rows = table(results).set_index("method")
    assert rows.status.tolist() == ["finished", f"damaged: seed1/{name}", "finished", "finished"]
    assert rows["mAP"].isna().tolist() == [False, True, False, False] and rows["mAP"]["supervised"] == pytest.approx(40)
    text = markdown(text_table(results))
    assert f"1 of 4 runs are pending. Not counted: {path}: damaged (" in text
    assert f"damaged: seed1/{name}" in "".join(map(markdown, side_by_side_text_tables([results, results])))
    for plot in (plot_mean_ap, plot_classes, plot_training):
        plot(results)

    repair(path, content)
    assert "status" not in table(read(tmp_path))


def test_the_other_seeds_of_a_damaged_run_count(tmp_path):
    made_up(tmp_path, seeds=(1, 2, 3))
    for seed, name in ((1, "metrics.json"), (3, "history.csv")):
        empty(tmp_path / f"charades/moco/seed{seed}/{name}")
    rows = table(read(tmp_path, partial=True, seeds=(1, 2, 3))).set_index("method")
    assert rows.status["moco"] == "1 of 3 runs, damaged: seed1/metrics.json, damaged: seed3/history.csv"
    assert rows["mAP"]["moco"] == pytest.approx(22) and rows.seeds["moco"] == 1


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [("per_class.csv", 3, r"mean ap 0\.2.*, mAP 0\.25"), ("history.csv", 3, "lacks some of 4 epochs")],
)
def test_a_file_that_lacks_whole_lines_is_damaged(tmp_path, name, lines, message):
    made_up(tmp_path)
    path = tmp_path / "charades/video_moco/seed1" / name
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \({message}"):
        read(tmp_path)


@pytest.mark.parametrize("name", ['"=HYPERLINK(""x"")"', "+1", "a\x1b[2Jb", ""])
def test_a_class_that_no_label_map_holds_is_damage(tmp_path, name):
    made_up(tmp_path)
    path = tmp_path / "charades/moco/seed1/per_class.csv"
    path.write_text(path.read_text().replace("dance", name))
    with pytest.raises(
        DamagedFile, match=rf"^{path}: damaged \((expected text without|name: an empty cell)"
    ) as refused:
        read(tmp_path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "change",
    [
        *({"time": "yesterday"}, {"packages": {}}, {"packages": "many"}, {"packages": {"torch": 7}}, {"code": None}),
        *({"hours": "many"}, {"hours": -1.0}, {"hours": float("nan")}, {"gpus": 4}),
        *({"earlier_jobs": 5}, {"earlier_jobs": [5]}, {"earlier_jobs": [{"time": "2026-11-27"}]}),
    ],
)
def test_an_environment_of_another_content_is_damaged(tmp_path, change):
    made_up(tmp_path)
    folder = tmp_path / "charades/moco/seed1"
    environment = json.loads((folder / "environment.json").read_text()) | change
    (folder / "environment.json").write_text(json.dumps(environment))
    metrics = json.loads((folder / "metrics.json").read_text()) | {"trained": environment["time"]}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(DamagedFile, match=rf"^{folder}/environment.json: damaged"):
        read(tmp_path)


def test_a_run_of_other_settings_is_pending_whatever_else_is_in_its_metrics(tmp_path):
    made_up(tmp_path)
    (tmp_path / "charades/moco/seed1/metrics.json").write_text('{"fingerprint": "old", "map": 3}')
    assert table(read(tmp_path)).status.tolist() == ["finished", "pending", "finished", "finished"]


@pytest.mark.parametrize("damage", [*DAMAGES, "no row", "other columns"])
def test_a_damaged_benchmark_file_fails_the_report_unless_jobs_run(tmp_path, damage, caplog):
    for film in ("a", "b"):
        path = tmp_path / f"cut_film/{film}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("s\th:m:s\tmax_rss\n60\t0:00:00\t10\n")
    if damage == "no row":
        path.write_text("s\th:m:s\tmax_rss\n")
    elif damage == "other columns":
        path.write_text("a\tb\n1\t2\n")
    else:
        damage(path)
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \(.*\); delete it; its job is then not counted$"):
        step_costs(tmp_path, {})
    assert step_costs(tmp_path, {}, partial=True).jobs.tolist() == [1]
    assert f"{path}: damaged" in caplog.text


def test_a_run_without_its_curves_is_damaged(tmp_path):
    made_up(tmp_path)
    path = tmp_path / "charades/moco/seed1/history.csv"
    path.unlink()
    with pytest.raises(DamagedFile, match=rf"^{path}: damaged \(No such file or directory\); delete it"):
        read(tmp_path)
    make_folder(tmp_path / "charades/moco/seed1/metrics.json")
    assert pd.isna(table(read(tmp_path, partial=True)).set_index("method")["mAP"]["moco"])
