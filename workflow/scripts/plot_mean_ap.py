"""mAP of every method of a dataset, beside the published one."""

import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, read_all
from workflow.lib.report.tables import table
from workflow.lib.report.text_table import MISSING
from workflow.lib.rule_script import rule_script


def plot_mean_ap(results: Results) -> Figure:
    """Draw a panel per group: a bar per method, its 95 % interval as a whisker, a diamond for the published mAP."""
    groups = results.comparable()
    heights = [0.8 + 0.28 * len(group.methods) for group in groups]  # inches
    figure = Figure(figsize=(6.4, sum(heights)))
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=heights)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        draw_bars(axes, group)
    return figure


def draw_bars(axes, results: Results):
    """Draw the methods of one group."""
    rows = table(results)
    places = list(range(len(rows)))
    axes.barh(places, rows.mAP, 0.62, color=plot_style.method_colors(results.methods))
    plot_style.draw_whiskers(axes, rows.mAP_low, rows.mAP_high, places)
    # Numbers in columns beside the bars do not overlap them.
    axes.set_xlim(0, 1.03 * max(1, rows.filter(["mAP", "mAP_high", "published_mAP"]).max(axis=None)))
    write_numbers(axes, 46, "ours", rows.mAP, "pending")
    if "published_mAP" in rows:
        diamonds = {"marker": "D", "s": 26, "facecolor": "white", "edgecolor": "black", "zorder": 3}
        axes.scatter(rows.published_mAP, places, **diamonds, clip_on=False)
        write_numbers(axes, 114, "published ◇", rows.published_mAP, MISSING)
    plot_style.label_rows(axes, rows.label)
    axes.set_title(results.heading)
    axes.set_xlabel("mAP (%)")


def write_numbers(axes, right, heading, values, missing):
    """Write a number beside each bar; the column's right edge is ``right`` points from that of the axes."""
    texts = [missing if pd.isna(value) else f"{value:.1f}" for value in values]
    for place, text in enumerate([heading, *texts], start=-1):
        axes.annotate(
            text,
            (1, place),
            (right, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
        )


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_mean_ap(*read_all(snakemake)), snakemake.output)
