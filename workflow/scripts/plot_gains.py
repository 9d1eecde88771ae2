"""The classes that gain most from pre-training."""

import pandas as pd
from matplotlib.figure import Figure

from workflow.scripts import style
from workflow.scripts.job import job
from workflow.scripts.results import Results, class_means, read_all

CLASSES = 15  # shown


def gains(results: Results) -> pd.DataFrame:
    """Average precision over that without pre-training, in points: rows methods, columns classes, the largest mean
    gain of the self-supervised methods first. Empty as long as nothing can be compared."""
    values = class_means(results)
    baseline = [method for method in results.of("none") if method in values.index]
    others = [method for method in values.index if method not in baseline]
    ours = [method for method in others if method in results.of("self-supervised")] or others
    if not baseline or not others:
        return pd.DataFrame()
    gain = values.loc[others] - values.loc[baseline].mean()
    return gain[gain.loc[ours].mean().sort_values(ascending=False, kind="stable").index]


def plot_gains(results: Results) -> Figure:
    """A row per class, a dot per method, a tick at the mean of the self-supervised ones, whose best one is named."""
    gain = gains(results).iloc[:, :CLASSES]
    figure = Figure(figsize=(7.2, 1.4 + 0.24 * max(4, gain.shape[1])))
    if gain.empty:
        style.nothing(figure)
        return figure
    axes = figure.add_subplot()
    places = range(gain.shape[1])
    for kind in ("self-supervised", "supervised"):
        for number, values in enumerate(gain[gain.index.isin(results.of(kind))].to_numpy()):
            label = None if number else kind
            axes.scatter(values, places, s=20, alpha=0.7, lw=0, color=style.COLOURS[kind], label=label)
    ours = gain[gain.index.isin(results.of("self-supervised"))]
    if len(ours):
        axes.scatter(ours.mean(), places, marker="|", s=120, color="black", label="mean of self-supervised", zorder=3)
        for place, method in enumerate(ours.idxmax()):
            axes.text(1.02, place, results.methods.label[method], transform=axes.get_yaxis_transform(), va="center")
        axes.text(1.02, -1, "best self-supervised", transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.axvline(0, color=style.COLOURS["none"], lw=0.8)
    axes.set_yticks(places, gain.columns)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_title(results.title)
    figure.legend(loc="outside lower left", ncols=3, handletextpad=0.2)
    axes.set_xlabel("average precision over no pre-training (points)")
    return figure


if __name__ == "__main__":
    with job(snakemake):
        style.save(plot_gains(*read_all(snakemake.params.results)), snakemake.output)
