"""Files that are whole or not there."""

import errno
import glob
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.errors import InputError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path):
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds, else remove it.

    The temporary name keeps the suffix (ffmpeg and pandas choose a format by it) and holds machine and process id, so
    that two processes never write the same one, on a shared file system either. The content reaches the disk before the
    name does (POSIX rename). What killed processes of this machine left of the file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{path.stem}.{socket.gethostname()}-", f".part{path.suffix}"
    partial = path.with_name(f"{prefix}{os.getpid()}{suffix}")
    for left in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        if left == partial or not _is_running(left.name.removeprefix(prefix).removesuffix(suffix)):
            with suppress(FileNotFoundError, PermissionError):  # another sweeps; another's, in a sticky folder
                left.unlink()
    try:
        with disk_full_told(path):
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def disk_full_told(path, advice="make room and run again"):
    """Raise InputError where the disk turns out to be full while ``path`` is written."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise InputError(f"{path}: the disk is full ({error.strerror}); {advice}") from error


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):  # of another user; not a name of ours
        pass
    return True
