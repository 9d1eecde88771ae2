"""Index the frames in Charades_v1_rgb.tar, so that it is used where it lies and never unpacked."""

import csv
import logging
import re
import time
from array import array

import numpy as np

from trainer.errors import InputError
from trainer.files import whole_file
from trainer.frames import INDEX, index_tar, write_index
from workflow.scripts.job import job
from workflow.scripts.shared import make_once

log = logging.getLogger(__name__)

FRAME = re.compile(r"(?:.*/)?([^/]+)/\1-(\d+)\.jpg")


def index_charades(tar, index, videos):
    """Read ``tar`` once, in order; write ``index`` (.npy, see `trainer.frames`) and ``videos`` (.csv).

    The index is sorted by video and frame number, the list has the columns video, frames, first (row of its first
    frame). Raises InputError if the tar is truncated or a video's frames are not numbered 1, 2, 3, ...
    """
    began = time.monotonic()
    names, members = _read_members(tar)
    if not names:
        raise InputError(f"{tar}: holds no frames named <video>/<video>-000001.jpg")
    alphabetical = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.uint32)
    rank[alphabetical] = np.arange(len(names))
    video, number, offset, size = (np.frombuffer(column, column.typecode) for column in members)
    video = rank[video]
    order = np.lexsort((number, video))

    frames = np.bincount(video)
    first = np.cumsum(frames) - frames
    names = [names[i] for i in alphabetical]
    _check_numbers(tar, names, number[order], frames, first)

    rows = np.empty(len(order), INDEX)
    rows["offset"], rows["size"] = offset[order], size[order]
    with whole_file(index) as partial:
        write_index(partial, rows)
    write_videos(videos, zip(names, frames.tolist(), first.tolist(), strict=True))
    log.info("%s: %d frames of %d videos in %.0f s", tar, len(rows), len(names), time.monotonic() - began)


def write_videos(path, rows):
    """Write the list of (video, frames, first)."""
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frames", "first"])
        writer.writerows(rows)


def _read_members(tar):
    """The videos' names, and four columns with a row per frame: video, number, offset, size (24 bytes together)."""
    numbers = {}  # video: its number, in the order of the tar
    members = array("I"), array("I"), array("Q"), array("Q")
    video, number, offset, size = members
    others = 0
    for name, where, length in index_tar(tar):
        frame = FRAME.fullmatch(name)
        if frame is None:
            others += 1
            continue
        video.append(numbers.setdefault(frame[1], len(numbers)))
        number.append(int(frame[2]))
        offset.append(where)
        size.append(length)
        if len(number) % 1_000_000 == 0:
            log.info("%s: %d frames so far, at byte %d", tar, len(number), where)
    if others:
        log.info("%s: %d members are no frames and left out", tar, others)
    return list(numbers), members


def _check_numbers(tar, names, number, frames, first):
    """Each video's numbers, sorted, must be 1 to its number of frames: lists count on it."""
    expected = np.arange(1, len(number) + 1) - np.repeat(first, frames)
    wrong = np.flatnonzero(number != expected)
    if len(wrong):
        video = names[np.searchsorted(first, wrong[0], side="right") - 1]
        raise InputError(
            f"{tar}: video {video} must have frames numbered 1, 2, 3, ...; where {video}-{expected[wrong[0]]:06d}.jpg "
            f"was expected came number {number[wrong[0]]}"
        )


if __name__ == "__main__":
    with job(snakemake):
        make_once(
            lambda *outputs: index_charades(snakemake.input.tar, *outputs),
            snakemake.input,
            snakemake.output,
            snakemake.config,
        )
