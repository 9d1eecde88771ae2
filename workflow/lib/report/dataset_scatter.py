"""mAP on one dataset against mAP on another: do the methods that transfer to one also transfer to the other?"""

from itertools import combinations, cycle

import pandas as pd
from matplotlib.figure import Figure

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, mean_map
from workflow.lib.report.uncertainty import mean_ap_intervals

MARKERS = "osD^v"  # of groups


def plot_dataset_scatter(datasets: list[Results]) -> Figure:
    """Draw a panel per pair of datasets, with a named point per method that has finished runs on all datasets.

    Thin lines are the 95 % intervals. Each group of methods that compare has its own marker.
    """
    methods, groups = datasets[0].methods, datasets[0].comparable()
    points = pd.DataFrame({results.title: mean_map(results) for results in datasets}).dropna()
    intervals = pd.concat({results.title: mean_ap_intervals(results) for results in datasets}, axis=1)
    pairs = list(combinations(points.columns, 2))
    figure = Figure(figsize=(6.4 * len(pairs), 5))
    if points.empty:
        plot_style.draw_placeholder(figure)
        return figure
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    colors = plot_style.method_colors(methods.loc[points.index])
    for axes, (horizontal, vertical) in zip(panels, pairs, strict=True):
        for group, marker in zip(groups, cycle(MARKERS), strict=False):
            mine = points[points.index.isin(group.methods.index)]
            axes.scatter(mine[horizontal], mine[vertical], s=36, marker=marker, color=colors[mine.index], zorder=3)
        low, high = (intervals.xs(end, axis=1, level=1).loc[points.index] for end in ("low", "high"))
        axes.hlines(points[vertical], low[horizontal], high[horizontal], color=colors, lw=1, alpha=0.45)
        axes.vlines(points[horizontal], low[vertical], high[vertical], color=colors, lw=1, alpha=0.45)
        axes.margins(0.14)
        axes.grid()
        axes.set_xlabel(f"{horizontal} mAP (%)")
        axes.set_ylabel(f"{vertical} mAP (%)")
    for kind in methods.pretraining[points.index].unique():
        label = {"none": "no pre-training"}.get(kind, kind)
        axes.scatter([], [], s=36, color=plot_style.COLORS[kind], label=label)
    for group, marker in zip(groups, cycle(MARKERS), strict=False):
        if group.part:
            axes.scatter([], [], s=36, marker=marker, color="white", edgecolor="black", label=group.part)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderpad=0, handletextpad=0.1, columnspacing=1)
    figure.draw_without_rendering()  # the layout determines how far apart points are
    for axes, pair in zip(panels, pairs, strict=True):
        write_names(axes, points[list(pair)], methods.label)
    return figure


# Places of a name beside its point: offset in points, and the corner or side of the name that is there.
PLACES = [
    (6, 0, "left", "center"),
    (-6, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (5, 5, "left", "bottom"),
    (-5, 5, "right", "bottom"),
    (5, -5, "left", "top"),
    (-5, -5, "right", "top"),
    (5, 14, "left", "bottom"),
    (5, -14, "left", "top"),
    (-5, 14, "right", "bottom"),
    (-5, -14, "right", "top"),
]


def write_names(axes, points, labels):
    """Write each point's name within the axes, where it overlaps points and earlier names the least."""
    frame = axes.get_window_extent().extents
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in axes.transData.transform(points.to_numpy())]
    for method, point in zip(points.index, points.to_numpy(), strict=True):
        candidates = []
        for x, y, horizontal, vertical in PLACES:
            name = axes.annotate(
                labels[method], point, (x, y), textcoords="offset points", ha=horizontal, va=vertical, fontsize=8
            )
            box = name.get_window_extent().extents
            covers = sum(overlap(box, other) for other in taken) + overlap(box, box) - overlap(box, frame)
            candidates.append((covers, len(candidates), name, box))
        _, _, best, box = min(candidates)
        taken.append(box)
        for *_, name, _ in candidates:
            if name is not best:
                name.remove()


def overlap(a, b):
    """Return the area of the intersection of two boxes (x1, y1, x2, y2)."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
