"""Training curves: loss and validation mAP of every run."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workflow.lib.report import plot_style
from workflow.lib.report.results import Results, histories, read_all
from workflow.lib.rule_script import rule_script

COLUMNS = 6  # panels in a row


def plot_training(results: Results) -> Figure:
    """Draw a panel per method, its runs in color before those of all others: first the loss, then validation mAP."""
    curves = histories(results)
    rows = -(-len(curves) // COLUMNS)
    height = 0.8 + 1.3 * rows  # inches, of each part
    # Fixed margins, as constrained layout takes seconds for so many panels.
    figure = Figure(figsize=(10, 2 * height), layout="none")
    if results.runs.empty:
        plot_style.draw_placeholder(figure)
        return figure
    for part, (column, scale, label) in zip(
        figure.subfigures(2, 1),
        [("loss", 1, "training loss"), ("mAP", 100, "validation mAP (%)")],
        strict=True,
    ):
        panels = part.subplots(rows, min(COLUMNS, len(curves)), sharex=True, sharey=True, squeeze=False).ravel()
        part.subplots_adjust(left=0.07, right=0.99, bottom=0.5 / height, top=1 - 0.3 / height, hspace=0.4, wspace=0.12)
        for axes, method in zip(panels, curves, strict=False):
            draw_curves(axes, curves, method, column, scale, plot_style.COLORS[results.methods.pretraining[method]])
            axes.set_title(results.methods.label[method], fontsize=8.5, fontweight="normal")
        for axes in panels[len(curves) :]:
            axes.set_visible(False)
        for axes in panels[max(0, len(curves) - COLUMNS) : len(curves)]:
            axes.tick_params(labelbottom=True)  # also above a hidden panel
        part.supylabel(label, fontsize=9)
        part.supxlabel("epoch", fontsize=9, y=0.02)
    return figure


def draw_curves(axes, curves, method, column, scale, color):
    """Draw all curves in gray, and over them those of one method in color."""
    marker = "." if column == "mAP" else None  # measured in some epochs only
    axes.grid(axis="y")
    axes.set_xlim(0, 1.03 * max(run.epoch.max() for runs in curves.values() for run in runs))
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
