"""Contents of test files, and listings of folders."""

import io
import tarfile

import numpy as np

CONTENT = np.random.default_rng(0).bytes(1_000_000)


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def hidden(folder):
    return sorted(p for p in folder.iterdir() if p.name.startswith("."))


def tar_of(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# What a damaged tar may have where 12 bytes tell the size of a member. If the first bit is set, it is binary.
ODD_SIZES = {
    "-512": b"-0000001000\0",
    "-1": b"-0000000001\0",
    "binary -1": b"\xff" * 12,
    "binary -512": b"\xff" * 10 + b"\xfe\0",
    "binary -2^63": b"\xff\xff\xff\xff\x80" + bytes(7),
    "8^11": b"77777777777\0",
    "2^62": b"\x80\0\0\0\x40" + bytes(7),
    "2^88": b"\x80" + b"\xff" * 11,
    "letters": b"abcdefghijk\0",
}


def set_size(tar, i, size, kind=b"0"):
    """Write a size (12 bytes) and a kind into the header of the tar's member ``i``, and the sum of the header."""
    content = bytearray(tar.read_bytes())
    with tarfile.open(tar) as file:
        start = file.getmembers()[i].offset
    header = content[start : start + tarfile.BLOCKSIZE]
    header[124:136], header[156:157], header[148:156] = size, kind, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[start : start + tarfile.BLOCKSIZE] = header
    tar.write_bytes(content)
