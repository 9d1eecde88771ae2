"""Geometry of clips: sizes, crops, flips, and what they do to pixels and boxes.

Frames are (height, width, 3) uint8 arrays, boxes are (n, 4) float arrays x1, y1, x2, y2. A box's far border is the last
pixel, so it lies in [0, size - 1].
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

# Loader processes are the parallelism; OpenCV's own threads would fight them for the cores, and do not survive a fork.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class View:
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
        """How many of the frame's rows, from the top, it takes to make the crop: blending looks one or two further."""
        return _taps_end(self.top + self.crop[0], self.resized[0], self.source[0])

    @property
    def columns(self):
        """The same from the left."""
        return _taps_end(self.left + self.crop[1], self.resized[1], self.source[1])


def _taps_end(end, resized, source):
    return min(math.ceil(end * source / resized) + 2, source)


def whole_view(height, width, short):
    """The whole frame with its short side resized to ``short`` pixels.

    The long side is rounded down, in the order of operations of the published code: 168 x 366 becomes 112 x 243 there,
    not 112 x 244.
    """
    if width < height:
        resized = (math.floor(height / width * short), short)
    else:
        resized = (short, math.floor(width / height * short))
    return View((height, width), resized, resized)


def random_view(rng, height, width, jitter, crop):
    """The training view: short side 1/uniform(1/max, 1/min), random square crop, mirrored with probability 1/2.

    ``jitter`` is (min, max) of the short side and ``crop`` the side of the crop, in pixels. As in the published code,
    the last possible offset is never drawn.
    """
    low, high = jitter
    view = whole_view(height, width, round(1 / rng.uniform(1 / high, 1 / low)))
    top, left = (int(rng.integers(0, size - crop)) if size > crop else 0 for size in view.resized)
    return replace(view, crop=(crop, crop), top=top, left=left, flip=bool(rng.random() < 0.5))


def centre_view(height, width, short):
    """The central square of the frame with its short side resized to ``short`` pixels."""
    return crops_along(whole_view(height, width, short), 3)[1]


def crops_along(view, crops):
    """Square crops, as wide as the short side, spread over the long side of ``view`` from its start to its end.

    Three crops start at 0, ceil((long - short) / 2) and long - short.
    """
    short, gap = min(view.resized), max(view.resized) - min(view.resized)
    offsets = [math.ceil(gap * i / (crops - 1)) for i in range(crops)] if crops > 1 else [math.ceil(gap / 2)]
    along_height = view.resized[0] > view.resized[1]
    return [
        replace(view, crop=(short, short), top=offset if along_height else 0, left=0 if along_height else offset)
        for offset in offsets
    ]


def uint8_resizer(view):
    """Return a function from a frame, or the top of one, to the pixels of ``view``, rounded: AVA's resizing.

    Bilinear (half-pixel centres, no antialiasing), bit for bit what OpenCV makes of the whole frame. OpenCV resizes no
    crops, but given the scale instead of the size it makes of a frame's top left corner exactly what it makes of it in
    the whole frame. So what lies right of and below the crop is left out.
    """
    scale_y, scale_x = (size / whole for size, whole in zip(view.resized, view.source, strict=True))
    bottom, right = view.top + view.crop[0], view.left + view.crop[1]

    def resize(frame):
        if view.resized != view.source:
            corner = frame[: view.rows, : view.columns]
            frame = cv2.resize(corner, None, fx=scale_x, fy=scale_y, interpolation=cv2.INTER_LINEAR)
        pixels = frame[view.top : bottom, view.left : right]
        return cv2.flip(pixels, 1) if view.flip else pixels

    return resize


def float32_resizer(view):
    """Return a function from a frame, or the top of one, to the pixels of ``view``, not rounded: Charades' resizing.

    Bilinear (half-pixel centres, no antialiasing), computed at the crop's pixels alone. The published code normalises
    first, which changes nothing, as the weights of a pixel sum to 1.
    """
    y, x = (_positions(view, axis) for axis in (0, 1))
    if view.flip:
        x = x[::-1]
    top, left = int(y.min()), int(x.min())
    rows, columns = slice(top, view.rows), slice(left, view.columns)
    map_y, map_x = (np.ascontiguousarray(p) for p in np.broadcast_arrays((y - top)[:, None], x - left))
    scratch = np.empty((view.rows - top, view.columns - left, 3), np.float32)

    def resize(frame):
        np.copyto(scratch, frame[rows, columns])
        return cv2.remap(scratch, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return resize


def _positions(view, axis):
    """Where in the frame the crop's rows (axis 0) or columns (1) lie, in float32 as PyTorch computes it."""
    start = (view.top, view.left)[axis]
    scale = np.float32(view.source[axis]) / np.float32(view.resized[axis])
    centres = np.arange(start, start + view.crop[axis], dtype=np.float32) + np.float32(0.5)
    return np.maximum(centres * scale - np.float32(0.5), 0)


def boxes_in_view(boxes, view):
    """Boxes given as fractions of the frame, in pixels of ``view`` and clipped to it: (n, 4) float64.

    Both axes are scaled by the ratio of the long sides, as published.
    """
    height, width = view.source
    boxes = _clipped(boxes * (width, height, width, height), height, width)
    boxes *= view.resized[0] / height if width < height else view.resized[1] / width
    boxes -= (view.left, view.top, view.left, view.top)
    if view.flip:
        boxes[:, [0, 2]] = view.crop[1] - 1 - boxes[:, [2, 0]]
    return _clipped(boxes, *view.crop)


def _clipped(boxes, height, width):
    return boxes.clip(0, (width - 1, height - 1, width - 1, height - 1))
