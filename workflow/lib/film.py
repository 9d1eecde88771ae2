"""Read films: the ffmpeg binary, and what a container says about its video stream.

Times stay exact (whole numbers of the stream's time base, or fractions of seconds) up to the frame number, so they
neither round nor drift.
"""

import math
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
from av.stream import Disposition

from trainer.utils.errors import InputError

# Metadata tag of a cut: second 0 of its film on the timestamps, which the cut keeps.
FILM_START = "film_start"

# Options of libav and ffmpeg for opening a film: they follow scripts that name other files (ffconcat, HLS, DASH), which
# are not films.
INPUT_OPTIONS = {"format_whitelist": "matroska,mov,nut,avi,flv,mpeg,mpegts", "protocol_whitelist": "file"}

# A film may start this many seconds after the window, or end before it; its first or last frame is then repeated. The
# last key second is three seconds before the end, and a clip reaches one second further, so no clip is affected.
END_TOLERANCE = Fraction(1, 2)


@dataclass(frozen=True)
class Film:
    """A film's video stream, without its frames."""

    path: Path
    codec: str
    width: int
    height: int
    frame_rate: Fraction | None  # mean frames per second, as the container says
    time_base: Fraction  # seconds per unit of a timestamp
    zero: Fraction  # second 0 of the film on its timestamps, in seconds

    def time(self, timestamp: int) -> Fraction:
        """Return seconds from the film's start, as ``ffmpeg -ss`` counts them."""
        return timestamp * self.time_base - self.zero


def ffmpeg_binary(ffmpeg=None) -> str:
    """Return the path of the user's own ``ffmpeg``, or of the one in the package imageio-ffmpeg if that is None."""
    if ffmpeg is None:
        return imageio_ffmpeg.get_ffmpeg_exe()
    if not (Path(ffmpeg).is_file() and os.access(ffmpeg, os.X_OK)):
        raise InputError(f"{ffmpeg}: not a program; name an ffmpeg binary, or null for the pinned one (config: ffmpeg)")
    return str(ffmpeg)


def ffmpeg_version(ffmpeg=None) -> str:
    """Return the version that the binary prints, such as "7.1"; it is recorded, as frames depend on it."""
    binary = ffmpeg_binary(ffmpeg)
    words = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False).stdout.split()
    if words[:2] != ["ffmpeg", "version"]:
        raise InputError(f"{binary}: not ffmpeg; expected `-version` to print `ffmpeg version ...`")
    return words[2]


@contextmanager
def ffmpeg_process(stream, binary, **pipes):
    """Run ffmpeg during the block and yield the process; kill it when the block ends, even by an error."""
    stream = stream.global_args("-copyts", "-nostdin", "-hide_banner", "-loglevel", "warning")
    with stream.run_async(cmd=binary, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def file_url(path) -> str:
    """Return a name that ffmpeg takes for a file even if the path has a leading "-", a ":" or a "%"."""
    return f"file:{path}"


def probe(path) -> Film:
    """Read what the container says about its video stream; raise InputError if the file is not a film."""
    with _opened(path) as (container, stream):
        return _film(path, container, stream)


def read_timestamps(path) -> tuple[Film, list[int], Fraction]:
    """Read the packets without decoding; return the film, its frames' timestamps in order, and its end in seconds."""
    with _opened(path) as (container, stream):
        film = _film(path, container, stream)
        packets = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None]
    if not packets:
        raise InputError(f"{path}: its video stream is empty")
    return film, sorted(pts for pts, _ in packets), film.time(max(pts + length for pts, length in packets))


def check_window(path, first: Fraction, end: Fraction, start, stop):
    """Raise InputError unless frames from ``first`` to ``end`` cover the window (all in seconds of the film)."""
    if first > start + END_TOLERANCE or end < stop - END_TOLERANCE:
        raise InputError(
            f"{path}: has frames from second {float(first):.1f} to {float(end):.1f} only, the window is {start} to "
            f"{stop}; download the film again, or exclude it (config: ava: exclude_videos)"
        )


def check_film(path, window=None):
    """Raise InputError unless the film's first frame decodes and its frames cover ``window``, if given."""
    with _opened(path) as (container, stream):
        if next(container.decode(stream), None) is None:
            raise InputError(f"{path}: no frame of its video stream can be decoded")
    if window:
        film, timestamps, end = read_timestamps(path)
        check_window(path, film.time(timestamps[0]), end, *window)


@contextmanager
def _opened(path):
    """Yield the container and its first video stream, cover pictures skipped; turn libav's errors into InputError."""
    try:
        with av.open(file_url(path), container_options=INPUT_OPTIONS, metadata_errors="replace") as container:
            stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
            if stream is None:
                raise InputError(f"{path}: has no video stream; exclude the film (config: ava: exclude_videos)")
            if stream.codec_context is None:
                raise InputError(
                    f"{path}: its video has an unknown codec; exclude the film (config: ava: exclude_videos)"
                )
            yield container, stream
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: cannot be read as a film ({error.strerror}); expected Matroska, WebM, MP4 or NUT. Delete it to "
            "download it again"
        ) from error


def _film(path, container, stream) -> Film:
    start = container.start_time or 0  # microseconds; of the earliest stream, as for ffmpeg -ss
    tag = container.metadata.get(FILM_START)
    if tag is not None and not re.fullmatch("-?[0-9]{1,18}(/[1-9][0-9]{0,17})?", tag):
        raise InputError(f"{path}: tag {FILM_START} is {tag!r}; expected seconds. Delete it to cut the film again")
    return Film(
        path=Path(path),
        codec=stream.codec_context.name,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        frame_rate=stream.average_rate,
        time_base=stream.time_base,
        zero=Fraction(start, av.time_base) if tag is None else Fraction(tag),
    )


def frame_index(time: Fraction, start, fps) -> int:
    """Return the first index that shows a frame; index i shows the last frame before start + (i + 1/2) / fps.

    Half a period is the tolerance of ffmpeg's ``fps`` filter and ``-r``, too. Without it, a container that rounds
    timestamps up by a millisecond would make an index show the frame before.
    """
    return math.floor((time - Fraction(start)) * Fraction(fps) + Fraction(1, 2))
