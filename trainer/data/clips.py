"""Pixels of a clip: each distinct frame is read once, decoded and resized only where the clip shows it."""

import numpy as np

from trainer.data.jpeg import decode_top, frame_memory, frame_size
from trainer.data.transforms import uint8_resizer
from trainer.errors import InputError


def read_clip(frames, video, indices, choose_view, resizer=uint8_resizer):
    """Read the frames ``indices`` (0-based, not descending) of ``video`` as ``choose_view`` shows them.

    ``choose_view(height, width)`` is asked once, for the size of the first frame, and returns a `View`; ``resizer`` is
    one of transforms. Returns the clip, (T, crop height, crop width, 3) RGB in 0..255, and the view.
    """
    clip = view = resize = None
    for place, index in enumerate(indices):
        if place and index == indices[place - 1]:
            clip[place] = clip[place - 1]
            continue
        jpeg = frames.read(video, index)
        name = f"frame {index} of video {video}"
        size = frame_size(jpeg, name)
        if view is None:
            view = choose_view(*size)
            resize, scratch = resizer(view), frame_memory(*size)
        elif size != view.source:
            raise InputError(
                f"{video}: frame {index} is {size[1]}x{size[0]}, frame {indices[0]} is "
                f"{view.source[1]}x{view.source[0]}; extract the frames of this video again"
            )
        pixels = resize(decode_top(jpeg, view.rows, name, scratch))
        if clip is None:
            clip = np.empty((len(indices), *pixels.shape), pixels.dtype)
        clip[place] = pixels
    return clip, view
