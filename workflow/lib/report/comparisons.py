"""Compare pairs of methods: differences of mAP with intervals, and which are larger than chance."""

from itertools import combinations

import numpy as np
import pandas as pd

from trainer.metrics.bootstrap import LEVEL, compare_pairs, kendall_tau, kendall_tau_interval
from workflow.lib.report.results import Results, mean_map
from workflow.lib.report.tables import recipes_and_backbones
from workflow.lib.report.text_table import Cell, TextTable, cells, signed
from workflow.lib.report.uncertainty import resampled_mean_ap, seeds_note


def pairs(results: Results) -> pd.DataFrame:
    """Return a row per pair of methods that compare, the better one first, by descending difference of their mAP.

    Columns: first, second, difference, low, high (in percent; 95 % interval), p, p_holm (corrected for the number of
    pairs of the group).
    """
    rows = pd.concat(map(_pairs, results.comparable()))
    return rows.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def _pairs(results):
    resampled = resampled_mean_ap(results)
    order = (-resampled.points).argsort(kind="stable")
    rows = compare_pairs(resampled.points[order], resampled.values[order])
    methods = resampled.methods[order]
    rows["first"], rows["second"] = methods[rows["first"]], methods[rows["second"]]
    return rows


def text_table(results: Results) -> TextTable:
    """Return the pairs of methods that compare as text."""
    rows, labels = pairs(results), results.methods.label
    columns = {
        "Better": cells(rows["first"].map(labels)),
        "Worse": cells(rows["second"].map(labels)),
        "Difference of mAP": difference_cells(rows),
        **p_value_cells(rows),
    }
    note = "Brackets are intervals of 95 % over the same resamples of the test videos for both methods. p (Holm) is "
    note += f"corrected for the number of pairs; at most {LEVEL} is bold."
    note = " ".join([note, *seeds_note(results), *recipes_and_backbones(results)])
    return TextTable(f"{results.heading}: differences of mAP in points", columns, note)


def difference_cells(rows: pd.DataFrame) -> list[Cell]:
    """Return the cells of differences with their intervals; ``rows``: columns difference, low, high."""
    return [
        Cell(f"{signed(row.difference)} [{signed(row.low)}, {signed(row.high)}]", row.difference)
        for row in rows.itertuples()
    ]


def p_value_cells(rows: pd.DataFrame) -> dict[str, list[Cell]]:
    """Return the columns of p-values, those that count in bold; ``rows``: columns p, p_holm."""
    return {
        "p": cells(rows.p, "{:.4f}".format),
        "p (Holm)": [Cell(f"{p:.4f}", p, best=p <= LEVEL) for p in rows.p_holm],
    }


def statement(results: Results) -> str:
    """Return sentences: which methods of a group differ, whether they rank as published, and what is not covered."""
    rows, where = pairs(results), results.heading
    if rows.empty:
        return ""
    alike = rows[rows.p_holm > LEVEL]
    noun = "pair" if len(rows) == 1 else "pairs"
    sentences = [f"On {where}, {len(rows) - len(alike)} of {len(rows)} {noun} of methods can be told apart."]
    if len(alike):
        order = mean_map(results).sort_values(ascending=False, kind="stable").index
        order = [method for method in order if method in {*rows["first"], *rows["second"]}]
        groups = indistinguishable(order, set(map(frozenset, alike[["first", "second"]].to_numpy().tolist())))
        names = [joined([results.methods.label[method] for method in group]) for group in groups]
        sentences.append(f"These cannot: {'; '.join(names)}.")
    tau, low, high = published_agreement(results)
    if not np.isnan(tau):
        sentences.append(f"Kendall's τ with the published ranking is {tau:.2f} [{low:.2f}, {high:.2f}].")
    return " ".join(sentences + seeds_note(results))


def published_agreement(results: Results) -> tuple[float, float, float]:
    """Return Kendall's tau between our mAP and the published one, and its 95 % interval; NaN if it is not known."""
    resampled = resampled_mean_ap(results)
    if results.published is None or len(resampled.methods) < 2:
        return np.nan, np.nan, np.nan
    published = results.published.mAP.reindex(resampled.methods)
    low, high = kendall_tau_interval(resampled.points, resampled.values, published)
    return float(kendall_tau(resampled.points, published)), float(low), float(high)


def indistinguishable(order: list, alike: set[frozenset]) -> list[list]:
    """Return groups of methods of which no pair can be told apart, so that each pair in ``alike`` is in a group.

    ``order``: by mAP. Groups are neighbors in it, the largest possible ones; then come the pairs that none of them has.
    """
    groups = []
    for start in range(len(order)):
        group = order[start : start + 1]
        for method in order[start + 1 :]:
            if not all(frozenset((method, other)) in alike for other in group):
                break
            group.append(method)
        if len(group) > 1 and not any(set(group) <= set(larger) for larger in groups):
            groups.append(group)
    others = [pair for pair in combinations(order, 2) if frozenset(pair) in alike]
    return groups + [list(pair) for pair in others if not any(set(pair) <= set(group) for group in groups)]


def joined(names: list[str]) -> str:
    """Return names as in a sentence: "A, B and C"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
