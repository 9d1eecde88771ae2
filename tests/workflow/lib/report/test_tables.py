"""Tables: numbers, order, highlights, pending runs and sources."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.helpers.made_up_results import (
    ALIKE,
    CLASSES,
    FEW_SEEDS,
    ONE_SEED,
    RUN,
    made_up,
    made_up_score,
    read,
    run_config,
    with_recipes,
    write_published,
    write_run,
)
from tests.helpers.paths import ROOT
from trainer.config import Run, score_fingerprint
from trainer.utils import settings
from trainer.utils.errors import InputError
from workflow.lib.report.results import class_means, read_results
from workflow.lib.report.tables import (
    class_table,
    side_by_side,
    side_by_side_text_tables,
    table,
    text_table,
    with_interval,
    write_table,
)
from workflow.lib.report.text_table import Cell, TextTable, latex, markdown


def written(tmp_path, results):
    output = SimpleNamespace(csv=tmp_path / "t.csv", markdown=tmp_path / "t.md", latex=tmp_path / "t.tex")
    write_table(table(results), [text_table(group) for group in results.comparable()], output)
    return pd.read_csv(output.csv), output.markdown.read_text(), output.latex.read_text()


def test_one_row_per_method_in_the_given_order(tmp_path):
    rows, text, _ = written(tmp_path, made_up(tmp_path))
    assert list(rows.method) == ["scratch", "moco", "video_moco", "supervised"]
    assert list(rows.mAP) == [12.0, 20.0, 25.0, 40.0]
    assert not {"published_mAP", "difference", "status", "official_mAP"} & set(rows)
    assert rows.mAP_std.isna().all()
    assert list(rows.videos_tested) == [1814] * 4
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:] == list(rows.label)


def test_ids_and_labels_that_look_like_numbers_or_missing_values_are_text(tmp_path):
    labels = {"007": "NA", "nan": "1e5", "1e5": "nan", "na": "007"}
    methods = {method: {"label": label, "pretraining": "self-supervised"} | ALIKE for method, label in labels.items()}
    folders = {method: write_run(tmp_path, "charades", method, 1, [0.1, 0.2, 0.3]) for method in methods}
    runs = {method: {str(folder): made_up_score("charades", method, 1)} for method, folder in folders.items()}
    for folder in folders.values():
        path = folder / "per_class.csv"
        path.write_text(path.read_text().replace("dance", "001").replace("bend/bow (at the waist)", "NA"))
    results = read_results("charades", methods, runs)
    _, text, _ = written(tmp_path, results)
    rows = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert dict(zip(rows.method, rows.label, strict=True)) == labels
    assert rows["mAP"].tolist() == ["20.00"] * 4
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:] == [*labels.values()]
    assert class_means(results).columns.tolist() == ["NA", CLASSES[1], "001"]
    assert class_means(results).index.tolist() == list(labels)


def test_each_recipe_has_its_own_table(tmp_path):
    results = made_up(tmp_path, without=[("moco", 1)])
    assert "recipe" not in written(tmp_path, results)[1]
    recipes = ["vit", "r2plus1d_frozen", "r2plus1d_frozen", "r2plus1d_frozen"]
    results = with_recipes(results, *recipes)
    rows, text, tex = written(tmp_path, results)
    assert rows.recipe.tolist() == recipes
    assert rows.rank_best.tolist()[::3] == [1, 1]
    first, second = text.split("\n\nCharades")
    assert first.startswith("Charades (recipe vit): mAP") and second.startswith(" (recipe r2plus1d_frozen): mAP")
    assert "**12.0" in first and "No pre-training" not in second
    assert "**40.0" in second and "_25.0" in second
    assert "runs are pending" not in first and "1 of 3 runs are pending" in second
    assert tex.count(r"\begin{tabular}") == 2
    beside = side_by_side_text_tables([results, results])
    assert [table.title for table in beside] == [
        "Charades and Charades (recipe vit): mAP in percent",
        "Charades and Charades (recipe r2plus1d_frozen): mAP in percent",
    ]
    assert [[row[0].text for row in table.rows] for table in beside] == [
        ["No pre-training"],
        ["MoCo", "VideoMoCo", "Supervised"],
    ]


def test_seeds_give_mean_and_standard_deviation(tmp_path):
    results = replace(made_up(tmp_path, seeds=(1, 2, 3)), show_intervals=False)
    rows, text, tex = written(tmp_path, results)
    assert list(rows.mAP) == [14.0, 22.0, 27.0, 42.0]
    assert list(rows.mAP_std) == [2.0] * 4
    assert list(rows.seeds) == [3] * 4
    assert "_27.0 ± 2.0_" in text and "**42.0 ± 2.0**" in text
    assert "\n% Best in bold, best self-supervised underlined. mAP is the mean over seeds. " in tex
    assert r"\underline{27.0 $\pm$ 2.0}" in tex and r"\textbf{42.0 $\pm$ 2.0}" in tex


def test_intervals_are_those_of_the_bootstrap(tmp_path):
    rows, text, tex = written(tmp_path, made_up(tmp_path, "ava"))
    with np.load(tmp_path / "ava/moco/seed1/bootstrap.npz") as arrays:
        low, high = 100 * arrays["interval"][0]
        official = 100 * arrays["interval"][1]
        of_class = 100 * arrays["class_interval"][0, 1]
    moco = rows.set_index("method").loc["moco"]
    assert [moco.mAP_low, moco.mAP_high] == pytest.approx([low, high], abs=0.005)
    assert [moco.official_mAP_low, moco.official_mAP_high] == pytest.approx(official, abs=0.005)
    assert f"| 20.0 [{low:.1f}, {high:.1f}] |" in text.replace("  ", "")
    assert rf"20.0 {{[}}{low:.1f}, {high:.1f}{{]}}" in tex
    classes = class_table(read(tmp_path, "ava")).set_index(["method", "class"])
    talk = classes.loc[("moco", "talk to (e.g., self, a person, a group)")]
    assert talk.tolist() == pytest.approx([20, *of_class])
    assert "never seen" not in classes.index.get_level_values("class")


def test_the_interval_of_several_seeds_covers_seeds_and_videos(tmp_path):
    """Seeds lie 2 points apart, and values of one seed vary by 2 points."""
    spread = {}
    for seeds in ((1,), (1, 2, 3)):
        rows = table(made_up(tmp_path / str(len(seeds)), seeds=seeds)).set_index("method")
        spread[len(seeds)] = (rows.mAP_high - rows.mAP_low)["moco"]
    videos = np.sqrt(0.02**2 + 0.01**2 / 3)
    seeds = np.std([0, 0.02, 0.04], ddof=1) / np.sqrt(3)  # of the mean of three
    assert spread[1] == pytest.approx(100 * 2 * 1.96 * videos, rel=0.1)
    assert spread[3] == pytest.approx(100 * 2 * 1.96 * np.hypot(0.02, seeds), rel=0.1)


def test_rank_intervals(tmp_path):
    rows, text, _ = written(tmp_path, made_up(tmp_path))
    assert rows[["rank_best", "rank_worst"]].to_numpy().tolist() == [[4, 4], [3, 3], [2, 2], [1, 1]]
    assert [line.split("|")[3].strip() for line in text.splitlines() if line.startswith("|")][2:] == list("4321")


def test_runs_that_are_not_bootstrapped_have_no_interval(tmp_path):
    made_up(tmp_path)
    (tmp_path / "charades/moco/seed1/bootstrap.npz").unlink()
    results = read(tmp_path)
    rows = table(results).set_index("method")
    assert rows.mAP_low.isna().tolist() == [False, True, False, False] and rows["mAP"]["moco"] == pytest.approx(20)
    text = text_table(results)
    assert "|20.0|–|" in markdown(text).replace(" ", "")


def test_a_score_without_resamples_has_no_interval(tmp_path):
    results = made_up(tmp_path)
    results = replace(results, runs=results.runs.assign(accuracy=0.5))
    columns = with_interval(results, "accuracy")
    assert columns["accuracy"].tolist() == [50.0] * 4
    assert columns["accuracy_low"].isna().all() and columns["accuracy_high"].isna().all()


@pytest.mark.parametrize("settings", [{"resamples": 400, "seed": 1}, {"resamples": 2000, "seed": 0}])
def test_a_bootstrap_of_other_settings_is_refused(tmp_path, settings):
    made_up(tmp_path)
    assert len(read(tmp_path, bootstrap={"resamples": 400, "seed": 0}).bootstraps) == 4
    with pytest.raises(InputError, match=r"bootstrap.npz: .* not made with config: bootstrap; delete it to bootstrap"):
        read(tmp_path, bootstrap=settings)
    assert not read(tmp_path, bootstrap=settings, partial=True).bootstraps  # its job may not have run yet


def test_bootstraps_of_other_test_videos_are_refused(tmp_path):
    made_up(tmp_path)
    path = tmp_path / "charades/moco/seed1/bootstrap.npz"
    with np.load(path) as arrays:
        changed = dict(arrays) | {"digest": "4567", "video": ["a", "c"]}
    np.savez(path, **changed)
    with pytest.raises(InputError, match="its test videos are not those of"):
        read(tmp_path)


def test_methods_of_other_backbones_are_not_ranked_in_silence(tmp_path):
    results = made_up(tmp_path)
    _, alone, _ = written(tmp_path, results)
    assert "backbone" not in alone
    backbones = ["r2plus1d_18", "r3d_18", "r2plus1d_18", "r3d_18"]
    results = replace(results, methods=results.methods.assign(backbone=backbones))
    _, text, _ = written(tmp_path, results)
    said = "The backbone is r2plus1d_18, for MoCo, Supervised r3d_18."
    assert said in text
    [together] = side_by_side_text_tables([results, results])
    assert said in together.note


def test_methods_of_several_recipes_that_compare_share_a_table(tmp_path):
    results = with_recipes(made_up(tmp_path), "r2plus1d", "r2plus1d", "low_rate", "vit")
    results = replace(results, methods=results.methods.assign(group=["r2plus1d", "r2plus1d", "r2plus1d", "vit"]))
    rows, text, _ = written(tmp_path, results)
    assert rows.recipe.tolist() == ["r2plus1d", "r2plus1d", "low_rate", "vit"]
    assert rows.group.tolist() == ["r2plus1d", "r2plus1d", "r2plus1d", "vit"]
    assert rows.rank_best.tolist() == [3, 2, 1, 1]
    first, second = text.split("\n\nCharades")
    assert first.startswith("Charades (group r2plus1d): mAP") and "VideoMoCo" in first
    assert second.startswith(" (group vit): mAP")
    said = "The recipe is r2plus1d, for VideoMoCo low_rate."
    assert said in first and "The recipe is" not in second
    assert [said in table.note for table in side_by_side_text_tables([results, results])] == [True, False]
    assert side_by_side([results, results]).group.tolist() == rows.group.tolist()


def test_published_numbers_are_beside_ours(tmp_path):
    results = made_up(tmp_path, published=write_published(tmp_path / "published.tsv"))
    rows, text, tex = written(tmp_path, results)
    assert list(rows.published_mAP[1:3]) == [21.5, 24.0]
    assert list(rows.difference[1:3]) == [-1.5, 1.0]
    assert rows.published_mAP.isna().tolist() == [False, False, False, True]
    assert rows.published_source.tolist()[:3] == ["old paper", "new paper", "new paper"]  # MoCo: its first row
    assert "Published numbers are from new paper, for No pre-training from old paper." in text
    assert "| −1.5 |" in text.replace("  ", "") and "+1.0" in text
    assert "$-$1.5" in tex and r"& \underline{\textbf{24.0}} & +1.0" in tex


def test_ava_shows_both_protocols(tmp_path):
    rows, text, _ = written(tmp_path, made_up(tmp_path, "ava"))
    assert list(rows.official_mAP) == [11.0, 19.0, 24.0, 39.0]
    assert "Official" in text.splitlines()[2]
    assert 'mAP is by the protocol "published", Official by ActivityNet\'s' in text


def test_a_group_without_finished_runs_names_no_protocol(tmp_path):
    results = made_up(tmp_path, "ava", without=[("supervised", 1)])
    groups = with_recipes(results, "r2plus1d", "r2plus1d", "r2plus1d", "vit").comparable()
    assert ["by the protocol" in text_table(group).note for group in groups] == [True, False]


def test_unfinished_runs_are_pending(tmp_path):
    rows, text, _ = written(
        tmp_path, made_up(tmp_path, seeds=(1, 2), without=[("moco", 1), ("moco", 2), ("supervised", 2)])
    )
    assert list(rows.status) == ["finished", "pending", "finished", "1 of 2 runs"]
    assert rows.mAP.isna().tolist() == [False, True, False, False]
    assert list(rows.seeds) == [2, 0, 2, 1]
    assert "3 of 8 runs are pending" in text
    assert "pending" in next(line for line in text.splitlines() if "| MoCo" in line)


def test_a_run_with_other_settings_is_pending_and_one_of_another_machine_is_not(tmp_path):
    def change(method, **changes):
        path = tmp_path / "ava" / method / "seed1/metrics.json"
        run = settings.read(Run, run_config("ava", method, 1) | changes, "made up")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": score_fingerprint(run)}))

    made_up(tmp_path, "ava")
    change("scratch", machine=RUN["machine"] | {"workers": 8, "threads": 2, "checkpoint_minutes": 1})
    change("moco", training=RUN["training"] | {"epochs": 3})
    change("video_moco", training=RUN["training"] | {"precision": "bfloat16"})
    change("supervised", data=RUN["data"] | {"protocol": "alphaction"})
    rows = table(read(tmp_path, "ava"))
    assert list(rows.status) == ["finished", "pending", "pending", "pending"]


@pytest.mark.parametrize("trained", ["again", "at this moment"])
def test_a_run_that_is_trained_again_is_pending_until_it_is_scored(tmp_path, trained):
    made_up(tmp_path)
    environment = tmp_path / "charades/moco/seed1/environment.json"
    if trained == "again":
        environment.write_text(json.dumps(json.loads(environment.read_text()) | {"time": "later"}))
    else:
        environment.unlink()  # as Snakemake does
    assert list(table(read(tmp_path)).status) == ["finished", "pending", "finished", "finished"]


def test_nothing_finished(tmp_path):
    rows, text, _ = written(tmp_path, made_up(tmp_path, without=[(m, 1) for m in METHOD_NAMES]))
    assert list(rows.status) == ["pending"] * 4
    assert "**" not in text


METHOD_NAMES = ["scratch", "moco", "video_moco", "supervised"]


def test_both_datasets_side_by_side(tmp_path):
    published = write_published(tmp_path / "published.tsv")
    datasets = [made_up(tmp_path, "ava", (0,), published), made_up(tmp_path, "charades", (1,), published)]
    rows = side_by_side(datasets)
    assert list(rows.ava_mAP.round(2)) == [10.0, 18.0, 23.0, 38.0]
    assert list(rows.charades_difference.round(2)[1:3]) == [-1.5, 1.0]
    [text] = side_by_side_text_tables(datasets)
    assert list(text.columns) == [
        *("Method", "AVA", "AVA published", "AVA difference"),
        *("Charades", "Charades published", "Charades difference"),
    ]
    assert [row[0].text for row in text.rows] == ["No pre-training", "MoCo", "VideoMoCo", "Supervised"]


@pytest.mark.parametrize(
    ("show_intervals", "said"),
    [
        (
            True,
            "Brackets of AVA are intervals of 95 % over test videos. mAP of Charades is the mean over seeds. "
            "Brackets of Charades are intervals of 95 % over test videos and seeds. "
            f"{ONE_SEED.replace('charades', 'ava')} {FEW_SEEDS}",
        ),
        (False, "mAP of Charades is the mean over seeds. ± of Charades is one standard deviation over seeds."),
    ],
)
def test_brackets_and_seeds_side_by_side_are_explained(tmp_path, show_intervals, said):
    datasets = [made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1, 2))]
    [text] = side_by_side_text_tables([replace(results, show_intervals=show_intervals) for results in datasets])
    assert text.note == said


def test_datasets_with_one_seed_are_named_side_by_side(tmp_path):
    [text] = side_by_side_text_tables([made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades")])
    assert text.note.endswith("to cover them, add seeds to ava: seeds and charades: seeds.")


@pytest.mark.parametrize(("show_intervals", "word"), [(True, "Brackets and ranks"), (False, "Ranks")])
def test_a_table_explains_what_it_shows(tmp_path, show_intervals, word):
    results = replace(made_up(tmp_path), show_intervals=show_intervals)
    assert text_table(results).note.startswith(f"{word} are intervals of 95 % over test videos. {ONE_SEED}")


IN_ANY_LOCALE = r"""
import sys
from types import SimpleNamespace
import pandas as pd
from workflow.lib.report.tables import write_table
from workflow.lib.report.text_table import Cell, TextTable
names, label = ("csv", "markdown", "latex"), "M\u00e9thode"
output = SimpleNamespace(**{name: f"{sys.argv[1]}/{name}" for name in names})
write_table(pd.DataFrame({"label": [label]}), [TextTable("Table", {"Method": [Cell(label)]}, "")], output)
"""


def test_tables_are_utf8_in_any_locale(tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", IN_ANY_LOCALE, tmp_path], cwd=ROOT, env=os.environ | ascii_only, check=True)
    assert all("Méthode" in (tmp_path / name).read_text(encoding="utf-8") for name in ("csv", "markdown", "latex"))


def test_markdown_is_aligned_and_latex_is_escaped():
    columns = {"Method": [Cell("A & B_1|x"), Cell("C $")], "50%": [Cell("9.0"), Cell("10.0", best=True)]}
    table = TextTable("T", columns, "N")
    lines = markdown(table).splitlines()
    assert lines[2:6] == [
        "| Method     |      50% |",
        "|------------|---------:|",
        "| A & B_1\\|x |      9.0 |",
        "| C $        | **10.0** |",
    ]
    tex = latex(table)
    assert r"A \& B\_1\textbar{}x & 9.0 \\" in tex and r"C \$ &" in tex and r"Method & 50\% \\" in tex
    assert tex.count("{") == tex.count("}")


@pytest.mark.parametrize(
    ("label", "shown"),
    [("[12] Ours", "{[}12{]} Ours"), ("* ours", "{*} ours"), ("a<b>", r"a\textless{}b\textgreater{}")],
)
def test_a_label_is_no_option_of_a_latex_command(label, shown):
    """LaTeX reads "[" and "*" behind the end of a row, or behind a rule, as the command's own."""
    tex = latex(TextTable("T", {"Method": [Cell(label), Cell(label)], "mAP": [Cell("1"), Cell("2")]}, ""))
    assert len([line for line in tex.splitlines() if line.startswith(f"{shown} & ")]) == 2


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_every_latex_row_has_as_many_cells(tmp_path, dataset):
    _, _, tex = written(tmp_path, made_up(tmp_path, dataset))
    rows = [line for line in tex.splitlines() if line.endswith(r"\\")]
    columns = tex.split(r"\begin{tabular}{")[1].split("}")[0]
    assert {len(row.split(" & ")) for row in rows} == {len(columns)}
