"""Download a file over HTTP, resuming after an interruption.

A partial file is kept beside the destination under a hidden name that holds source, version and size. So a later run
resumes where this one stopped, and never joins parts of two files.
"""

import errno
import glob
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from workflow.lib.downloads.progress import MIN_BYTES_PER_MINUTE, TooSlow, TransferLog, size_text

log = logging.getLogger(__name__)

# Pauses before each further attempt without progress; an attempt that brings bytes starts the list again.
BACKOFF_SECONDS = (2, 5, 15, 30, 60, 120)
# Seconds to connect, and between two pieces of the content.
TIMEOUTS = (30, 60)
# Seconds until all headers have come, those of redirects included.
ANSWER_SECONDS = 300
# The longest wait that a server may ask for (Retry-After), in seconds.
MAX_PAUSE_SECONDS = 600
# Temporary, as are all 5xx; any other 4xx is final (S3 answers 403 if a file does not exist).
RETRYABLE_STATUS = {408, 425, 429}
# Small enough that an interruption loses little, large enough for a gigabit per second.
CHUNK_BYTES = 1 << 16


class Unavailable(Exception):
    """This source does not have the file; the next one may."""


class Interrupted(Exception):
    """The transfer broke, and another attempt may help. ``pause``: the seconds that the server asks to wait."""

    def __init__(self, reason, pause=0):
        super().__init__(reason)
        self.pause = pause


@dataclass
class HttpTransfer:
    """The transfer of one file, in as many requests as it takes."""

    url: str
    destination: Path
    size: int | None  # bytes expected, if known

    def run(self) -> Path:
        """Return the path of the complete file, still under its hidden name."""
        failures, most, since = 0, 0, time.monotonic()
        with requests.Session() as session:
            while True:
                try:
                    return self._attempt(session)
                except Interrupted as problem:
                    held = self._held()
                    arrived = held.stat().st_size if held else 0
                    now = time.monotonic()
                    if arrived - most > MIN_BYTES_PER_MINUTE * (now - since) / 60:
                        failures, most, since = 1, arrived, now
                    else:
                        failures += 1
                    if failures > len(BACKOFF_SECONDS):
                        raise Unavailable(
                            f"gave up after {failures} attempts without progress; the last: {problem}"
                        ) from problem
                    pause = max(BACKOFF_SECONDS[failures - 1], problem.pause)
                    log.warning("%s: %s; %s kept, next attempt in %g s", self.url, problem, size_text(arrived), pause)
                    time.sleep(pause)

    def _attempt(self, session) -> Path:
        """Request the missing bytes and append them; return the partial file when it is complete."""
        held = self._held()
        offset = held.stat().st_size if held else 0
        if held and offset == self._size_in_name(held):  # a run was stopped between the last byte and the check
            return held
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            with self._answer(session, headers) as response:
                partial, offset = self._accept(response, held, offset)
                self._append(response, partial, offset)
        except (ValueError, requests.TooManyRedirects) as error:  # not an address, or redirects without end
            raise Unavailable(one_line(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, TooSlow) as error:
            raise Interrupted(_reason(error)) from error
        arrived, total = partial.stat().st_size, self._size_in_name(partial)
        if total is not None and arrived != total:
            raise Interrupted(f"the connection ended after {arrived:,} of {total:,} bytes")
        return partial

    def _answer(self, session, headers) -> requests.Response:
        """Request the file; return the response, of which the headers have come, but no content.

        The time-outs limit the pause between two bytes. The time of all is limited by waiting in a thread, which is
        abandoned.
        """
        answer = Future()

        def request():
            try:
                answer.set_result(session.get(self.url, headers=headers, stream=True, timeout=TIMEOUTS))
            except Exception as error:
                answer.set_exception(error)

        threading.Thread(target=request, daemon=True).start()
        try:
            return answer.result(ANSWER_SECONDS)
        except TimeoutError as error:
            raise Interrupted(f"no complete headers in {ANSWER_SECONDS:.0f} s") from error

    def _accept(self, response, held, offset):
        """Check status and headers of a response; return the partial file to write to, and the first byte to write."""
        status = response.status_code
        if status >= 500 or status in RETRYABLE_STATUS:
            pause = _pause(response)
            if pause > MAX_PAUSE_SECONDS:
                raise Unavailable(f"HTTP status {status}: asks to wait {pause:,} s, more than {MAX_PAUSE_SECONDS}")
            raise Interrupted(f"HTTP status {status}", pause)
        if status == 416 and held:  # the range is outside the file, so the file at the source has changed
            held.unlink()
            raise Interrupted("the file at the source has changed, starting again")
        if status not in ((200, 206) if offset else (200,)):
            raise Unavailable(f"HTTP status {status} {one_line(response.reason)}")
        if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise Unavailable(f"sends Content-Encoding {encoding!r}, expected identity")

        start, total = _extent(response)
        if total is None:
            total = self.size
        elif self.size not in (None, total):
            raise Unavailable(f"offers {total:,} bytes, expected {self.size:,}")
        partial = self._partial(response, total)
        if held and (start != offset or partial != held):
            log.info("%s: cannot resume at byte %d, starting again", self.url, offset)
            held.unlink()
            if start != 0:
                raise Interrupted("the file at the source has changed, starting again")
        free = shutil.disk_usage(partial.parent).free
        if total is not None and total - start > free:
            raise OSError(errno.ENOSPC, f"{size_text(total - start)} to come, {size_text(free)} free", str(partial))
        return partial, start

    def _append(self, response, partial, offset):
        total = self._size_in_name(partial)
        transfer = TransferLog(self.destination.name, offset, total)
        if offset == 0:
            partial.unlink(missing_ok=True)
        # Unbuffered, so that no byte that has arrived is lost if this process is killed.
        with partial.open("r+b" if offset else "wb", buffering=0) as file:
            file.seek(offset)
            # read1 returns what has arrived; read would wait for all of CHUNK_BYTES, however slowly they come.
            while chunk := response.raw.read1(CHUNK_BYTES):
                if total is not None and transfer.done + len(chunk) > total:
                    partial.unlink()
                    raise Unavailable(f"sends more than the {total:,} bytes expected")
                if file.write(chunk) < len(chunk):  # the next part would be in the wrong place
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))
                transfer.add(len(chunk))

    def _held(self) -> Path | None:
        """Return the partial file of an earlier attempt; in a shared folder, another user's may not be writable."""
        partials = partial_files(self.destination, _short_hash(self.url))
        return next((partial for partial in partials if os.access(partial, os.W_OK)), None)

    def _partial(self, response, total) -> Path:
        """Return this version's hidden path: .NAME.<hash of the URL>-<hash of the version>-<bytes>.part"""
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        identity = f"{_short_hash(self.url)}-{_short_hash(version)}-{'' if total is None else total}"
        return self.destination.with_name(f".{self.destination.name}.{identity}.part")

    @staticmethod
    def _size_in_name(partial) -> int | None:
        size = partial.name.removesuffix(".part").rpartition("-")[2]
        return int(size) if size else None


def partial_files(destination, url_hash=""):
    """Return the partial files of ``destination``, of one source or of all."""
    return destination.parent.glob(f".{glob.escape(destination.name)}.{url_hash}*.part")


def _extent(response) -> tuple[int, int | None]:
    """Return the first byte of the response's content, and the size of the whole file if the server says it."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            raise Interrupted("the server's answer to a Range request has no Content-Range")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    if length and not re.fullmatch("[0-9]{1,18}", length):
        raise Unavailable(f"sends Content-Length {length[:40]!r}, expected a number")
    return 0, int(length) if length else None


def _pause(response) -> int:
    """Return the seconds that the server asks to wait; 0 if it asks for none, or not in a known format."""
    with suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return urllib3.Retry().get_retry_after(response.raw) or 0
    return 0


def _reason(error) -> str:
    """Return the cause of an error, without the exceptions that requests wraps around it."""
    if isinstance(error, TooSlow):
        return str(error)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "timed out"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)):
        return "the connection was cut"
    while inner := next((e for e in (getattr(error, "reason", None), *error.args) if isinstance(e, Exception)), None):
        error = inner
    return one_line(str(error).rpartition(": ")[2]) or type(error).__name__


def one_line(text) -> str:
    """Return what a server said as one line without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def _short_hash(text) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
