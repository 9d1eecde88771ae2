"""The members of an uncompressed tar, with their places, for archives of millions of frames."""

import os
import tarfile
from pathlib import Path

from trainer.utils.errors import InputError


def index_tar(tar):
    """Yield (name, offset, size) of every regular member of an uncompressed tar, in one pass from start to end.

    ``offset`` and ``size`` are those of the content, in bytes. Usual headers are parsed here, as `tarfile` takes nine
    times as long for millions of them; it parses the others (long names, links, ...). Raises InputError if the tar is
    truncated, damaged or compressed.
    """
    tar = Path(tar)
    if not tar.is_file():
        raise InputError(f"{tar}: not a file; expected a complete, uncompressed tar")
    # The next header is mostly within the buffer, so skipping small members still reads the file sequentially.
    with tar.open("rb", buffering=1 << 20) as file:
        length = os.fstat(file.fileno()).st_size
        end = 0
        while True:
            start = end
            file.seek(start)
            header = file.read(tarfile.BLOCKSIZE)
            if header == _NO_MEMBER:
                return
            member = _plain_member(header, start) or _any_member(file, start)
            # Damaged also if the file ends within or right after the last member, or a size is negative.
            name, offset, size, end = member or (None, 0, 0, 0)
            if size < 0 or not start < end <= length:
                raise InputError(
                    f"{tar}: truncated or damaged at byte {start:,} of {length:,}; expected a complete, uncompressed "
                    "tar. Delete it to download it again"
                )
            if name is not None:
                yield name, offset, size


_NO_MEMBER = bytes(tarfile.BLOCKSIZE)  # marks the end of a tar


def _plain_member(header, start):
    """Return (name, offset, size, end) of a regular file whose one POSIX or GNU header is complete; else None."""
    if header[156:157] not in (b"0", b"\0") or header[257:262] != b"ustar" or header[345]:
        return None
    digits = header[124:136].strip(b" \0")
    if not digits.isdigit():  # a size in binary, or with a sign
        return None
    try:
        size = int(digits, 8)
        name = header[: header.index(0, 0, 100)].decode()
    except ValueError:  # a name of the full 100 bytes, or not in UTF-8
        return None
    offset = start + tarfile.BLOCKSIZE
    return name, offset, size, offset + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _any_member(file, start):
    """Return the same by `tarfile`, with name None for other kinds of members; None if no member starts here."""
    file.seek(start)
    try:
        reader = tarfile.TarFile(fileobj=file)  # reads only the member at the file's position
    except Exception:  # a damaged file can raise nearly every type, RecursionError and MemoryError included
        return None
    member = reader.firstmember
    if member is None:
        return None
    name = member.name if member.isreg() and not member.issparse() else None
    return name, member.offset_data, member.size, reader.offset
