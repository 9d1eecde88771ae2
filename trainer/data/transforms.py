"""Geometry of clips: sizes, crops, flips, and what they do to pixels. Frames are (height, width, 3) uint8 arrays."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

# Loader processes are the parallelism; OpenCV's own threads would fight them for the cores, and do not survive a fork.
cv2.setNumThreads(0)

INT16_STEPS = 128  # of a gray level: 255 of them fit


@dataclass(frozen=True)
class ResizeCrop:
    """A frame of ``source`` pixels, resized to ``resized``, cut at (top, left) to ``crop``, then perhaps mirrored.

    Sizes are (height, width); ``top`` and ``left`` count pixels of the resized frame.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    crop: tuple[int, int]
    top: int = 0
    left: int = 0
    flip: bool = False

    @property
    def rows(self):
        """The number of frame rows, from the top, that the crop needs: interpolation reads one or two below it."""
        return _taps_end(self.top + self.crop[0], self.resized[0], self.source[0])

    @property
    def columns(self):
        """The number of frame columns, from the left, that the crop needs."""
        return _taps_end(self.left + self.crop[1], self.resized[1], self.source[1])


def _taps_end(end, resized, source):
    return min(math.ceil(end * source / resized) + 2, source)


def full_frame(height, width, short):
    """Return the whole frame with its short side resized to ``short`` pixels.

    The long side is rounded down, in the order of operations of the published code: 168 x 366 becomes 112 x 243 there,
    not 112 x 244. A frame whose short side has the size already is not resized there either.
    """
    if min(height, width) == short:
        resized = (height, width)
    elif width < height:
        resized = (math.floor(height / width * short), short)
    else:
        resized = (short, math.floor(width / height * short))
    return ResizeCrop((height, width), resized, resized)


def random_crop(rng, height, width, short_side_range, crop):
    """Return a training crop: short side 1/uniform(1/max, 1/min), random square crop, mirrored with probability 1/2.

    ``short_side_range`` is (min, max) of the short side and ``crop`` the side of the crop, in pixels. As in the
    published code, the last possible offset is never drawn.
    """
    low, high = short_side_range
    geometry = full_frame(height, width, round(1 / rng.uniform(1 / high, 1 / low)))
    top, left = (int(rng.integers(0, size - crop)) if size > crop else 0 for size in geometry.resized)
    return replace(geometry, crop=(crop, crop), top=top, left=left, flip=bool(rng.random() < 0.5))


def center_crop(height, width, short):
    """Return the central square of the frame with its short side resized to ``short`` pixels."""
    return crops_along(full_frame(height, width, short), 3)[1]


def crops_along(geometry, crops):
    """Return square crops, as wide as the short side, spread over the long side of ``geometry`` from start to end.

    Three crops start at 0, ceil((long - short) / 2) and long - short.
    """
    short, gap = min(geometry.resized), max(geometry.resized) - min(geometry.resized)
    offsets = [math.ceil(gap * i / (crops - 1)) for i in range(crops)] if crops > 1 else [math.ceil(gap / 2)]
    along_height = geometry.resized[0] > geometry.resized[1]
    return [
        replace(geometry, crop=(short, short), top=offset if along_height else 0, left=0 if along_height else offset)
        for offset in offsets
    ]


def uint8_resizer(geometry):
    """Return a function from a frame, or the top of one, to the pixels of ``geometry``, rounded: AVA's resizing.

    Bilinear (half-pixel centers, no antialiasing), bit for bit OpenCV's result for the whole frame. Given a scale
    instead of a size, OpenCV resizes a frame's top left corner to the same pixels as in the whole frame. So pixels to
    the right of the crop and below it are skipped.
    """
    scale_y, scale_x = (size / whole for size, whole in zip(geometry.resized, geometry.source, strict=True))
    bottom, right = geometry.top + geometry.crop[0], geometry.left + geometry.crop[1]

    def resize(frame):
        if geometry.resized != geometry.source:
            corner = frame[: geometry.rows, : geometry.columns]
            frame = cv2.resize(corner, None, fx=scale_x, fy=scale_y, interpolation=cv2.INTER_LINEAR)
        pixels = frame[geometry.top : bottom, geometry.left : right]
        return cv2.flip(pixels, 1) if geometry.flip else pixels

    return resize


def float32_resizer(geometry):
    """Return a function from a frame, or the top of one, to the pixels of ``geometry``, unrounded: Charades' resizing.

    Bilinear (half-pixel centers, no antialiasing), computed at the crop's pixels alone. The published code normalizes
    first, which changes nothing, as the weights of a pixel sum to 1.
    """
    y, x = (_positions(geometry, axis) for axis in (0, 1))
    if geometry.flip:
        x = x[::-1]
    top, left = int(y.min()), int(x.min())
    rows, columns = slice(top, geometry.rows), slice(left, geometry.columns)
    map_y, map_x = (np.ascontiguousarray(p) for p in np.broadcast_arrays((y - top)[:, None], x - left))
    scratch = np.empty((geometry.rows - top, geometry.columns - left, 3), np.float32)

    def resize(frame):
        np.copyto(scratch, frame[rows, columns])
        return cv2.remap(scratch, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return resize


def int16_resizer(geometry):
    """Return the same function for whole frames, to int16 in units of 1 / INT16_STEPS of a gray level: half the memory.

    OpenCV's own resizing takes a third of the time at 320x180 and rounds positions less than PyTorch. At 320 px
    PyTorch's pixels are off by up to 0.016 of 255 gray levels, these by 0.004.
    """
    scratch = np.empty((*geometry.source, 3), np.int16)

    def resize(frame):
        np.multiply(frame, INT16_STEPS, out=scratch, dtype=np.int16)
        return cv2.resize(scratch, geometry.resized[::-1], interpolation=cv2.INTER_LINEAR)

    return resize


def _positions(geometry, axis):
    """Return the positions of the crop's rows (axis 0) or columns (1) in the frame, in float32 as PyTorch does."""
    start = (geometry.top, geometry.left)[axis]
    scale = np.float32(geometry.source[axis]) / np.float32(geometry.resized[axis])
    centers = np.arange(start, start + geometry.crop[axis], dtype=np.float32) + np.float32(0.5)
    return np.maximum(centers * scale - np.float32(0.5), 0)


def hsv_jitter(rng, clip, amounts):
    """Shift hue, saturation and value of a uint8 RGB clip (T, H, W, 3) in place, by one random draw each.

    ``amounts``: the most degrees of hue, and the most parts of the range of saturation and value.
    """
    most = (round(amounts[0] / 2), round(amounts[1] * 255), round(amounts[2] * 255))  # OpenCV counts hue in 2 degrees
    shift_hsv(clip, [int(rng.integers(-bound, bound, endpoint=True)) for bound in most])


def shift_hsv(clip, shifts):
    """Add ``shifts`` to hue (modulo 180), saturation and value (clipped to 0..255) of a uint8 RGB clip, in place."""
    for frame in clip:
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV).astype(np.int32) + shifts
        hsv[..., 0] %= 180
        cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB, dst=frame)
