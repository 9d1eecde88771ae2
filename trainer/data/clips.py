"""Pixels of a clip: each distinct frame is read and decoded once, and resized only where the clip shows it."""

import numpy as np

from trainer.data.transforms import uint8_resizer
from trainer.errors import InputError
from trainer.frames import decode


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
        frame = decode(frames.read(video, index), f"frame {index} of video {video}")
        if view is None:
            view = choose_view(*frame.shape[:2])
            resize = resizer(view)
        elif frame.shape[:2] != view.source:
            raise InputError(
                f"{video}: frame {index} is {frame.shape[1]}x{frame.shape[0]}, frame {indices[0]} is "
                f"{view.source[1]}x{view.source[0]}; extract the frames of this video again"
            )
        pixels = resize(frame)
        if clip is None:
            clip = np.empty((len(indices), *pixels.shape), pixels.dtype)
        clip[place] = pixels
    return clip, view
