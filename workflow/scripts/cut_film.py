"""Cut a film to its annotated window without decoding it: minutes 15 to 30 in a second.

The cut holds the video stream's packets, so its pictures are the film's. It is in NUT (ffmpeg's own container; ffmpeg,
mpv and VLC play it), since Matroska rounds time stamps to milliseconds and MP4 takes no VP8: NUT keeps every codec and
every time stamp of the films as they are. A display rotation, which no film of AVA has, is not kept.
"""

import logging
import sys
import time

import ffmpeg as ffmpeg_python

from trainer.errors import InputError
from trainer.files import whole_file
from workflow.scripts.job import job
from workflow.scripts.media import (
    FILM_START,
    check_window,
    ffmpeg_binary,
    ffmpeg_process,
    file_url,
    presentation,
    probe,
)
from workflow.scripts.shared import make_once

log = logging.getLogger(__name__)


def cut_film(film, cut, start, stop, ffmpeg=None):
    """Write the packets of ``film`` from the key frame before second ``start`` to ``stop`` into ``cut``.

    Seconds are those of ``ffmpeg -ss``, with which the published pipeline cuts: they count from the begin of the
    container's earliest stream, even if its first time stamp is not 0. Time stamps are kept, and a tag of the cut says
    where second 0 is. ``ffmpeg``: the binary's path, default the pinned one. Raises InputError for a film that cannot
    be read, lacks a video stream or does not cover the window.
    """
    began = time.monotonic()
    source = probe(film)
    with whole_file(cut) as partial:
        _copy_packets(source, partial, start, stop, ffmpeg_binary(ffmpeg))
        written, stamps, end = presentation(partial)
        check_window(film, written.time(stamps[0]), end, start, stop)
        size = partial.stat().st_size
    log.info(
        "%s: %d frames from second %.3f to %.3f, %.1f MB in %.1f s",
        *(film, len(stamps), written.time(stamps[0]), end, size / 1e6, time.monotonic() - began),
    )


def _copy_packets(source, cut, start, stop, binary):
    """Stream copy; one second past ``stop``, as packets come in the order of decoding, not of showing."""
    stream = ffmpeg_python.input(file_url(source.path), ss=float(start)).output(
        file_url(cut),
        map="0:V:0",  # V: not a cover picture
        codec="copy",
        to=float(source.zero + stop + 1),
        format="nut",
        avoid_negative_ts="disabled",  # else all time stamps move where the first packets' decoding times are negative
        map_metadata=-1,
        metadata=f"{FILM_START}={source.zero}",
    )
    with ffmpeg_process(stream, binary, pipe_stderr=True) as process:
        words = process.stderr.read().decode(errors="replace")
        sys.stderr.write(words)  # the job's log
        if process.wait() != 0:
            last = words.strip().rpartition("\n")[2] or f"status {process.returncode}"
            raise InputError(f"{source.path}: ffmpeg cannot copy its video stream into {cut.parent}: {last}")


if __name__ == "__main__":
    with job(snakemake):
        make_once(
            lambda cut: cut_film(snakemake.input.film, cut, **snakemake.params, ffmpeg=snakemake.config["ffmpeg"]),
            snakemake.input,
            snakemake.output,
            snakemake.config,
        )
