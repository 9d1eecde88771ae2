"""The style of all figures: fonts, axes, and colors that color-blind readers can tell apart."""

import logging
from pathlib import Path

import matplotlib as mpl

from trainer.utils.files import atomic_write

mpl.use("Agg")
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every font table of a PDF
mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.grid": False,
        "grid.color": "#e4e4e4",
        "grid.linewidth": 0.8,
        "xtick.color": "#888888",
        "ytick.color": "#888888",
        "xtick.labelcolor": "black",
        "ytick.labelcolor": "black",
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "savefig.dpi": 200,
        "svg.fonttype": "none",  # text stays text: searchable, read aloud
        "text.parse_math": False,  # a label with two $ is no formula
        "pdf.fonttype": 42,  # TrueType, which journals ask for
    }
)

# Okabe and Ito's palette, by the kind of pre-training.
COLORS = {"none": "#767676", "self-supervised": "#0072B2", "supervised": "#D55E00"}
BACKGROUND = "#d5d5d5"  # for curves that are drawn for comparison only
SEQUENTIAL = "YlGnBu"  # color map of values from 0 up


def method_colors(methods):
    """Return the color of each method; ``methods``: a data frame with a column ``pretraining``."""
    return methods.pretraining.map(COLORS)


def label_rows(axes, labels):
    """Write a label beside each row of a horizontal chart; the rows are at 0, 1, ..., the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def draw_whiskers(axes, low, high, places):
    """Draw horizontal intervals (N,) at the heights ``places``, with caps; NaN is not drawn."""
    axes.hlines(places, low, high, color="black", lw=1.1)
    for ends in (low, high):
        axes.scatter(ends, places, marker="|", s=24, lw=1.1, color="black", zorder=2)


def draw_placeholder(figure):
    """Make ``figure`` a short message that too few runs are finished."""
    figure.clear()
    figure.set_size_inches(6.4, 1)
    figure.text(0.5, 0.5, "Too few runs are finished.", ha="center", va="center", color=COLORS["none"])


def save(figure, paths):
    """Write the figure to each path, in the format of its suffix; equal figures give equal bytes."""
    no_dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    for path in map(Path, paths):
        # Else matplotlib 3.11 gives a figure without a layout engine one after it has saved its first file.
        settings = {"svg.hashsalt": str(path), "figure.constrained_layout.use": False}
        with mpl.rc_context(settings), atomic_write(path) as partial:
            figure.savefig(partial, metadata=no_dates.get(path.suffix))
