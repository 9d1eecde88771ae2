"""Take the wanted files out of an archive, wherever it keeps them."""

import gzip
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trainer.errors import InputError
from trainer.files import whole_file
from workflow.scripts.job import job
from workflow.scripts.shared import make_once

log = logging.getLogger(__name__)

BROKEN = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


def unpack(archive, outputs):
    """Write each of ``outputs`` (paths) from the member of a tar or zip that has its file name.

    Folders in the archive may differ: authors move them between releases. Of several members with the name, the one
    that shares most folders with the output's path is taken, then the one nearest the archive's top. Only the outputs
    are written, whatever members are called. Raises InputError if a file is missing, ambiguous or damaged.
    """
    archive = Path(archive)
    with _opened(archive) as (names, open_member):
        chosen = {output: choose_member(archive, names, output) for output in map(Path, outputs)}
        for output, name in chosen.items():
            with whole_file(output) as partial, open_member(name) as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            log.info("%s: %s, %d bytes", output, name, output.stat().st_size)


def choose_member(archive, names, output) -> str:
    """The name among ``names`` that ``output`` is to come from; InputError if none or no single one fits best."""
    same = [name for name in names if PurePosixPath(name).name == output.name]
    if not same:
        raise InputError(f"{archive}: holds no {output.name}; it holds {_some(names)}")

    def fit(name):
        return _common_tail(PurePosixPath(name).parts, output.parts), -len(PurePosixPath(name).parts)

    best = [name for name in same if fit(name) == max(map(fit, same))]
    if len(best) > 1:
        raise InputError(f"{archive}: holds several {output.name}: {_some(best)}; the output's folder must tell which")
    return best[0]


def _common_tail(a, b) -> int:
    """How many parts two paths share, from their ends."""
    shared = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        shared += 1
    return shared


def _some(names, most=12):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def _opened(archive):
    """Yield (names of the regular members, a function that opens one); a damaged archive is told plainly."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield [info.filename for info in file.infolist() if not info.is_dir()], file.open
        else:
            with tarfile.open(archive) as file:
                # A tar may hold a file twice; the last one counts.
                yield list(dict.fromkeys(member.name for member in file if member.isreg())), file.extractfile
    except BROKEN as error:
        raise InputError(f"{archive}: not a tar or zip, or damaged ({error}); delete it to fetch it again") from error


if __name__ == "__main__":
    with job(snakemake):
        make_once(
            lambda *outputs: unpack(snakemake.input[0], outputs), snakemake.input, snakemake.output, snakemake.config
        )
