"""Regions of people in a clip: their boxes in pixels, by the convention of either code base, jittered or extended.

                                     slowfast                             alphaction
    far border of a box              as annotated                         one pixel before, rounded to 0.01 px
    from frame to resized frame      ratio of the long sides              ratio of each axis
    clipped to the crop, in pixels   [0, size - 1]                        [0, size], before the clip is mirrored
    RoIAlign                         aligned                              not aligned

In both, a person outside the crop stays as a region on its border. Boxes are (n, 4) float64 arrays x1, y1, x2, y2.
"""

import numpy as np

from trainer.data.transforms import ResizeCrop


def regions_in_crop(boxes, geometry: ResizeCrop, convention: str):
    """Return boxes given as fractions of the frame, in pixels of ``geometry``."""
    if convention == "slowfast":
        return boxes_in_crop(boxes, geometry)
    height, width = geometry.source
    corners, sizes = (np.round(part * (width, height), 2) for part in (boxes[:, :2], boxes[:, 2:] - boxes[:, :2]))
    pixels = np.concatenate([corners, corners + np.maximum(sizes - 1, 0)], axis=1)
    return pixels_in_crop(pixels.clip(0, (width - 1, height - 1) * 2), geometry)


def boxes_in_crop(boxes, geometry: ResizeCrop):
    """Return boxes given as fractions of the frame, in pixels of ``geometry``, by SlowFast's convention."""
    height, width = geometry.source
    boxes = _clipped(boxes * (width, height, width, height), height, width)
    boxes *= geometry.resized[0] / height if width < height else geometry.resized[1] / width
    boxes -= (geometry.left, geometry.top, geometry.left, geometry.top)
    if geometry.flip:
        boxes[:, [0, 2]] = geometry.crop[1] - 1 - boxes[:, [2, 0]]
    return _clipped(boxes, *geometry.crop)


def _clipped(boxes, height, width):
    return boxes.clip(0, (width - 1, height - 1, width - 1, height - 1))


def pixels_in_crop(pixels, geometry: ResizeCrop):
    """Return boxes given in pixels of the frame, in pixels of ``geometry``, by AlphAction's convention."""
    (height, width), (crop_height, crop_width) = geometry.source, geometry.crop
    regions = pixels * ((geometry.resized[1] / width, geometry.resized[0] / height) * 2)
    regions = (regions - (geometry.left, geometry.top) * 2).clip(0, (crop_width, crop_height) * 2)
    if geometry.flip:
        regions[:, [0, 2]] = crop_width - 1 - regions[:, [2, 0]]
    return regions


def jittered(regions, size, amounts, draws):
    """Move each side of each region by a random part of its width or height; every result has at least 1 px.

    ``size``: (height, width) of the clip; ``amounts``: outwards left and right, outwards top and bottom, inwards left
    and right, inwards top and bottom; ``draws``: (4, n) uniform numbers in [0, 1), for x1, y1, x2 and y2.
    """
    out_x, out_y, in_x, in_y = amounts
    height, width = size
    extent_x, extent_y = (regions[:, 2:] - regions[:, :2] + 1).T
    x1, y1, x2, y2 = regions.T
    x1 = (x1 + extent_x * (draws[0] * (out_x + in_x) - out_x)).clip(0, width - 2)
    y1 = (y1 + extent_y * (draws[1] * (out_y + in_y) - out_y)).clip(0, height - 2)
    x2 = x2 + extent_x * (draws[2] * (out_x + in_x) - in_x)
    y2 = y2 + extent_y * (draws[3] * (out_y + in_y) - in_y)
    x2, y2 = np.maximum(x2.clip(max=width - 1), x1 + 1), np.maximum(y2.clip(max=height - 1), y1 + 1)
    return np.stack([x1, y1, x2, y2], axis=1)


def extended(regions, size, parts):
    """Enlarge regions by ``parts`` of their width and height, half on either side, within ``size`` (height, width)."""
    height, width = size
    grow = (regions[:, 2:] - regions[:, :2] + 1) * parts / 2
    grown = np.concatenate([regions[:, :2] - grow, regions[:, 2:] + grow], axis=1)
    return grown.clip(0, (width - 1, height - 1) * 2)
