"""The list of each video's frames, which `trainer.data.frame_archive.FrameArchive` opens."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainer.data.frame_archive import INDEX
from trainer.utils.errors import InputError
from trainer.utils.files import check_last_line, write_csv
from trainer.utils.text_files import text_lines


class VideoFrames(NamedTuple):
    """A row of the list, see `trainer.data.frame_archive.Video`."""

    video: str
    frames: int
    archive: str
    index: str
    first: int


def frames_in_archives(archives, indices):
    """Return rows of the list for one archive per video, named after it."""
    rows = []
    for archive, index in zip(archives, indices, strict=True):
        places = read_index(archive, index)
        rows.append(VideoFrames(Path(archive).stem, len(places), archive, index, 0))
    return rows


def frames_in_one_archive(archive, index, videos):
    """Return rows of the list for the videos of one archive, counted in the CSV ``videos``."""
    places = read_index(archive, index)
    rows = [VideoFrames(video, frames, archive, index, first) for video, frames, first in read_videos(videos)]
    if max(row.first + row.frames for row in rows) > len(places):
        raise InputError(f"{videos}: names more frames than {index} has; delete both to index {archive} again")
    return rows


def frames_in_folder(folder, videos, separator, selected=None):
    """Return rows of the list for loose frames, <folder>/<video>/<video><separator>000001.jpg, counted in a CSV.

    ``selected``: the videos to return, by default all. Raises InputError if the folder lacks one.
    """
    counts = {video: frames for video, frames, _ in read_videos(videos)}
    selected = counts if selected is None else selected
    if missing := [video for video in selected if video not in counts]:
        raise InputError(
            f"{folder}: lacks {len(missing)} of the {len(selected)} videos selected: {', '.join(missing[:10])}"
            f"{', ...' if missing[10:] else ''}; add their frames, or exclude them (config: ava: exclude_videos)"
        )
    return [VideoFrames(video, counts[video], frame_pattern(folder, video, separator), "", 0) for video in selected]


def frame_pattern(folder, video, separator) -> str:
    """Return the pattern by which `FrameArchive` names loose frames; each "%" of the path is doubled in it."""
    escaped = str(Path(folder) / video / video).replace("%", "%%")
    return f"{escaped}{separator}%06d.jpg"


def write_frames_list(path, rows):
    """Write rows of the list."""
    write_csv(path, VideoFrames._fields, rows)


def read_index(archive, index):
    """Return the index of an archive; raise InputError if it is damaged or empty, or has frames after the archive."""
    try:
        places = np.load(index, mmap_mode="r")
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"{index}: damaged ({error}); delete it and {archive} to re-create them") from error
    if not isinstance(places, np.ndarray) or places.dtype != INDEX or places.ndim != 1:
        raise InputError(f"{index}: not an index of frames; delete it and {archive} to re-create them")
    if len(places) == 0:
        raise InputError(f"{index}: no frame in it; delete it and {archive} to re-create them")
    last = places[np.argmax(places["offset"])]
    end = max(int(last["offset"]) + int(last["size"]), int((places["offset"] + places["size"]).max()))  # may overflow
    if (size := Path(archive).stat().st_size) < end:
        raise InputError(
            f"{archive}: ends at byte {size:,}, but {index} has a frame up to {end:,}; delete both to re-create them"
        )
    return places


VIDEO_COLUMNS = ["video", "frames", "first"]  # first: the row of the video's first frame in the index


def write_videos(path, rows):
    """Write rows of VIDEO_COLUMNS."""
    write_csv(path, VIDEO_COLUMNS, rows)


def read_videos(path):
    """Return the rows of VIDEO_COLUMNS; raise InputError if there is none, or one is not as written here."""
    rows = csv.DictReader(text_lines(path), restval="")
    try:
        videos = [(row["video"], int(row["frames"]), int(row["first"])) for row in rows]
        check_last_line(path)
        if not videos or any(frames < 1 or first < 0 for _, frames, first in videos):
            raise ValueError("no videos, or one without frames")
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: damaged at line {rows.line_num} ({error}); delete it to re-create it") from error
    return videos
