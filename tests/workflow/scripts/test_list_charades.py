import csv
import logging

import numpy as np
import pytest

from trainer.data import charades_lists
from trainer.data.frame_archive import INDEX, FrameArchive
from trainer.utils.errors import InputError
from workflow.lib.frames_list import frames_in_folder, frames_in_one_archive
from workflow.scripts.list_charades import list_charades


def frame_list(videos, first_number=0):
    """A frame list of {video: labels of each frame}."""
    lines = [charades_lists.HEADER]
    for number, (video, labels) in enumerate(videos.items(), start=first_number):
        lines += [f'{video} {number} {i} {video}/{video}-{i + 1:06d}.jpg "{text}"' for i, text in enumerate(labels)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def project(tmp_path):
    """An archive of four videos, three of which are listed, with frames of one byte each: the frame's row."""
    places = np.zeros(12, INDEX)
    places["offset"], places["size"] = np.arange(12), 1
    np.save(tmp_path / "index.npy", places)
    (tmp_path / "rgb.tar").write_bytes(bytes(range(12)))
    (tmp_path / "videos.csv").write_text("video,frames,first\n46GP8,4,0\nIDLE0,2,4\nNA,3,6\nYSKX3,3,9\n")
    (tmp_path / "train.csv").write_text(frame_list({"YSKX3": ["", "5,9"], "46GP8": ["147", "147", "", "92"]}))
    (tmp_path / "val.csv").write_text(frame_list({"NA": ["1", "1", "1"]}, 2))
    return tmp_path


def make_lists(project, folder=None):
    archive, index, videos = (str(project / name) for name in ("rgb.tar", "index.npy", "videos.csv"))
    available = frames_in_folder(folder, videos, "-") if folder else frames_in_one_archive(archive, index, videos)
    source = {"folder": folder} if folder else {"archive": archive}
    output = {name: project / f"list_{name}.csv" for name in ("frames", "train", "val")}
    list_charades(available, source | {name: project / f"{name}.csv" for name in ("train", "val")}, output)
    return output


def test_lists(project, caplog):
    caplog.set_level(logging.INFO)
    output = make_lists(project)
    assert list(csv.reader(output["train"].open()))[1:] == [
        ["YSKX3", "2", "5:1-1 9:1-1"],
        ["46GP8", "4", "92:3-3 147:0-1"],
    ]
    assert list(csv.reader(output["val"].open()))[1:] == [["NA", "3", "1:0-2"]]
    assert charades_lists.read_list(output["val"]).names.tolist() == ["NA"]
    frames = FrameArchive(output["frames"])
    assert frames.videos == ["YSKX3", "46GP8", "NA"]
    assert [frames.read("NA", i) for i in range(3)] == [b"\x06", b"\x07", b"\x08"]
    assert "train.csv: 2 videos (published: 7811), 6 frames" in caplog.text
    assert "skipped 1 videos of the archive, which no list names" in caplog.text


def test_loose_frames_need_no_index(project):
    output = make_lists(project, project / "loose")
    (project / "loose" / "NA").mkdir(parents=True)
    (project / "loose" / "NA" / "NA-000003.jpg").write_bytes(b"third")
    assert FrameArchive(output["frames"]).read("NA", 2) == b"third"


def test_a_frame_that_the_archive_lacks_is_named(project):
    (project / "train.csv").write_text(frame_list({"46GP8": [""] * 5, "NEW00": [""]}))
    with pytest.raises(InputError) as error:
        make_lists(project)
    message = str(error.value)
    assert "train.csv: names frame 4 of 46GP8 (5 frames from 0)" in message
    assert "rgb.tar does not hold" in message
    assert "nor frames of 1 more videos" in message
    assert not list(project.glob("list_*"))


def test_a_video_that_the_archive_lacks_is_named(project):
    (project / "val.csv").write_text(frame_list({"NEW00": [""]}))
    for folder, words in (
        (None, "rgb.tar does not hold; download"),
        (project / "loose", "loose does not hold; add them"),
    ):
        with pytest.raises(InputError, match=rf"val\.csv: names frame 0 of NEW00 .*/{words}"):
            make_lists(project, folder)


def test_a_video_in_both_lists_is_named(project):
    (project / "val.csv").write_text(frame_list({"46GP8": [""]}))
    with pytest.raises(InputError, match=r"val\.csv: 46GP8: listed for training, too"):
        make_lists(project)


def test_a_web_page_is_no_list(project):
    (project / "val.csv").write_text("<!DOCTYPE html>\n")
    with pytest.raises(InputError, match=r"val\.csv: this is an HTML page"):
        make_lists(project)
    assert not list(project.glob("list_*"))


def test_an_archive_that_ends_early_is_named(project):
    (project / "rgb.tar").write_bytes(bytes(5))
    with pytest.raises(InputError, match=r"rgb\.tar: ends at byte 5"):
        make_lists(project)
