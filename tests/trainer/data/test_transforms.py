"""Sizes, crops and pixels of clips: those of the reference implementation, OpenCV and PyTorch."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from tests.helpers.loader_data import expected, formula_frame
from trainer.data.regions import boxes_in_crop
from trainer.data.transforms import (
    INT16_STEPS,
    ResizeCrop,
    center_crop,
    crops_along,
    float32_resizer,
    full_frame,
    int16_resizer,
    random_crop,
    uint8_resizer,
)

AVA = expected("ava_views.json.gz")["cases"]
CHARADES = expected("charades_views.json.gz")["cases"]


def case_name(case):
    return f"{case['height']}x{case['width']}"


def normalized(case, resize):
    """Two frames as the network sees them: (3, 2, rows, columns)."""
    clip = [resize(formula_frame(case["height"], case["width"], number)) for number in range(2)]
    return ((np.stack(clip).astype(np.float32) / 255 - 0.45) / 0.225).transpose(3, 0, 1, 2)


@pytest.mark.parametrize("case", AVA, ids=case_name)
def test_ava_test_frames_are_the_published_ones(case):
    geometry = full_frame(case["height"], case["width"], 112)
    assert [3, 2, *geometry.crop] == case["test"]["shape_CTHW"]
    pixels = normalized(case, uint8_resizer(geometry))
    np.testing.assert_allclose(pixels[:, :, ::16, ::16], case["test"]["pixels"], rtol=0, atol=1e-6)
    assert pixels.mean() == pytest.approx(case["test"]["mean"], abs=1e-6)
    boxes = boxes_in_crop(np.array(case["boxes_normalised"]), geometry)
    np.testing.assert_allclose(boxes, case["test"]["boxes"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", AVA, ids=case_name)
def test_ava_validation_boxes_are_the_published_ones(case):
    geometry = center_crop(case["height"], case["width"], 112)
    assert geometry.crop == (112, 112)
    boxes = boxes_in_crop(np.array(case["boxes_normalised"]), geometry)
    np.testing.assert_allclose(boxes, case["val"]["boxes"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CHARADES, ids=case_name)
def test_charades_crops_are_the_published_ones(case):
    whole = full_frame(case["height"], case["width"], 112)
    assert list(whole.resized) == case["resized_hw"]
    # PyTorch itself gives 1.2e-4 at 480x853 on some processors and 5e-8 on others. Of a square frame, the crop is the
    # whole frame, whose pixels are closer to the exact ones.
    rounding = 2e-4 if case_name(case) == "480x853" or case["height"] == case["width"] else 1e-6
    frames = normalized(case, lambda frame: int16_resizer(whole)(frame) / INT16_STEPS)
    for geometry, crop in zip(crops_along(whole, 3), case["crops"], strict=True):
        assert [geometry.top, geometry.left] == crop["offset_yx"]
        pixels = normalized(case, float32_resizer(geometry))
        assert list(pixels.shape) == crop["shape_CTHW"]
        np.testing.assert_allclose(pixels[:, :, ::16, ::16], crop["pixels"], rtol=0, atol=rounding)
        assert pixels.mean() == pytest.approx(crop["mean"], abs=1e-5)
        # Test crops are cut from whole frames, which are rounded to 1/128 gray level.
        pixels = frames[:, :, geometry.top : geometry.top + 112, geometry.left : geometry.left + 112]
        np.testing.assert_allclose(pixels[:, :, ::16, ::16], crop["pixels"], rtol=0, atol=4e-4)
        assert pixels.mean() == pytest.approx(crop["mean"], abs=1e-5)


SOURCES = [(360, 640), (640, 360), (224, 398), (512, 640), (113, 150), (600, 560), (180, 320), (300, 300)]


@pytest.mark.parametrize("source", SOURCES)
def test_a_crop_has_the_pixels_of_the_whole_resized_frame(source):
    """Bit for bit those of OpenCV for uint8, those of PyTorch's interpolation for float32.

    PyTorch's own differ by one step of a float32 position between one thread and two.
    """
    rng = np.random.default_rng(source)
    step = 255 * np.spacing(np.float32(max(source)))
    frame = rng.integers(0, 256, (*source, 3), np.uint8)
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None].float().contiguous()
    for _ in range(12):
        geometry = random_crop(rng, *source, (112, 340), 112)
        rows, columns = slice(geometry.top, geometry.top + 112), slice(geometry.left, geometry.left + 112)
        whole = cv2.resize(frame, geometry.resized[::-1], interpolation=cv2.INTER_LINEAR)[rows, columns]
        exact = interpolate(planes, geometry.resized, mode="bilinear")[0, :, rows, columns].permute(1, 2, 0).numpy()
        if geometry.flip:
            whole, exact = whole[:, ::-1], exact[:, ::-1]
        np.testing.assert_array_equal(uint8_resizer(geometry)(frame), whole)
        np.testing.assert_allclose(float32_resizer(geometry)(frame), exact, rtol=0, atol=step)


@pytest.mark.parametrize("source", SOURCES)
def test_whole_frames_have_the_exact_pixels(source):
    """Those of interpolation in float64, rounded to int16's steps.

    PyTorch's in float32 are off by up to 0.016 at 320 px, as it rounds positions.
    """
    frame = np.random.default_rng(source).integers(0, 256, (*source, 3), np.uint8)
    planes = torch.from_numpy(frame).permute(2, 0, 1)[None]
    geometry = full_frame(*source, 112)
    exact, published = (
        interpolate(planes.to(kind), geometry.resized, mode="bilinear")[0].permute(1, 2, 0).numpy()
        for kind in (torch.float64, torch.float32)
    )
    pixels = int16_resizer(geometry)(frame) / INT16_STEPS
    half_a_step = 0.5 / INT16_STEPS
    np.testing.assert_allclose(pixels, exact, rtol=0, atol=half_a_step + 1e-4)
    np.testing.assert_allclose(pixels, published, rtol=0, atol=half_a_step + 0.02)


def test_half_the_size_is_exact():
    """OpenCV averages areas at this one ratio."""
    frame = np.random.default_rng(0).integers(0, 256, (360, 642, 3), np.uint8)
    for top, left in [(0, 0), (68, 209), (31, 100)]:
        geometry = ResizeCrop((360, 642), (180, 321), (112, 112), top, left)
        whole = cv2.resize(frame, (321, 180), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(uint8_resizer(geometry)(frame), whole[top : top + 112, left : left + 112])


def test_random_crops_cover_the_published_ranges():
    rng = np.random.default_rng(0)
    crops = [random_crop(rng, 360, 640, (256, 320), 112) for _ in range(4000)]
    heights = [crop.resized[0] for crop in crops]
    assert (min(heights), max(heights)) == (256, 320)
    # uniform in 1/size: the middle of the draws is the harmonic mean
    assert np.median(heights) == pytest.approx(2 / (1 / 256 + 1 / 320), abs=2)
    assert all(crop.top < crop.resized[0] - 112 and crop.left < crop.resized[1] - 112 for crop in crops)
    assert np.mean([crop.flip for crop in crops]) == pytest.approx(0.5, abs=0.03)


def test_a_crop_as_large_as_the_frame_has_no_offset():
    geometry = random_crop(np.random.default_rng(0), 100, 100, (112, 112), 112)
    assert (geometry.top, geometry.left, geometry.crop) == (0, 0, (112, 112))


def test_boxes_follow_crop_and_flip():
    geometry = ResizeCrop((100, 200), (50, 100), (40, 40), top=5, left=20)
    boxes = np.array([[0.25, 0.2, 0.35, 0.6], [0.0, 0.0, 1.0, 1.0]])
    assert boxes_in_crop(boxes, geometry).tolist() == [[5, 5, 15, 25], [0, 0, 39, 39]]
    mirrored = ResizeCrop((100, 200), (50, 100), (40, 40), top=5, left=20, flip=True)
    assert boxes_in_crop(boxes, mirrored).tolist() == [[24, 5, 34, 25], [0, 0, 39, 39]]
    assert boxes.tolist() == [[0.25, 0.2, 0.35, 0.6], [0.0, 0.0, 1.0, 1.0]]
