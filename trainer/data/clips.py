"""Pixels of a clip: each distinct frame is read once, decoded and resized only where the clip shows it."""

import numpy as np

from trainer.data.jpeg import decode_top, frame_memory, frame_size
from trainer.data.transforms import uint8_resizer
from trainer.utils.errors import InputError


def indices_from(start, frames, stride, available):
    """Return the frame indices nearest to a clip from ``start`` on; outside the video its first or last frame."""
    return np.clip(np.rint(start + stride * np.arange(frames)).astype(int), 0, available - 1)


def indices_around(center, frames, stride, available, lead=None):
    """Return the frame indices of a clip that begins ``lead`` frames before ``center`` (None: half the clip).

    Of 32 frames with stride 2 they are center - 32, center - 30, ..., center + 30.
    """
    return indices_from(center - (frames * stride // 2 if lead is None else lead), frames, stride, available)


def read_clip(frames, video, indices, choose_crop, resizer=uint8_resizer, allocate=np.empty):
    """Read the frames ``indices`` (0-based, not descending) of ``video``, resized and cropped.

    ``choose_crop(height, width)`` is called once, with the size of the first frame, and returns a `ResizeCrop`;
    ``resizer`` is one of transforms; ``allocate(shape, dtype)`` returns an uninitialized array or tensor. Returns it
    with the clip, (T, crop height, crop width, 3) RGB in the resizer's unit, and the crop.
    """
    memory = clip = geometry = resize = None
    for place, index in enumerate(indices):
        if place and index == indices[place - 1]:
            clip[place] = clip[place - 1]
            continue
        jpeg = frames.read(video, index)
        name = frames.name(video, index)
        size = frame_size(jpeg, name)
        if geometry is None:
            geometry = choose_crop(*size)
            resize, scratch = resizer(geometry), frame_memory(*size)
        elif size != geometry.source:
            raise InputError(
                f"{video}: frame {index} is {size[1]}x{size[0]}, frame {indices[0]} is "
                f"{geometry.source[1]}x{geometry.source[0]}; extract the frames of this video again"
            )
        pixels = resize(decode_top(jpeg, geometry.rows, name, scratch))
        if clip is None:
            memory = allocate((len(indices), *pixels.shape), pixels.dtype)
            clip = np.asarray(memory)
        clip[place] = pixels
    return memory, geometry
