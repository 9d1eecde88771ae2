"""Unpack selected files of an archive, in whatever folder it keeps them."""

import logging
import shutil
import tarfile
import zipfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from trainer.utils.text import listed, shown

log = logging.getLogger(__name__)


def unpack(archive, outputs):
    """Write each path of ``outputs`` from the member of a tar or zip that has its file name.

    Folders in the archive may differ, as authors move files between releases. Of several members with the name, the
    one that shares most folders with the output's path is taken, then the one nearest the archive's top. Nothing but
    the outputs is written, whatever members are called. Raises InputError if a file is missing, ambiguous or damaged.
    """
    archive = Path(archive)
    with _opened(archive) as (members, open_member):
        chosen = {output: choose_member(archive, list(members), output) for output in map(Path, outputs)}
        for output, name in chosen.items():
            with atomic_write(output) as partial, open_member(members[name]) as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            log.info("%s: %s, %d bytes", output, name, output.stat().st_size)


def choose_member(archive, names, output) -> str:
    """Return the name among ``names`` that fits ``output`` best; raise InputError if none fits, or several equally."""
    candidates = [name for name in names if PurePosixPath(name).name == output.name]
    if not candidates:
        raise InputError(
            f"{archive}: contains no {output.name}; it contains {listed(map(shown, names), 12) or 'nothing'}"
        )

    def fit(name):
        return _common_tail(PurePosixPath(name).parts, output.parts), -len(PurePosixPath(name).parts)

    highest = max(map(fit, candidates))
    best = [name for name in candidates if fit(name) == highest]
    if len(best) > 1:
        raise InputError(
            f"{archive}: contains several {output.name}: {listed(map(shown, best), 12)}; expected the folder of "
            f"{output} to match one of them"
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


@contextmanager
def _opened(archive):
    """Yield {name: member} of the regular members and a function that opens one; raise InputError on damage.

    Of several members with one name, the last one counts.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield {info.filename: info for info in file.infolist() if not info.is_dir()}, file.open
        else:
            with tarfile.open(archive) as file:
                yield {member.name: member for member in _regular_members(file)}, file.extractfile
    except InputError:
        raise
    except RuntimeError as error:  # zipfile's, if it needs a password or does not know the compression
        raise InputError(
            f"{archive}: cannot be unpacked ({error}); expected no password and a usual compression. Pack it again"
        ) from error
    except Exception as error:  # damage makes tarfile and zipfile raise nearly every type, MemoryError included
        if isinstance(error, OSError) and error.filename:  # of another file, or there is no archive
            raise
        raise InputError(
            f"{archive}: not a tar or zip, or damaged ({str(error) or type(error).__name__}); delete it to "
            "download it again"
        ) from error


def _regular_members(tar):
    """Yield the members that are files; raise ReadError on a negative size, or if the end mark is missing."""
    last = -1
    for member in tar:
        if member.offset <= last or member.size < 0:  # tarfile would read the same members forever
            raise tarfile.ReadError(f"negative size before byte {member.offset_data:,}")
        last = member.offset
        if member.isreg():
            yield member
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header for the end
        raise tarfile.ReadError(f"no member at byte {tar.offset:,}")
