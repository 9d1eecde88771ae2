"""Charades: from frame lists to the list of a run, and from the list to arrays.

Actions 0..156 are labeled frame by frame. A frame list has a row per frame; ours has a row per video, with segments: an
action, and the first and last of the consecutive frames (0-based) that show it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.datasets import DATASETS
from trainer.utils.errors import InputError
from trainer.utils.files import check_last_line
from trainer.utils.text import quoted, shortened
from trainer.utils.text_files import text_lines

COLUMNS = ["video", "frames", "labels"]
NUM_ACTIONS = DATASETS["charades"].num_classes
HEADER = "original_vido_id video_id frame_id path labels"  # misspelled so in the published files

# From frame lists to a list -------------------------------------------------------------------------------------------


@dataclass
class VideoLabels:
    """A video as its frame list describes it."""

    video: str
    frames: int
    segments: list[tuple[int, int, int]]  # action, first frame, last frame; sorted

    def row(self):
        """Return the video's row of a list, see COLUMNS."""
        return self.video, self.frames, " ".join(f"{action}:{first}-{last}" for action, first, last in self.segments)


def read_frame_list(path):
    """Yield the VideoLabels of a frame list in its order, with only one video in memory at a time.

    Raises InputError with file and line if a row does not have five columns, a frame is out of order, the rows of a
    video are not consecutive, or an action is outside 0..156.
    """
    lines = text_lines(path)
    first_line = next(lines, "").strip()
    if first_line.startswith("<"):
        raise InputError(f"{path}: this is an HTML page, not a frame list; delete it and download it again")
    if first_line != HEADER:
        raise InputError(f"{path}, line 1: the header must be {HEADER!r}, not {quoted(first_line)}")
    seen, reader = set(), None
    for number, line in enumerate(lines, start=2):
        try:
            video, _, frame, image, labels = line.split()
            if reader is None or video != reader.video:
                if reader:
                    yield reader.finish()
                if video in seen:
                    raise ValueError(f"the rows of {video} are not together")
                seen.add(video)
                reader = _SegmentReader(video)
            reader.add(int(frame), image, labels)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {_problem(line, error)}") from error
    if reader:
        yield reader.finish()


class _SegmentReader:
    """Merge the rows of one video into segments."""

    def __init__(self, video):
        self.video, self.frames, self.segments = video, 0, []
        self.labels, self.open = '""', {}  # labels of the previous row; first frame of each action that it shows

    def add(self, frame, image, labels):
        if frame != self.frames or not image.endswith(f"{self.video}-{frame + 1:06d}.jpg"):
            raise ValueError(f"expected frame {self.frames} of {self.video}, {self.video}-{self.frames + 1:06d}.jpg")
        if labels != self.labels:
            actions = _actions(labels)
            for action in self.open.keys() - actions:
                self.segments.append((action, self.open.pop(action), frame - 1))
            for action in actions - self.open.keys():
                self.open[action] = frame
            self.labels = labels
        self.frames += 1

    def finish(self):
        self.segments += [(action, first, self.frames - 1) for action, first in self.open.items()]
        return VideoLabels(self.video, self.frames, sorted(self.segments))


def _actions(labels):
    """Return the actions of a field such as "59,147", quotes included."""
    actions = {int(text) for text in labels.strip('"').split(",") if text}
    if not all(0 <= action < NUM_ACTIONS for action in actions):
        raise ValueError(f"labels {labels} are not all in 0..{NUM_ACTIONS - 1}")
    return actions


def _problem(line, error):
    columns = len(line.split())
    if columns != 5:
        return f"{columns} columns instead of 5 ({HEADER})"
    return f"{shortened(str(error))}; the row is {quoted(line.strip())}"


# From the list to arrays ----------------------------------------------------------------------------------------------


@dataclass
class Videos:
    """The videos of a list as arrays, which loader processes share without copying.

    The segments of video v are rows ``first_segment[v]`` to ``first_segment[v + 1]`` of ``segments``.
    """

    names: np.ndarray  # (V,)
    frames: np.ndarray  # (V,) number of frames in the list; the archive may hold more
    first_segment: np.ndarray  # (V + 1,)
    segments: np.ndarray  # (S, 3) action, first frame, last frame

    def __len__(self):
        return len(self.names)

    def segments_of(self, video):
        return self.segments[self.first_segment[video] : self.first_segment[video + 1]]


def read_list(path):
    """Read the videos of a list; raise InputError if it is damaged."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list; the rule list_charades writes it")
    try:
        return _read_list(path)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({shortened(str(error))}); delete it to write it again") from error


def _read_list(path):
    check_last_line(path)
    rows = pd.read_csv(path, dtype={"video": str, "frames": int, "labels": str}, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: its columns must be {','.join(COLUMNS)}")
    if rows.empty:
        raise InputError(f"{path}: no video in it")
    segments = [[parse_segment(text) for text in labels.split()] for labels in rows.labels]
    for frames, of_video in zip(rows.frames, segments, strict=True):
        if frames < 1 or not all(
            action in range(NUM_ACTIONS) and 0 <= first <= last < frames for action, first, last in of_video
        ):
            raise ValueError(f"a segment outside {frames} frames, or an unknown action")
    return Videos(
        names=rows.video.to_numpy(str),
        frames=rows.frames.to_numpy(),
        first_segment=np.cumsum([0, *map(len, segments)]),
        segments=np.array([segment for of_video in segments for segment in of_video], int).reshape(-1, 3),
    )


def parse_segment(text):
    """Return "92:285-509" as (92, 285, 509)."""
    action, _, frames = text.partition(":")
    first, _, last = frames.partition("-")
    return int(action), int(first), int(last)


def label_union(segments, first, last):
    """Return the actions of frames ``first`` to ``last``, both included, as (NUM_ACTIONS,) float32 of 0 and 1."""
    target = np.zeros(NUM_ACTIONS, np.float32)
    target[segments[(segments[:, 1] <= last) & (segments[:, 2] >= first), 0]] = 1
    return target
