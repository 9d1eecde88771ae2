"""What the film scripts share: the ffmpeg binary, and what a container says of its film.

Time stamps stay whole numbers of the stream's time base, or fractions of seconds, until a frame number comes out:
no rounding, hence no drift.
"""

import math
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
from av.stream import Disposition

from trainer.errors import InputError

# The tag in which a cut says where its film's second 0 lies on the (unchanged) time stamps.
FILM_START = "film_start"

# A film may end so many seconds before the window does: its last frame is shown to the end. The last key second lies
# three seconds before it, and a clip reaches one second further, so no clip sees the difference.
SHORT_BY = Fraction(1, 2)


@dataclass(frozen=True)
class Film:
    """A film's video stream, without its frames."""

    path: Path
    codec: str
    width: int
    height: int
    frame_rate: Fraction | None  # frames per second on average, as the container says
    time_base: Fraction  # seconds per unit of a time stamp
    zero: Fraction  # second 0 of the film on its time stamps, in seconds

    def time(self, stamp: int) -> Fraction:
        """Seconds from the film's begin, as ``ffmpeg -ss`` counts them."""
        return stamp * self.time_base - self.zero


def ffmpeg_binary(ffmpeg=None) -> str:
    """The user's own ``ffmpeg`` (a path), else the one that the package imageio-ffmpeg brings."""
    if ffmpeg is None:
        return imageio_ffmpeg.get_ffmpeg_exe()
    if not (Path(ffmpeg).is_file() and os.access(ffmpeg, os.X_OK)):
        raise InputError(f"{ffmpeg}: not a program; name an ffmpeg binary, or leave it out for the pinned one")
    return str(ffmpeg)


def ffmpeg_version(ffmpeg=None) -> str:
    """The version that the binary gives itself, for example "7.1"; it decides frames, so it is recorded."""
    binary = ffmpeg_binary(ffmpeg)
    words = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False).stdout.split()
    if words[:2] != ["ffmpeg", "version"]:
        raise InputError(f"{binary}: does not say that it is ffmpeg")
    return words[2]


@contextmanager
def ffmpeg_process(stream, binary, **pipes):
    """Run ffmpeg beside the block and yield the process, which does not outlive the block, whatever ends that."""
    stream = stream.global_args("-copyts", "-nostdin", "-hide_banner", "-loglevel", "warning")
    with stream.run_async(cmd=binary, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def file_url(path) -> str:
    """The name by which ffmpeg takes any path, one with a leading "-", a ":" or a "%" too, for a file."""
    return f"file:{path}"


def probe(path) -> Film:
    """What the container says; InputError if it is no film."""
    with _opened(path) as (container, stream):
        return _film(path, container, stream)


def presentation(path) -> tuple[Film, list[int], Fraction]:
    """Read the packets, decode nothing: the film, its frames' time stamps in order, and its end in seconds."""
    with _opened(path) as (container, stream):
        film = _film(path, container, stream)
        packets = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.pts is not None]
    if not packets:
        raise InputError(f"{path}: its video stream is empty")
    return film, sorted(pts for pts, _ in packets), film.time(max(pts + length for pts, length in packets))


def check_window(path, first: Fraction, end: Fraction, start, stop):
    """Raise InputError unless pictures from ``first`` to ``end`` cover the window (all in seconds of the film)."""
    if first > start + SHORT_BY or end < stop - SHORT_BY:
        raise InputError(
            f"{path}: has pictures from second {float(first):.1f} to {float(end):.1f} only, the window is "
            f"{start} to {stop}; fetch the film again, or leave it out in config (ava: leave_out)"
        )


def check_film(path, window=None):
    """Raise InputError unless the film's first picture can be decoded, and its pictures cover ``window`` if given."""
    with _opened(path) as (container, stream):
        if next(container.decode(stream), None) is None:
            raise InputError(f"{path}: its video stream has no picture that can be decoded")
    if window:
        film, stamps, end = presentation(path)
        check_window(path, film.time(stamps[0]), end, *window)


@contextmanager
def _opened(path):
    """The container and its first video stream (a cover picture is none), libav's errors told plainly."""
    try:
        with av.open(file_url(path)) as container:
            stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
            if stream is None:
                raise InputError(f"{path}: has no video stream; it can be left out in config (ava: leave_out)")
            yield container, stream
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be read as a film ({error.strerror}); delete it to fetch it again") from error


def _film(path, container, stream) -> Film:
    start = container.start_time or 0  # microseconds; the earliest of all streams, as for ffmpeg -ss
    tag = container.metadata.get(FILM_START)
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
    """The first index that shows the frame of this time: index i shows the last frame before start + (i + 1/2) / fps.

    Half a period of tolerance, as in ffmpeg's ``fps`` filter and ``-r``: a container that rounds its time stamps up
    by a millisecond must not make the frame before be shown.
    """
    return math.floor((time - Fraction(start)) * Fraction(fps) + Fraction(1, 2))
