"""Files that are whole or not there."""

import os
import socket
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path):
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds, else remove it.

    The temporary name keeps the suffix (ffmpeg and pandas choose a format by it) and holds machine and process id, so
    that two processes never write the same one, on a shared file system either. The content reaches the disk before the
    name does (POSIX rename).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{socket.gethostname()}-{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
