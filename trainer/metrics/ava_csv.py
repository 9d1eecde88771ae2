"""Read and write AVA's files as arrays: ground truth, detections, excluded seconds, label map.

The formats are those of https://research.google.com/ava/download.html. Any file may be gzipped (``.gz``).
"""

import csv
import gzip
import math
import re
import warnings
import zlib
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.utils.errors import InputError
from trainer.utils.text import quoted
from trainer.utils.text_files import read_label, text_lines


@dataclass(frozen=True)
class ActionBoxes:
    """Persons' boxes with one action each, in the order of their file.

    videos: (V,) names; video: (N,) positions in ``videos``; second: (N,) key seconds; box: (N, 4) x1, y1, x2, y2 as
    fractions of the frame; action: (N,) class ids from 1.
    """

    videos: np.ndarray
    video: np.ndarray
    second: np.ndarray
    box: np.ndarray
    action: np.ndarray

    def __len__(self):
        return len(self.action)

    def select(self, rows):
        """Return the boxes of ``rows``, positions or a mask."""
        columns = (field.name for field in fields(self) if field.name != "videos")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


@dataclass(frozen=True)
class GroundTruth(ActionBoxes):
    """Boxes with the number of their person (N,) in the video; 1 where the file has no such column."""

    person: np.ndarray


@dataclass(frozen=True)
class Detections(ActionBoxes):
    """Boxes with a score (N,). The order within an image matters to the published protocol."""

    score: np.ndarray


_COLUMNS = {"video": str, "second": int, "x1": float, "y1": float, "x2": float, "y2": float, "action": int}
_DTYPES = {str: "category", int: np.int32, float: np.float64}
# Bounds: a second of a day, a class (-1: none), a box that reaches out of the frame, but is not in pixels.
BOUNDS = {"second": (0, 99_999), "action": (-1, 80)} | dict.fromkeys(("x1", "y1", "x2", "y2"), (-1, 2))
VALIDATION_SECONDS = 4  # seconds divisible by this are evaluated during training, as in the published experiment
_FIELD = re.compile(r"""\b(name|id|label_id)\s*:\s*(?:"([^"]*)"|'([^']*)'|([^\s"'}]+))""")  # of a label map


def read_ground_truth(path) -> GroundTruth:
    """Read video, second, x1, y1, x2, y2, action and perhaps person; no header. Raises InputError naming the line.

    A box without extent (x1 >= x2 or y1 >= y2) is an error, too.
    """
    # 1 is what the official script takes for a missing person; it lets rows with and without one mix.
    table = _read_csv(path, _COLUMNS, optional={"person": 1.0}, with_extent=True)
    if table.empty:
        raise InputError(f"{path}: holds no box; give AVA's ground truth, such as ava_val_v2.2.csv")
    return GroundTruth(**_arrays(table), person=table["person"].to_numpy())


def read_detections(path) -> Detections:
    """Read video, second, x1, y1, x2, y2, action, score; no header. Raises InputError naming the line."""
    table = _read_csv(path, {**_COLUMNS, "score": float})
    return Detections(**_arrays(table), score=table["score"].to_numpy())


def read_exclusions(path) -> set[tuple[str, int]]:
    """Read the (video, second) pairs that are not evaluated; an empty file has none. Raises InputError."""
    table = _read_csv(path, {"video": str, "second": int})
    return set(zip(table["video"].tolist(), table["second"].tolist(), strict=True))


def read_label_map(path) -> dict[int, str]:
    """Read class names by id, in the file's order, from a pbtxt with entries ``id`` or ``label_id``.

    The former is ActivityNet's list of the 60 evaluated classes, the latter AVA's own of all 80. Raises InputError
    naming the line unless entries alternate names and numbers, each of them once.
    """
    classes, name, level = {}, None, 0
    for number, line in enumerate(text_lines(path), 1):
        for key, *texts in [] if line.lstrip().startswith("#") else _FIELD.findall(line):
            where, value = f"{path}, line {number}", "".join(texts)
            if key == "name":
                if name is not None:
                    raise InputError(f"{where}: a name, but {quoted(name)} before it has no id; download it again")
                if not value or value in classes.values():
                    raise InputError(f"{where}: name {quoted(value)} must be new and not empty")
                name = read_label(value, where)
            else:
                if name is None or not re.fullmatch("[0-9]{1,5}", value) or int(value) in classes:
                    raise InputError(f"{where}: {quoted(line.strip())} must be a new number after a name")
                classes[int(value)] = name
                name = None
        level += line.count("{") - line.count("}")
    if name is not None:
        raise InputError(f"{path}: ends after the name {quoted(name)}, which has no id; download it again")
    if level:
        raise InputError(f"{path}: ends within an entry; download it again")
    if not classes:
        raise InputError(f'{path}: holds no class; give a label map with lines such as name: "stand" and id: 12')
    return classes


def every_fourth_second(ground_truth: GroundTruth) -> GroundTruth:
    """Return the boxes of ground truth that are evaluated during training."""
    return ground_truth.select(ground_truth.second % VALIDATION_SECONDS == 0)


def of_videos(ground_truth: GroundTruth, videos) -> GroundTruth:
    """Return the boxes of a subset of the videos."""
    return ground_truth.select(np.isin(ground_truth.videos, list(videos))[ground_truth.video])


def to_detections(boxes, scores, videos, seconds, classes) -> Detections:
    """Turn predictions into detections, in the row order of the published experiment.

    ``boxes``: (N, 4) x1, y1, x2, y2 as fractions of the frame; ``scores``: (N, C), column i for class id i + 1;
    ``videos``: N names; ``seconds``: (N,); ``classes``: the ids to keep (a label map will do).
    Images are in order of their first box, then come boxes in the given order, then classes by id. Scores and boxes
    keep their dtype: nothing is rounded.
    """
    boxes, scores, seconds = np.asarray(boxes), np.asarray(scores), np.asarray(seconds, dtype=np.int32)
    ids = np.array(sorted(classes), dtype=np.int32)
    video, names = pd.factorize(np.asarray(videos, dtype=object))
    image, _ = pd.factorize(image_key(video, seconds))
    order = np.argsort(image, kind="stable")
    return Detections(
        videos=names,
        video=np.repeat(video[order].astype(np.int32), len(ids)),
        second=np.repeat(seconds[order], len(ids)),
        box=np.repeat(boxes[order], len(ids), axis=0),
        action=np.tile(ids, len(order)),
        score=scores[order][:, ids - 1].ravel(),
    )


def write_detections(path, detections: Detections):
    """Write AVA's CSV: boxes with 3 decimals, scores with 4, as the published experiment does."""
    _write_csv(path, detections, detections.score, "{},{:04d},{:.3f},{:.3f},{:.3f},{:.3f},{},{:.4f}\n")


def write_all_digits(path, boxes: GroundTruth | Detections):
    """Write AVA's CSV with as many digits as give the same numbers when they are read."""
    last = boxes.score if isinstance(boxes, Detections) else boxes.person
    _write_csv(path, boxes, last, "{},{:04d},{!r},{!r},{!r},{!r},{},{!r}\n")


def _write_csv(path, boxes, last, line):
    """Write a ``line`` for each box, its columns and ``last``. Equal boxes give equal bytes, gzipped (``.gz``) too."""
    chunk = 100_000  # rows formatted at once: as Python objects they take many times the arrays' memory
    packed = Path(path).suffix == ".gz"
    with Path(path).open("wb") as file, _gzip_without_name_and_time(file) if packed else nullcontext(file) as out:
        for start in range(0, len(boxes), chunk):
            part = slice(start, start + chunk)
            columns = (
                boxes.videos[boxes.video[part]],
                boxes.second[part].tolist(),
                *boxes.box[part].T.tolist(),
                boxes.action[part].tolist(),
                last[part].tolist(),
            )
            out.write("".join(map(line.format, *columns)).encode())


def _gzip_without_name_and_time(file):
    return gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)


def image_key(video, second):
    """Return an int64 for each (video number, second)."""
    return (np.asarray(video, dtype=np.int64) << 32) + second


def _arrays(table):
    video = table["video"].cat
    return {
        "videos": video.categories.to_numpy(dtype=object),
        "video": video.codes.to_numpy(dtype=np.int32),
        "second": table["second"].to_numpy(),
        "box": table[["x1", "y1", "x2", "y2"]].to_numpy(),
        "action": table["action"].to_numpy(),
    }


def _read_csv(path, columns, optional=None, with_extent=False):
    """Read a CSV without header by pandas; what pandas or a check refuses is read again slowly, to name the line.

    ``columns``: type by name; ``optional``: default by name of float columns that rows may lack at their end.
    """
    optional = optional or {}
    columns = columns | dict.fromkeys(optional, float)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a first row with too many columns
            table = pd.read_csv(
                path,
                header=None,
                names=list(columns),
                dtype={name: _DTYPES[kind] for name, kind in columns.items()},
                index_col=False,
                keep_default_na=False,  # a video may be called NA
                na_values={name: [""] for name in optional},
            ).fillna(optional)
        if _is_fine(table, with_extent):
            return table
        problem = "holds a number that is not finite or too large, or a box without extent"
    except (ValueError, OverflowError, OSError, EOFError, zlib.error, pd.errors.ParserWarning) as error:
        problem = str(error).strip()
    bad = _first_bad_line(path, columns, len(columns) - len(optional), with_extent)
    raise InputError(bad or f"{path}: {problem}")


def _is_fine(table, with_extent):
    """Return whether all numbers are finite and in range and, if ``with_extent``, all boxes have a size."""
    fine = np.isfinite(table.select_dtypes("float")).all(axis=None)
    for name in table.columns.intersection(list(BOUNDS)):
        fine &= table[name].between(*BOUNDS[name]).all()
    fine &= all(map(_is_name, table["video"].cat.categories))
    if with_extent:
        fine &= ((table["x1"] < table["x2"]) & (table["y1"] < table["y2"])).all()
    return fine


def _first_bad_line(path, columns, fewest, with_extent):
    """Return what is wrong with the first row that does not hold these columns (type by name), or None."""
    rows = csv.reader(text_lines(path))
    try:
        for row in rows:
            if any(text.strip() for text in row) and (problem := _problem(row, columns, fewest, with_extent)):
                return f"{path}, line {rows.line_num}: {problem}"
    except csv.Error as error:
        return f"{path}, line {rows.line_num}: {error}"
    return None


def _problem(row, columns, fewest, with_extent):
    if row[0].lstrip().startswith("<"):
        return "this is an HTML page, not a table; delete it and download it again"
    if not fewest <= len(row) <= len(columns):
        wanted = f"{fewest} or {len(columns)}" if fewest < len(columns) else len(columns)
        return f"{len(row)} columns, not {wanted} ({', '.join(columns)})"
    for (name, kind), text in zip(columns.items(), row, strict=False):
        try:
            least, most = BOUNDS.get(name, (-math.inf, math.inf))
            fine = _is_name(text) if kind is str else math.isfinite(kind(text)) and least <= kind(text) <= most
        except (ValueError, OverflowError):
            fine = False
        if not fine:
            number = "an integer" if kind is int else "a number"
            limits = f" from {least} to {most}" * (name in BOUNDS)
            return f"{name} is {quoted(text)}, not {'a name without spaces' if kind is str else number + limits}"
    if with_extent and not has_extent(map(float, row[2:6])):
        return f"a box without extent, {', '.join(row[2:6])}; expected x1 < x2 and y1 < y2"
    return None


def _is_name(text):
    """Return whether this can be the name of a video."""
    return text.isprintable() and text != "" and " " not in text


def has_extent(corners) -> bool:
    """Return whether a box (x1, y1, x2, y2) has width and height."""
    x1, y1, x2, y2 = corners
    return x1 < x2 and y1 < y2
