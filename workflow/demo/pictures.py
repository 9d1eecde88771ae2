"""Draw the README's pictures into .github/images: two examples of the demo's predictions, and the published numbers.

python -m workflow.demo.pictures
"""

import base64
import re
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import simplejpeg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from trainer.datasets import DATASETS
from trainer.metrics.ava import box_iou
from trainer.utils.errors import InputError, exit_on_input_error
from workflow.lib.report import plot_style
from workflow.lib.report.dataset_scatter import plot_dataset_scatter
from workflow.lib.report.examples import Example, run_examples
from workflow.lib.report.results import Results, read_published
from workflow.lib.report.tables import published_sources

ROOT = Path(__file__).parents[2]
WIDTH, MARGIN, GAP, FRAME, DPI = 960, 30, 14, 540, 200  # px; FRAME: the width of the large frame
BESIDE = MARGIN + FRAME + 2 * GAP  # px, where predictions begin
SHOWN = {1: 5, 2: 3}  # predictions of each person or video, by the number of these; more do not fit
BOX_COLORS = ["#56B4E9", "#E69F00"]  # Okabe and Ito; black digits can be read on both
INK, TRUE, LINE = "#1c1f23", "#00734f", "#d9dde2"  # as on the report page


def main():
    images = ROOT / ".github/images"
    for dataset in DATASETS:
        example = best_example(ROOT / "results/demo/runs" / dataset)
        plot_style.save(draw_example(example), [images / f"{dataset}.png"])
    with mpl.rc_context({"svg.fonttype": "path"}):  # a reader of the README may lack the font
        plot_style.save(draw_published(ROOT / "config"), [images / "published.svg"])


def best_example(runs: Path) -> Example:
    """Return the test example of all ``runs`` that has the highest ``quality``."""
    folders = sorted(metrics.parent for metrics in runs.glob("*/seed*/metrics.json"))
    if not folders:
        raise InputError(f"{runs}: expected the runs of the demo, got none; run make demo first")
    examples = [example for folder in folders for example in run_examples(folder, count=1000)]
    return max((example for example in examples if len(example.subjects) in SHOWN and are_apart(example)), key=quality)


def are_apart(example: Example) -> bool:
    """Return whether the first box overlaps no other by an IoU of 0.3 or more; the demo has people detected twice."""
    boxes = np.array([subject.box for subject in example.subjects if subject.box]).reshape(-1, 4)
    return len(boxes) < 2 or box_iou(boxes[:1], boxes[1:]).max() < 0.3


def quality(example: Example) -> float:
    """Return the sum of the scores that are shown, those of actions that are not annotated subtracted."""
    predictions = [one for subject in example.subjects for one in subject.predictions[: SHOWN[len(example.subjects)]]]
    return sum(prediction.score if prediction.annotated else -prediction.score for prediction in predictions)


def draw_example(example: Example) -> Figure:
    """Draw a frame with its boxes, the predictions beside it, and the strip of frames below."""
    strip = [decode(uri) for uri in example.strip]
    frame = decode(example.image) if example.image else strip[len(strip) // 2]
    step = (WIDTH - 2 * MARGIN + GAP) / len(strip)  # from one frame of the strip to the next
    height, strip_height = (width * frame.shape[0] / frame.shape[1] for width in (FRAME, step - GAP))
    axes = blank_card(2 * MARGIN + height + GAP + strip_height)
    places = [(MARGIN + number * step, MARGIN + height + GAP, step - GAP, strip_height) for number in range(len(strip))]
    for pixels, (x, y, w, h) in zip([frame, *strip], [(MARGIN, MARGIN, FRAME, height), *places], strict=True):
        axes.imshow(pixels, extent=(x, x + w, y + h, y), aspect="auto", interpolation="nearest")
    top = MARGIN
    for number, (subject, color) in enumerate(zip(example.subjects, BOX_COLORS, strict=False), start=1):
        if subject.box:
            x1, y1, x2, y2 = MARGIN + np.array(subject.box) * [FRAME, height, FRAME, height]
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2))
            for left, upper in ((x1, y1), (BESIDE, top)):
                tag = {"boxstyle": "square,pad=0.2", "facecolor": color, "edgecolor": "none"}
                axes.text(left + 6, upper + 4, f"{number}", va="top", weight="bold", bbox=tag)
            top += 44
        for prediction in subject.predictions[: SHOWN[len(example.subjects)]]:
            top = write_prediction(axes, prediction, top)
    return axes.figure


def write_prediction(axes, prediction, top) -> float:
    """Write an action with a check mark if it is annotated, its score and a bar; return where the next one begins."""
    width, annotated = WIDTH - MARGIN - BESIDE, prediction.annotated
    style = {"va": "top", "color": TRUE if annotated else INK, "weight": "bold" if annotated else "normal"}
    lines = textwrap.wrap(re.sub(r" \(.*\)", "", prediction.name), 19)  # "bend/bow (at the waist)" is long
    axes.text(BESIDE, top, "\n".join(lines), **style)
    axes.text(BESIDE + width, top, f"{'✓ ' * annotated}{prediction.score:.2f}", ha="right", **style)
    top += 31 * len(lines) + 2
    for length, color in ((width, LINE), (width * prediction.score, style["color"])):
        axes.add_patch(Rectangle((BESIDE, top), length, 6, facecolor=color))
    return top + 20


def blank_card(height):
    """Return axes that fill a card, in pixels from its top left."""
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), layout="none")
    draw_card(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0), autoscale_on=False)
    axes.axis("off")
    return axes


def draw_card(figure):
    """Give ``figure`` a light background with round corners, which looks well on light and dark pages."""
    figure.set_facecolor("none")
    style = {"boxstyle": "round,pad=-0.01,rounding_size=0.08", "facecolor": "white", "edgecolor": LINE, "zorder": -1}
    figure.add_artist(FancyBboxPatch((0, 0), *figure.get_size_inches(), transform=figure.dpi_scale_trans, **style))


def decode(uri: str) -> np.ndarray:
    """Return the RGB pixels of a data URI with 32 levels of each color: the frames' grain makes large PNGs."""
    return simplejpeg.decode_jpeg(base64.b64decode(uri.partition(",")[2])) // 8 * 8 + 4


def draw_published(config: Path) -> Figure:
    """Draw the published mAP of the methods with recipe r2plus1d, which compare: one dataset against another."""
    methods = pd.read_csv(config / "methods.tsv", sep="\t", keep_default_na=False, comment="#").set_index("method")
    methods = methods[methods.recipe == "r2plus1d"].assign(group="r2plus1d")
    tables = {dataset: read_published(config / "published.tsv", dataset) for dataset in DATASETS}
    methods = methods[[all(name in table.index for table in tables.values()) for name in methods.index]]
    results = [
        Results(dataset, methods, table.assign(mAP=table.mAP / 100).reset_index(), table)
        for dataset, table in tables.items()
    ]
    figure = plot_dataset_scatter(results)
    sources = dict.fromkeys(published_sources(result) for result in results)
    figure.suptitle(f"Published mAP, from {' and '.join(sources)}", x=0.03, ha="left", weight="bold")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
    draw_card(figure)
    return figure


if __name__ == "__main__":
    with exit_on_input_error():
        main()
