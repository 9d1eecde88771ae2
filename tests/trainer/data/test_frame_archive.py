"""A frame is one read; its pixels are OpenCV's; millions of frames open at once."""

import io
import os
import pickle
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.data import frame_archive
from trainer.data.frame_archive import INDEX, FrameArchive, decode, index_tar, write_index
from trainer.utils.errors import InputError


def write_archive(path, frames):
    """A tar of the given contents, and its index beside it."""
    with tarfile.open(path, "w") as tar:
        for i, content in enumerate(frames, 1):
            member = tarfile.TarInfo(f"{path.stem}/{path.stem}_{i:06d}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    write_index(path.with_suffix(".npy"), [(o, s) for _, o, s in index_tar(path)])


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


def test_an_index_of_7_million_frames_opens_in_under_a_second(tmp_path):
    count = 7_000_000
    (tmp_path / "big.tar").write_bytes(b"0123456789")
    rows = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", INDEX, (count,))
    rows[-1] = 2, 5
    del rows
    first = count - 10_000
    (tmp_path / "frames.csv").write_text(
        f"video,frames,archive,index,first\nlast,10000,{tmp_path}/big.tar,{tmp_path}/big.npy,{first}\n"
    )
    began = time.monotonic()
    assert FrameArchive(tmp_path / "frames.csv").read("last", 9_999) == b"23456"
    assert time.monotonic() - began < 1


def noisy_picture(height, width):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("sampling", ["IMWRITE_JPEG_SAMPLING_FACTOR_420", "IMWRITE_JPEG_SAMPLING_FACTOR_444"])
@pytest.mark.parametrize("size", [(64, 96), (37, 53)])
def test_pixels_are_opencvs(sampling, size):
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, sampling)]
    jpeg = cv2.imencode(".jpg", noisy_picture(*size), options)[1].tobytes()
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(decode(jpeg), expected)


def test_a_gray_jpeg_has_three_channels():
    jpeg = cv2.imencode(".jpg", noisy_picture(32, 48)[..., 0])[1].tobytes()
    pixels = decode(jpeg)
    assert pixels.shape == (32, 48, 3)
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("part", [0, 0.02, 0.5, 0.98])
def test_a_damaged_jpeg_is_named(part):
    jpeg = cv2.imencode(".jpg", noisy_picture(64, 96))[1].tobytes()
    with pytest.raises(InputError, match="frame 7 of video abc: not a whole JPEG"):
        decode(jpeg[: int(part * len(jpeg))], "frame 7 of video abc")
