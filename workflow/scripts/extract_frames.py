"""Extract a cut's frames at a constant rate into one uncompressed tar, and write the index of its JPEGs.

ffmpeg decodes and encodes each source frame once and pipes it here in NUT, which keeps its timestamp exact. This script
then chooses the source frame of each index. `tar -xf` gives the published layout of loose frames.
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

from trainer.data.frame_archive import write_index
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from workflow.lib.film import (
    INPUT_OPTIONS,
    check_window,
    ffmpeg_binary,
    ffmpeg_process,
    ffmpeg_version,
    file_url,
    frame_index,
    read_timestamps,
)
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

log = logging.getLogger(__name__)

# A longer gap between source frames is logged: the film is damaged there, or has a variable rate and a still scene.
FREEZE_SECONDS = Fraction(1, 2)
# A film with larger gaps, as a fraction of the window, is rejected as useless for training.
MAX_FROZEN_FRACTION = Fraction(1, 10)


def extract_frames(
    cut, archive, index, record, *, start, stop, fps=30, jpeg_quality=1, short_side=None, ffmpeg=None, threads=1
):
    """Write frames of ``cut`` from second ``start`` to ``stop`` at ``fps`` into the tar ``archive``.

    Index i, counted from 0, shows the film at start + i/fps (see ``film.frame_index``), whatever the film's rate. There
    are exactly (stop - start) x fps frames. Members are ``<id>/<id>_%06d.jpg`` from 1; the id is the archive's stem.

    A cut by ``cut_film`` keeps the film's timestamps. A user's own cut, made by ``ffmpeg -ss 900 -t 901 -i FILM CUT``,
    starts at 0: give start 0 and stop 901.

    ``jpeg_quality`` is ffmpeg's ``-q:v``. By default ffmpeg's JPEG encoder treats 1 as 2, and so did the published
    pipeline. ``short_side``: pixels, by ffmpeg's default bicubic scaling; None, or at least the film's own: no scaling.
    ``index`` is the .npy of ``trainer.data.frame_archive``, ``record`` a .json of counts, settings and versions.

    If source frames cannot be decoded, the last one before them is repeated, as by ffmpeg's constant-rate filter, and
    the gap is logged. Raises InputError if the film cannot be read, does not cover the window, or lacks more than a
    tenth of it.
    """
    started = time.monotonic()
    binary = ffmpeg_binary(ffmpeg)
    film, timestamps, end = read_timestamps(cut)
    check_window(cut, film.time(timestamps[0]), end, start, stop)
    count = round((stop - start) * fps)

    def first_index(timestamp):
        return frame_index(film.time(timestamp), start, fps)

    filters = [_window([first_index(t) for t in timestamps], timestamps, count), *_scaling(film, short_side)]
    with atomic_write(archive) as tar, atomic_write(index) as index_file, atomic_write(record) as record_file:
        with _jpegs(film, filters, jpeg_quality, threads, binary) as jpegs:
            rows, shown = _write_tar(tar, Path(archive).stem, at_constant_rate(jpegs, first_index, count))
        if len(rows) != count:
            raise InputError(f"{cut}: no frame of the window can be decoded; download the film again")
        source_frames = sorted(set(shown))
        frozen = _frozen_seconds(cut, [film.time(timestamp) for timestamp in source_frames], start, stop)
        write_index(index_file, rows)
        facts = {
            "video": Path(archive).stem,
            "frames": count,
            "source_frames": len(source_frames),  # the other frames repeat one
            "frozen_seconds": round(float(frozen), 3),
            "bytes": tar.stat().st_size,
            "ffmpeg": ffmpeg_version(binary),
            "settings": {
                "start": start,
                "stop": stop,
                "fps": fps,
                "jpeg_quality": jpeg_quality,
                "short_side": short_side,
            },
            "film": {"codec": film.codec, "width": film.width, "height": film.height, "rate": str(film.frame_rate)},
        }
        record_file.write_text(json.dumps(facts, indent=2) + "\n")
    took = time.monotonic() - started
    log.info("%s: %d frames, %.0f MB in %.1f s (%.0f/s)", cut, count, facts["bytes"] / 1e6, took, count / took)


def at_constant_rate(frames, first_index, count):
    """Yield for each index 0 to ``count`` - 1 the frame (timestamp, content) that it shows.

    ``frames`` are in the order of time; ``first_index(timestamp)`` is the first index that may show a frame. The first
    frame also fills the indices before it, the last one those after it.
    """
    shown, i = None, 0
    for frame in frames:
        next_index = min(first_index(frame[0]), count)
        while shown is not None and i < next_index:
            yield shown
            i += 1
        shown = frame
    while shown is not None and i < count:
        yield shown
        i += 1


def _window(indices, timestamps, count):
    """Return the filter that passes only source frames that one of the indices 0 to ``count`` - 1 shows.

    ``indices``: the first index that may show a frame, for each timestamp.
    """
    first = max(bisect_right(indices, 0) - 1, 0)
    last = max(bisect_left(indices, count) - 1, first)
    return f"trim=start_pts={timestamps[first]}:end_pts={timestamps[last] + 1}"


def _scaling(film, short_side):
    """Return the filter that scales the short side to ``short_side`` pixels and the long side to an even number."""
    if short_side is None or short_side >= min(film.width, film.height):
        return []
    return [f"scale={short_side}:-2" if film.width < film.height else f"scale=-2:{short_side}"]


@contextmanager
def _jpegs(film, filters, jpeg_quality, threads, binary):
    """Yield an iterator over (timestamp, JPEG) of ffmpeg's pipe; timestamps are in the film's time base."""
    stream = ffmpeg_python.input(file_url(film.path), threads=threads, **INPUT_OPTIONS).output(
        "pipe:",
        map="0:V:0",
        vf=",".join(filters),
        vcodec="mjpeg",
        threads=threads,
        fps_mode="vfr",  # each frame once (a damaged film may have two of the same time), ...
        enc_time_base="demux",  # ... with its own timestamp
        format="nut",
        **{"q:v": jpeg_quality},
    )
    with ffmpeg_process(stream, binary, pipe_stdout=True) as process:
        yield _packets(process.stdout, film.time_base)
        if process.wait() != 0:
            raise InputError(f"{film.path}: ffmpeg cannot decode it; its message is in the log")


def _packets(pipe, time_base):
    """Yield (timestamp, content) of the packets of a NUT stream; none if ffmpeg ended before its first one.

    libav reads the pipe itself. If it called Python to read, a SIGTERM would end the process without any clean-up.
    """
    try:
        with av.open(f"pipe:{pipe.fileno()}", format="nut") as container:
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    yield int(packet.pts * packet.time_base / time_base), bytes(packet)
    except av.FFmpegError as error:
        log.warning("ffmpeg's pipe ended early: %s", error.strerror)


def _write_tar(path, video, frames):
    """Write (timestamp, JPEG) pairs as members; return index rows and timestamps. The tar is reproducible."""
    rows, timestamps = [], []
    with path.open("wb", buffering=1 << 20) as tar:
        for number, (timestamp, jpeg) in enumerate(frames, 1):
            member = tarfile.TarInfo(f"{video}/{video}_{number:06d}.jpg")  # owner 0, time 0: the same on every machine
            member.size = len(jpeg)
            tar.write(member.tobuf())
            rows.append((tar.tell(), len(jpeg)))
            timestamps.append(timestamp)
            tar.write(jpeg)
            tar.write(bytes(-len(jpeg) % tarfile.BLOCKSIZE))
        tar.write(bytes(2 * tarfile.BLOCKSIZE))  # end mark of a tar
        tar.write(bytes(-tar.tell() % tarfile.RECORDSIZE))
    return rows, timestamps


def _frozen_seconds(cut, times, start, stop) -> Fraction:
    """Log the gaps between source frames in the window; return their sum, or raise InputError if it is too large."""
    edges = [Fraction(start), *(t for t in times if t > start), Fraction(stop)]
    gaps = [(a, b) for a, b in pairwise(edges) if b - a > FREEZE_SECONDS]
    for a, b in gaps:
        log.warning("%s: no new frame from second %.2f to %.2f: damage, or a still scene of variable rate", cut, a, b)
    seconds = sum((b - a for a, b in gaps), Fraction(0))
    if seconds > MAX_FROZEN_FRACTION * Fraction(stop - start):
        raise InputError(
            f"{cut}: {float(seconds):.1f} of {stop - start} seconds have no new frames; download the film again, or "
            "exclude it (config: ava: exclude_videos)"
        )
    return seconds


if __name__ == "__main__":
    with rule_script(snakemake):
        build_in_shared_cache(
            lambda *outputs: extract_frames(
                snakemake.input.cut,
                *outputs,
                **snakemake.params,
                ffmpeg=snakemake.config["ffmpeg"],
                threads=snakemake.threads,
            ),
            snakemake,
        )
