"""Training curves: loss and validation mAP of every run."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, histories, read_all
from workflow.lib.rule_script import rule_script

COLUMNS = 6  # panels in a row
CURVES = [("loss", 1, "training loss"), ("mAP", 100, "validation mAP (%)")]  # column of history.csv, factor, label


def plot_training(results: Results) -> Figure:
    """Draw for each recipe a panel per method, its runs in color before the others: first the loss, then mAP.

    Losses of two recipes do not share an axis, as one may be a mean over boxes and the other one their sum.
    """
    groups = [(group, histories(group)) for group in results.by_recipe()]
    parts = [(*group, *curve) for group in groups for curve in CURVES]
    heights = [0.8 + 1.3 * -(-len(group.methods) // COLUMNS) for group, *_ in parts]  # inches
    columns = min(COLUMNS, max(len(group.methods) for group, *_ in parts))
    # Fixed margins, as constrained layout takes seconds for so many panels.
    figure = Figure(figsize=(10, sum(heights)), layout="none")
    if results.runs.empty:
        plot_style.draw_placeholder(figure)
        return figure
    places = figure.subfigures(len(parts), 1, height_ratios=heights)
    for place, height, (group, curves, column, scale, label) in zip(places, heights, parts, strict=True):
        place.subplots_adjust(left=0.08, right=0.99, bottom=0.5 / height, top=1 - 0.3 / height, hspace=0.4, wspace=0.12)
        draw_panels(place, columns, group, curves, column, scale)
        place.supylabel(f"{label}\n{group.part}" if group.part else label, fontsize=9, ha="center")
        place.supxlabel("epoch", fontsize=9, y=0.02)
    return figure


def draw_panels(place, columns, results: Results, curves, column, scale):
    """Draw a column of ``curves``, the histories of a recipe's methods, ``columns`` panels in a row."""
    rows = -(-len(curves) // columns)
    panels = place.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, method in zip(panels, curves, strict=False):
        draw_curves(axes, curves, method, column, scale, plot_style.COLORS[results.methods.pretraining[method]])
        axes.set_title(results.methods.label[method], fontsize=8.5, fontweight="normal")
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(curves) - columns) : len(curves)]:
        axes.tick_params(labelbottom=True)  # also above a hidden panel


def draw_curves(axes, curves, method, column, scale, color):
    """Draw all curves in gray, and over them those of one method in color."""
    marker = "." if column == "mAP" else None  # measured in some epochs only
    axes.grid(axis="y")
    axes.set_xlim(0, 1.03 * max((run.epoch.max() for runs in curves.values() for run in runs), default=1))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for runs, style in (
        ([run for other in curves.values() for run in other], {"color": plot_style.BACKGROUND, "lw": 0.7, "ms": 3}),
        (curves[method], {"color": color, "lw": 1.6, "ms": 5}),
    ):
        for run in runs:
            known = run.dropna(subset=column)
            axes.plot(known.epoch, scale * known[column], marker=marker, **style)
    if not curves[method]:
        axes.text(0.5, 0.5, "pending", transform=axes.transAxes, ha="center", va="center", color=color)


if __name__ == "__main__":
    with rule_script(snakemake):
        plot_style.save(plot_training(*read_all(snakemake)), snakemake.output)
