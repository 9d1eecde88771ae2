"""A cache of data files for several checkouts: the first workflow to need a file creates it, the others link to it.

Snakemake deletes a job's declared outputs before the job starts and touches them when it ends. Two workflows with the
same outputs would therefore delete each other's files. So each checkout declares links in its own `data` folder. The
files have the same names in the `shared_cache` folder, which Snakemake does not know.
"""

import fcntl
import hashlib
import logging
import os
from contextlib import contextmanager
from pathlib import Path

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from trainer.utils.locks import log_while_waiting, open_lock

log = logging.getLogger(__name__)

LOCK = ".lock"  # one file for all locks: each takes one byte of it


def build_in_shared_cache(build, job, size=None):
    """Create a rule's outputs by ``build(*paths)``: in `data`, or once in `shared_cache` if the config sets it.

    Files that the cache holds are linked to; read access is enough for that. Files that another workflow is creating
    are waited for. Only downloads and files made of inputs in the cache are cached: files made of a user's own
    inputs stay in `data`. Raises InputError if the cache lacks a file and cannot be written to, or if a file's size
    is not ``size`` (bytes, if known).
    """
    outputs, config = job.output, job.config
    cache = config["shared_cache"] and Path(config["shared_cache"]).resolve()
    if not cache or not all(Path(file).resolve().is_relative_to(cache) for file in job.input):
        build(*map(Path, outputs))
        return
    files = [cache / Path(output).relative_to(config["data"]) for output in outputs]
    if not _all_exist(files):
        with _lock(cache, files[0]), _folder_permissions(cache):
            if not _all_exist(files):  # another workflow may have created them while this one waited for the lock
                _make_folders(files)
                build(*files)
    for file, output in zip(files, outputs, strict=True):
        try:
            found = file.stat().st_size
        except OSError as error:  # a link to a user's own file that is gone
            raise InputError(f"{file}: cannot be read ({error.strerror}); delete it to create it again") from error
        if size not in (None, found):
            raise InputError(
                f"{file}: has {found:,} bytes, expected {size:,}: a workflow with other sources created it; delete it "
                "to download it again, or do without the cache (config: shared_cache: null)"
            )
        log.info("%s: linked to %s", output, file)
        with atomic_write(output) as partial:
            partial.symlink_to(file)


def _all_exist(files) -> bool:
    """Return whether all files exist, by listing folders: NFS may cache a single name's absence for a minute."""
    return all(file.parent.is_dir() and file in file.parent.iterdir() for file in files)


@contextmanager
def _lock(cache, file):
    """Hold the lock of ``file`` among the processes of all hosts; wait for a process that is creating it."""
    if not cache.is_dir():
        raise InputError(f"{cache}: no such folder (config: shared_cache); create it, writable for its users")
    with _explain_no_access(file):
        lock = open_lock(cache / LOCK)
    try:
        with log_while_waiting(f"waiting for another workflow, which is creating {file}"):
            _acquire(lock, file.relative_to(cache))
        yield
    finally:
        os.close(lock)


def _acquire(lock, name):
    position = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6], "big")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX, 1, position)
    except OSError as error:
        raise InputError(
            f"config: shared_cache: its file system supports no POSIX locks ({error.strerror}); expected a folder on "
            "one that does, or null"
        ) from error


@contextmanager
def _folder_permissions(cache):
    """Give new files the read and write permissions of the cache's folder, whatever this user's umask."""
    mask = os.umask(0o777 & ~cache.stat().st_mode)
    try:
        yield
    finally:
        os.umask(mask)


def _make_folders(files):
    for file in files:
        with _explain_no_access(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(file.parent, os.W_OK):
                raise PermissionError(None, "no permission")


@contextmanager
def _explain_no_access(file):
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{file}: does not exist yet, and you cannot create it ({error.strerror}); ask a user with write access to "
            "run the workflow, or do without the cache (config: shared_cache: null)"
        ) from error
