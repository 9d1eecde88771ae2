"""Figures: what they show, and that each file is one with content."""

import re
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from tests.made_up_results import made_up, write_published
from workflow.scripts import style
from workflow.scripts.plot_ava_against_charades import overlap, plot_ava_against_charades
from workflow.scripts.plot_classes import plot_classes
from workflow.scripts.plot_gains import gains, plot_gains
from workflow.scripts.plot_map import plot_map
from workflow.scripts.plot_ranking import kendall_tau, plot_ranking, tau_interval
from workflow.scripts.plot_training import plot_training
from workflow.scripts.results import average_precisions, class_means

OF_ONE = [plot_map, plot_classes, plot_gains, plot_training, plot_ranking]
METHODS = ["scratch", "moco", "video_moco", "supervised"]


def texts(figure):
    """Every text that can be seen in a figure."""
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")) if text.get_visible()]


@pytest.mark.parametrize("plot", OF_ONE)
def test_files_are_whole_figures_and_the_same_again(tmp_path, plot):
    results = made_up(tmp_path, published=write_published(tmp_path / "published.tsv"))
    paths = SimpleNamespace(**{suffix: tmp_path / f"figure.{suffix}" for suffix in ("png", "svg", "pdf")})
    style.save(plot(results), vars(paths).values())
    pixels = cv2.imread(str(paths.png))
    assert min(pixels.shape[:2]) > 200
    assert 0.005 < (pixels.min(axis=2) < 200).mean() < 0.7  # ink, and paper around it
    assert paths.pdf.read_bytes().startswith(b"%PDF") and paths.pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert "MoCo" in paths.svg.read_text() and "<image" not in paths.svg.read_text()  # text as text, no pixels
    first = paths.svg.read_bytes(), paths.pdf.read_bytes()
    style.save(plot(results), vars(paths).values())
    assert (paths.svg.read_bytes(), paths.pdf.read_bytes()) == first


@pytest.mark.parametrize("plot", OF_ONE)
@pytest.mark.parametrize("without", [[("moco", 1)], [("scratch", 1)], [(method, 1) for method in METHODS]])
def test_pending_runs_leave_gaps(tmp_path, plot, without):
    published = write_published(tmp_path / "published.tsv")
    style.save(plot(made_up(tmp_path, published=published, without=without)), [tmp_path / "figure.png"])


def test_map_shows_ours_and_published(tmp_path):
    figure = plot_map(made_up(tmp_path, published=write_published(tmp_path / "p.tsv"), without=[("scratch", 1)]))
    assert {"pending", "20.0", "25.0", "40.0", "21.5", "24.0"} <= set(texts(figure))
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches][1:] == pytest.approx([20, 25, 40])
    assert axes.collections[-1].get_offsets()[1:3, 0].tolist() == [21.5, 24.0]


def test_classes_are_sorted_and_those_without_a_positive_left_out(tmp_path):
    means = class_means(made_up(tmp_path, seeds=(1, 3)))
    assert list(means.index) == METHODS
    assert "never seen" not in means
    assert means.loc["moco"].tolist() == pytest.approx([22, 22, 22])  # 20 and 24
    shown = plot_classes(made_up(tmp_path / "again")).axes[0]
    assert shown.get_yticklabels()[0].get_text() == "bend/bow (at the waist)"  # mean 27.5
    assert len(shown.get_yticklabels()) == 3


def test_gains_are_over_no_pretraining(tmp_path):
    gain = gains(made_up(tmp_path))
    assert "scratch" not in gain.index
    # mean gain of the self-supervised: bend 15, dance 14, talk 2.5
    assert list(gain.columns) == ["bend/bow (at the waist)", "dance", "talk to (e.g., self, a person, a group)"]
    assert gain.loc["supervised"].tolist() == pytest.approx([40, 34, 10])
    assert gains(made_up(tmp_path / "pending", without=[("scratch", 1)])).empty


def test_a_point_per_method_finished_on_both(tmp_path):
    datasets = [made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1,), without=[("moco", 1)])]
    figure = plot_ava_against_charades(datasets)
    points = figure.axes[0].collections[0].get_offsets()
    assert points.tolist() == [pytest.approx(point) for point in ([10, 12], [23, 25], [38, 40])]
    assert "MoCo" not in texts(figure) and "VideoMoCo" in texts(figure)


def test_names_do_not_cover_each_other(tmp_path):
    figure = plot_ava_against_charades([made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1,))])
    figure.draw_without_rendering()
    boxes = [name.get_window_extent().extents for name in figure.axes[0].texts]
    assert len(boxes) == 4
    assert sum(overlap(a, b) for a in boxes for b in boxes if a is not b) == 0


def test_kendall_tau_is_scipys():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.integers(0, 6, (2, 9))  # with ties
        assert kendall_tau(a, b) == pytest.approx(kendalltau(a, b).statistic, nan_ok=True)
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [30, 20, 10]) == -1


def test_tau_interval_of_a_sure_order(tmp_path):
    precisions = average_precisions(made_up(tmp_path, seeds=(1, 2)))
    published = pd.Series({"scratch": 1.0, "video_moco": 2.0, "supervised": 3.0})
    assert tau_interval(precisions, published) == (1, 1)  # it holds in every class and at every seed


def test_tau_interval_of_methods_that_are_as_good_as_each_other():
    index = pd.MultiIndex.from_product([["a", "b", "c"], [1]], names=["method", "seed"])
    noise = np.random.default_rng(0).normal(size=(2, 40))
    precisions = pd.DataFrame([*noise, noise.mean(axis=0) + 9], index)
    low, high = tau_interval(precisions, pd.Series({"a": 1.0, "b": 2.0, "c": 3.0}))
    assert (low, high) == (pytest.approx(1 / 3), 1)  # one of three pairs is open
    assert tau_interval(precisions, pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})) == (low, high)


def test_ranking_tells_tau(tmp_path):
    figure = plot_ranking(made_up(tmp_path, published=write_published(tmp_path / "published.tsv")))
    title = next(text for text in texts(figure) if "τ" in text)
    assert re.search(r"τ = 1\.00 \(95 % interval [-\d.]+ to 1\.00\)", title)


def test_training_curves_are_of_every_run(tmp_path):
    figure = plot_training(made_up(tmp_path, seeds=(1, 2), without=[("moco", 1), ("moco", 2)]))
    panels = [axes for axes in figure.findobj(lambda part: hasattr(part, "lines")) if axes.lines]
    assert len(panels) == 8
    assert [len(axes.lines) for axes in panels] == [6 + 2, 6, 6 + 2, 6 + 2] * 2
    assert texts(figure).count("pending") == 2
    assert panels[0].lines[-1].get_ydata().tolist() == [0.7, 0.5, 0.4, 0.35]
    assert panels[4].lines[-1].get_xdata().tolist() == [2, 4]  # epochs with a validation
