"""Files are unpacked from whatever folder of an archive, and nothing else is written."""

import io
import tarfile
import warnings
import zipfile

import pytest

from tests.helpers.files import ODD_SIZES, set_size
from trainer.utils.errors import InputError
from workflow.lib.archives import unpack

FILES = {
    "ava_annotations/train.csv": b"top",
    "ava_annotations/ava_train_v2.2.csv": b"boxes\n" * 1000,
    "ava_annotations/person_box_67091280_iou75/val_boxes.csv": b"75",
    "ava_annotations/person_box_67091280_iou90/val_boxes.csv": b"90",
    "ava_annotations/person_box_67091280_iou90/train.csv": b"copy",
    "../../outside.csv": b"evil",
}


def write_tar(path, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in FILES.items():
            file.writestr(name, content)
    return path


@pytest.fixture(params=["a.tar", "a.tar.gz", "a.zip"])
def archive(request, tmp_path):
    path = tmp_path / request.param
    return write_zip(path) if path.suffix == ".zip" else write_tar(path, "w:gz" if path.suffix == ".gz" else "w")


def test_each_output_comes_from_the_best_member(archive, tmp_path):
    out = tmp_path / "data/annotations"
    wanted = {
        out / "ava_train_v2.2.csv": b"boxes\n" * 1000,
        out / "person_box_67091280_iou90/val_boxes.csv": b"90",
        out / "train.csv": b"top",
        out / "person_box_67091280_iou90/train.csv": b"copy",
        out / "outside.csv": b"evil",  # under the output's name only
    }
    unpack(archive, list(wanted))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == wanted


def test_a_missing_file_names_archive_and_members(archive, tmp_path):
    with pytest.raises(InputError, match=rf"{archive}: contains no other\.csv; it contains ava_annotations/train\.csv"):
        unpack(archive, [tmp_path / "out/train.csv", tmp_path / "out/other.csv"])
    assert not (tmp_path / "out").exists()


def test_an_ambiguous_file_names_its_members(archive, tmp_path):
    with pytest.raises(InputError, match=r"contains several val_boxes\.csv: .*iou75/val_boxes\.csv, .*iou90/val_boxes"):
        unpack(archive, [tmp_path / "out/val_boxes.csv"])


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_archive_is_named(archive, tmp_path, part):
    content = archive.read_bytes()
    if archive.name == "a.tar":
        content = content.rstrip(b"\0")  # without its long tail of zeros
    archive.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=rf"{archive}: (not a tar or zip, or damaged|contains no outside)"):
        unpack(archive, [tmp_path / "out/outside.csv"])
    assert not (tmp_path / "out").exists()


def test_a_damaged_member_is_named(tmp_path):
    archive = write_zip(tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    begin = content.index(b"ava_train_v2.2.csv") + len("ava_train_v2.2.csv")
    content[begin : begin + 8] = bytes(8)
    archive.write_bytes(content)
    with pytest.raises(InputError, match=f"{archive}: not a tar or zip, or damaged"):
        unpack(archive, [tmp_path / "out/ava_train_v2.2.csv"])
    assert list((tmp_path / "out").iterdir()) == []


def test_links_and_folders_are_no_files(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for name, kind in (("a/list.csv", tarfile.SYMTYPE), ("b/list.csv", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    with pytest.raises(InputError, match=r"contains no list\.csv"):
        unpack(archive, [tmp_path / "list.csv"])


def test_links_to_themselves_are_no_files(tmp_path):
    """Nor do they hide the file of the same name."""
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("a/list.csv", "b/table.csv"):
            for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)[name[0] == "b" :]:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, name
                tar.addfile(member)
    unpack(archive, [tmp_path / "list.csv"])
    assert (tmp_path / "list.csv").read_bytes() == b""
    with pytest.raises(InputError, match=r"contains no table\.csv"):
        unpack(archive, [tmp_path / "table.csv"])


def test_an_encrypted_zip_is_named(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.zip").read_bytes())
    for mark in (b"PK\1\2", b"PK\3\4"):
        flags = content.index(mark) + {b"PK\1\2": 8, b"PK\3\4": 6}[mark]
        content[flags] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: .*is encrypted.*expected no password"):
        unpack(tmp_path / "a.zip", [tmp_path / "train.csv"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.timeout(20)  # of equal fits, each was once compared with each
@pytest.mark.parametrize("folder", ["", "{}/"])
def test_ten_thousand_equal_names_take_no_time(tmp_path, folder):
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for i in range(10_000):
            file.writestr(f"{folder.format(i)}list.csv", str(i))
    if folder:
        with pytest.raises(InputError, match=r"contains several list\.csv: 0/list.csv, .* and 9988 more"):
            unpack(tmp_path / "a.zip", [tmp_path / "list.csv"])
    else:  # the last one counts, as in a tar
        unpack(tmp_path / "a.zip", [tmp_path / "list.csv"])
        assert (tmp_path / "list.csv").read_bytes() == b"9999"


@pytest.mark.timeout(20)  # a member that ends before it begins was once read again and again
@pytest.mark.parametrize("size", ODD_SIZES.values(), ids=ODD_SIZES)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE])
def test_odd_sizes_of_members_are_damage(tmp_path, size, kind):
    archive = write_tar(tmp_path / "a.tar")
    set_size(archive, 2, size, kind)
    with pytest.raises(InputError, match=rf"{archive}: not a tar or zip, or damaged"):
        unpack(archive, [tmp_path / "train.csv"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_names_of_members_are_told_in_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a\nerror: b\033[31m", b"")
    with pytest.raises(InputError) as error:
        unpack(tmp_path / "a.zip", [tmp_path / "list.csv"])
    assert str(error.value).isprintable()
