"""Average precision per class and method, as a heat map."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, class_means, read_all
from workflow.lib.rule_script import rule_script

MAX_ROWS = 40  # of one panel; more classes are drawn in two panels side by side, which fit the page's width
LETTER = 0.065  # inches, the mean width of a letter of a class name


def plot_classes(results: Results) -> Figure:
    """Draw classes in the order of their mean over methods, the best first; skip those without a positive.

    The color scale is a square root, since most classes of both datasets score far below the best ones.
    """
    values = class_means(results)
    figure = Figure(figsize=(6.4, 2))
    if values.empty:
        plot_style.draw_placeholder(figure)
        return figure
    values = values[values.mean().sort_values(ascending=False, kind="stable").index]
    panels = 1 if values.shape[1] <= MAX_ROWS else 2
    rows = -(-values.shape[1] // panels)
    top = values.max(axis=None)
    names = LETTER * max(map(len, values.columns))
    figure.set_size_inches(panels * (0.3 + names + 0.24 * len(values)) + 0.9, 1.6 + 0.155 * rows)
    all_axes = figure.subplots(1, panels, squeeze=False)[0]
    for axes, start in zip(all_axes, range(0, values.shape[1], rows), strict=True):
        part = values.iloc[:, start : start + rows]
        image = axes.pcolormesh(
            part.T, cmap=plot_style.SEQUENTIAL, norm=PowerNorm(0.5, 0, top), edgecolors="white", linewidth=0.4
        )
        axes.set_ylim(rows, 0)  # the last panel may be shorter
        axes.set_yticks(np.arange(part.shape[1]) + 0.5, part.columns, fontsize=7.5)
        axes.set_xticks(np.arange(len(part)) + 0.5, results.methods.label[part.index], rotation=90, fontsize=7.5)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=all_axes, shrink=min(1, 18 / rows), aspect=25, label="average precision (%)")
    bar.outline.set_visible(False)
    bar.solids.set(rasterized=False, edgecolor="face")
    return figure


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_classes(*read_all(snakemake)), snakemake.output)
