"""Locks between processes of several users; the kernel releases them however a process ends (fcntl(2)).

A lock belongs to one process: neither forked data loaders nor programs that the process starts keep it.
"""

import errno
import fcntl
import logging
import os
import threading
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


def open_lock(path) -> int:
    """Open a lock file that every user of the host can lock; create it and its folder if missing."""
    mask = os.umask(0)  # so that the modes below hold at once: before a later chmod, others would have no access
    try:
        Path(path).parent.mkdir(mode=0o1777, parents=True, exist_ok=True)
        # Linux forbids O_CREAT on another user's existing file in a sticky folder (fs.protected_regular)
        while True:
            try:
                return os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                try:
                    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o666)
                except FileExistsError:
                    if Path(path).is_symlink():
                        raise FileNotFoundError(errno.ENOENT, "a link to a missing file", str(path)) from None
    finally:
        os.umask(mask)


def try_lock(lock: int) -> bool:
    """Lock an open file for this process alone; return whether no other process has it locked."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def log_while_waiting(message):
    """Log ``message`` when the block has taken a second, and every minute from then on."""
    done = threading.Event()

    def repeat():
        seconds = 1
        while not done.wait(seconds):
            log.info(message)
            seconds = 60

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
