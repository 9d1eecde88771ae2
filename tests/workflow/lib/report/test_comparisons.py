"""What is said about pairs of methods."""

from dataclasses import replace
from itertools import combinations

import pytest

from tests.helpers.made_up_results import (
    FEW_SEEDS,
    ONE_SEED,
    made_up,
    nearly_equal,
    read,
    with_recipes,
    write_published,
)
from workflow.lib.report import tables
from workflow.lib.report.comparisons import indistinguishable, joined, pairs, statement, text_table
from workflow.lib.report.text_table import markdown


def test_pairs_are_compared_on_the_same_resamples(tmp_path):
    rows = pairs(made_up(tmp_path))
    assert len(rows) == 6
    assert rows.iloc[0][["first", "second"]].tolist() == ["supervised", "scratch"]
    assert rows.difference.tolist() == pytest.approx([28, 20, 15, 13, 8, 5])
    # Each method's values vary by 2.1 points, of which 2 are common to all.
    widths = rows.high - rows.low
    assert (widths < 2 * 1.96 * 1.2).all() and (rows.low <= rows.difference).all()
    assert (rows.p_holm >= rows.p).all() and (rows.p_holm <= 0.05).all()


def test_methods_of_different_recipes_are_not_compared(tmp_path):
    results = with_recipes(made_up(tmp_path), "vit", "r2plus1d", "r2plus1d", "vit")
    assert pairs(results)[["first", "second"]].to_numpy().tolist() == [
        ["supervised", "scratch"],
        ["video_moco", "moco"],
    ]
    assert [statement(group) for group in results.comparable()] == [
        f"On Charades (recipe {recipe}), 1 of 1 pair of methods can be told apart. {ONE_SEED}"
        for recipe in ("vit", "r2plus1d")
    ]
    assert [len(text_table(group).rows) for group in results.comparable()] == [1, 1]


def test_methods_of_several_recipes_may_compare(tmp_path):
    results = with_recipes(made_up(tmp_path), "r2plus1d", "low_rate", "r2plus1d", "r2plus1d")
    results = replace(results, methods=results.methods.assign(group="r2plus1d"))
    assert statement(results) == f"On Charades, 6 of 6 pairs of methods can be told apart. {ONE_SEED}"
    assert text_table(results).note.endswith("The recipe is r2plus1d, for MoCo low_rate.")


@pytest.mark.parametrize(
    ("without", "said"),
    [((), False), ([("moco", 1), ("moco", 2)], True), ([("moco", seed) for seed in (1, 2, 3)], False)],
)
def test_differences_between_trainings_are_covered_by_several_seeds_of_each_method(tmp_path, without, said):
    results = made_up(tmp_path, seeds=(1, 2, 3), without=without)
    words = statement(results), text_table(results).note, tables.text_table(results).note
    assert [ONE_SEED in one for one in words] == [said] * 3


@pytest.mark.parametrize(("seeds", "said"), [((1,), False), ((1, 2), True), ((1, 2, 3), True), ((1, 2, 3, 4), False)])
def test_few_seeds_are_said_to_show_little_of_their_spread(tmp_path, seeds, said):
    results = made_up(tmp_path, seeds=seeds)
    words = statement(results), text_table(results).note, tables.text_table(results).note
    assert [FEW_SEEDS in one for one in words] == [said] * 3


def test_the_statement_names_what_cannot_be_told_apart(tmp_path):
    results = made_up(tmp_path)
    assert statement(results) == f"On Charades, 6 of 6 pairs of methods can be told apart. {ONE_SEED}"
    said = statement(nearly_equal(results, "moco", "video_moco", by=0.001))
    assert said == (
        f"On Charades, 5 of 6 pairs of methods can be told apart. These cannot: VideoMoCo and MoCo. {ONE_SEED}"
    )


def test_the_statement_is_by_corrected_p_values(tmp_path):
    results = nearly_equal(made_up(tmp_path), "moco", "video_moco", by=0.018)
    rows = pairs(nearly_equal(results, "scratch", "moco", by=0.018))
    assert (rows.p < 0.05).all() and (rows.p_holm > 0.05).sum() == 2
    assert "4 of 6 pairs of methods can be told apart" in statement(results)


def test_the_statement_gives_the_agreement_with_the_published_ranking(tmp_path):
    results = made_up(tmp_path, published=write_published(tmp_path / "published.tsv"))
    assert statement(results).endswith(f"Kendall's τ with the published ranking is 1.00 [1.00, 1.00]. {ONE_SEED}")
    assert "[0.33, 1.00]" in statement(nearly_equal(results, "moco", "video_moco", by=0.001))


def test_nothing_is_said_of_fewer_than_two_methods(tmp_path):
    made_up(tmp_path)
    for path in sorted(tmp_path.rglob("bootstrap.npz"))[1:]:
        path.unlink()
    assert statement(read(tmp_path)) == ""
    table = text_table(read(tmp_path))
    assert markdown(table).startswith("Charades: differences of mAP")


def test_groups_hold_every_pair_that_cannot_be_told_apart():
    alike = {frozenset(pair) for pair in ("ab", "bc", "cd", "bd", "ae")}
    assert indistinguishable(list("abcde"), alike) == [["a", "b"], ["b", "c", "d"], ["a", "e"]]
    everything = {frozenset(pair) for pair in combinations(range(30), 2)}
    assert indistinguishable(list(range(30)), everything) == [list(range(30))]
    assert indistinguishable(list("abc"), set()) == []


def test_names_are_joined():
    assert [joined(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_certain_differences_are_bold(tmp_path):
    table = text_table(nearly_equal(made_up(tmp_path), "moco", "video_moco", by=0.001))
    rows = [line for line in markdown(table).splitlines() if line.startswith("| ")][1:]
    assert ["**" in row for row in rows] == [True] * 5 + [False]
    assert "VideoMoCo" in rows[-1] and "+0.1 [−" in rows[-1]
