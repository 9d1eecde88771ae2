"""The Charades tar is indexed in place, whatever the order of its members; loose frames are counted."""

import io
import tarfile

import numpy as np
import pytest

from tests.helpers.full_disk import full_disk
from trainer.data.frame_archive import FrameArchive
from trainer.utils.errors import InputError
from workflow.lib.frames_list import frame_pattern
from workflow.scripts.index_charades import index_charades
from workflow.scripts.index_folder import index_folder

FRAMES = {"46GP8": 5, "0BX9N": 3, "YSKX3": 12}


def write_tar(path, names, tar_format=tarfile.GNU_FORMAT):
    """A tar whose members hold their own names; folders and a read-me as in the published one."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        folder = tarfile.TarInfo("Charades_v1_rgb")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ["Charades_v1_rgb/README.txt", *names]:
            member = tarfile.TarInfo(name)
            content = name.encode(errors="surrogateescape")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def frame_names(frames=FRAMES, folder="Charades_v1_rgb"):
    return [f"{folder}/{video}/{video}-{i:06d}.jpg" for video, count in frames.items() for i in range(1, count + 1)]


def index(tar, folder):
    outputs = folder / "index.npy", folder / "index.csv"
    index_charades(tar, *outputs)
    return outputs


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["Charades_v1_rgb", "a" * 120])  # a long name takes another kind of header
def test_every_frame_is_found_in_any_order(tmp_path, tar_format, folder):
    names = frame_names(folder=folder)
    np.random.default_rng(0).shuffle(names)
    if tar_format == tarfile.PAX_FORMAT:
        names = [name.replace("a" * 120, "é" * 120) for name in names]
    tar = write_tar(tmp_path / "a.tar", names, tar_format)
    rows, videos = index(tar, tmp_path)
    assert videos.read_text() == "video,frames,first\n0BX9N,3,0\n46GP8,5,3\nYSKX3,12,8\n"

    frames = tmp_path / "frames.csv"
    lines = [f"{video},{count},{tar},{rows},{first}" for video, count, first in (("46GP8", 5, 3), ("YSKX3", 12, 8))]
    frames.write_text("\n".join(["video,frames,archive,index,first", *lines]) + "\n")
    archive = FrameArchive(frames)
    for video in archive.videos:
        for i in range(archive.count(video)):
            assert archive.read(video, i).decode().endswith(f"/{video}/{video}-{i + 1:06d}.jpg")


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("YSKX3-000007.jpg", r"video YSKX3 .* expected YSKX3-000007\.jpg, got number 8"),
        ("46GP8-000001.jpg", r"video 46GP8 .* expected 46GP8-000001\.jpg, got number 2"),
    ],
)
def test_a_missing_number_is_named(tmp_path, lost, message):
    tar = write_tar(tmp_path / "a.tar", [name for name in frame_names() if not name.endswith(lost)])
    with pytest.raises(InputError, match=message):
        index(tar, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_numbers_from_0_are_named(tmp_path):
    tar = write_tar(tmp_path / "a.tar", [*frame_names(), "Charades_v1_rgb/46GP8/46GP8-000000.jpg"])
    with pytest.raises(InputError, match="got number 0"):
        index(tar, tmp_path)


@pytest.mark.parametrize("size", [0, 100, 3000, 5632, 20_000])
def test_a_truncated_tar_is_named(tmp_path, size):
    tar = write_tar(tmp_path / "a.tar", frame_names())
    content = tar.read_bytes().rstrip(b"\0")
    tar.write_bytes(content[:size])
    with pytest.raises(InputError, match=rf"{tar}: truncated or damaged at byte"):
        index(tar, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_a_damaged_header_is_named(tmp_path):
    tar = write_tar(tmp_path / "a.tar", frame_names())
    content = bytearray(tar.read_bytes())
    content[4608 : 4608 + 512] = b"\x7f" * 512
    tar.write_bytes(content)
    with pytest.raises(InputError, match="damaged at byte 4,608"):
        index(tar, tmp_path)


def test_a_tar_without_frames_is_named(tmp_path):
    with pytest.raises(InputError, match="contains no frames"):
        index(write_tar(tmp_path / "a.tar", []), tmp_path)


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000, "٠٠٠٠٠٦"])
def test_a_name_without_a_number_is_no_frame(tmp_path, number):
    tar = write_tar(tmp_path / "a.tar", [*frame_names(), f"46GP8/46GP8-{number}.jpg"])
    assert index(tar, tmp_path)[1].read_text() == "video,frames,first\n0BX9N,3,0\n46GP8,5,3\nYSKX3,12,8\n"


@pytest.mark.parametrize("video", ["caf\udce9", "a\nb", "\033[31m"])
def test_an_odd_name_of_a_video_is_named(tmp_path, video):
    """A frames list could not hold it; the first is Latin-1."""
    tar = write_tar(tmp_path / "a.tar", [f"{video}/{video}-000001.jpg"])
    with pytest.raises(InputError, match=r"a\.tar: .*expected a name of a video .*, got") as error:
        index(tar, tmp_path)
    assert str(error.value).isprintable()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_a_frame_of_gigabytes_is_named(tmp_path):
    size = 5 << 30
    member = tarfile.TarInfo("a/a-000001.jpg")
    member.size = size
    (tmp_path / "a.tar").write_bytes(member.tobuf())
    with (tmp_path / "a.tar").open("r+b") as file:
        file.truncate(512 + size + 1024)
    with pytest.raises(InputError, match=r"a\.tar: a/a-000001\.jpg has 5,368,709,120 bytes; expected a JPEG"):
        index(tmp_path / "a.tar", tmp_path)


def test_a_full_disk_is_told_and_leaves_no_half_index(tmp_path):
    tar = write_tar(tmp_path / "a.tar", frame_names())
    with full_disk(at=150), pytest.raises(InputError, match=r"index\.npy: the disk is full"):
        index(tar, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_compressed_is_not_taken(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    with pytest.raises(InputError, match="expected a complete, uncompressed tar"):
        index(tmp_path / "a.tar", tmp_path)


@pytest.fixture
def loose(tmp_path):
    """Frames in SlowFast's layout, in a folder whose name a pattern could stumble over."""
    for video, count in FRAMES.items():
        folder = tmp_path / "100%d" / video
        folder.mkdir(parents=True)
        for i in range(1, count + 1):
            (folder / f"{video}-{i:06d}.jpg").write_text(f"{video} {i}")
    return tmp_path / "100%d"


def test_loose_frames_are_counted_and_read(tmp_path, loose):
    index_folder(loose, tmp_path / "index.csv", separator="-")
    assert (tmp_path / "index.csv").read_text() == "video,frames,first\n0BX9N,3,0\n46GP8,5,0\nYSKX3,12,0\n"
    frames = tmp_path / "frames.csv"
    frames.write_text(f"video,frames,archive,index,first\nYSKX3,12,{frame_pattern(loose, 'YSKX3', '-')},,0\n")
    assert FrameArchive(frames).read("YSKX3", 11) == b"YSKX3 12"


def test_a_gap_in_loose_frames_is_named(tmp_path, loose):
    (loose / "46GP8/46GP8-000003.jpg").unlink()
    with pytest.raises(InputError, match=r"46GP8: has 4 frames, but 46GP8-000003\.jpg is missing"):
        index_folder(loose, tmp_path / "index.csv", separator="-")


def test_a_folder_that_is_none_or_empty_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        index_folder(tmp_path / "none", tmp_path / "index.csv", separator="_")
    with pytest.raises(InputError, match="contains no frames named"):
        index_folder(tmp_path, tmp_path / "index.csv", separator="_")


def test_links_to_themselves_are_no_videos(tmp_path, loose):
    (loose / "self").symlink_to("self")
    (loose / "0BX9N/0BX9N-000004.jpg").symlink_to("0BX9N-000004.jpg")
    index_folder(loose, tmp_path / "index.csv", separator="-")
    assert (tmp_path / "index.csv").read_text().splitlines()[1:] == ["0BX9N,4,0", "46GP8,5,0", "YSKX3,12,0"]
    frames = tmp_path / "frames.csv"
    frames.write_text(f"video,frames,archive,index,first\n0BX9N,4,{frame_pattern(loose, '0BX9N', '-')},,0\n")
    with pytest.raises(InputError, match=r"frame 3 of video 0BX9N cannot be read .*0BX9N-000004\.jpg"):
        FrameArchive(frames).read("0BX9N", 3)


@pytest.mark.parametrize("video", ["caf\udce9", "a\nb", "\033[31m"])
def test_an_odd_name_of_a_folder_is_named(tmp_path, loose, video):
    (loose / "0BX9N").rename(loose / video)
    for path in list((loose / video).iterdir()):
        path.rename(path.with_name(path.name.replace("0BX9N", video)))
    with pytest.raises(InputError, match=r"%d: .*expected a name of a video .*, got") as error:
        index_folder(loose, tmp_path / "index.csv", separator="-")
    assert str(error.value).isprintable()
