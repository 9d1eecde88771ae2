"""AVA: from the official box files to the list of a run, and from the list to clips with boxes.

A key second is annotated in one frame, at index (second - start) * fps of the archive. The people in that frame are
boxes; each does any number of the actions 1..80.
"""

import csv
import math
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from trainer.config import CLASSES
from trainer.data.batch import Sample
from trainer.data.clips import read_clip
from trainer.data.jpeg import frame_size
from trainer.data.transforms import boxes_in_view, centre_view, random_view, whole_view
from trainer.errors import InputError
from trainer.frames import FrameArchive

COLUMNS = ["video", "second", "centre", "x1", "y1", "x2", "y2", "labels"]
ACTIONS = CLASSES["ava"]
VALIDATION_SECONDS = 4  # validation during training looks at every fourth second

# From box files to a list ---------------------------------------------------------------------------------------------


def key_seconds(start, stop):
    """The annotated seconds of a window: 902..1798 of the published 900..1801."""
    return range(start + 2, stop - 2)


def collect_boxes(files, videos, seconds):
    """Read box files in AVA's format into one table; rows of other videos and seconds are only counted.

    ``files`` are (path, lowest score) pairs, None as lowest score for ground truth. Rows with the same coordinate texts
    in the same second are one box with the actions of all of them, in the order of the rows.

    Returns {video: {second: {four coordinate texts: [action, ...]}}} in the order of the files, and a Counter of the
    rows left out by ("video", name) or ("second", number).
    """
    boxes = {video: defaultdict(dict) for video in videos}
    left_out = Counter()
    for path, min_score in files:
        for video, second, corners, action in read_box_file(path, min_score):
            if video not in boxes:
                left_out["video", video] += 1
            elif second not in seconds:
                left_out["second", second] += 1
            else:
                actions = boxes[video][second].setdefault(corners, [])
                if action is not None:
                    actions.append(action)
    return boxes, left_out


def read_box_file(path, min_score=None):
    """Yield (video, second, (x1, y1, x2, y2), action) of each row, those that score below ``min_score`` left out.

    Coordinates stay the texts of the file: published boxes are told apart by them. The action is None where the file
    has none (an empty field or -1). The eighth column is a score, or in ground truth a person's number, which is not
    read. Raises InputError with file and line for a row that is not like this.
    """
    path = Path(path)
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            try:
                video, second, x1, y1, x2, y2, action, score = row
                if min_score is not None and float(score) < min_score:
                    continue
                yield video, int(second), _checked_corners((x1, y1, x2, y2)), _action(action)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {_trouble(row, error)}") from error


def list_rows(boxes, start, fps):
    """Yield the rows of a list, see COLUMNS, in the order of the published loader.

    Videos come as in ``boxes``, seconds ascending, the boxes of a second in the order of the files.
    """
    for video, seconds in boxes.items():
        for second in sorted(seconds):
            for corners, actions in seconds[second].items():
                yield video, second, (second - start) * fps, *corners, " ".join(map(str, actions))


def _checked_corners(texts):
    """The texts, each of them kept in memory once: there are millions, of a thousand different values."""
    if not all(math.isfinite(float(text)) for text in texts):
        raise ValueError(f"a coordinate of {', '.join(texts)} is no number")
    return tuple(map(sys.intern, texts))


def _action(text):
    if text in ("", "-1"):
        return None
    action = int(text)
    if not 1 <= action <= ACTIONS:
        raise ValueError(f"action {action} is not one of 1..{ACTIONS}")
    return action


def _trouble(row, error):
    if row and row[0].lstrip().startswith("<"):
        return "this is an HTML page, not a box file; delete it and fetch it again"
    if len(row) != 8:
        return f"{len(row)} columns instead of 8 (video, second, x1, y1, x2, y2, action, score or person)"
    return f"{error}; the row is {','.join(row)}"


# From the list to clips -----------------------------------------------------------------------------------------------


@dataclass
class KeyFrames:
    """A list in memory, as arrays, which loader processes share without copying.

    K key frames, N boxes; the boxes of key frame k are rows ``first[k]`` to ``first[k + 1]``.
    """

    videos: np.ndarray  # (K,) names
    seconds: np.ndarray  # (K,)
    centres: np.ndarray  # (K,) frame index of the key second
    first: np.ndarray  # (K + 1,)
    boxes: np.ndarray  # (N, 4) float64, fractions of the frame
    targets: np.ndarray  # (N, ACTIONS) uint8

    def __len__(self):
        return len(self.seconds)


def read_list(path, every=1):
    """Read an ava list, of the seconds divisible by ``every``."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list; the rule list_ava makes it")
    # coordinates as text, too: pandas' fast parser may be off by the last bit
    text = dict.fromkeys(["video", "x1", "y1", "x2", "y2", "labels"], str)
    rows = pd.read_csv(path, dtype=text, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: its columns must be {','.join(COLUMNS)}")
    rows = rows[rows.second % every == 0]
    if rows.empty:
        raise InputError(f"{path}: no box in it" + (f" at a second divisible by {every}" if every > 1 else ""))
    key = rows[["video", "second"]]
    begins = np.flatnonzero((key != key.shift()).any(axis=1))
    return KeyFrames(
        videos=rows.video.to_numpy(str)[begins],
        seconds=rows.second.to_numpy()[begins],
        centres=rows.centre.to_numpy()[begins],
        first=np.append(begins, len(rows)),
        boxes=rows[["x1", "y1", "x2", "y2"]].to_numpy(str).astype(float),
        targets=action_targets(rows.labels),
    )


def action_targets(labels):
    """Texts of action ids, such as "12 80", as (N, ACTIONS) uint8; column id - 1 is 1."""
    targets = np.zeros((len(labels), ACTIONS), np.uint8)
    for row, text in enumerate(labels):
        for action in text.split():
            targets[row, int(action) - 1] = 1
    return targets


def clip_indices(centre, frames, stride, available):
    """Frame indices of a clip around ``centre``: centre - 32, centre - 30, ..., centre + 30 of 32 frames, stride 2.

    Indices outside the video are moved to its first or last frame.
    """
    start = centre - frames * stride // 2
    return np.clip(start + stride * np.arange(frames), 0, available - 1)


class AvaClips(Dataset):
    """Clips around key frames. ``view_of(height, width)`` says what an item shows."""

    def __init__(self, key_frames, frames, clip, view_of):
        self.key_frames, self.frames, self.clip, self.view_of = key_frames, frames, clip, view_of

    def __len__(self):
        return len(self.key_frames)

    def __getitem__(self, row) -> Sample:
        return self._sample(row, self.view_of)

    def sizes(self):
        """What each item's frames measure, (height, width), from the header of each video's first frame."""
        videos = self.key_frames.videos
        header = {
            video: frame_size(self.frames.read(video, 0), f"frame 0 of video {video}") for video in np.unique(videos)
        }
        return [header[video] for video in videos]

    def _sample(self, row, view_of):
        table = self.key_frames
        video = str(table.videos[row])
        mine = slice(table.first[row], table.first[row + 1])
        available = self.frames.count(video)
        indices = clip_indices(table.centres[row], self.clip.frames, self.clip.stride, available)
        pixels, view = read_clip(self.frames, video, indices, view_of)
        return Sample(
            clip=torch.from_numpy(pixels),
            targets=torch.from_numpy(table.targets[mine].astype(np.float32)),
            name=f"{video} second {table.seconds[row]}",
            row=row,
            boxes=torch.from_numpy(boxes_in_view(table.boxes[mine], view).astype(np.float32)),
            origins=torch.from_numpy(table.boxes[mine].astype(np.float32)),
        )


class AvaTrainingClips(AvaClips):
    """Clips under random views. An item is (epoch, row): its draws depend on them and the seed, on nothing else."""

    def __init__(self, key_frames, frames, clip, seed):
        super().__init__(key_frames, frames, clip, None)
        self.seed = seed

    def __getitem__(self, item) -> Sample:
        epoch, row = item
        rng = np.random.default_rng([self.seed, epoch, row])
        return self._sample(row, lambda *size: random_view(rng, *size, self.clip.jitter, self.clip.crop))


def training_set(run):
    """The training clips of a run; items are (epoch, row)."""
    return AvaTrainingClips(read_list(run.data.train), FrameArchive(run.data.frames), run.clip, run.seed)


def validation_set(run):
    """What training is watched by: every fourth second, the centre of the frame."""
    view_of = partial(centre_view, short=run.clip.crop)
    return AvaClips(read_list(run.data.test, VALIDATION_SECONDS), FrameArchive(run.data.frames), run.clip, view_of)


def test_set(run):
    """What the result is scored on: every key second, the whole width of the frame."""
    view_of = partial(whole_view, short=run.clip.crop)
    return AvaClips(read_list(run.data.test), FrameArchive(run.data.frames), run.clip, view_of)
