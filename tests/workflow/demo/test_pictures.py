"""The README's pictures: of made-up predictions, and of the published numbers."""

import base64

import matplotlib.image
import numpy as np
import pytest
import simplejpeg
from matplotlib.patches import Rectangle

from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.demo import pictures
from workflow.lib.report import plot_style
from workflow.lib.report.examples import Example, Prediction, Subject

BOX = (0.1, 0.2, 0.5, 1.0)


def uri(shade):
    pixels = np.full((96, 120, 3), shade, np.uint8)
    return "data:image/jpeg;base64," + base64.b64encode(simplejpeg.encode_jpeg(pixels)).decode()


def person(score, box=BOX):
    predictions = [Prediction("bend/bow (at the waist)", score, True), Prediction("sit", 0.25, False)]
    return Subject(box, ["bend/bow (at the waist)"], predictions)


def example(*subjects, image=None):
    return Example("film, second 7", image, [uri(50 * number) for number in range(5)], list(subjects))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_two_people_in_a_frame(tmp_path):
    drawn = pictures.draw_example(example(person(0.75), person(0.5), image=uri(100)))
    written = texts(drawn)
    assert [written.count(number) for number in ("1", "2")] == [2, 2]  # at the box and above the predictions
    assert written.count("bend/bow") == written.count("sit") == 2
    assert "✓ 0.75" in written
    assert written.count("0.25") == 2  # no check mark
    boxes = [patch for patch in drawn.axes[0].patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    height = pictures.FRAME * 96 / 120
    left, top = pictures.MARGIN + 0.1 * pictures.FRAME, pictures.MARGIN + 0.2 * height
    np.testing.assert_allclose(boxes[0].get_bbox().bounds, (left, top, 0.4 * pictures.FRAME, 0.8 * height))

    plot_style.save(drawn, [tmp_path / "card.png"])
    pixels = matplotlib.image.imread(tmp_path / "card.png")
    assert pixels.shape[1] == pictures.WIDTH
    assert pixels[0, 0, 3] == 0  # transparent outside of the round corner
    np.testing.assert_array_equal(pixels[10, 200], 1)  # white and opaque within the margin
    np.testing.assert_allclose(
        pixels[pictures.MARGIN + 5, pictures.MARGIN + 300, :3], 100 / 255, atol=0.04
    )  # the frame


def test_video_has_no_box():
    drawn = pictures.draw_example(example(person(0.75, box=None)))
    assert texts(drawn) == ["bend/bow", "✓ 0.75", "sit", "0.25"]
    large, *strip = drawn.axes[0].images
    np.testing.assert_array_equal(large.get_array(), strip[2].get_array())


def test_best_example(tmp_path, monkeypatch):
    runs = {
        "moco": [example(person(0.1))],
        "gdt": [example(person(0.9)), example(*[person(1.0)] * 3)],
    }  # three: too many
    for method in runs:
        (tmp_path / method / "seed0").mkdir(parents=True)
        (tmp_path / method / "seed0/metrics.json").touch()
    monkeypatch.setattr(pictures, "run_examples", lambda folder, count: runs[folder.parent.name])
    assert pictures.best_example(tmp_path) is runs["gdt"][0]


def test_without_the_demo(tmp_path):
    with pytest.raises(InputError, match="run make demo first"):
        pictures.best_example(tmp_path)


def test_wrong_predictions_lower_the_quality():
    assert pictures.quality(example(person(0.75))) == pytest.approx(0.75 - 0.25)


def test_published_numbers():
    drawn = pictures.draw_published(ROOT / "config")
    points = drawn.axes[0].collections[0].get_offsets()
    assert [10.2, 8.4] in points.tolist()  # SeLaVi
    assert {"SeLaVi", "Supervised"} <= set(texts(drawn))
    assert "No pre-training" not in texts(drawn)  # has no published number on AVA
    assert "SEVERE++" in drawn.get_suptitle()
