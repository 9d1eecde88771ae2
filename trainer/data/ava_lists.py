"""AVA: from the official box files to the list of a run, and from the list to arrays.

A key second is annotated in one frame, at index (second - start) * fps of the archive. Each person in that frame has a
box and any number of the actions 1..80.
"""

import csv
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.datasets import DATASETS
from trainer.metrics.ava_csv import BOUNDS, has_extent
from trainer.utils.errors import InputError
from trainer.utils.files import check_last_line
from trainer.utils.text import quoted, shortened
from trainer.utils.text_files import text_lines

COLUMNS = ["video", "second", "center", "x1", "y1", "x2", "y2", "labels", "score"]
NUM_ACTIONS = DATASETS["ava"].num_classes


@dataclass(slots=True)
class Box:
    """A person in a key second."""

    score: str  # of the detection, "" of ground truth
    actions: list[int] = field(default_factory=list)


# From box files to a list ---------------------------------------------------------------------------------------------


def key_seconds(start, stop):
    """Return the annotated seconds of a window: 902..1798 of the published 900..1801."""
    return range(start + 2, stop - 2)


def collect_boxes(files, videos, seconds):
    """Read box files in AVA's format into one table; rows of other videos and seconds are counted and skipped.

    ``files`` are (path, minimum score) pairs; the minimum is None for ground truth. Rows of the same second whose
    coordinates have the same text are one box, with the actions of all these rows in their order. Of a detector's
    boxes, those without extent are skipped, too.

    Returns {video: {second: {four coordinate texts: Box}}} in the order of the files, and a Counter of the skipped
    rows by ("video", name), ("second", number) or ("box", path). Raises InputError if all rows of a file are skipped.
    """
    boxes = {video: defaultdict(dict) for video in videos}
    skipped = Counter()
    for path, min_score in files:
        rows, skipped_before = 0, skipped.total()
        for video, second, corners, action, score in read_box_file(path, min_score):
            rows += 1
            if video not in boxes:
                skipped["video", video] += 1
            elif second not in seconds:
                skipped["second", second] += 1
            elif not has_extent(map(float, corners)):
                skipped["box", str(path)] += 1
            else:
                box = boxes[video][second].setdefault(corners, Box(score))
                if action is not None:
                    box.actions.append(action)
        if rows == skipped.total() - skipped_before:
            scored = "" if min_score is None else f" with a score of at least {min_score}"
            raise InputError(
                f"{path}: expected boxes of the {len(boxes)} films selected at their key seconds, got none in {rows} "
                f"rows{scored}. Select films of both splits (config: ava: films), or download the file again"
            )
    return boxes, skipped


def read_box_file(path, min_score=None):
    """Yield (video, second, (x1, y1, x2, y2), action, score) of each row whose score is at least ``min_score``.

    Coordinates stay text, as the published loader tells boxes apart by it, and so does the score. The action is None
    where the file has none (an empty field or -1). In ground truth (``min_score`` None) the eighth column is a person's
    number instead, which is not read: the score is "".
    Raises InputError with file and line for any other row, and in ground truth for a box without extent.
    """
    rows, row = csv.reader(text_lines(path)), []
    try:
        for row in rows:
            video, second, x1, y1, x2, y2, action, score = row
            if min_score is not None and _score(score) < min_score:
                continue
            corners = _checked_corners((x1, y1, x2, y2), with_extent=min_score is None)
            yield video, _second(second), corners, _action(action), "" if min_score is None else sys.intern(score)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}, line {rows.line_num}: {_problem(row, error)}") from error


def list_rows(boxes, start, fps):
    """Yield the rows of a list, see COLUMNS, in the order of the published loader.

    Videos come as in ``boxes``, seconds ascending, the boxes of a second in the order of the files.
    """
    for video, seconds in boxes.items():
        for second in sorted(seconds):
            for corners, box in seconds[second].items():
                yield video, second, (second - start) * fps, *corners, " ".join(map(str, box.actions)), box.score


def _score(text):
    score = float(text)
    if not 0 <= score <= 1:
        raise ValueError(f"score {text} is not between 0 and 1")
    return score


def _second(text):
    second, (least, most) = int(text), BOUNDS["second"]
    if not least <= second <= most:
        raise ValueError(f"second {text} is not one of {least}..{most}")
    return second


def _checked_corners(texts, with_extent):
    """Return the coordinate texts, interned: millions of them have about a thousand different values."""
    corners, (least, most) = tuple(map(float, texts)), BOUNDS["x1"]
    if not all(least <= corner <= most for corner in corners):
        raise ValueError(f"a coordinate of {', '.join(texts)} is no fraction of the frame")
    if with_extent and not has_extent(corners):
        raise ValueError("a box without extent, expected x1 < x2 and y1 < y2")
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
    if isinstance(error, csv.Error):
        return str(error)
    if len(row) != 8:
        return f"{len(row)} columns instead of 8 (video, second, x1, y1, x2, y2, action, score or person)"
    return f"{shortened(str(error))}; the row is {quoted(','.join(row))}"


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
    scores: np.ndarray  # (N,) float32 of the detections, NaN of ground truth

    def __len__(self):
        return len(self.seconds)

    def boxes_of(self, key_frame) -> slice:
        """Return the rows of a keyframe's boxes."""
        return slice(self.first[key_frame], self.first[key_frame + 1])


def read_list(path, every=1, min_score=0.0, detections=True):
    """Read the keyframes of a list whose seconds are divisible by ``every``; raise InputError if it is damaged.

    Detections with a score below ``min_score`` are skipped, or with ``detections`` False all of them; ground truth is
    not.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list; the rule list_ava writes it")
    try:
        return _read_list(path, every, min_score, detections)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({shortened(str(error))}); delete it to write it again") from error


def _read_list(path, every, min_score, detections):
    check_last_line(path)
    # Coordinates are read as text, too, as pandas' fast parser may be off by the last bit.
    text = dict.fromkeys(["video", "x1", "y1", "x2", "y2", "labels", "score"], str)
    rows = pd.read_csv(path, dtype=text | {"second": int, "center": int}, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: its columns must be {','.join(COLUMNS)}")
    true, scores = rows.score == "", pd.to_numeric(rows.score.mask(rows.score == ""))
    used = (rows.second % every == 0) & (true | (scores >= min_score if detections else False))
    rows, scores = rows[used], scores[used]
    if rows.empty:
        seconds = f" at a second divisible by {every}" * (every > 1)
        scored = f" with a score of at least {min_score}" * (min_score > 0)
        raise InputError(f"{path}: no box in it{seconds}{scored}")
    key = rows[["video", "second"]]
    first = np.flatnonzero((key != key.shift()).any(axis=1))
    boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy(str).astype(float)
    if not (np.isfinite(boxes).all() and rows["center"].between(0, np.iinfo(np.int32).max).all()):
        raise ValueError("a box or center is out of range")
    return KeyFrames(
        videos=rows.video.to_numpy(str)[first],
        seconds=rows.second.to_numpy()[first],
        centers=rows.center.to_numpy()[first],
        first=np.append(first, len(rows)),
        boxes=boxes,
        targets=action_targets(rows.labels),
        scores=scores.to_numpy(np.float32),
    )


def action_targets(labels):
    """Return texts of action ids, such as "12 80", as an array (N, NUM_ACTIONS) uint8 of 0 and 1; column id - 1."""
    targets = np.zeros((len(labels), NUM_ACTIONS), np.uint8)
    for row, text in enumerate(labels):
        for action in text.split():
            if not 1 <= int(action) <= NUM_ACTIONS:
                raise ValueError(f"action {action} is not one of 1..{NUM_ACTIONS}")
            targets[row, int(action) - 1] = 1
    return targets
