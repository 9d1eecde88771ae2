"""Download a file from the first source that has it: it appears under its final name complete and checked, or not."""

import hashlib
import logging
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write, explain_full_disk
from workflow.lib.downloads import youtube
from workflow.lib.downloads.file_checks import check_content
from workflow.lib.downloads.http import HttpTransfer, Unavailable, one_line, partial_files
from workflow.lib.downloads.progress import size_text

log = logging.getLogger(__name__)


def download(urls, destination, *, size=None, sha256=None, window=None, ffmpeg=None):
    """Download ``destination`` from the first of ``urls`` that has it.

    A source is an http(s) URL, a YouTube page, a file:// URL or a local path, which is linked to. ``size`` (bytes) and
    ``sha256`` (or its beginning) are checked if known, and the content by its suffix; a film must cover the seconds
    ``window``. A file that fails a check is deleted. ``ffmpeg`` merges YouTube's streams. Raises InputError that names
    each source and its problem, or that the disk is full.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in urls:
        started = time.monotonic()
        try:
            with (
                explain_full_disk(destination, advice="make room and re-run; the download resumes"),
                _transferred(url, destination, size, ffmpeg) as partial,
            ):
                _check(partial, destination, size, sha256, window)
                found = partial.stat().st_size
        except Unavailable as problem:
            log.warning("%s: %s", url, problem)
            problems.append(f"{url}: {problem}")
        except InputError:  # the disk is full: no other source would help
            raise
        except Exception as error:
            log.exception("%s", url)
            problems.append(f"{url}: {type(error).__name__}: {one_line(error)}")
        else:
            log.info("%s: %s in %.0f s from %s", destination, size_text(found), time.monotonic() - started, url)
            _delete_partials(destination)
            return
    raise InputError(f"{destination}: no source has it. {'; '.join(problems) or 'None is given'}")


@contextmanager
def _transferred(url, destination, size, ffmpeg):
    """Yield the path of the downloaded file; rename it to ``destination`` if the block accepts it, else delete it."""
    address = urlsplit(url)
    if address.scheme in ("", "file"):
        with atomic_write(destination) as partial:
            source = Path(unquote(address.path) if address.scheme else url).resolve()
            if not source.is_file():
                raise Unavailable("no such file")
            # Not a hard link: Snakemake touches its outputs, so the user's own file would get a new timestamp.
            partial.symlink_to(source)
            yield partial
        return
    if address.hostname in youtube.HOSTS:
        try:
            partial = youtube.download_from_youtube(url, destination, ffmpeg)
        except InputError as error:
            raise Unavailable(one_line(error)) from error
    else:
        partial = HttpTransfer(url, destination, size).run()
    try:
        yield partial
    except Unavailable:
        partial.unlink()
        raise
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(destination)


def _check(partial, destination, size, sha256, window):
    """Raise Unavailable if size, hash or content of the file are not as expected."""
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


def _delete_partials(destination):
    """Delete the partial files of other sources."""
    for partial in partial_files(destination):
        partial.unlink()
    shutil.rmtree(youtube.partial_folder(destination), ignore_errors=True)
