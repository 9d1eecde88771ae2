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


def make_once(make, outputs, config, made_of=()):
    """Make a job's ``outputs`` by ``make(*paths)``, in `data`, or where `shared` is set in ``config``, there and once.

    What is finished in the shared folder is linked to, even if that is read-only; what another workflow is making is
    waited for. ``made_of``: entries of `have` that the outputs are made of where a user has them; what is made of a
    user's own files is not shared. Raises InputError if the shared folder lacks a file and cannot be written to.
    """
    if not config["shared"] or any(config["have"][entry] for entry in made_of):
        make(*map(Path, outputs))
        return
    shared = Path(config["shared"]).absolute()
    files = [shared / Path(output).relative_to(config["data"]) for output in outputs]
    if not _finished(files):
        with _lock(shared, files[0]):
            if not _finished(files):  # not by another, while this one waited for the lock
                for file in files:
                    _make_folder(file.parent, shared)
                make(*files)
    for file, output in zip(files, outputs, strict=True):
        log.info("%s: linked to %s", output, file)
        with whole_file(output) as partial:
            partial.symlink_to(file)


def _finished(files) -> bool:
    return all(file.exists() for file in files)


@contextmanager
def _lock(shared, file):
    """Keep other processes, of other machines too, from making ``file``; wait for one that is at it."""
    if not shared.is_dir():
        raise InputError(
            f"{shared}: no such folder; config names it as `shared`: make it, writable for all who share it"
        )
    place = int.from_bytes(hashlib.sha256(os.fsencode(file.relative_to(shared))).digest()[:6], "big")
    try:
        lock = open_lock(shared / LOCK)
    except OSError as error:
        raise InputError(
            f"{shared}: lacks {file.relative_to(shared)} and cannot be written to ({error.strerror}); have its owner "
            "make it, or set config: shared: to null"
        ) from error
    try:
        with told_each_minute(f"waiting for another workflow, which is making {file}"):
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, place)
        yield
    finally:
        os.close(lock)


def _make_folder(folder, shared):
    """Make a folder within the shared one, with its permissions, so that others can write there as well."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        parent.chmod(shared.stat().st_mode)
