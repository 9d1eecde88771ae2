"""Data files that several checkouts share: each is made once, by whoever comes first, and never touched again.

Snakemake deletes a job's declared outputs before the job starts, and touches them when it ends, whoever made them: two
workflows with the same outputs would take each other's files away. So what is declared, in a checkout's own `data`
folder, are links, and the files lie in the `shared` folder under the same names, of which Snakemake knows nothing.
"""

import fcntl
import hashlib
import logging
import os
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import InputError
from trainer.files import whole_file
from trainer.locks import open_lock, told_each_minute

log = logging.getLogger(__name__)

LOCK = ".lock"  # one file for all locks: each takes a byte of it


def make_once(make, inputs, outputs, config, size=None):
    """Make a job's ``outputs`` by ``make(*paths)``, in `data`, or where `shared` is set in ``config``, there and once.

    What is finished in the shared folder is linked to, even if that is read-only; what another workflow is making is
    waited for. Only what comes from the net or is made of shared ``inputs`` is shared: what is made of a user's own
    files stays in `data`. Raises InputError if the shared folder lacks a file and cannot be written to, or has one of
    another ``size`` (bytes, where known) than this workflow's sources.
    """
    shared = config["shared"] and Path(config["shared"]).resolve()
    if not shared or not all(Path(file).resolve().is_relative_to(shared) for file in inputs):
        make(*map(Path, outputs))
        return
    files = [shared / Path(output).relative_to(config["data"]) for output in outputs]
    if not _finished(files):
        with _lock(shared, files[0]), _permissions_of(shared):
            if not _finished(files):  # not by another, while this one waited for the lock
                _make_folders(files)
                make(*files)
    for file, output in zip(files, outputs, strict=True):
        found = file.stat().st_size
        if size not in (None, found):
            raise InputError(
                f"{file}: has {found:,} bytes, expected {size:,}: a workflow with other sources made it; delete it to "
                "fetch it anew, or set config: shared: null"
            )
        log.info("%s: linked to %s", output, file)
        with whole_file(output) as partial:
            partial.symlink_to(file)


def _finished(files) -> bool:
    """By a listing: of a single name a network file system may remember for a minute that it was not there."""
    return all(file.parent.is_dir() and file in file.parent.iterdir() for file in files)


@contextmanager
def _lock(shared, file):
    """Keep other processes, of other machines too, from making ``file``; wait for one that is at it."""
    if not shared.is_dir():
        raise InputError(f"{shared}: no such folder; config names it as `shared`; make it, writable for its users")
    with _refusal_told(file):
        lock = open_lock(shared / LOCK)
    try:
        with told_each_minute(f"waiting for another workflow, which is making {file}"):
            _take(lock, file.relative_to(shared))
        yield
    finally:
        os.close(lock)


def _take(lock, name):
    place = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
    except OSError as error:
        raise InputError(
            f"config: shared: its file system takes no POSIX locks ({error.strerror}); name another one, or null"
        ) from error


@contextmanager
def _permissions_of(shared):
    """Let what is made be readable and writable for whom the shared folder is, whatever this user's umask."""
    mask = os.umask(0o777 & ~shared.stat().st_mode)
    try:
        yield
    finally:
        os.umask(mask)


def _make_folders(files):
    for file in files:
        with _refusal_told(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(file.parent, os.W_OK):
                raise PermissionError(None, "no permission")


@contextmanager
def _refusal_told(file):
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{file}: is not there (yet), and you may not write there ({error.strerror}); have somebody make it who "
            "may, or set config: shared: null"
        ) from error
