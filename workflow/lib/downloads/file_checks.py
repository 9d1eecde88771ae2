"""Check that a file's content fits its name, beyond its size; cheap enough for files of 76 GB."""

import tarfile
import zipfile
from pathlib import Path

from trainer.utils.errors import InputError
from workflow.lib.film import check_film

FILMS = (".mkv", ".mp4", ".webm")
CHECKPOINTS = (".pth", ".pt", ".pth.tar", ".safetensors")
PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def check_content(path, name=None, window=None):
    """Raise InputError if the file is a web page, or unlike what the suffix of ``name`` (default: its own) promises.

    In a film, the first frame decodes and frames cover ``window`` (start and stop in seconds). A tar has its end mark,
    a zip its directory, and a checkpoint is not empty. Text may be empty, as AVA's list of excluded timestamps can be.
    """
    path = Path(path)
    name = (name or path.name).lower()
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip().lower().startswith(PAGE_STARTS):
        raise InputError(f"{path}: a web page, not {name}")
    if name.endswith(CHECKPOINTS):  # before ".tar", as a .pth.tar is no tar
        if not head:
            raise InputError(f"{path}: empty")
    elif name.endswith(FILMS):
        check_film(path, window)
    elif name.endswith(".tar"):
        _check_tar_end(path)
    elif name.endswith(".zip"):
        _check_zip_directory(path)


def _check_tar_end(path):
    """Raise InputError unless the tar consists of whole blocks and ends with two of zeros; a truncated one does not."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 2 * tarfile.BLOCKSIZE, 0))
        tail = file.read()
    if size % tarfile.BLOCKSIZE or tail != bytes(2 * tarfile.BLOCKSIZE):
        raise InputError(f"{path}: not a tar, or truncated ({size:,} bytes)")


def _check_zip_directory(path):
    try:
        with zipfile.ZipFile(path):
            pass
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not a zip, or truncated ({error})") from error
