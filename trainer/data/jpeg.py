"""Decode JPEGs: whole, or only the top, for crops that need no row below.

A baseline JPEG holds its rows of blocks from top to bottom, and says in its header how many rows of pixels they make.
With a smaller number there the decoder stops early, with exact pixels and in proportionally less time.
"""

import numpy as np
import simplejpeg

from trainer.utils.errors import InputError

# Markers of segments in a JPEG's header, after ITU-T T.81.
BASELINE, RESTARTS, SCAN = 0xC0, 0xDD, 0xDA

MOST_PIXELS = 2**26  # twice an 8K frame's; a damaged header could ask for gigabytes

# The decoder's message about data after the last row. It reports the first problem only, so the rows above are intact.
LEFT_OVER = "extraneous bytes before marker 0xd9"


def frame_size(jpeg, name="a frame"):
    """Return (height, width) in pixels; raise InputError if this is no JPEG, or a huge one, see `decode_top`."""
    try:
        height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    except ValueError as error:
        raise InputError(f"{name}: not a JPEG ({str(error).strip()})") from error
    if height * width > MOST_PIXELS:
        raise InputError(f"{name}: {height} x {width} pixels; expected at most {MOST_PIXELS:,}. Extract it again")
    return height, width


def decode(jpeg: bytes, name="a frame", into=None) -> np.ndarray:
    """Decode to uint8 RGB of shape (height, width, 3), with the same pixels as OpenCV's decoder.

    This takes the exact inverse transform and smooth chroma upsampling; the faster approximations change pixels.
    ``name`` appears in the InputError of a damaged JPEG. ``into`` is an array of the frame's size to decode into.
    """
    try:
        return simplejpeg.decode_jpeg(jpeg, colorspace="RGB", fastdct=False, fastupsample=False, buffer=into)
    except ValueError as error:
        raise InputError(f"{name}: not a whole JPEG ({error})") from error


def decode_top(jpeg, rows, name="a frame", into=None):
    """Decode at least the first ``rows`` rows of pixels to (height, width, 3) uint8 RGB, like `decode`.

    JPEGs that are not baseline, or have restart markers, are decoded as a whole. ``name`` is for the message of the
    InputError that a damaged JPEG raises; damage below the rows decoded goes unnoticed. ``into`` is an array of the
    frame's size to decode into, see `frame_memory`.
    """
    height, width = frame_size(jpeg, name)
    rows += 2  # the last row's colors are blended with those of the row below
    place = _place_of_height(jpeg)
    if rows >= height or place is None:
        return decode(jpeg, name, into)
    pixels = np.empty((rows, width, 3), np.uint8) if into is None else into[:rows]
    try:
        simplejpeg.decode_jpeg(jpeg[:place] + rows.to_bytes(2, "big") + jpeg[place + 2 :], buffer=pixels)
    except ValueError as error:
        if LEFT_OVER not in str(error):
            raise InputError(f"{name}: not a whole JPEG ({error})") from error
    return pixels


def frame_memory(height, width):
    """Return an uninitialized (height, width, 3) uint8 array to decode into, for pixels that are read at once.

    libjpeg-turbo writes rows that begin at multiples of 32 bytes past the cache, from where reading them again takes
    longer than resizing. In frames of usual widths either all rows begin so, or none.
    """
    size = height * width * 3
    memory = np.empty(size + 32, np.uint8)
    begin = (16 - memory.ctypes.data) % 32
    return memory[begin : begin + size].reshape(height, width, 3)


def _place_of_height(jpeg):
    """Return the place of the height in the bytes; None if decoding cannot stop early."""
    place, segment = None, 2
    while (marker := jpeg[segment + 1]) != SCAN:
        if jpeg[segment] != 0xFF or marker == 0xFF:  # padding, which is legal and rare
            return None
        if marker == BASELINE:
            place = segment + 5
        elif marker == RESTARTS:
            return None
        segment += 2 + int.from_bytes(jpeg[segment + 2 : segment + 4], "big")
    return place
