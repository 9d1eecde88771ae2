"""Files that several readers start from, and damages of their formats."""

import io
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from tests.attack.damage import (
    ANY_FILE,
    STRUCTURE,
    TABLE,
    TEXT,
    YAML,
    Damage,
    content,
    copy_of,
)
from tests.helpers.files import ODD_SIZES, set_size
from tests.helpers.paths import ROOT
from trainer.data import charades_lists
from workflow.lib.downloads.file_checks import check_content
from workflow.scripts.index_charades import index_charades

CACHE = Path()  # folder of files that take long to make; set by the main program


def make_charades(folder):
    """Write a tar, its index, both lists and the names of classes."""
    names = [f"Charades_v1_rgb/{video}/{video}-{i:06d}.jpg" for video in ("AAAAA", "BBBBB") for i in range(1, 13)]
    with tarfile.open(folder / "charades.tar", "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    index_charades(folder / "charades.tar", folder / "index.npy", folder / "videos.csv")
    for split, video in ("train", "AAAAA"), ("val", "BBBBB"):
        rows = [f'{video} {i} {i} {video}/{video}-{i + 1:06d}.jpg "{"3,147" if i > 4 else "3"}"' for i in range(12)]
        (folder / f"{split}.csv").write_text("\n".join([charades_lists.HEADER, *rows]) + "\n")
    (folder / "classes.tsv").write_bytes((ROOT / "config/charades_classes.tsv").read_bytes())


def _npy(array) -> Damage:
    def apply(path):
        path.unlink()
        np.save(path, array, allow_pickle=True)

    return apply


def _places(change) -> Damage:
    def apply(path):
        places = np.load(path)
        places = change(places.copy())
        np.save(path, places)

    return apply


def _set(column, value):
    def change(places):
        places[column][-1] = value
        return places

    return change


INDEX: dict[str, Damage] = {
    "offset beyond the file": _places(_set("offset", 1 << 40)),
    "offset of 2^64 - 1": _places(_set("offset", (1 << 64) - 1)),
    "size beyond the file": _places(_set("size", (1 << 32) - 1)),
    "a row less": _places(lambda places: places[:-1]),
    "no row": _places(lambda places: places[:0]),
    "two columns of float": _npy(np.zeros((5, 2))),
    "whole numbers": _npy(np.arange(40)),
    "two dimensions": _places(lambda places: places.reshape(1, -1)),
    "a scalar": _npy(np.array(7)),
    "a pickled object": _npy(np.array([{"a": 1}, None], object)),
    "text": _npy(np.array(["a", "b"])),
    "a huge shape": content(
        lambda whole: whole.replace(b"), }", b"), }").replace(b"'shape': (", b"'shape': (99999999999999, ", 1)
    ),
    "big-endian": _places(lambda places: places.astype(places.dtype.newbyteorder(">"))),
    "an .npz": lambda path: (
        np.savez(path.with_suffix(".npz"), a=np.arange(3)),
        copy_of(path.with_suffix(".npz"))(path),
    ),
}


TAR_MEMBERS: dict[str, Damage] = {
    f"size of a member is {name}": partial(set_size, i=1, size=size) for name, size in ODD_SIZES.items()
}


TAR: dict[str, Damage] = {
    **{f"size of a member is {name}": partial(set_size, i=3, size=size) for name, size in ODD_SIZES.items()},
    **{
        f"a member of kind {kind!r}": partial(set_size, i=3, size=b"00000000010\0", kind=kind)
        for kind in (b"x", b"g", b"L", b"K", b"S", b"1", b"2", b"5", b"6", b"\xff")
    },
    "no end mark": content(lambda whole: whole.rstrip(b"\0")),
    "a damaged header": content(lambda whole: whole[:512] + b"\x7f" * 512 + whole[1024:]),
    "bytes before it": content(lambda whole: b"x" + whole),
    "a zip in its place": lambda path: zip_of(path, {"a.txt": b"x"}),
    "a tar behind it": content(lambda whole: whole + whole),
    "compressed by xz": lambda path: _repack(path, "w:xz"),
    "compressed by gzip": lambda path: _repack(path, "w:gz"),
}


def _repack(path, mode):
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar if member.isreg()]
    path.unlink()
    with tarfile.open(path, mode) as tar:
        for member, whole in members:
            tar.addfile(member, io.BytesIO(whole))


def zip_of(path, files, **options):
    path.unlink(missing_ok=True)
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, whole in files.items():
            file.writestr(name, whole)


def check_download(name):
    def read(folder):
        check_content(folder / name)
        return "fine"

    return read


TEXT_FILE = ANY_FILE | TEXT


TEXT_TABLE = TEXT_FILE | TABLE


YAML_FILE = TEXT_FILE | STRUCTURE | YAML


JSON_FILE = TEXT_FILE | STRUCTURE


def given(damages, *more):
    """Leave out what Snakemake refuses before a rule's job starts: an input that is not there; and ``more``."""
    left_out = ("missing", "link to itself", "link to nothing", *more)
    return {name: damage for name, damage in damages.items() if name not in left_out}
