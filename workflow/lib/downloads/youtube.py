"""Download a film from its YouTube page."""

import logging
from pathlib import Path

from yt_dlp import YoutubeDL
from yt_dlp.utils import YoutubeDLError

from trainer.utils.errors import InputError
from workflow.lib.downloads.progress import TooSlow, TransferLog
from workflow.lib.film import ffmpeg_binary

log = logging.getLogger(__name__)

RATE_SECONDS = 600  # as yt-dlp itself tries for minutes to go on after a pause
HOSTS = ("www.youtube.com", "youtube.com", "youtu.be")


def partial_folder(destination) -> Path:
    """Return the folder beside a film for yt-dlp's partial files, from which it resumes."""
    return destination.with_name(f".{destination.name}.yt-dlp")


def download_from_youtube(url, destination, ffmpeg=None) -> Path:
    """Download the film of a page by yt-dlp, in the container of ``destination``'s suffix; return its hidden path.

    Streams that fit the container are preferred and copied into it, never re-encoded. Resolutions up to 720p are
    preferred, as no clip uses more than 320 pixels of the short side. Raises InputError with yt-dlp's message, or
    if the bytes come too slowly.
    """
    container = destination.suffix.removeprefix(".")
    folder = partial_folder(destination)
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
        "sleep_interval_requests": 1,  # seconds, to spare the server
        "noplaylist": True,
        "noprogress": True,
        "progress_hooks": [_ProgressHook(destination.name)],
        "logger": log,
        "cachedir": False,
        "color": "no_color",
    }
    try:
        with YoutubeDL(options) as downloader:
            downloader.download([url])
    except (YoutubeDLError, TooSlow) as error:
        raise InputError(str(error).removeprefix("ERROR: ")) from error
    film = folder / f"film.{container}"
    if not film.is_file():
        raise InputError(f"yt-dlp wrote no .{container}")
    return film


class _ProgressHook:
    """Log yt-dlp's progress by a TransferLog per stream."""

    def __init__(self, name):
        self.name, self.stream, self.transfer = name, None, None

    def __call__(self, status):
        if status["status"] != "downloading":
            return
        done = status.get("downloaded_bytes") or 0
        if status.get("filename") != self.stream:
            self.stream = status.get("filename")
            self.transfer = TransferLog(self.name, done, None, RATE_SECONDS)
        # yt-dlp learns the total late, or only estimates it
        self.transfer.total = status.get("total_bytes") or status.get("total_bytes_estimate")
        self.transfer.add(done - self.transfer.done)
