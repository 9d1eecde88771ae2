"""Unpack selected files of an archive, in whatever folder it keeps them."""

import gzip
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

log = logging.getLogger(__name__)

DAMAGE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


def unpack(archive, outputs):
    """Write each path of ``outputs`` from the member of a tar or zip that has its file name.

    Folders in the archive may differ, as authors move files between releases. Of several members with the name, the
    one that shares most folders with the output's path is taken, then the one nearest the archive's top. Nothing but
    the outputs is written, whatever members are called. Raises InputError if a file is missing, ambiguous or damaged.
    """
    archive = Path(archive)
    with _opened(archive) as (names, open_member):
        chosen = {output: choose_member(archive, names, output) for output in map(Path, outputs)}
        for output, name in chosen.items():
            with atomic_write(output) as partial, open_member(name) as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            log.info("%s: %s, %d bytes", output, name, output.stat().st_size)


def choose_member(archive, names, output) -> str:
    """Return the name among ``names`` that fits ``output`` best; raise InputError if none fits, or several equally."""
    candidates = [name for name in names if PurePosixPath(name).name == output.name]
    if not candidates:
        raise InputError(f"{archive}: contains no {output.name}; it contains {_shortened(names)}")

    def fit(name):
        return _common_tail(PurePosixPath(name).parts, output.parts), -len(PurePosixPath(name).parts)

    best = [name for name in candidates if fit(name) == max(map(fit, candidates))]
    if len(best) > 1:
        raise InputError(
            f"{archive}: contains several {output.name}: {_shortened(best)}; expected the folder of {output} to "
            "match one of them"
        )
    return best[0]


def _common_tail(a, b) -> int:
    """Return how many parts two paths share, counted from their ends."""
    shared = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        shared += 1
    return shared


def _shortened(names, most=12):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def _opened(archive):
    """Yield the names of the regular members and a function that opens one; raise InputError on damage."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield [info.filename for info in file.infolist() if not info.is_dir()], file.open
        else:
            with tarfile.open(archive) as file:
                # A tar may hold a file twice; the last one counts.
                yield list(dict.fromkeys(member.name for member in file if member.isreg())), file.extractfile
    except DAMAGE_ERRORS as error:
        raise InputError(
            f"{archive}: not a tar or zip, or damaged ({error}); delete it to download it again"
        ) from error
