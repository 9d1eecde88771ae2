"""Frame archives: each frame is one read of an uncompressed tar, at the offset that an index holds.

An index is a .npy file with one row (offset, size) per frame, in the order of frames. It is memory-mapped, so 7 million
rows open in under a second and loader processes share them. A user's loose frames are read by their file names instead.
"""

import csv
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainer.utils.errors import InputError
from trainer.utils.files import check_last_line
from trainer.utils.text import quoted, shown

INDEX = np.dtype([("offset", "<u8"), ("size", "<u4")])  # bytes from the tar's start; bytes of the JPEG

# Archives that a process keeps open: two file descriptors each, of the usual limit of 1,024.
OPEN_ARCHIVES = 400


@dataclass(frozen=True)
class Video:
    """One row of a frames list."""

    frames: int
    archive: str  # path of a tar; for loose frames: a pattern such as frames/abc/abc_%06d.jpg, numbered from 1
    index: str  # path of the tar's .npy index; empty for loose frames
    first: int  # the row of the video's first frame in the index


class FrameArchive:
    """The JPEGs of many videos, by name and number.

    ``frames_csv`` has the columns video, frames, archive, index, first (see ``Video``). Files are opened at their first
    read. An object works after a fork and can be pickled.
    """

    def __init__(self, frames_csv):
        self.path = Path(frames_csv)
        self._videos = _read_list(self.path)
        self._tar = lru_cache(OPEN_ARCHIVES)(_IndexedTar)

    def __reduce__(self):
        return FrameArchive, (self.path,)

    @property
    def videos(self) -> list[str]:
        """Names of the videos, in the order of the list."""
        return list(self._videos)

    @property
    def counts(self) -> dict[str, int]:
        """Number of frames by video."""
        return {name: video.frames for name, video in self._videos.items()}

    @property
    def indices(self) -> list[str]:
        """Paths of the indices, each once; loose frames have none."""
        return sorted({video.index for video in self._videos.values()} - {""})

    def count(self, video) -> int:
        """Return the number of frames of the video."""
        return self._entry(video).frames

    def name(self, video, i: int) -> str:
        """Return a frame's archive, number and video, for messages."""
        return f"{self._entry(video).archive}: frame {i} of video {video}"

    def read(self, video, i: int) -> bytes:
        """Return the JPEG of the video's frame ``i``, counted from 0; raise InputError if it cannot be read."""
        entry = self._entry(video)
        where = self.name(video, i)
        if not 0 <= i < entry.frames:
            raise InputError(f"{where} asked for, but {self.path} lists {entry.frames} frames")
        try:
            if not entry.index:
                return Path(entry.archive % (i + 1)).read_bytes()
            return self._tar(entry.archive, entry.index).read(entry.first + i)
        except (OSError, EOFError, IndexError, ValueError, TypeError, OverflowError) as error:
            by = f" by the index {entry.index}" if entry.index else ""
            raise InputError(f"{where} cannot be read{by} ({error}); is the archive complete?") from error

    def _entry(self, video) -> Video:
        if video not in self._videos:
            raise InputError(f"{self.path}: has no video {shown(video)}")
        return self._videos[video]


def _read_list(path) -> dict[str, Video]:
    """Return the videos of a frames list by name; raise InputError that names the line if it is not one."""
    videos, line = {}, 1
    try:
        check_last_line(path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, restval="")
            if missing := {"video", "frames", "archive", "index", "first"} - set(rows.fieldnames or ()):
                raise ValueError(f"lacks {', '.join(sorted(missing))}")
            for row in rows:
                line = rows.line_num
                video = Video(int(row["frames"]), row["archive"], row["index"], int(row["first"]))
                if video.frames < 0 or video.first < 0 or not video.archive:
                    raise ValueError(f"frames {video.frames}, first {video.first}, archive {quoted(video.archive)}")
                videos[row["video"]] = video
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}, line {line}: {error}; expected the columns video, frames, archive, index, first. Delete it to "
            "re-create it"
        ) from error
    return videos


class _IndexedTar:
    """An open tar and its index; the file descriptor is closed with the last reference to the object."""

    def __init__(self, tar, index):
        try:
            self.index = np.lib.format.open_memmap(index, mode="r")
        except OSError:
            raise
        except Exception as error:  # a damaged file can raise nearly every type
            raise ValueError(f"{index} is damaged; delete it to re-create it") from error
        if self.index.dtype != INDEX or self.index.ndim != 1:
            raise ValueError(f"{index} is not an index of frames")
        self.file = os.open(tar, os.O_RDONLY)
        self.length = os.fstat(self.file).st_size

    def __del__(self):
        if hasattr(self, "file"):
            os.close(self.file)

    def read(self, row) -> bytes:
        offset, size = self.index[row].item()
        if offset + size > self.length:
            raise EOFError(f"the file ends at byte {self.length:,}, the frame at {offset + size:,}")
        jpeg = os.pread(self.file, size, offset)  # no shared file position: safe after a fork
        if len(jpeg) != size:
            raise EOFError(f"{len(jpeg):,} of {size:,} bytes at {offset:,}: the file was shortened")
        return jpeg


def write_index(path, rows):
    """Write the index whose ``rows`` (offset, size) are in the order of frames; raise OSError if the disk is full."""
    memory = io.BytesIO()  # np.save to a file would hide the reason of a failure
    np.save(memory, np.asarray(rows, INDEX))
    Path(path).write_bytes(memory.getbuffer())
