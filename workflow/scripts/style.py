"""How all figures look: one style, colours that colour-blind readers tell apart, and no ink without meaning."""

import logging

import matplotlib as mpl

from trainer.files import whole_file

mpl.use("Agg")
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every font table of a PDF
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
        "pdf.fonttype": 42,  # TrueType, which journals ask for
    }
)

# Okabe and Ito's palette, by how a method was pre-trained.
COLOURS = {"none": "#767676", "self-supervised": "#0072B2", "supervised": "#D55E00"}
OTHERS = "#d5d5d5"  # what is there for comparison only
SEQUENTIAL = "YlGnBu"  # for maps of values from 0 up


def colours(methods):
    """The colour of each method; ``methods``: a frame with a column ``pretraining``."""
    return methods.pretraining.map(COLOURS)


def nothing(figure):
    """Say in an empty figure that there is nothing to show yet."""
    figure.clear()
    figure.set_size_inches(6.4, 1)
    figure.text(0.5, 0.5, "Too few runs are finished.", ha="center", va="center", color=COLOURS["none"])


def save(figure, paths):
    """Write the figure to each path, in the format of its suffix; the same figure gives the same bytes."""
    for path in paths:
        suffix = str(path).rpartition(".")[2]
        dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        with mpl.rc_context({"svg.hashsalt": str(path)}), whole_file(path) as partial:
            figure.savefig(partial, metadata=dates.get(suffix))
