"""Differences of mAP of all pairs of methods, as a matrix."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trainer.metrics.bootstrap import LEVEL
from workflow.lib.report import plot_style
from workflow.lib.report.comparisons import pairs
from workflow.lib.report.results import Results, mean_map, read_all
from workflow.lib.report.text_table import signed
from workflow.lib.rule_script import rule_script


def plot_differences(results: Results) -> Figure:
    """Draw the method of the row minus that of the column, a block per group; gray where it may be chance."""
    rows = pairs(results)
    figure = Figure(figsize=(6.4, 1))
    if rows.empty:
        plot_style.draw_placeholder(figure)
        return figure
    means = [mean_map(group).sort_values(ascending=False, kind="stable") for group in results.comparable()]
    order = [method for method in pd.concat(means).index if method in {*rows["first"], *rows["second"]}]
    matrix = rows.pivot(index="first", columns="second", values="difference").reindex(order[:-1], columns=order[1:])
    certain = rows.assign(certain=rows.p_holm <= LEVEL).pivot(index="first", columns="second", values="certain")
    certain = certain.reindex(order[:-1], columns=order[1:]).eq(True)
    figure.set_size_inches(2.1 + 0.52 * len(order), 1.5 + 0.3 * len(order))
    axes = figure.add_subplot()
    top = np.nanmax(matrix.to_numpy())
    axes.pcolormesh(matrix.where(certain), cmap=plot_style.SEQUENTIAL, vmin=0, vmax=1.6 * top, edgecolors="white")
    for row, column in np.argwhere(matrix.notna().to_numpy()):
        style = {} if certain.iloc[row, column] else {"color": plot_style.COLORS["none"], "style": "italic"}
        text = signed(matrix.iloc[row, column])
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, **style)
    axes.set_xticks(np.arange(len(order) - 1) + 0.5, results.methods.label[order[1:]], rotation=60, ha="left")
    axes.set_yticks(np.arange(len(order) - 1) + 0.5, results.methods.label[order[:-1]])
    axes.xaxis.tick_top()
    axes.set_xlim(0, len(order) - 1)
    axes.set_ylim(len(order) - 1, 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_differences(*read_all(snakemake)), snakemake.output)
