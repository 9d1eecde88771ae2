"""Is a file what its name says? Checks that a size cannot replace, cheap enough for files of 76 GB."""

import os
import tarfile
import zipfile
from pathlib import Path

from trainer.errors import InputError
from workflow.scripts.media import check_film

FILMS = (".mkv", ".mp4", ".webm")
CHECKPOINTS = (".pth", ".pt", ".pth.tar")
PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def check_content(path, name=None, window=None):
    """Raise InputError if the file is a web page, or unlike what the suffix of ``name`` (default: its own) promises.

    A film has a video stream whose first picture decodes, and pictures throughout ``window`` (start and stop in
    seconds); a tar ends with its end mark; a zip's directory can be read; a checkpoint is not empty. Text may be empty:
    AVA's list of excluded time stamps is allowed to be.
    """
    path = Path(path)
    name = (name or path.name).lower()
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip().lower().startswith(PAGE_STARTS):
        raise InputError(f"{path}: a web page, not {name}")
    if name.endswith(CHECKPOINTS):  # before ".tar": these are no tars
        if not head:
            raise InputError(f"{path}: empty")
    elif name.endswith(FILMS):
        check_film(path, window)
    elif name.endswith(".tar"):
        _check_tar_end(path)
    elif name.endswith(".zip"):
        _check_zip_directory(path)


def _check_tar_end(path):
    """A tar is whole blocks and ends with two of zeros; one that was cut short does not."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 2 * tarfile.BLOCKSIZE, 0), os.SEEK_SET)
        tail = file.read()
    if size % tarfile.BLOCKSIZE or tail != bytes(2 * tarfile.BLOCKSIZE):
        raise InputError(f"{path}: not a tar, or one whose end is missing ({size:,} bytes)")


def _check_zip_directory(path):
    try:
        with zipfile.ZipFile(path):
            pass
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a zip, or one whose end is missing ({error})") from error
