"""Pixels are OpenCV's, the top of a JPEG has those of the whole, and damage is reported."""

import cv2
import numpy as np
import pytest
import simplejpeg

from tests.helpers.loader_data import formula_frame
from trainer.data.jpeg import decode, decode_top, frame_memory, frame_size
from trainer.utils.errors import InputError


def noisy_picture(height, width):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("sampling", ["IMWRITE_JPEG_SAMPLING_FACTOR_420", "IMWRITE_JPEG_SAMPLING_FACTOR_444"])
@pytest.mark.parametrize("size", [(64, 96), (37, 53)])
def test_pixels_are_opencvs(sampling, size):
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, sampling)]
    jpeg = cv2.imencode(".jpg", noisy_picture(*size), options)[1].tobytes()
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(decode(jpeg), expected)


def test_a_gray_jpeg_has_three_channels():
    jpeg = cv2.imencode(".jpg", noisy_picture(32, 48)[..., 0])[1].tobytes()
    pixels = decode(jpeg)
    assert pixels.shape == (32, 48, 3)
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("part", [0, 0.02, 0.5, 0.98])
def test_a_damaged_jpeg_is_named(part):
    jpeg = cv2.imencode(".jpg", noisy_picture(64, 96))[1].tobytes()
    with pytest.raises(InputError, match="frame 7 of video abc: not a whole JPEG"):
        decode(jpeg[: int(part * len(jpeg))], "frame 7 of video abc")


@pytest.mark.parametrize("subsampling", ["420", "422", "440", "444"])
@pytest.mark.parametrize("size", [(90, 64), (91, 51)])
def test_the_top_has_the_pixels_of_the_whole(subsampling, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    jpeg = simplejpeg.encode_jpeg(noise, quality=95, colorsubsampling=subsampling)
    assert frame_size(jpeg) == size
    whole, memory = decode(jpeg), frame_memory(*size)
    for rows in range(1, size[0] + 1):
        for top in (decode_top(jpeg, rows), decode_top(jpeg, rows, into=memory)):
            assert rows <= len(top) <= min(rows + 2, size[0])
            np.testing.assert_array_equal(top[:rows], whole[:rows])
        assert np.shares_memory(top, memory)


def test_frame_memory_begins_between_multiples_of_32_bytes():
    assert {frame_memory(90, 64 + i).ctypes.data % 32 for i in range(20)} == {16}


def test_damage_is_reported_in_the_rows_decoded_and_goes_unnoticed_below():
    jpeg = simplejpeg.encode_jpeg(formula_frame(160, 160), quality=95)
    middle = len(jpeg) // 2
    zeros = jpeg[:middle] + bytes(40) + jpeg[middle + 40 :]
    np.testing.assert_array_equal(decode_top(zeros, 20)[:20], decode(jpeg)[:20])
    marker = jpeg[:middle] + b"\xff\xd0" + jpeg[middle + 2 :]
    with pytest.raises(InputError, match="frame 3 of video abc: not a whole JPEG"):
        decode_top(marker, 150, "frame 3 of video abc")
    with pytest.raises(InputError, match="a frame: not a whole JPEG"):
        decode_top(jpeg[:-200], 20)
    with pytest.raises(InputError, match="frame 3 of video abc: not a JPEG"):
        decode_top(b"no picture", 20, "frame 3 of video abc")


def test_progressive_pictures_are_decoded_whole():
    picture = formula_frame(90, 64)
    for option in (cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL):
        jpeg = cv2.imencode(".jpg", picture, [option, 1])[1].tobytes()
        np.testing.assert_array_equal(decode_top(jpeg, 20), decode(jpeg))


def test_a_header_that_asks_for_gigabytes_is_refused():
    jpeg = simplejpeg.encode_jpeg(formula_frame(48, 64))
    place = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:place] + (60_000).to_bytes(2, "big") * 2 + jpeg[place + 4 :]
    with pytest.raises(InputError, match=r"^frame 7: 60000 x 60000 pixels; expected at most 67,108,864"):
        decode_top(huge, 10, "frame 7")
