"""The list of where each video's frames are: what `trainer.frames.FrameArchive` opens."""

import csv
from pathlib import Path

import numpy as np

from trainer.errors import InputError
from trainer.files import whole_file
from workflow.scripts.index_folder import frame_pattern

COLUMNS = ["video", "frames", "archive", "index", "first"]


def frames_in_archives(archives, indices):
    """Rows of COLUMNS for one archive per video, named after it."""
    rows = []
    for archive, index in zip(archives, indices, strict=True):
        places = read_index(archive, index)
        rows.append((Path(archive).stem, len(places), archive, index, 0))
    return rows


def frames_in_one_archive(archive, index, videos):
    """Rows of COLUMNS for the videos of one archive, listed in a CSV (video, frames, first)."""
    places = read_index(archive, index)
    rows = [(video, frames, archive, index, first) for video, frames, first in read_videos(videos)]
    if rows and max(first + frames for _, frames, *_, first in rows) > len(places):
        raise InputError(f"{videos}: names more frames than {index} has; delete both to index {archive} again")
    return rows


def frames_in_folder(folder, videos, separator, selected=None):
    """Rows of COLUMNS for loose frames, <folder>/<video>/<video><separator>000001.jpg, counted in a CSV.

    ``selected``: the videos to take, by default all. Raises InputError for one that the folder lacks.
    """
    counts = {video: frames for video, frames, _ in read_videos(videos)}
    selected = counts if selected is None else selected
    if missing := [video for video in selected if video not in counts]:
        raise InputError(
            f"{folder}: lacks {len(missing)} of the {len(selected)} videos selected: {', '.join(missing[:10])}"
            f"{', ...' if missing[10:] else ''}; add their frames, or name them in config: ava: leave_out"
        )
    return [(video, counts[video], frame_pattern(folder, video, separator), "", 0) for video in selected]


def write_frames_list(path, rows):
    with whole_file(path) as partial, partial.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def read_index(archive, index):
    """The places of an archive's frames; InputError if there are none, or the archive ends before the last."""
    places = np.load(index, mmap_mode="r")
    if len(places) == 0:
        raise InputError(f"{index}: no frame in it; delete it and {archive} to make them again")
    end = int((places["offset"] + places["size"]).max())
    if (size := Path(archive).stat().st_size) < end:
        raise InputError(f"{archive}: ends at byte {size:,}, but {index} has a frame up to {end:,}; make both again")
    return places


def read_videos(videos):
    """(video, frames, first) of each row of a CSV with these columns."""
    with Path(videos).open(newline="") as rows:
        return [(row["video"], int(row["frames"]), int(row["first"])) for row in csv.DictReader(rows)]
