"""Frame archives: each frame is one read of an uncompressed tar, at the offset that an index holds.

An index is a .npy file with one row (offset, size) per frame, in the order of frames. It is memory-mapped, so 7 million
rows open in under a second and loader processes share them. A user's loose frames are read by their file names instead.
"""

import csv
import io
import os
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import simplejpeg

from trainer.utils.errors import InputError

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
        with self.path.open(newline="") as file:
            self._videos = {
                row["video"]: Video(int(row["frames"]), row["archive"], row["index"], int(row["first"]))
                for row in csv.DictReader(file)
            }
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

    def read(self, video, i: int) -> bytes:
        """Return the JPEG of the video's frame ``i``, counted from 0; raise InputError if it cannot be read."""
        entry = self._entry(video)
        where = f"{entry.archive}: frame {i} of video {video}"
        if not 0 <= i < entry.frames:
            raise InputError(f"{where} asked for, but {self.path} lists {entry.frames} frames")
        try:
            if not entry.index:
                return Path(entry.archive % (i + 1)).read_bytes()
            return self._tar(entry.archive, entry.index).read(entry.first + i)
        except (OSError, EOFError, IndexError, ValueError) as error:
            raise InputError(f"{where} cannot be read ({error}); is the archive complete?") from error

    def _entry(self, video) -> Video:
        if video not in self._videos:
            raise InputError(f"{self.path}: has no video {video}")
        return self._videos[video]


class _IndexedTar:
    """An open tar and its index; the file descriptor is closed with the last reference to the object."""

    def __init__(self, tar, index):
        self.index = np.load(index, mmap_mode="r")
        if self.index.dtype != INDEX:
            raise ValueError(f"{index} is not an index of frames")
        self.file = os.open(tar, os.O_RDONLY)

    def __del__(self):
        if hasattr(self, "file"):
            os.close(self.file)

    def read(self, row) -> bytes:
        offset, size = self.index[row].item()
        jpeg = os.pread(self.file, size, offset)  # no shared file position: safe after a fork
        if len(jpeg) != size:
            raise EOFError(f"the file ends at byte {offset + len(jpeg):,}, the frame at {offset + size:,}")
        return jpeg


def write_index(path, rows):
    """Write the index whose ``rows`` (offset, size) are in the order of frames; raise OSError if the disk is full."""
    memory = io.BytesIO()  # np.save to a file would hide the reason of a failure
    np.save(memory, np.asarray(rows, INDEX))
    Path(path).write_bytes(memory.getbuffer())


def decode(jpeg: bytes, name="a frame", into=None) -> np.ndarray:
    """Decode to uint8 RGB of shape (height, width, 3), with the same pixels as OpenCV's decoder.

    This takes the exact inverse transform and smooth chroma upsampling; the faster approximations change pixels.
    ``name`` appears in the InputError of a damaged JPEG. ``into`` is an array of the frame's size to decode into.
    """
    try:
        return simplejpeg.decode_jpeg(jpeg, colorspace="RGB", fastdct=False, fastupsample=False, buffer=into)
    except ValueError as error:
        raise InputError(f"{name}: not a whole JPEG ({error})") from error


def index_tar(tar):
    """Yield (name, offset, size) of every regular member of an uncompressed tar, in one pass from start to end.

    ``offset`` and ``size`` are those of the content, in bytes. Usual headers are parsed here, as `tarfile` takes nine
    times as long for millions of them; it parses the others (long names, links, ...). Raises InputError if the tar is
    truncated, damaged or compressed.
    """
    tar = Path(tar)
    # The next header mostly lies within the buffer, so skipping small members still reads the file sequentially.
    with tar.open("rb", buffering=1 << 20) as file:
        length = os.fstat(file.fileno()).st_size
        end = 0
        while True:
            start = end
            file.seek(start)
            header = file.read(tarfile.BLOCKSIZE)
            if header == _NO_MEMBER:
                return
            member = _plain_member(header, start) or _any_member(file, start)
            if member is None:  # also if the file ends within or right after the last member
                raise InputError(
                    f"{tar}: truncated or damaged at byte {min(start, length):,} of {length:,}; expected a complete, "
                    "uncompressed tar. Delete it to download it again"
                )
            name, offset, size, end = member
            if name is not None:
                yield name, offset, size


_NO_MEMBER = bytes(tarfile.BLOCKSIZE)  # marks the end of a tar


def _plain_member(header, start):
    """Return (name, offset, size, end) of a regular file whose one POSIX or GNU header is complete; else None."""
    if header[156:157] not in (b"0", b"\0") or header[257:262] != b"ustar" or header[345]:
        return None
    try:
        size = int(header[124:136].strip(b" \0"), 8)
        name = header[: header.index(0, 0, 100)].decode()
    except ValueError:  # a size in binary; a name of the full 100 bytes, or not in UTF-8
        return None
    offset = start + tarfile.BLOCKSIZE
    return name, offset, size, offset + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _any_member(file, start):
    """Return the same by `tarfile`, with name None for other kinds of members; None if no member starts here."""
    file.seek(start)
    try:
        reader = tarfile.TarFile(fileobj=file)  # reads only the member at the file's position
    except (tarfile.TarError, EOFError):
        return None
    member = reader.firstmember
    if member is None:
        return None
    name = member.name if member.isreg() and not member.issparse() else None
    return name, member.offset_data, member.size, reader.offset
