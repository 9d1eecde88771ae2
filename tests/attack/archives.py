"""Archives to unpack, and checks of downloads."""

import io
import tarfile
import zipfile

from tests.attack.damage import (
    ANY_FILE,
    Damage,
    content,
)
from tests.attack.samples import (
    TAR_MEMBERS,
    check_download,
    given,
    zip_of,
)
from tests.attack.tries import Reader
from workflow.lib.archives import unpack

MEMBERS = {
    "ava_annotations/train.csv": b"top\n" * 3000,
    "ava_annotations/iou90/val.csv": b"90\n" * 3000,
    "readme": b"x",
}


def make_archives(folder):
    for name, mode in ("a.tar", "w"), ("a.tar.gz", "w:gz"):
        with tarfile.open(folder / name, mode) as tar:
            for member_name, whole in MEMBERS.items():
                member = tarfile.TarInfo(member_name)
                member.size = len(whole)
                tar.addfile(member, io.BytesIO(whole))
    zip_of(folder / "a.zip", MEMBERS, compression=zipfile.ZIP_DEFLATED)


def unpacked(archive):
    def read(folder):
        outputs = [folder / "out/train.csv", folder / "out/iou90/val.csv"]
        unpack(folder / archive, outputs)
        return [path.read_bytes() for path in outputs]

    return read


def _many(names):
    """Return the damage that packs the same contents under other names."""
    train, val, _ = MEMBERS.values()
    return lambda path: zip_of(path, {name: val if name.endswith("val.csv") else train for name in names})


def _flag(bit, offset_local=6, offset_central=8):
    """Return the damage that sets a flag of all members of a zip."""

    def change(whole):
        changed = bytearray(whole)
        for mark, offset in (b"PK\x03\x04", offset_local), (b"PK\x01\x02", offset_central):
            place = -1
            while (place := whole.find(mark, place + 1)) >= 0:
                changed[place + offset] |= bit
        return bytes(changed)

    return content(change)


def _field(mark, offset, value):
    """Return the damage that overwrites a field of the first member."""

    def change(whole):
        place = whole.find(mark) + offset
        return whole[:place] + value + whole[place + len(value) :]

    return content(change)


ZIP: dict[str, Damage] = {
    "encrypted": _flag(1),
    "3,000 equal names": _many([f"{i}/train.csv" for i in range(3000)]),
    "paths that lead out": _many(["../../train.csv", "../../../iou90/val.csv"]),
    "absolute paths": _many(["/etc/train.csv", "/etc/iou90/val.csv"]),
    "names with escape codes": _many(["\x1b[2Jtrain.csv", "error: x\nerror: y"]),
    "an unknown compression": _field(b"PK\x01\x02", 10, b"\x63\0"),
    "LZMA without its data": _field(b"PK\x01\x02", 10, b"\x0e\0"),
    "a wrong checksum": _field(b"PK\x01\x02", 16, b"\1\2\3\4"),
    "a huge size": _field(b"PK\x01\x02", 24, b"\xfe\xff\xff\xff"),
    "a wrong offset": _field(b"PK\x01\x02", 42, b"\xff\xff\xff\x7f"),
    "bytes before it": content(lambda whole: b"x" * 100 + whole),
    "bytes behind it": content(lambda whole: whole + b"x" * 100),
    "no member": lambda path: zip_of(path, {}),
    "a folder of the name": lambda path: zip_of(path, {"train.csv/": b"", "iou90/val.csv/": b""}),
}


READERS = [
    *(
        Reader(
            f"unpack {name}",
            (name,),
            make_archives,
            unpacked(name),
            given(ANY_FILE, "a folder") | own,
            outputs=("out/train.csv", "out/iou90/val.csv"),
        )
        for name, own in {"a.tar": TAR_MEMBERS, "a.tar.gz": {}, "a.zip": ZIP}.items()
    ),
    *(
        Reader(
            f"check of a download, {name}", (name,), make_archives, check_download(name), given(ANY_FILE, "a folder")
        )
        for name in ("a.tar", "a.zip")
    ),
]
