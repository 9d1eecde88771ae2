"""Indices and counts of frames: what is damaged is named, with what to delete."""

import numpy as np
import pytest

from trainer.data.frame_archive import INDEX
from trainer.utils.errors import InputError
from workflow.lib.frames_list import frames_in_one_archive, read_index, read_videos


@pytest.fixture
def places(tmp_path):
    """Return a function that writes an index with these offsets of frames of one byte; the archive has 20."""
    (tmp_path / "film.tar").write_bytes(bytes(20))

    def write(offsets, dtype=INDEX):
        array = np.zeros(len(offsets), dtype)
        if dtype == INDEX:
            array["offset"], array["size"] = offsets, 1
        np.save(tmp_path / "film.npy", array)
        return tmp_path / "film.tar", tmp_path / "film.npy"

    return write


@pytest.mark.parametrize("offset", [20, 1 << 62, (1 << 64) - 1])  # the sum of the last and its size is 0
def test_frames_after_the_end_of_the_archive_are_refused(places, offset):
    with pytest.raises(InputError, match=r"film\.tar: ends at byte 20, but .*film\.npy has a frame up to"):
        read_index(*places([3, offset, 5]))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01", b"<html>", b"PK\x03\x04", bytes(1000)])
def test_a_damaged_index_is_named(places, content):
    archive, index = places([0])
    index.write_bytes(content)
    with pytest.raises(InputError, match=r"film\.npy: damaged \(.*\); delete it and .*film\.tar to re-create them"):
        read_index(archive, index)


def test_a_truncated_index_is_named(places):
    archive, index = places(range(20))
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"film\.npy: damaged \("):
        read_index(archive, index)


def test_another_array_is_no_index(places):
    with pytest.raises(InputError, match=r"film\.npy: not an index of frames"):
        read_index(*places([0, 1], np.int64))
    archive, index = places([])
    with pytest.raises(InputError, match=r"film\.npy: no frame in it"):
        read_index(archive, index)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", 0),
        ("video,frames,first\n", 1),
        ("video,frames\na,1\n", 2),
        ("video,frames,first\na,1,0\nb,1\n", 3),
        ("video,frames,first\na,x,0\n", 2),
        ("video,frames,first\na,0,0\n", 2),
        ("video,frames,first\na,1,-1\n", 2),
    ],
)
def test_a_damaged_list_of_videos_is_named(content, line, tmp_path):
    (tmp_path / "videos.csv").write_text(content)
    with pytest.raises(InputError, match=rf"videos\.csv: damaged at line {line} \(.*\); delete it to re-create it"):
        read_videos(tmp_path / "videos.csv")


def test_more_frames_than_the_index_has(places, tmp_path):
    (tmp_path / "videos.csv").write_text(f"video,frames,first\na,2,0\nb,{10**30},2\n")
    with pytest.raises(InputError, match=r"videos\.csv: names more frames than .*film\.npy has"):
        frames_in_one_archive(*places([0, 1, 2]), tmp_path / "videos.csv")
