"""Count the frames in a user's folder of loose frames, in SlowFast's layout: <folder>/<video>/<video>_000001.jpg."""

import logging
import os
from pathlib import Path

from trainer.utils.errors import InputError
from workflow.lib.frames_list import write_videos
from workflow.lib.rule_script import rule_script

log = logging.getLogger(__name__)


def index_folder(folder, videos, *, separator):
    """Write ``videos`` (.csv) with the columns video, frames, first (always 0) for each folder within ``folder``.

    ``separator`` stands before a frame's number: "_" for AVA, "-" for Charades. Raises InputError if frame numbers are
    missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected the folder of the frames (config: existing)")
    names = sorted(entry.name for entry in os.scandir(folder) if Path(entry).is_dir())  # False for a link to itself
    rows = [(name, frames, 0) for name in names if (frames := count_frames(folder, name, separator))]
    if not rows:
        raise InputError(f"{folder}: contains no frames named <video>/<video>{separator}000001.jpg")
    if odd := [name for name, *_ in rows if not name.isprintable()]:
        raise InputError(f"{folder}: expected a name of a video in printable UTF-8, got {odd[0]!r}. Rename its folder")
    write_videos(videos, rows)
    log.info("%s: %d frames of %d videos", folder, sum(frames for _, frames, _ in rows), len(rows))


def count_frames(folder, video, separator) -> int:
    """Return the number of frames in the video's folder; raise InputError unless they are numbered 1, 2, 3, ..."""
    prefix, suffix = f"{video}{separator}", ".jpg"
    with os.scandir(Path(folder) / video) as entries:
        found = {entry.name for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(suffix)}
    missing = next((i for i in range(1, len(found) + 1) if f"{prefix}{i:06d}{suffix}" not in found), None)
    if missing is not None:
        raise InputError(f"{folder}/{video}: has {len(found)} frames, but {prefix}{missing:06d}{suffix} is missing")
    return len(found)


if __name__ == "__main__":
    with rule_script(snakemake):
        index_folder(snakemake.input[0], snakemake.output.videos, **snakemake.params)
