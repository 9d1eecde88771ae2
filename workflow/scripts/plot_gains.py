"""The classes that gain most from pre-training."""

import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, class_means, read_all
from workflow.lib.rule_script import rule_script

MAX_CLASSES = 15


def gains(results: Results) -> pd.DataFrame:
    """Return the average precision of methods (rows) and classes (columns) minus that without pre-training, in points.

    Without pre-training, but by the same recipe, or else in the same group; ``results``: of one group. The class with
    the largest mean gain of the self-supervised methods is first. Empty while too few runs are finished.
    """
    values = class_means(results)
    gain = {
        method: values.loc[method] - values.loc[baselines].mean()
        for method in values.index.difference(results.pretrained("none"), sort=False)
        if len(baselines := results.baselines(method))
    }
    gain = pd.DataFrame(gain).T
    ours = gain[gain.index.isin(results.pretrained("self-supervised"))]
    return gain[(gain if ours.empty else ours).mean().sort_values(ascending=False, kind="stable").index]


def plot_gains(results: Results) -> Figure:
    """Draw a panel per group of methods that has finished ones with and without pre-training."""
    found = [(group, gains(group).iloc[:, :MAX_CLASSES]) for group in results.comparable()]
    found = [(group, gain) for group, gain in found if not gain.empty]
    figure = Figure()
    if not found:
        plot_style.draw_placeholder(figure)
        return figure
    letters = max(len(name) for _, gain in found for name in gain.columns)
    heights = [1.1 + 0.24 * max(4, gain.shape[1]) for _, gain in found]  # inches
    figure.set_size_inches(max(7.2, 4.4 + 0.08 * letters), 0.3 + sum(heights))
    panels = figure.subplots(len(found), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (group, gain) in zip(panels, found, strict=True):
        draw_gains(axes, group, gain)
    marks = {label: mark for axes in panels for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks, loc="outside lower left", ncols=3, handletextpad=0.2)
    return figure


def draw_gains(axes, results: Results, gain):
    """Draw a row per class: a dot per method, a tick at the mean of the self-supervised ones, and the best one."""
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
    axes.set_title(results.heading)
    axes.set_xlabel("average precision over no pre-training (points)")


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_gains(*read_all(snakemake)), snakemake.output)
