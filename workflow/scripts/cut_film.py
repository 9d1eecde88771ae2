"""Cut a film to its annotated window without decoding it, which takes a second for minutes 15 to 30.

The cut holds packets of the video stream, so its frames are the film's. The container is NUT, ffmpeg's own, which keeps
every codec and timestamp of the films; ffmpeg, mpv and VLC play it. Matroska rounds timestamps to milliseconds, and MP4
cannot hold VP8. A display rotation, which no film of AVA has, is lost.
"""

import logging
import sys
import time

import ffmpeg as ffmpeg_python

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from workflow.lib.film import (
    FILM_START,
    INPUT_OPTIONS,
    check_window,
    ffmpeg_binary,
    ffmpeg_process,
    file_url,
    probe,
    read_timestamps,
)
from workflow.lib.rule_script import rule_script
from workflow.lib.shared_cache import build_in_shared_cache

log = logging.getLogger(__name__)


def cut_film(film, cut, start, stop, ffmpeg=None):
    """Write the packets of ``film`` from the keyframe before second ``start`` to ``stop`` into ``cut``.

    Seconds are those of ``ffmpeg -ss``, with which the published pipeline cuts. They count from the start of the
    container's earliest stream, even if its first timestamp is not 0. The cut keeps the timestamps, and a tag holds
    where second 0 is. ``ffmpeg``: the binary's path, by default the pinned one. Raises InputError if the film cannot be
    read, has no video stream or does not cover the window.
    """
    started = time.monotonic()
    source = probe(film)
    with atomic_write(cut) as partial:
        _copy_packets(source, partial, start, stop, ffmpeg_binary(ffmpeg))
        written, timestamps, end = read_timestamps(partial)
        first = written.time(timestamps[0])
        check_window(film, first, end, start, stop)
        size = partial.stat().st_size
    log.info(
        "%s: %d frames from second %.3f to %.3f, %.1f MB in %.1f s",
        *(film, len(timestamps), first, end, size / 1e6, time.monotonic() - started),
    )


def _copy_packets(source, cut, start, stop, binary):
    """Copy the stream until one second past ``stop``, as packets are in decoding order, not in presentation order."""
    stream = ffmpeg_python.input(file_url(source.path), ss=float(start), **INPUT_OPTIONS).output(
        file_url(cut),
        map="0:V:0",  # V: a video stream that is not a cover picture
        codec="copy",
        to=float(source.zero + stop + 1),
        format="nut",
        avoid_negative_ts="disabled",  # else ffmpeg shifts all timestamps if the first decoding timestamps are negative
        map_metadata=-1,
        metadata=f"{FILM_START}={source.zero}",
    )
    with ffmpeg_process(stream, binary, pipe_stderr=True) as process:
        messages = process.stderr.read().decode(errors="replace")
        sys.stderr.write(messages)  # the rule's log
        if process.wait() != 0:
            last = messages.strip().rpartition("\n")[2] or f"status {process.returncode}"
            raise InputError(f"{source.path}: ffmpeg cannot copy its video stream into {cut.parent}: {last}")


if __name__ == "__main__":
    with rule_script(snakemake):
        build_in_shared_cache(
            lambda cut: cut_film(snakemake.input.film, cut, **snakemake.params, ffmpeg=snakemake.config["ffmpeg"]),
            snakemake,
        )
