"""Fetch a film from its YouTube page."""

import logging
from pathlib import Path

from yt_dlp import YoutubeDL
from yt_dlp.utils import YoutubeDLError

from trainer.errors import InputError
from workflow.scripts.media import ffmpeg_binary
from workflow.scripts.progress import Progress

log = logging.getLogger(__name__)

# Beside the film: yt-dlp's own partial files, with which it goes on after a break.
FOLDER = ".{}.yt-dlp"


def fetch_film(url, destination, ffmpeg=None) -> Path:
    """Fetch the film on a page by yt-dlp, in the container of ``destination``'s suffix; return its hidden path.

    Streams are chosen to fit the container and copied into it, never re-encoded; of at most 720 lines where there is
    a choice, as no clip sees more than 320. Raises InputError with yt-dlp's words.
    """
    container = destination.suffix.removeprefix(".")
    folder = destination.with_name(FOLDER.format(destination.name))  # yt-dlp goes on with its own partial files in it
    audio = {"mp4": "m4a"}.get(container, container)
    fitting = f"bv*[ext={container}]+ba[ext={audio}]/b[ext={container}]/"
    options = {
        "format": (fitting if container in ("mp4", "webm") else "") + "bv*+ba/b",
        "format_sort": ["res:720"],
        "merge_output_format": container,
        "postprocessors": [{"key": "FFmpegVideoRemuxer", "preferedformat": container}],
        "ffmpeg_location": ffmpeg_binary(ffmpeg),
        "outtmpl": str(folder).replace("%", "%%") + "/film.%(ext)s",
        "retries": 10,
        "sleep_interval_requests": 1,  # politeness
        "noplaylist": True,
        "noprogress": True,
        "progress_hooks": [_Lines(destination.name)],
        "logger": log,
        "cachedir": False,
        "color": "no_color",
    }
    try:
        with YoutubeDL(options) as downloader:
            downloader.download([url])
    except YoutubeDLError as error:
        raise InputError(str(error).removeprefix("ERROR: ")) from error
    film = folder / f"film.{container}"
    if not film.is_file():
        raise InputError(f"yt-dlp brought no .{container}")
    return film


class _Lines:
    """yt-dlp's progress in the same lines as our own."""

    def __init__(self, name):
        self.name, self.stream, self.progress = name, None, None

    def __call__(self, status):
        if status["status"] != "downloading":
            return
        done = status.get("downloaded_bytes") or 0
        if status.get("filename") != self.stream:
            self.stream = status.get("filename")
            self.progress = Progress(self.name, done, None)
        # Known late or only estimated.
        self.progress.total = status.get("total_bytes") or status.get("total_bytes_estimate")
        self.progress.add(done - self.progress.done)
