"""Fetch a file from the first source that has it: whole and checked under its final name, or not at all.

What has arrived is kept in a hidden file beside the destination, whose name tells source, version and size, so that a
later run goes on where this one was stopped and never joins parts of two files.
"""

import errno
import glob
import hashlib
import logging
import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from urllib3.util import Retry

from trainer.errors import InputError
from trainer.files import disk_full_told, whole_file
from workflow.scripts.contents import check_content
from workflow.scripts.job import job
from workflow.scripts.progress import Progress, size_text
from workflow.scripts.shared import make_once
from workflow.scripts.youtube import FOLDER, fetch_film

log = logging.getLogger(__name__)

# Seconds to wait before each further try that brought nothing new; any progress starts the list again.
PAUSES = (2, 5, 15, 30, 60, 120)
# Seconds for a connection, and between two pieces of the content.
TIMEOUTS = (30, 60)
# What a server may get over; any other 4xx is its last word (S3 says 403 for a file that is not there).
PASSING = {408, 425, 429}
# Small enough that a cut connection loses little, large enough for a gigabit.
PIECE = 1 << 16

YOUTUBE = ("www.youtube.com", "youtube.com", "youtu.be")


class Unavailable(Exception):
    """This source does not have the file; the next one may."""


class Interrupted(Exception):
    """The transfer broke; trying again may help. ``pause``: the seconds that the server asked for."""

    def __init__(self, reason, pause=0):
        super().__init__(reason)
        self.pause = pause


def download(urls, destination, *, bytes=None, sha256=None, window=None, ffmpeg=None, pauses=PAUSES, timeouts=TIMEOUTS):
    """Fetch ``destination`` from the first of ``urls`` that has it.

    A source is an http(s) URL, a YouTube page, a file:// URL or a local path (linked to).
    ``bytes`` and ``sha256`` (or its beginning) are checked where known, and the content by its suffix; a film must
    cover the seconds ``window``. What fails is thrown away. ``ffmpeg``: for YouTube's streams. Raises InputError naming
    each source and what was wrong with it, or that the disk is full.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in urls:
        began = time.monotonic()
        try:
            with (
                disk_full_told(destination, advice="make room and run again, what has arrived is kept"),
                _fetched(url, destination, bytes, ffmpeg, pauses, timeouts) as partial,
            ):
                _check(partial, destination, bytes, sha256, window)
                size = partial.stat().st_size
        except Unavailable as problem:
            log.warning("%s: %s", url, problem)
            problems.append(f"{url}: {problem}")
        else:
            log.info("%s: %s in %.0f s from %s", destination, size_text(size), time.monotonic() - began, url)
            _forget_partials(destination)
            return
    raise InputError(f"{destination}: no source has it. {'; '.join(problems) or 'None is given'}")


@contextmanager
def _fetched(url, destination, size, ffmpeg, pauses, timeouts):
    """Yield the path of the fetched file; name it ``destination`` if the block accepts it, else throw it away."""
    address = urlsplit(url)
    if address.scheme in ("", "file"):
        with whole_file(destination) as partial:
            source = Path(unquote(address.path) if address.scheme else url).resolve()
            if not source.is_file():
                raise Unavailable("no such file")
            partial.symlink_to(source)  # Snakemake touches its outputs: a hard link's source would look new by that
            yield partial
        return
    if address.hostname in YOUTUBE:
        try:
            partial = fetch_film(url, destination, ffmpeg)
        except InputError as error:
            raise Unavailable(str(error)) from error
    else:
        partial = _Transfer(url, destination, size, timeouts).run(pauses)
    try:
        yield partial
    except Unavailable:
        partial.unlink()
        raise
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(destination)


def _check(partial, destination, size, sha256, window):
    """Raise Unavailable if the file is not what was expected."""
    found = partial.stat().st_size
    if size is not None and found != size:
        raise Unavailable(f"has {found:,} bytes, expected {size:,}")
    if sha256 is not None:
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(sha256.lower()):
            raise Unavailable(f"has SHA-256 {digest}, expected {sha256}")
    try:
        check_content(partial, destination.name, window)
    except InputError as error:
        raise Unavailable(str(error).removeprefix(f"{partial}: ")) from error


@dataclass
class _Transfer:
    """One file over HTTP, in as many requests as it takes."""

    url: str
    destination: Path
    size: int | None  # bytes expected, if known
    timeouts: tuple[float, float]

    def run(self, pauses) -> Path:
        """Return the path of the whole file, still under a hidden name."""
        failures, most = 0, 0
        with requests.Session() as session:
            while True:
                try:
                    return self._attempt(session)
                except Interrupted as problem:
                    held = self._held()
                    arrived = held.stat().st_size if held else 0
                    failures = 1 if arrived > most else failures + 1
                    most = max(most, arrived)
                    if failures > len(pauses):
                        raise Unavailable(f"gave up after {failures} tries in vain; the last: {problem}") from problem
                    pause = max(pauses[failures - 1], problem.pause)
                    log.warning("%s: %s; %s kept, trying again in %g s", self.url, problem, size_text(arrived), pause)
                    time.sleep(pause)

    def _attempt(self, session) -> Path:
        """Ask for what is missing and append it; return the partial file when it is whole."""
        held = self._held()
        offset = held.stat().st_size if held else 0
        if held and offset == self._size_in_name(held):  # stopped between the last byte and the check
            return held
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            with session.get(self.url, headers=headers, stream=True, timeout=self.timeouts) as response:
                partial, offset = self._accept(response, held, offset)
                self._append(response, partial, offset)
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # no URL, or of an unknown kind
                raise Unavailable(str(error)) from error
            raise Interrupted(_reason(error)) from error
        arrived, total = partial.stat().st_size, self._size_in_name(partial)
        if total is not None and arrived != total:
            raise Interrupted(f"the connection ended after {arrived:,} of {total:,} bytes")
        return partial

    def _accept(self, response, held, offset):
        """Judge the answer; return the partial file to write to, and from which byte on."""
        status = response.status_code
        if status >= 500 or status in PASSING:
            pause = Retry().get_retry_after(response.raw) or 0
            raise Interrupted(f"HTTP status {status}", pause)
        if status == 416:  # not a range of the file: the file at the source has changed
            held.unlink()
            raise Interrupted("the source has another file now, starting again")
        if status not in (200, 206):
            raise Unavailable(f"HTTP status {status} {response.reason}")

        begin, total = _extent(response)
        if self.size is not None and total is not None and total != self.size:
            raise Unavailable(f"offers {total:,} bytes, expected {self.size:,}")
        partial = self._partial(response, total)
        if held and (begin != offset or partial != held):
            log.info("%s: cannot go on at byte %d, starting again", self.url, offset)
            held.unlink()
            if begin != 0:
                raise Interrupted("the source has another file now, starting again")
        free = shutil.disk_usage(partial.parent).free
        if total is not None and total - begin > free:
            raise OSError(errno.ENOSPC, f"{size_text(total - begin)} to come, {size_text(free)} free", str(partial))
        return partial, begin

    def _append(self, response, partial, offset):
        progress = Progress(self.destination.name, offset, self._size_in_name(partial))
        if offset == 0:
            partial.unlink(missing_ok=True)
        # Without buffer: what has arrived is on disk whatever ends this process.
        with partial.open("r+b" if offset else "wb", buffering=0) as file:
            file.seek(offset)
            for piece in response.iter_content(PIECE):
                file.write(piece)
                progress.add(len(piece))

    def _held(self) -> Path | None:
        """The partial file of an earlier attempt; in a shared folder another's may not be ours to go on with."""
        partials = _partials(self.destination, _short_hash(self.url))
        return next((partial for partial in partials if os.access(partial, os.W_OK)), None)

    def _partial(self, response, total) -> Path:
        """Where to keep this version of the file: .NAME.<hash of the URL>-<hash of the version>-<bytes>.part"""
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        identity = f"{_short_hash(self.url)}-{_short_hash(version)}-{'' if total is None else total}"
        return self.destination.with_name(f".{self.destination.name}.{identity}.part")

    @staticmethod
    def _size_in_name(partial) -> int | None:
        size = partial.name.removesuffix(".part").rpartition("-")[2]
        return int(size) if size else None


def _extent(response) -> tuple[int, int | None]:
    """The first byte that the answer brings, and the whole file's size if it tells."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise Interrupted("the server's answer to a Range request has no Content-Range")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _reason(error) -> str:
    """What broke, without the chain of exceptions that requests puts around it."""
    if isinstance(error, requests.Timeout):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    return str(error).rpartition(": ")[2].rstrip("'\")>")


def _partials(destination, url_hash=""):
    return destination.parent.glob(f".{glob.escape(destination.name)}.{url_hash}*.part")


def _forget_partials(destination):
    """Remove what other sources left; the file is there."""
    for partial in _partials(destination):
        partial.unlink()
    shutil.rmtree(destination.with_name(FOLDER.format(destination.name)), ignore_errors=True)


def _short_hash(text) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


if __name__ == "__main__":
    with job(snakemake):
        ava = snakemake.config["ava"]  # no params: another window does not make whole films outdated
        settings = {"window": (ava["start"], ava["stop"]), "ffmpeg": snakemake.config["ffmpeg"]}
        make_once(
            lambda destination: download(destination=destination, **snakemake.params, **settings),
            snakemake.input,
            snakemake.output,
            snakemake.config,
            snakemake.params.bytes,
        )
