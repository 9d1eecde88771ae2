"""The top of a JPEG has the pixels of the whole, and damage is reported."""

import numpy as np
import pytest
import simplejpeg

from tests.helpers.loader_data import formula_frame
from trainer.data.frame_archive import decode
from trainer.data.jpeg import decode_top, frame_memory, frame_size
from trainer.utils.errors import InputError


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
    cv2 = pytest.importorskip("cv2")
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
