"""Average precision per class and method, as a heat map."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from workflow.scripts import style
from workflow.scripts.job import job
from workflow.scripts.results import Results, class_means, read_all

MOST_ROWS = 40  # of a panel; more classes stand in several panels, side by side


def plot_classes(results: Results) -> Figure:
    """Classes are in the order of their mean over methods, the best first; those without a positive are left out.

    Colours go by the square root, since most classes of both datasets lie far below the best ones.
    """
    values = class_means(results)
    figure = Figure(figsize=(6.4, 2))
    if values.empty:
        style.nothing(figure)
        return figure
    values = values[values.mean().sort_values(ascending=False, kind="stable").index]
    panels = -(-values.shape[1] // MOST_ROWS)
    rows = -(-values.shape[1] // panels)
    top = values.max(axis=None)
    letters = max(map(len, values.columns))
    figure.set_size_inches(panels * (0.3 + 0.065 * letters + 0.24 * len(values)) + 0.9, 1.6 + 0.155 * rows)
    all_axes = figure.subplots(1, panels, squeeze=False)[0]
    for axes, start in zip(all_axes, range(0, values.shape[1], rows), strict=True):
        part = values.iloc[:, start : start + rows]
        image = axes.pcolormesh(
            part.T, cmap=style.SEQUENTIAL, norm=PowerNorm(0.5, 0, top), edgecolors="white", linewidth=0.4
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
    with job(snakemake):
        style.save(plot_classes(*read_all(snakemake.params.results)), snakemake.output)
