"""Figures: what they show, which ones an experiment has, and that each file has content."""

import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.legend import Legend

from tests.helpers.made_up_results import made_up, nearly_equal, read, with_recipes, write_published
from tests.helpers.paths import ROOT
from workflow.lib.report import plot_style
from workflow.lib.report.dataset_scatter import overlap, plot_dataset_scatter
from workflow.lib.report.figures import FIGURES, figures_of
from workflow.lib.report.results import class_means
from workflow.scripts.plot_classes import plot_classes
from workflow.scripts.plot_differences import plot_differences
from workflow.scripts.plot_gains import gains, plot_gains
from workflow.scripts.plot_mean_ap import plot_mean_ap
from workflow.scripts.plot_ranking import plot_ranking
from workflow.scripts.plot_training import plot_training

pytestmark = pytest.mark.long

OF_ONE = [plot_mean_ap, plot_differences, plot_classes, plot_gains, plot_training, plot_ranking]
METHODS = ["scratch", "moco", "video_moco", "supervised"]


def texts(figure):
    """Return every visible text of a figure."""
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")) if text.get_visible()]


@pytest.mark.parametrize("plot", OF_ONE)
def test_files_are_whole_and_reproducible(tmp_path, plot):
    results = made_up(tmp_path, published=write_published(tmp_path / "published.tsv"))
    paths = SimpleNamespace(**{suffix: tmp_path / f"figure.{suffix}" for suffix in ("png", "svg", "pdf")})
    plot_style.save(plot(results), vars(paths).values())
    pixels = cv2.imread(str(paths.png))
    assert min(pixels.shape[:2]) > 200
    assert 0.005 < (pixels.min(axis=2) < 200).mean() < 0.7  # ink, and paper around it
    assert paths.pdf.read_bytes().startswith(b"%PDF") and paths.pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert "MoCo" in paths.svg.read_text() and "<image" not in paths.svg.read_text()  # text as text, no pixels
    first = paths.svg.read_bytes(), paths.pdf.read_bytes()
    plot_style.save(plot(results), vars(paths).values())
    assert (paths.svg.read_bytes(), paths.pdf.read_bytes()) == first


@pytest.mark.parametrize("plot", OF_ONE)
@pytest.mark.parametrize("without", [[("moco", 1)], [("scratch", 1)], [(method, 1) for method in METHODS]])
def test_pending_runs_leave_gaps(tmp_path, plot, without):
    published = write_published(tmp_path / "published.tsv")
    plot_style.save(plot(made_up(tmp_path, published=published, without=without)), [tmp_path / "figure.png"])


def test_mean_ap_shows_ours_and_published(tmp_path):
    figure = plot_mean_ap(made_up(tmp_path, published=write_published(tmp_path / "p.tsv"), without=[("scratch", 1)]))
    assert {"pending", "20.0", "25.0", "40.0", "21.5", "24.0", "9.0"} <= set(texts(figure))
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches][1:] == pytest.approx([20, 25, 40])
    [whiskers] = [lines.get_segments() for lines in axes.collections if isinstance(lines, LineCollection)]
    low, high = (np.array([whisker[end, 0] for whisker in whiskers[1:]]) for end in (0, 1))
    assert ((low < [18, 23, 38]) & (high > [22, 27, 42])).all()
    assert axes.collections[-1].get_offsets()[1:3, 0].tolist() == [21.5, 24.0]


def test_mean_ap_has_a_panel_per_recipe(tmp_path):
    results = with_recipes(made_up(tmp_path), "vit", "r2plus1d", "r2plus1d", "vit")
    panels = plot_mean_ap(results).axes
    assert [axes.get_title() or axes.get_title("left") for axes in panels] == [
        "Charades (recipe vit)",
        "Charades (recipe r2plus1d)",
    ]
    widths = [[bar.get_width() for bar in axes.patches] for axes in panels]
    assert widths == [pytest.approx([12, 40]), pytest.approx([20, 25])]
    assert len(plot_differences(results).axes[0].texts) == 2


def test_differences_that_may_be_chance_are_gray(tmp_path):
    results = nearly_equal(made_up(tmp_path), "moco", "video_moco", by=0.018)
    results = nearly_equal(results, "scratch", "moco", by=0.018)  # both with p below 0.05, corrected above it
    shown = [(text.get_text(), text.get_style()) for text in plot_differences(results).axes[0].texts]
    assert len(shown) == 6 and [text for text, style in shown if style == "italic"] == ["+1.8", "+1.8"]


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


def test_gains_are_over_no_pretraining_of_the_same_group(tmp_path):
    results = with_recipes(made_up(tmp_path), "vit", "r2plus1d", "r2plus1d", "vit")
    assert "Charades (recipe vit)" in texts(plot_gains(results))
    assert "Charades (recipe r2plus1d)" not in texts(plot_gains(results))  # it has no method without pre-training
    results.methods.loc["moco", "pretraining"] = "none"
    values, groups = class_means(results), results.comparable()
    for group, method, baseline in zip(groups, ("supervised", "video_moco"), ("scratch", "moco"), strict=True):
        gain = gains(group)
        assert gain.index.tolist() == [method]
        assert gain.loc[method].tolist() == (values.loc[method] - values.loc[baseline])[gain.columns].tolist()
    figure = plot_gains(results)
    assert ["VideoMoCo" in texts(axes) for axes in figure.axes] == [False, True]  # the best in its group's panel alone
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == ["mean of self-supervised", "self-supervised", "supervised"]


@pytest.mark.parametrize(
    ("recipes", "without", "baselines"),
    [
        (["a", "a", "b", "b"], (), {"supervised": ["moco"], "video_moco": ["scratch"]}),
        (["a", "a", "b", "b"], [("moco", 1)], {"supervised": ["scratch"], "video_moco": ["scratch"]}),
        (["a", "a", "a", "b"], (), {"supervised": ["scratch", "moco"], "video_moco": ["scratch", "moco"]}),
    ],
)
def test_gains_are_over_no_pretraining_by_the_own_recipe_if_it_is_finished(tmp_path, recipes, without, baselines):
    results = made_up(tmp_path, without=without)
    methods = results.methods.loc[["scratch", "video_moco", "moco", "supervised"]].assign(recipe=recipes)
    methods.loc["moco", "pretraining"] = "none"
    results = replace(results, methods=methods)
    gain, values = gains(results), class_means(results)
    assert sorted(gain.index) == sorted(baselines)
    for method, own in baselines.items():
        expected = values.loc[method] - values.loc[own].mean()
        assert gain.loc[method].tolist() == pytest.approx(expected[gain.columns].tolist())


def test_a_point_per_method_finished_on_both(tmp_path):
    datasets = [made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1,), without=[("moco", 1)])]
    figure = plot_dataset_scatter(datasets)
    points = figure.axes[0].collections[0].get_offsets()
    assert points.tolist() == [pytest.approx(point) for point in ([10, 12], [23, 25], [38, 40])]
    assert "MoCo" not in texts(figure) and "VideoMoCo" in texts(figure)


def test_parts_are_recipes_unless_a_group_has_several(tmp_path):
    published = write_published(tmp_path / "published.tsv")
    recipes = with_recipes(made_up(tmp_path, published=published), "vit", "r2plus1d", "low_rate", "vit")
    group = ["vit", "r2plus1d", "r2plus1d", "vit"]
    groups = replace(recipes, methods=recipes.methods.assign(group=group))
    for results, parts in (
        (recipes, ["recipe vit", "recipe r2plus1d", "recipe low_rate"]),
        (groups, ["group vit", "group r2plus1d"]),
    ):
        assert [group.heading for group in results.comparable()] == [f"Charades ({part})" for part in parts]
        [legend] = plot_dataset_scatter([replace(results, dataset="ava"), results]).findobj(Legend)
        assert [text.get_text() for text in legend.texts][-len(parts) :] == parts
        assert any(text.startswith("Charades (groups mixed): ") for text in texts(plot_ranking(results)))
    losses = plot_training(groups).subfigs[::2]
    assert [place.get_supylabel().split("\n")[1] for place in losses] == [
        f"recipe {name}" for name in recipes.methods.recipe.unique()
    ]


def test_names_do_not_cover_each_other(tmp_path):
    figure = plot_dataset_scatter([made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1,))])
    figure.draw_without_rendering()
    boxes = [name.get_window_extent().extents for name in figure.axes[0].texts]
    assert len(boxes) == 4
    assert sum(overlap(a, b) for a in boxes for b in boxes if a is not b) == 0


def test_ranking_shows_tau(tmp_path):
    figure = plot_ranking(made_up(tmp_path, published=write_published(tmp_path / "published.tsv")))
    title = next(text for text in texts(figure) if "τ" in text)
    assert re.search(r"τ = 1\.00 \(95 % interval [-\d.]+ to 1\.00\)", title)


def test_equal_published_numbers_do_not_cross(tmp_path):
    published = write_published(tmp_path / "published.tsv")
    published.write_text(published.read_text().replace("21.5", "24.0"))
    figure = plot_ranking(made_up(tmp_path, published=published))
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[1, 1], [2, 2], [3, 3]]


def test_tau_and_its_interval_are_of_the_same_methods(tmp_path):
    published = write_published(tmp_path / "published.tsv")
    published.write_text(published.read_text().replace("scratch\tcharades\t9.0", "scratch\tcharades\t99"))
    made_up(tmp_path)
    (tmp_path / "charades/scratch/seed1/bootstrap.npz").unlink()
    drawn = texts(plot_ranking(read(tmp_path, published=published, partial=True)))
    assert any("τ = 1.00 (95 % interval 1.00 to 1.00)" in text for text in drawn) and "No pre-training  99.0" in drawn


def test_training_curves_are_of_every_run(tmp_path):
    figure = plot_training(made_up(tmp_path, seeds=(1, 2), without=[("moco", 1), ("moco", 2)]))
    panels = [axes for axes in figure.findobj(lambda part: hasattr(part, "lines")) if axes.lines]
    assert len(panels) == 8
    assert [len(axes.lines) for axes in panels] == [6 + 2, 6, 6 + 2, 6 + 2] * 2
    assert texts(figure).count("pending") == 2
    assert panels[0].lines[-1].get_ydata().tolist() == [0.7, 0.5, 0.4, 0.35]
    assert panels[4].lines[-1].get_xdata().tolist() == [2, 4]  # epochs with a validation


def test_training_curves_of_recipes_have_their_own_axes(tmp_path):
    without = [("video_moco", 1), ("moco", 1)]
    results = with_recipes(made_up(tmp_path, without=without), "vit", "r2plus1d", "r2plus1d", "vit")
    loss, mean_ap, *pending = plot_training(results).subfigs
    assert [place.get_supylabel() for place in (loss, mean_ap)] == [
        "training loss\nrecipe vit",
        "validation mAP (%)\nrecipe vit",
    ]
    assert [len(axes.lines) for axes in loss.axes] == [3, 3]  # two in gray, one in color
    assert loss.axes[0].get_shared_y_axes().joined(*loss.axes)
    assert not loss.axes[0].get_shared_y_axes().joined(loss.axes[0], pending[0].axes[0])
    assert [text for place in pending for text in texts(place)].count("pending") == 4


def test_recipes_that_compare_have_their_own_training_curves(tmp_path):
    results = with_recipes(made_up(tmp_path), "r2plus1d", "r2plus1d", "r2plus1d", "sum")
    results = replace(results, methods=results.methods.assign(group="r2plus1d"))
    assert len(plot_training(results).subfigs) == 4
    assert len(plot_mean_ap(results).axes) == 1


def test_training_curves_have_the_same_margins_in_all_files(tmp_path):
    figure = plot_training(made_up(tmp_path))
    before = [axes.get_position().bounds for axes in figure.axes]
    plot_style.save(figure, [tmp_path / f"figure.{suffix}" for suffix in ("png", "svg", "pdf")])
    assert [axes.get_position().bounds for axes in figure.axes] == before


# Names that matplotlib, SVG or LaTeX would read as markup.
ODD = "a $x_ y^{$ & <b> 100% \\alpha"


@pytest.mark.parametrize("plot", OF_ONE)
def test_labels_are_not_read_as_formulas(tmp_path, plot):
    results = made_up(tmp_path, published=write_published(tmp_path / "published.tsv"))
    results.methods["label"] = [f"{ODD} {number}" for number in range(4)]
    for path in tmp_path.rglob("per_class.csv"):
        rows = pd.read_csv(path)
        rows.assign(name=[f"{ODD} {number}" for number in range(len(rows))]).to_csv(path, index=False)
    figure = plot(results)
    assert any(ODD in text for text in texts(figure))
    plot_style.save(figure, [tmp_path / f"figure.{suffix}" for suffix in ("png", "svg", "pdf")])
    assert "a $x_ y^{$ &amp; &lt;b&gt; 100% \\alpha" in (tmp_path / "figure.svg").read_text()


def test_labels_of_points_are_not_read_as_formulas(tmp_path):
    datasets = [made_up(tmp_path, "ava", (0,)), made_up(tmp_path, "charades", (1,))]
    for results in datasets:
        results.methods["label"] = [f"{ODD} {number}" for number in range(4)]
    plot_style.save(plot_dataset_scatter(datasets), [tmp_path / f"figure.{suffix}" for suffix in ("png", "svg", "pdf")])
    assert "a $x_ y^{$ &amp; &lt;b&gt; 100% \\alpha" in (tmp_path / "figure.svg").read_text()


def test_157_long_class_names_stay_apart(tmp_path):
    """The names of Charades' classes, at the sizes at which they are drawn."""
    names = [f"Watching something/someone/themselves in {number}" for number in range(157)]
    results = made_up(tmp_path)
    for path in tmp_path.rglob("per_class.csv"):
        pd.DataFrame({"name": names, "ap": np.linspace(0.01, 0.6, 157)}).to_csv(path, index=False)
    for figure in (plot_classes(results), plot_gains(results)):
        figure.draw_without_rendering()
        boxes = [label.get_window_extent().extents for axes in figure.axes for label in axes.get_yticklabels()]
        width, height = figure.canvas.get_width_height()
        assert all(x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height for x1, y1, x2, y2 in boxes)
        assert sum(overlap(a, b) for a in boxes for b in boxes if a is not b) == 0
        assert width / figure.dpi < 20  # inches: a page shows it without shrinking it to dots
    assert sum(len(axes.get_yticklabels()) for axes in plot_classes(results).axes[:-1]) == 157


# --- The table of figures --------------------------------------------------------------------------------------------


def test_which_figures_an_experiment_has():
    always = ["ava_mean_ap", "ava_differences", "ava_classes", "ava_training"]
    assert list(figures_of(["ava"], ["self-supervised"], False)) == always
    assert list(figures_of(["ava"], ["none"], False)) == always
    assert list(figures_of(["ava"], ["none", "supervised"], False)) == [*always, "ava_gains"]
    assert list(figures_of(["ava"], ["supervised"], True)) == [*always, "ava_ranking"]
    both = list(figures_of(["ava", "charades"], ["none", "self-supervised", "self-supervised"], True))
    assert both == [
        *always,
        *("ava_gains", "ava_ranking"),
        *("charades_mean_ap", "charades_differences", "charades_classes", "charades_training", "charades_gains"),
        "charades_ranking",
        "dataset_scatter",
    ]


def test_every_figure_has_a_script_and_a_caption():
    for figure in FIGURES:
        assert (ROOT / f"workflow/scripts/plot_{figure.name}.py").is_file()
        assert (ROOT / f"workflow/report/{figure.name}.rst").read_text().strip()
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("plot_*.py")}
    assert scripts == {f"plot_{figure.name}" for figure in FIGURES}


def test_the_plan_needs_no_matplotlib():
    code = "import sys, workflow.lib.report.figures; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
