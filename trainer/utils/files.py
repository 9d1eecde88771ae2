"""Atomic writes: a file is complete or absent."""

import csv
import errno
import glob
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.utils.errors import InputError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path):
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds, else delete it.

    The temporary name keeps the suffix, by which ffmpeg and pandas choose a format. It holds host name and process id,
    so two processes never share a temporary file, even on a network file system. The content is flushed to disk before
    the rename, which is atomic (POSIX). Temporary files that killed processes of this host left are deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{path.stem}.{socket.gethostname()}-", f".part{path.suffix}"
    partial = path.with_name(f"{prefix}{os.getpid()}{suffix}")
    for leftover in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        if leftover == partial or not _is_running(leftover.name.removeprefix(prefix).removesuffix(suffix)):
            # another process deletes it at this moment; in a sticky folder, it may belong to another user
            with suppress(FileNotFoundError, PermissionError):
                leftover.unlink()
    try:
        with explain_full_disk(path):
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def explain_full_disk(path, advice="make room and re-run"):
    """Raise InputError if the block fails because the disk is full; ``path`` is the file it writes."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise InputError(f"{path}: the disk is full ({error.strerror}); {advice}") from error


def write_csv(path, columns, rows):
    """Write a CSV with a header by an atomic write."""
    with atomic_write(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):  # a process of another user; no process id, so not written by us
        pass
    return True
