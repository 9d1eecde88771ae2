"""Index the frames in Charades_v1_rgb.tar, which is used in place and never unpacked."""

import logging
import re
import time
from array import array

import numpy as np

from trainer.data.frame_archive import INDEX, write_index
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from workflow.lib.frames_list import write_videos
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache
from workflow.lib.tar_index import index_tar

log = logging.getLogger(__name__)

FRAME = re.compile(r"(?:.*/)?([^/]+)/\1-([0-9]{1,9})\.jpg", re.DOTALL)


def index_charades(tar, index, videos):
    """Write ``index`` (.npy, see `trainer.data.frame_archive`) and ``videos`` (.csv) by one pass over ``tar``.

    The index is sorted by video and frame number. The list has the columns video, frames, first (row of the video's
    first frame in the index). Raises InputError if the tar is truncated or the frame numbers of a video have gaps.
    """
    started = time.monotonic()
    names, members = _read_members(tar)
    if not names:
        raise InputError(f"{tar}: contains no frames named <video>/<video>-000001.jpg")
    if odd := [name for name in names if not name.isprintable()]:
        raise InputError(f"{tar}: expected a name of a video in printable UTF-8, got {odd[0]!r}. Pack it under another")
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
    with atomic_write(index) as partial:
        write_index(partial, rows)
    write_videos(videos, zip(names, frames.tolist(), first.tolist(), strict=True))
    log.info("%s: %d frames of %d videos in %.0f s", tar, len(rows), len(names), time.monotonic() - started)


def _read_members(tar):
    """Return the videos' names, and columns with a row per frame: video, number, offset, size (24 bytes a row)."""
    numbers = {}  # position of each video, in the order of the tar
    members = array("I"), array("I"), array("Q"), array("Q")
    video, number, offset, size = members
    others = 0
    for name, where, length in index_tar(tar):
        frame = FRAME.fullmatch(name)
        if frame is None:
            others += 1
            continue
        if length > np.iinfo(INDEX["size"]).max:
            raise InputError(f"{tar}: {name} has {length:,} bytes; expected a JPEG. Delete it to download it again")
        video.append(numbers.setdefault(frame[1], len(numbers)))
        number.append(int(frame[2]))
        offset.append(where)
        size.append(length)
        if len(number) % 1_000_000 == 0:
            log.info("%s: %d frames so far, at byte %d", tar, len(number), where)
    if others:
        log.info("%s: skipped %d members that are not frames", tar, others)
    return list(numbers), members


def _check_numbers(tar, names, number, frames, first):
    """Raise InputError unless each video's sorted frame numbers are 1, 2, 3, ..., as frame lists assume."""
    expected = np.arange(1, len(number) + 1) - np.repeat(first, frames)
    wrong = np.flatnonzero(number != expected)
    if len(wrong):
        video = names[np.searchsorted(first, wrong[0], side="right") - 1]
        raise InputError(
            f"{tar}: frames of video {video} are not numbered 1, 2, 3, ...; expected {video}-"
            f"{expected[wrong[0]]:06d}.jpg, got number {number[wrong[0]]}. Delete it to download it again"
        )


if __name__ == "__main__":
    with rule_script(snakemake):
        build_in_shared_cache(lambda *outputs: index_charades(snakemake.input.tar, *outputs), snakemake)
