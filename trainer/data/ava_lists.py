"""AVA: from the official box files to the list of a run, and from the list to arrays.

A key second is annotated in one frame, at index (second - start) * fps of the archive. Each person in that frame has a
box and any number of the actions 1..80.
"""

import csv
import math
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.datasets import DATASETS
from trainer.utils.errors import InputError

COLUMNS = ["video", "second", "center", "x1", "y1", "x2", "y2", "labels"]
NUM_ACTIONS = DATASETS["ava"].num_classes

# From box files to a list ---------------------------------------------------------------------------------------------


def key_seconds(start, stop):
    """Return the annotated seconds of a window: 902..1798 of the published 900..1801."""
    return range(start + 2, stop - 2)


def collect_boxes(files, videos, seconds):
    """Read box files in AVA's format into one table; rows of other videos and seconds are counted and skipped.

    ``files`` are (path, minimum score) pairs; the minimum is None for ground truth. Rows of the same second whose
    coordinates have the same text are one box, with the actions of all these rows in their order.

    Returns {video: {second: {four coordinate texts: [action, ...]}}} in the order of the files, and a Counter of the
    skipped rows by ("video", name) or ("second", number).
    """
    boxes = {video: defaultdict(dict) for video in videos}
    skipped = Counter()
    for path, min_score in files:
        for video, second, corners, action in read_box_file(path, min_score):
            if video not in boxes:
                skipped["video", video] += 1
            elif second not in seconds:
                skipped["second", second] += 1
            else:
                actions = boxes[video][second].setdefault(corners, [])
                if action is not None:
                    actions.append(action)
    return boxes, skipped


def read_box_file(path, min_score=None):
    """Yield (video, second, (x1, y1, x2, y2), action) of each row whose score is at least ``min_score``.

    Coordinates stay text, as the published loader tells boxes apart by it. The action is None where the file has none
    (an empty field or -1). The eighth column is a score, or in ground truth a person's number, which is not read.
    Raises InputError with file and line for any other row.
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
                raise InputError(f"{path}, line {number}: {_problem(row, error)}") from error


def list_rows(boxes, start, fps):
    """Yield the rows of a list, see COLUMNS, in the order of the published loader.

    Videos come as in ``boxes``, seconds ascending, the boxes of a second in the order of the files.
    """
    for video, seconds in boxes.items():
        for second in sorted(seconds):
            for corners, actions in seconds[second].items():
                yield video, second, (second - start) * fps, *corners, " ".join(map(str, actions))


def _checked_corners(texts):
    """Return the coordinate texts, interned: millions of them have about a thousand different values."""
    if not all(math.isfinite(float(text)) for text in texts):
        raise ValueError(f"a coordinate of {', '.join(texts)} is no number")
    return tuple(map(sys.intern, texts))


def _action(text):
    if text in ("", "-1"):
        return None
    action = int(text)
    if not 1 <= action <= NUM_ACTIONS:
        raise ValueError(f"action {action} is not one of 1..{NUM_ACTIONS}")
    return action


def _problem(row, error):
    if row and row[0].lstrip().startswith("<"):
        return "this is an HTML page, not a box file; delete it and download it again"
    if len(row) != 8:
        return f"{len(row)} columns instead of 8 (video, second, x1, y1, x2, y2, action, score or person)"
    return f"{error}; the row is {','.join(row)}"


# From the list to arrays ----------------------------------------------------------------------------------------------


@dataclass
class KeyFrames:
    """The keyframes of a list as arrays, which loader processes share without copying.

    K keyframes, N boxes; the boxes of keyframe k are rows ``first[k]`` to ``first[k + 1]``.
    """

    videos: np.ndarray  # (K,) names
    seconds: np.ndarray  # (K,)
    centers: np.ndarray  # (K,) frame index of the key second
    first: np.ndarray  # (K + 1,)
    boxes: np.ndarray  # (N, 4) float64, fractions of the frame
    targets: np.ndarray  # (N, NUM_ACTIONS) uint8

    def __len__(self):
        return len(self.seconds)


def read_list(path, every=1):
    """Read the keyframes of a list whose seconds are divisible by ``every``."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list; the rule list_ava writes it")
    # Coordinates are read as text, too, as pandas' fast parser may be off by the last bit.
    text = dict.fromkeys(["video", "x1", "y1", "x2", "y2", "labels"], str)
    rows = pd.read_csv(path, dtype=text, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: its columns must be {','.join(COLUMNS)}")
    rows = rows[rows.second % every == 0]
    if rows.empty:
        raise InputError(f"{path}: no box in it" + (f" at a second divisible by {every}" if every > 1 else ""))
    key = rows[["video", "second"]]
    first = np.flatnonzero((key != key.shift()).any(axis=1))
    return KeyFrames(
        videos=rows.video.to_numpy(str)[first],
        seconds=rows.second.to_numpy()[first],
        centers=rows.center.to_numpy()[first],
        first=np.append(first, len(rows)),
        boxes=rows[["x1", "y1", "x2", "y2"]].to_numpy(str).astype(float),
        targets=action_targets(rows.labels),
    )


def action_targets(labels):
    """Return texts of action ids, such as "12 80", as an array (N, NUM_ACTIONS) uint8 of 0 and 1; column id - 1."""
    targets = np.zeros((len(labels), NUM_ACTIONS), np.uint8)
    for row, text in enumerate(labels):
        for action in text.split():
            targets[row, int(action) - 1] = 1
    return targets
