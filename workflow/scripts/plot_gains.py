"""The classes that gain most from pre-training."""

import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, class_means, read_all
from workflow.lib.rule_script import rule_script

MAX_CLASSES = 15


def gains(results: Results) -> pd.DataFrame:
    """Return the average precision of methods (rows) and classes (columns) minus that without pre-training, in points.

    Without pre-training, but by the same recipe, or else in the same group. The class with the largest mean gain of the
    self-supervised methods is first. Empty while too few runs are finished.
    """
    gain = pd.concat(map(_gains, results.comparable()))
    ours = gain[gain.index.isin(results.pretrained("self-supervised"))]
    return gain[(gain if ours.empty else ours).mean().sort_values(ascending=False, kind="stable").index]


def _gains(results):
    values = class_means(results)
    gain = {
        method: values.loc[method] - values.loc[baselines].mean()
        for method in values.index.difference(results.pretrained("none"), sort=False)
        if len(baselines := results.baselines(method))
    }
    return pd.DataFrame(gain).T


def plot_gains(results: Results) -> Figure:
    """Draw a row per class: a dot per method, a tick at the mean of the self-supervised ones, and the best one."""
    gain = gains(results).iloc[:, :MAX_CLASSES]
    letters = max(map(len, gain.columns), default=0)
    figure = Figure(figsize=(max(7.2, 4.4 + 0.08 * letters), 1.4 + 0.24 * max(4, gain.shape[1])))
    if gain.empty:
        plot_style.draw_placeholder(figure)
        return figure
    axes = figure.add_subplot()
    places = range(gain.shape[1])
    for kind in ("self-supervised", "supervised"):
        for number, values in enumerate(gain[gain.index.isin(results.pretrained(kind))].to_numpy()):
            label = None if number else kind
            axes.scatter(values, places, s=20, alpha=0.7, lw=0, color=plot_style.COLORS[kind], label=label)
    ours = gain[gain.index.isin(results.pretrained("self-supervised"))]
    if len(ours):
        axes.scatter(ours.mean(), places, marker="|", s=120, color="black", label="mean of self-supervised", zorder=3)
        for place, method in enumerate(ours.idxmax()):
            axes.text(1.02, place, results.methods.label[method], transform=axes.get_yaxis_transform(), va="center")
        axes.text(1.02, -1, "best self-supervised", transform=axes.get_yaxis_transform(), va="center", weight="bold")
    axes.axvline(0, color=plot_style.COLORS["none"], lw=0.8)
    plot_style.label_rows(axes, gain.columns)
    axes.set_title(results.title)
    figure.legend(loc="outside lower left", ncols=3, handletextpad=0.2)
    axes.set_xlabel("average precision over no pre-training (points)")
    return figure


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_gains(*read_all(snakemake)), snakemake.output)
