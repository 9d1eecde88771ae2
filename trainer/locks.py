"""Locks between processes of several users, which the kernel drops however a process ends (fcntl(2)).

A lock belongs to a process: forked data loaders do not keep it, nor do programs that the process starts.
"""

import logging
import os
import threading
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


def open_lock(path) -> int:
    """Open a lock file that every user of the machine can lock, making it and its directory when missing."""
    mask = os.umask(0)  # modes as written below: chmod afterwards would leave others a moment without access
    try:
        Path(path).parent.mkdir(mode=0o1777, parents=True, exist_ok=True)
        # Linux forbids O_CREAT on another user's existing file in such a directory (fs.protected_regular)
        while True:
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                try:
                    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o666)
                except FileExistsError:
                    continue
    finally:
        os.umask(mask)


@contextmanager
def told_each_minute(message):
    """Log the message when the block takes longer than a second, and every minute from then on."""
    done = threading.Event()

    def tell():
        seconds = 1
        while not done.wait(seconds):
            log.info(message)
            seconds = 60

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
