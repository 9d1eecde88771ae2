"""mAP on one dataset against mAP on the other: does what transfers to one transfer to the other?"""

import pandas as pd
from matplotlib.figure import Figure

from workflow.scripts import style
from workflow.scripts.job import job
from workflow.scripts.results import Results, mean_map, read_all


def plot_ava_against_charades(datasets: list[Results]) -> Figure:
    """A point per method whose runs on both of the two datasets are finished, with its name."""
    methods = datasets[0].methods
    points = pd.DataFrame({results.dataset: mean_map(results) for results in datasets}).dropna()
    figure = Figure(figsize=(6.4, 5))
    axes = figure.add_subplot()
    if points.empty:
        style.nothing(figure)
        return figure
    axes.scatter(*points.T.to_numpy(), s=36, color=style.colours(methods.loc[points.index]), zorder=3)
    axes.margins(0.14)
    axes.grid()
    axes.set_xlabel(f"{datasets[0].title} mAP (%)")
    axes.set_ylabel(f"{datasets[1].title} mAP (%)")
    for kind, colour in style.COLOURS.items():
        axes.scatter([], [], s=36, color=colour, label={"none": "no pre-training"}.get(kind, kind))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderpad=0, handletextpad=0.1, columnspacing=1)
    figure.draw_without_rendering()  # the layout decides how far apart points are
    write_names(axes, points, methods.label)
    return figure


# Where a name may stand, from its point: offset in points, and the corner or side of the name that is there.
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
    """Write each point's name within the axes, where it overlaps the fewest points and names before it."""
    frame = axes.get_window_extent().extents
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in axes.transData.transform(points.to_numpy())]
    for method, point in zip(points.index, points.to_numpy(), strict=True):
        tried = []
        for x, y, horizontal, vertical in PLACES:
            name = axes.annotate(
                labels[method], point, (x, y), textcoords="offset points", ha=horizontal, va=vertical, fontsize=8
            )
            box = name.get_window_extent().extents
            covers = sum(overlap(box, other) for other in taken) + overlap(box, box) - overlap(box, frame)
            tried.append((covers, len(tried), name, box))
        _, _, best, box = min(tried)
        taken.append(box)
        for *_, name, _ in tried:
            if name is not best:
                name.remove()


def overlap(a, b):
    """The area that two boxes (x1, y1, x2, y2) share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


if __name__ == "__main__":
    with job(snakemake):
        style.save(plot_ava_against_charades(read_all(snakemake.params.results)), snakemake.output)
