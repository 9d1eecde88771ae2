"""Atomic writes: a file is complete or absent."""

import csv
import errno
import glob
import os
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.utils.errors import InputError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# A temporary file that has been unchanged for a day has no writer; the longest pause between two writes is minutes.
LEFTOVER_SECONDS = 24 * 3600


@contextmanager
def atomic_write(path, sole_writer=False):
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds, else delete it.

    The temporary name keeps the suffix, by which ffmpeg and pandas choose a format. It holds host, namespace of process
    ids (as containers may share the host's name) and process id, so two processes never share a temporary file, even on
    a network file system. The content is flushed to disk before the rename, which is atomic (POSIX).

    Temporary files of processes that were killed are deleted: at once if the process was of this host, else after a
    day. ``sole_writer``: this process holds a lock that all writers of the file take, so those of any host are deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    host = f"{socket.gethostname()}-{_process_namespace()}-"
    partial = path.with_name(f".{path.stem}.{host}{os.getpid()}.part{path.suffix}")
    _delete_leftovers(path, host, sole_writer)
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


def check_last_line(path):
    """Raise ValueError unless a file that ends with a line break does so: one that was truncated mostly does not."""
    if not Path(path).read_bytes().endswith(b"\n"):
        raise ValueError("empty, or ends within a line")


def write_csv(path, columns, rows):
    """Write a CSV with a header by an atomic write."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _process_namespace() -> int:
    namespace = Path("/proc/self/ns/pid")
    return namespace.stat().st_ino if namespace.exists() else 0


def _delete_leftovers(path, host, all_hosts):
    """Delete the temporary files of ``path`` whose process is gone from this ``host``, and old ones, or all."""
    prefix, suffix = f".{path.stem}.", f".part{path.suffix}"
    for leftover in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        writer = leftover.name.removeprefix(prefix).removesuffix(suffix)
        gone = all_hosts or (writer.startswith(host) and not _is_running(writer.removeprefix(host)))
        # another process deletes it at this moment; in a sticky folder, it may belong to another user
        with suppress(OSError):
            if gone or time.time() - leftover.lstat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()


def _is_running(pid: str) -> bool:
    """Return whether another process may have this id."""
    if pid == str(os.getpid()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError, OverflowError):  # of another user; no process id, so not written by us
        pass
    return True
