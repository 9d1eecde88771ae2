"""Charades' lists: segments and labels of frame lists as published, and what is refused."""

import csv

import numpy as np
import pytest

from tests.helpers.loader_data import expected
from trainer.data import charades_lists
from trainer.utils.errors import InputError

LABELS = expected("charades_labels.json")


def frame_list(path, videos):
    """Write a frame list of {video: labels of each frame}."""
    lines = [charades_lists.HEADER]
    for number, (video, labels) in enumerate(videos.items()):
        for frame, actions in enumerate(labels):
            text = ",".join(map(str, actions))
            lines.append(f'{video} {number} {frame} {video}/{video}-{frame + 1:06d}.jpg "{text}"')
    path.write_text("\n".join(lines) + "\n")
    return path


def write_list(path, videos):
    with path.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(charades_lists.COLUMNS)
        writer.writerows(video.row() for video in videos)
    return path


@pytest.fixture
def table(tmp_path):
    """The two videos of the expected label unions, through frame list and list."""
    videos = {f"V{number}": labels for number, labels in enumerate(LABELS["frame_labels"])}
    return charades_lists.read_list(
        write_list(tmp_path / "list.csv", charades_lists.read_frame_list(frame_list(tmp_path / "frames.csv", videos)))
    )


def test_labels_of_clips_and_videos_are_the_published_ones(table):
    assert table.names.tolist() == ["V0", "V1"]
    assert table.frames.tolist() == [len(labels) for labels in LABELS["frame_labels"]]
    for video, wanted in enumerate(LABELS["video_level_labels"]):
        union = charades_lists.label_union(table.segments_of(video), 0, table.frames[video] - 1)
        assert np.flatnonzero(union).tolist() == wanted
    for span, wanted in LABELS["train_clip_label_sets_video1"].items():
        union = charades_lists.label_union(table.segments_of(1), *map(int, span.split("-")))
        assert np.flatnonzero(union).tolist() == wanted


def test_segments(tmp_path):
    path = frame_list(tmp_path / "frames.csv", {"46GP8": [[147], [147, 92], [92], [], [147]], "NA": [[]]})
    rows = [video.row() for video in charades_lists.read_frame_list(path)]
    assert rows == [("46GP8", 5, "92:1-2 147:0-1 147:4-4"), ("NA", 1, "")]
    table = charades_lists.read_list(write_list(tmp_path / "list.csv", charades_lists.read_frame_list(path)))
    assert table.names.tolist() == ["46GP8", "NA"]
    assert table.segments_of(0).tolist() == [[92, 1, 2], [147, 0, 1], [147, 4, 4]]
    assert len(table.segments_of(1)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<!DOCTYPE html>", "this is an HTML page, not a frame list"),
        ("video frames", "line 1: the header must be 'original_vido_id"),
        ('A 0 0 A/A-000001.jpg "1" 7', "line 2: 6 columns instead of 5"),
        ("A 0 0 A/A-000001.jpg", "line 2: 4 columns instead of 5"),
        ('A 0 0 A/A-000001.jpg ""\nA 0 2 A/A-000003.jpg ""', "line 3: expected frame 1 of A, A-000002.jpg"),
        ('A 0 0 A/A-000000.jpg ""', "line 2: expected frame 0 of A, A-000001.jpg"),
        ('A 0 0 A/A-000001.jpg "157"', r'line 2: labels "157" are not all in 0\.\.156'),
        ('A 0 0 A/A-000001.jpg "x"', "line 2: invalid literal"),
        ('A 0 0 A-000001.jpg ""\nB 1 0 B-000001.jpg ""\nA 0 1 A-000002.jpg ""', "line 4: the rows of A are not toget"),
    ],
)
def test_a_wrong_frame_list_is_reported_by_its_line(tmp_path, content, message):
    path = tmp_path / "train.csv"
    header = "" if content.startswith(("<", "video")) else charades_lists.HEADER + "\n"
    path.write_text(header + content + "\n")
    with pytest.raises(InputError, match=rf"train\.csv.*{message}"):
        list(charades_lists.read_frame_list(path))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_other_encodings_are_refused(tmp_path, encoding):
    path = tmp_path / "train.csv"
    path.write_text(f'{charades_lists.HEADER}\nÅ 0 0 Å/Å-000001.jpg ""\n', encoding)
    with pytest.raises(InputError, match=r"train\.csv.*(not UTF-8|UTF-16 text; expected UTF-8)"):
        list(charades_lists.read_frame_list(path))


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(f'{charades_lists.HEADER}\nÅ 0 0 Å/Å-000001.jpg "5"\n', "utf-8-sig")
    assert [video.row() for video in charades_lists.read_frame_list(path)] == [("Å", 1, "5:0-0")]


@pytest.mark.parametrize(
    "row", ["A,x,", "A,99999999999999999999,", "A,0,", "A,5,7", "A,5,157:0-1", "A,5,7:3-2", "A,5,7:0-5", "A,5,7:-1-2"]
)
def test_a_damaged_list_is_named(tmp_path, row):
    (tmp_path / "list.csv").write_text(f"video,frames,labels\n{row}\n")
    with pytest.raises(InputError, match=r"list\.csv: damaged \(.*\); delete it to write it again"):
        charades_lists.read_list(tmp_path / "list.csv")


def test_wrong_lists(tmp_path):
    with pytest.raises(InputError, match="no such list"):
        charades_lists.read_list(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="its columns must be video,frames,labels"):
        charades_lists.read_list(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("video,frames,labels\n")
    with pytest.raises(InputError, match="no video in it"):
        charades_lists.read_list(tmp_path / "empty.csv")
