"""Regions, colors and sizes of the published recipe of transformers (tests/fixtures/vit/transforms.json)."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.published_vit import RECIPE, expected
from trainer.data.clips import indices_around
from trainer.data.regions import extended, jittered, pixels_in_crop, regions_in_crop
from trainer.data.transforms import ResizeCrop, full_frame, hsv_jitter, shift_hsv, uint8_resizer
from trainer.models.backbones import BACKBONES
from trainer.models.methods_table import DEFAULTS

GOLDEN = expected("transforms")
CLIP, BOXES = RECIPE["clip"], RECIPE["boxes"]
SHORT, CROP = CLIP["test_short_side"], CLIP["crop"]


def frame_of(width, height, time=0):
    y, x, c = np.ogrid[:height, :width, :3]
    return ((3 * x + 5 * y + 41 * c + x * y // 64 + 7 * time) % 256).astype(np.uint8)


def test_sizes():
    for (width, height), resized in GOLDEN["resize"]["sizes [[w, h], [new w, new h]]"]:
        if min(width, height) != 256:  # the reference swaps the sides of such a frame
            assert full_frame(height, width, SHORT).resized == tuple(resized[::-1])


@pytest.mark.parametrize("case", GOLDEN["resize"]["pixel_cases"], ids=lambda case: str(case["frame_w_h"]))
def test_pixels_are_resized_exactly(case):
    width, height = case["frame_w_h"]
    geometry = full_frame(height, width, SHORT)
    clip = np.stack([uint8_resizer(geometry)(frame_of(width, height, time)) for time in case["times"]])
    assert list(clip.shape[2:0:-1]) == case["out_w_h"]
    assert np.array_equal(clip[:, ::32, ::32], case["pixels[t, ::32, ::32, c]"])
    assert clip.mean() == pytest.approx(case["mean"], rel=1e-12)
    np.testing.assert_allclose(pixels_in_crop(np.array(case["boxes"]), geometry), case["boxes_out"], atol=1e-4)


@pytest.mark.parametrize("case", GOLDEN["crop_and_flip"]["cases"], ids=str)
def test_boxes_are_cropped_and_mirrored(case):
    (width, height), (left, top) = case["frame_w_h"], case["x1_y1"]
    geometry = ResizeCrop((height, width), (height, width), (CROP, CROP), top, left)
    boxes = np.array(case["boxes"], dtype=float)
    np.testing.assert_allclose(pixels_in_crop(boxes, geometry), case["boxes_after_crop"], atol=1e-4)
    mirrored = pixels_in_crop(boxes, replace(geometry, flip=True))
    np.testing.assert_allclose(mirrored, case["boxes_after_crop_and_flip"], atol=1e-4)


def test_boxes_of_annotations():
    golden = GOLDEN["boxes_of_clips"]
    sizes = {film: (width, height) for film, width, height in golden["films_in_order [name, w, h]"]}
    rows = {(film, second, *corners[:4]) for film, second, *corners in golden["csv_rows"]}
    for film, second, (x, y, w, h), score in golden["detections [film, second, bbox xywh, score]"]:
        if score >= BOXES["min_score"]:
            rows.add((film, second, *(np.array([x, y, x + w, y + h]) / (sizes[film] * 2)).tolist()))
    for item in golden["train_items"] + golden["test_items"]:
        width, height = item["frame_w_h"]
        whole = ResizeCrop((height, width), (height, width), (height, width))
        boxes = np.array([row[2:] for row in sorted(rows) if row[:2] == (item["movie"], item["second"])])
        ours = regions_in_crop(boxes, whole, BOXES["convention"]).tolist()
        for wanted in item["boxes_x1y1x2y2"]:
            assert any(np.allclose(box, wanted, atol=1e-4) for box in ours), wanted


def test_jitter():
    golden = GOLDEN["box_jitter"]["random_aug"]
    boxes, amounts = np.array(golden["boxes"], dtype=float), BOXES["jitter"]
    draws = np.array(golden["draws_x1_y1_x2_y2"])
    np.testing.assert_allclose(jittered(boxes, (224, 224), amounts, draws), golden["out"], atol=1e-4)
    for extreme in golden["extremes"]:
        draws = np.full((4, len(boxes)), extreme["all_draws"])
        np.testing.assert_allclose(jittered(boxes, (224, 224), amounts, draws), extreme["out"], atol=1e-4)


def test_extension():
    for case in GOLDEN["box_jitter"]["extend"]["cases"]:
        width, height = case["image_w_h"]
        ours = extended(np.array(case["boxes"], dtype=float), (height, width), BOXES["extension"])
        np.testing.assert_allclose(ours, case["out"], atol=1e-4)


def test_colors():
    golden = GOLDEN["hsv_jitter"]
    for case in golden["cases"]:
        clip = np.array(golden["rgb_in"], np.uint8).reshape(1, 6, 8, 3)
        shift_hsv(clip, case["hue_sat_val_shift"])
        assert np.array_equal(clip.reshape(-1, 3), case["rgb_out"])


def test_shifts_of_colors_have_the_published_bounds():
    class Drawn:
        def integers(self, low, high, endpoint):
            bounds.append(f"randint({low},{high})")
            return 0

    bounds = []
    hsv_jitter(Drawn(), np.zeros((1, 2, 2, 3), np.uint8), CLIP["hsv_jitter"])
    assert bounds == GOLDEN["hsv_jitter"]["cases"][0]["drawn_as"]


@pytest.mark.parametrize("case", GOLDEN["pipeline"]["cases"], ids=lambda case: str(case["frame_w_h"]))
def test_a_whole_clip(case):
    (width, height), draws = case["frame_w_h"], [value for _, value in case["draws_in_order"]]
    geometry = full_frame(height, width, SHORT)
    if training := case["mode"] == "train":
        resized_height, resized_width = geometry.resized
        left, top = int(draws[0] * (resized_width - CROP)), int(draws[1] * (resized_height - CROP))
        geometry = replace(geometry, crop=(CROP, CROP), top=top, left=left, flip=draws[5] < 0.5)
    times = indices_around(case["raw_frames"] // 2, 16, 4, case["raw_frames"], lead=31)
    resize = uint8_resizer(geometry)
    clip = np.stack([resize(frame_of(width, height, time)) for time in times])
    if training:
        shift_hsv(clip, draws[2:5])
    mean = 255 * np.array(BACKBONES["vit_b_16"].mean.split(","), dtype=float)
    pixels = (clip - mean).transpose(3, 0, 1, 2) / (255 * float(DEFAULTS["std"]))
    assert list(pixels.shape) == case["output_shape_CTHW"]
    np.testing.assert_allclose(pixels[:, [0, 7, 15], ::75, ::75], case["pixels[c, (0,7,15), ::75, ::75]"], atol=1e-5)
    boxes = pixels_in_crop(np.array(case["boxes"], dtype=float), geometry)
    np.testing.assert_allclose(boxes, case["boxes_out"], atol=1e-4)


def test_frames_are_those_of_the_published_instants():
    for case in GOLDEN["clip_frames"]["cases"]:
        if case["segments"].startswith("25 frames"):
            offsets = np.array(case["offset_from_first_frame_of_key_second"])
            ours = indices_around(3000, CLIP["num_frames"], CLIP["stride"], 6000, lead=CLIP["lead"])
            assert ours.tolist() == (3000 + np.rint(offsets * 30 / 25)).tolist()
