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
