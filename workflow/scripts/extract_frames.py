"""Extract a cut's frames at a constant rate into one uncompressed tar, and index where each JPEG lies.

ffmpeg decodes and encodes each picture once and hands it on with its time stamp through a pipe (NUT, so that the stamp
is exact); which index shows which picture is decided here. `tar -xf` gives the published layout of loose frames.
"""

import json
import logging
import tarfile
import time
from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import ffmpeg as ffmpeg_python

from trainer.errors import InputError
from trainer.files import whole_file
from trainer.frames import write_index
from workflow.scripts.job import job
from workflow.scripts.media import (
    check_window,
    ffmpeg_binary,
    ffmpeg_process,
    ffmpeg_version,
    file_url,
    frame_index,
    presentation,
)
from workflow.scripts.shared import make_once

log = logging.getLogger(__name__)

# A picture that stays longer is told in the log: the film is damaged there, or has a variable rate and a still.
STILL = Fraction(1, 2)  # seconds
# More than this part of the window without new pictures: the film is no use for training.
MOST_STILL = Fraction(1, 10)


def extract_frames(
    cut, archive, index, record, *, start, stop, fps=30, quality=1, short_side=None, ffmpeg=None, threads=1
):
    """Write frames of ``cut`` from second ``start`` to ``stop`` at ``fps`` into the tar ``archive``.

    Index i, counted from 0, shows the film at start + i/fps (see ``media.frame_index``), whatever its own rate, and
    there are exactly (stop - start) x fps. Members are ``<id>/<id>_%06d.jpg`` from 1, the id being the archive's stem.

    A cut by ``cut_film`` keeps the film's clock. A user's own cut, made by ``ffmpeg -ss 900 -t 901 -i FILM CUT``, has
    a clock of its own: give start 0 and stop 901.

    ``quality`` is ffmpeg's ``-q:v``. ffmpeg's JPEG encoder treats 1 as 2 unless told otherwise, and so did the
    published pipeline. ``short_side``: pixels, by ffmpeg's default bicubic scaling; None or a larger one than the
    film's: its own size. ``index`` becomes the .npy of ``trainer.frames``, ``record`` a .json of what was done.

    What cannot be decoded shows the last picture before it, as a constant rate filter does, and the log says where.
    Raises InputError for a film that cannot be read, does not cover the window, or lacks more than a tenth of it.
    """
    began = time.monotonic()
    binary = ffmpeg_binary(ffmpeg)
    film, stamps, end = presentation(cut)
    check_window(cut, film.time(stamps[0]), end, start, stop)
    count = round((stop - start) * fps)

    def first_index(stamp):
        return frame_index(film.time(stamp), start, fps)

    filters = [_window([first_index(stamp) for stamp in stamps], stamps, count), *_scaling(film, short_side)]
    with whole_file(archive) as tar, whole_file(index) as index_file, whole_file(record) as record_file:
        with _jpegs(film, filters, quality, threads, binary) as jpegs:
            rows, shown = _write_tar(tar, Path(archive).stem, at_constant_rate(jpegs, first_index, count))
        if len(rows) != count:
            raise InputError(f"{cut}: not one picture of the window can be decoded; fetch the film again")
        pictures = sorted(set(shown))
        still = _seconds_of_stills(cut, [film.time(stamp) for stamp in pictures], start, stop)
        write_index(index_file, rows)
        facts = {
            "video": Path(archive).stem,
            "frames": count,
            "pictures": len(pictures),  # the other frames repeat one
            "seconds_without_new_pictures": round(float(still), 3),
            "bytes": tar.stat().st_size,
            "ffmpeg": ffmpeg_version(binary),
            "settings": {"start": start, "stop": stop, "fps": fps, "quality": quality, "short_side": short_side},
            "film": {"codec": film.codec, "width": film.width, "height": film.height, "rate": str(film.frame_rate)},
        }
        record_file.write_text(json.dumps(facts, indent=2) + "\n")
    took = time.monotonic() - began
    log.info("%s: %d frames, %.0f MB in %.1f s (%.0f/s)", cut, count, facts["bytes"] / 1e6, took, count / took)


def at_constant_rate(frames, first_index, count):
    """Yield ``count`` times the frame (stamp, content) that index 0, 1, ... shows.

    ``frames`` come in the order of time; ``first_index(stamp)`` is the first index that may show a frame. The first
    frame fills what lies before it, the last one what lies behind.
    """
    shown, i = None, 0
    for frame in frames:
        begins = min(first_index(frame[0]), count)
        while shown is not None and i < begins:
            yield shown
            i += 1
        shown = frame
    while shown is not None and i < count:
        yield shown
        i += 1


def _window(indices, stamps, count):
    """The filter that lets only those pictures through, that are shown at one of the indices 0 to count - 1.

    ``indices``: the first index that may show a frame, for each frame's time stamp.
    """
    first = max(bisect_right(indices, 0) - 1, 0)
    last = max(bisect_left(indices, count) - 1, first)
    return f"trim=start_pts={stamps[first]}:end_pts={stamps[last] + 1}"


def _scaling(film, short_side):
    """The filter that brings the short side to ``short_side`` pixels and the long one to an even number."""
    if short_side is None or short_side >= min(film.width, film.height):
        return []
    return [f"scale={short_side}:-2" if film.width < film.height else f"scale=-2:{short_side}"]


@contextmanager
def _jpegs(film, filters, quality, threads, binary):
    """Yield an iterator of (time stamp, JPEG), in units of the film's time base, straight from ffmpeg's pipe."""
    stream = ffmpeg_python.input(file_url(film.path), threads=threads).output(
        "pipe:",
        map="0:V:0",
        vf=",".join(filters),
        vcodec="mjpeg",
        threads=threads,
        fps_mode="vfr",  # each picture once (a damaged film may have two of the same time), ...
        enc_time_base="demux",  # ... with its own time stamp
        format="nut",
        **{"q:v": quality},
    )
    with ffmpeg_process(stream, binary, pipe_stdout=True) as process:
        yield _packets(process.stdout, film.time_base)
        if process.wait() != 0:
            raise InputError(f"{film.path}: ffmpeg cannot decode it; its words are in the log")


def _packets(pipe, time_base):
    """(time stamp, content) of the packets of a NUT stream; none at all if ffmpeg ended before its first one.

    libav reads the pipe itself: where it calls Python to read, a SIGTERM ends the process without any cleaning up.
    """
    try:
        with av.open(f"pipe:{pipe.fileno()}", format="nut") as container:
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    yield int(packet.pts * packet.time_base / time_base), bytes(packet)
    except av.FFmpegError as error:
        log.warning("ffmpeg's pipe ended early: %s", error.strerror)


def _write_tar(path, video, frames):
    """Write (stamp, JPEG) pairs as members, the same bytes from the same input; return index rows and stamps."""
    rows, stamps = [], []
    with path.open("wb", buffering=1 << 20) as tar:
        for number, (stamp, jpeg) in enumerate(frames, 1):
            member = tarfile.TarInfo(f"{video}/{video}_{number:06d}.jpg")  # owner 0, time 0: nothing of this machine
            member.size = len(jpeg)
            tar.write(member.tobuf())
            rows.append((tar.tell(), len(jpeg)))
            stamps.append(stamp)
            tar.write(jpeg)
            tar.write(bytes(-len(jpeg) % tarfile.BLOCKSIZE))
        tar.write(bytes(2 * tarfile.BLOCKSIZE))  # a tar's end
        tar.write(bytes(-tar.tell() % tarfile.RECORDSIZE))
    return rows, stamps


def _seconds_of_stills(cut, times, start, stop) -> Fraction:
    """Log the window's stretches without a new picture; return their length, or raise InputError if it is too much."""
    edges = [Fraction(start), *(t for t in times if t > start), Fraction(stop)]
    stills = [(a, b) for a, b in pairwise(edges) if b - a > STILL]
    for a, b in stills:
        log.warning("%s: no new picture from second %.2f to %.2f: damaged, or a still of a variable rate", cut, a, b)
    seconds = sum((b - a for a, b in stills), Fraction(0))
    if seconds > MOST_STILL * Fraction(stop - start):
        raise InputError(
            f"{cut}: {float(seconds):.1f} of {stop - start} seconds have no pictures; fetch the film again, or leave "
            "it out in config (ava: leave_out)"
        )
    return seconds


if __name__ == "__main__":
    with job(snakemake):
        make_once(
            lambda *outputs: extract_frames(
                snakemake.input.cut,
                *outputs,
                **snakemake.params,
                ffmpeg=snakemake.config["ffmpeg"],
                threads=snakemake.threads,
            ),
            snakemake.input,
            snakemake.output,
            snakemake.config,
        )
