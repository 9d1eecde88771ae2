"""Small frames and run settings that the tests of the loader share."""

import gzip
import json

import numpy as np
import simplejpeg

from tests.helpers.paths import FIXTURES
from trainer.config import Clip

DATA = FIXTURES / "loader"


def expected(name):
    """Return what the reference implementation made of its inputs: a JSON file of the fixtures."""
    path = DATA / name
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


def formula_frame(height, width, frame=0):
    """Return the RGB picture that the `expected` crops were computed from."""
    y, x, c = np.ogrid[:height, :width, :3]
    return ((3 * x + 5 * y + 41 * (2 - c) + x * y // 64 + 7 * frame) % 256).astype(np.uint8)


class FramesInMemory:
    """A stand-in for a FrameArchive: videos of plain JPEGs, each frame another picture."""

    def __init__(self, **videos):
        """``videos``: name=(frames, height, width)."""
        self.content = {
            name: [simplejpeg.encode_jpeg(formula_frame(height, width, i), quality=90) for i in range(frames)]
            for name, (frames, height, width) in videos.items()
        }
        self.videos = list(videos)
        self.reads = []

    def count(self, video):
        return len(self.content[video])

    def name(self, video, frame):
        return f"frame {frame} of video {video}"

    def read(self, video, frame):
        self.reads.append((video, int(frame)))
        return self.content[video][frame]


def clip_config(**changes):
    """Return the settings of a small clip: 4 frames, every 2nd, 16 pixels."""
    settings = {
        "num_frames": 4,
        "stride": 2,
        "crop": 16,
        "short_side_range": (20, 28),
        "test_clips": 10,
        "test_crops": 3,
    }
    return Clip(**settings | changes)
