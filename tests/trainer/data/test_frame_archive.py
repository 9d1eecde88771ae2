"""A frame is one read; millions of frames open at once."""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from trainer.data import frame_archive
from trainer.data.frame_archive import INDEX, FrameArchive, write_index
from trainer.utils.errors import InputError


def write_archive(path, frames):
    """A tar of the given contents, and its index beside it."""
    with tarfile.open(path, "w") as tar:
        for i, content in enumerate(frames, 1):
            member = tarfile.TarInfo(f"{path.stem}/{path.stem}_{i:06d}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with tarfile.open(path) as tar:
        write_index(path.with_suffix(".npy"), [(member.offset_data, member.size) for member in tar])


@pytest.fixture
def listed(tmp_path):
    """Three videos of 4 frames, each frame the text "<video> <i>"."""
    lines = ["video,frames,archive,index,first"]
    for video in ("-a", "b", "c"):
        write_archive(tmp_path / f"{video}.tar", [f"{video} {i}".encode() for i in range(4)])
        lines.append(f"{video},4,{tmp_path}/{video}.tar,{tmp_path}/{video}.npy,0")
    (tmp_path / "frames.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "frames.csv"


def test_frames_by_video_and_number(listed):
    archive = FrameArchive(listed)
    assert archive.videos == ["-a", "b", "c"]
    assert archive.count("b") == 4
    assert [archive.read(v, i) for v in archive.videos for i in (3, 0)] == [
        f"{v} {i}".encode() for v in archive.videos for i in (3, 0)
    ]


def test_it_works_after_a_fork_and_a_pickle(listed):
    archive = FrameArchive(listed)
    archive.read("b", 0)  # open before
    assert pickle.loads(pickle.dumps(archive)).read("b", 1) == b"b 1"
    children = []
    for i in range(4):
        if (child := os.fork()) == 0:
            os._exit(0 if all(archive.read("b", i) == b"b %d" % i for _ in range(500)) else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_few_files_are_open_at_once(listed, monkeypatch):
    monkeypatch.setattr(frame_archive, "OPEN_ARCHIVES", 1)
    archive = FrameArchive(listed)
    archive.read("b", 0)
    before = open_files()
    for _ in range(3):
        for video in archive.videos:
            archive.read(video, 0)
    assert open_files() == before


@pytest.mark.parametrize(("video", "i"), [("b", 4), ("b", -1)])
def test_a_frame_that_is_not_listed_is_named(listed, video, i):
    with pytest.raises(InputError, match=rf"b\.tar: frame {i} of video b asked for.*lists 4 frames"):
        FrameArchive(listed).read(video, i)


def test_a_video_that_is_not_listed_is_named(listed):
    with pytest.raises(InputError, match=r"frames\.csv: has no video d"):
        FrameArchive(listed).read("d", 0)


def test_a_short_archive_is_named(listed, tmp_path):
    content = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(content[:513])
    (tmp_path / "c.tar").unlink()
    np.save(tmp_path / "-a.npy", np.load(tmp_path / "-a.npy")[:2])
    archive = FrameArchive(listed)
    with pytest.raises(InputError, match=r"b\.tar: frame 0 of video b cannot be read .*ends at byte 513"):
        archive.read("b", 0)
    with pytest.raises(InputError, match=r"c\.tar: frame 2 of video c cannot be read .*No such file"):
        archive.read("c", 2)
    with pytest.raises(InputError, match=r"-a\.tar: frame 2 of video -a cannot be read"):
        archive.read("-a", 2)


def mapped_bytes(path):
    """Return how many bytes of its memory map of a file this process has looked at, in whole pages (proc(5))."""
    [of_file] = Path("/proc/self/smaps").read_text().split(f" {path}\n")[1:]
    return 1024 * int(of_file.split("Rss:")[1].split()[0])


def test_an_index_of_7_million_frames_is_not_read_whole(tmp_path):
    count = 7_000_000
    (tmp_path / "big.tar").write_bytes(b"0123456789")
    rows = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", INDEX, (count,))
    rows[-1] = 2, 5
    del rows
    first = count - 10_000
    (tmp_path / "frames.csv").write_text(
        f"video,frames,archive,index,first\nlast,10000,{tmp_path}/big.tar,{tmp_path}/big.npy,{first}\n"
    )
    archive = FrameArchive(tmp_path / "frames.csv")
    assert archive.read("last", 9_999) == b"23456"
    assert mapped_bytes(tmp_path / "big.npy") < (tmp_path / "big.npy").stat().st_size / 100


def odd_index(kind, path):
    """Write an index of four frames that is none, or leads out of its archive."""
    rows = np.zeros(4, INDEX)
    if kind in ("offset", "size"):
        rows[kind] = np.iinfo(INDEX[kind]).max
    elif kind == "behind the end":
        rows["offset"] = 10_000_000
    content = io.BytesIO()
    if kind == "archive of arrays":
        np.savez(content, rows)
    else:
        np.save(content, {"other numbers": rows["size"], "one number": rows[0]}.get(kind, rows))
    content = content.getvalue()
    if kind == "empty":
        content = b""
    if kind == "truncated":
        content = content[:-1]
    if kind == "more rows than bytes":
        content = content.replace(b"(4,)", b"(9" + b"0" * 25 + b",)").replace(b" " * 26, b"", 1)
    if kind == "no header":
        content = content[:10] + bytes(118) + content[128:]
    path.write_bytes(content)


ODD_INDICES = ["offset", "size", "behind the end", "archive of arrays", "other numbers", "one number", "empty"]


@pytest.mark.parametrize("kind", [*ODD_INDICES, "truncated", "more rows than bytes", "no header"])
def test_an_odd_index_is_named(listed, tmp_path, kind):
    odd_index(kind, tmp_path / "b.npy")
    with pytest.raises(InputError, match=r"b\.tar: frame 1 of video b cannot be read .*(b\.npy|ends at byte 10,240)"):
        FrameArchive(listed).read("b", 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("b,four,b.tar,b.npy,0", "invalid literal"),
        ("b,4,b.tar,b.npy,-1", "first -1"),
        ("b,-4,b.tar,b.npy,0", "frames -4"),
        ("b,4", "invalid literal"),
        ("b,4,b.tar,b.npy," + "9" * 5000, "digits"),
    ],
)
def test_an_odd_line_of_a_list_is_named(listed, line, problem):
    listed.write_text(listed.read_text() + line + "\n")
    with pytest.raises(InputError, match=rf"frames\.csv, line 5: .*{problem}.*Delete it to re-create it"):
        FrameArchive(listed)


@pytest.mark.parametrize(
    "content", ["", "video,frames\nb,4\n", "vidéo".encode("latin-1"), "video".encode("utf-16"), b"video\0,\n", None]
)
def test_a_list_of_other_kind_is_named(tmp_path, content):
    if content is None:
        (tmp_path / "frames.csv").mkdir()
    else:
        (tmp_path / "frames.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"frames\.csv.*: .*expected the columns video, frames, archive, index, first"):
        FrameArchive(tmp_path / "frames.csv")


@pytest.mark.parametrize("pattern", ["b", "%d %d", "%s%", "b%06d.jpg", "%06d\0"])
def test_an_odd_pattern_of_loose_frames_is_named(tmp_path, pattern):
    (tmp_path / "b000001.jpg").symlink_to("b000001.jpg")
    (tmp_path / "frames.csv").write_text(f"video,frames,archive,index,first\nb,4,{tmp_path}/{pattern},,0\n")
    with pytest.raises(InputError, match="frame 0 of video b cannot be read"):
        FrameArchive(tmp_path / "frames.csv").read("b", 0)
