import csv
import itertools

import numpy as np
import pytest
import torch

from tests.loader_data import FramesInMemory, clip_config, expected
from trainer.data import charades
from trainer.errors import InputError

LABELS = expected("charades_labels.json")
STARTS = expected("charades_test_frames.json")


def frame_list(path, videos):
    """Write a frame list of {video: labels of each frame}."""
    lines = [charades.HEADER]
    for number, (video, labels) in enumerate(videos.items()):
        for frame, actions in enumerate(labels):
            text = ",".join(map(str, actions))
            lines.append(f'{video} {number} {frame} {video}/{video}-{frame + 1:06d}.jpg "{text}"')
    path.write_text("\n".join(lines) + "\n")
    return path


def write_list(path, videos):
    with path.open("w", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(charades.COLUMNS)
        writer.writerows(video.row() for video in videos)
    return path


@pytest.fixture
def table(tmp_path):
    """The two videos of the expected label unions, through frame list and list."""
    videos = {f"V{number}": labels for number, labels in enumerate(LABELS["frame_labels"])}
    return charades.read_list(
        write_list(tmp_path / "list.csv", charades.read_frame_list(frame_list(tmp_path / "frames.csv", videos)))
    )


def test_labels_of_clips_and_videos_are_the_published_ones(table):
    assert table.names.tolist() == ["V0", "V1"]
    assert table.frames.tolist() == [len(labels) for labels in LABELS["frame_labels"]]
    for video, wanted in enumerate(LABELS["video_level_labels"]):
        union = charades.label_union(table.runs_of(video), 0, table.frames[video] - 1)
        assert np.flatnonzero(union).tolist() == wanted
    for span, wanted in LABELS["train_clip_label_sets_video1"].items():
        union = charades.label_union(table.runs_of(1), *map(int, span.split("-")))
        assert np.flatnonzero(union).tolist() == wanted


def test_runs(tmp_path):
    path = frame_list(tmp_path / "frames.csv", {"46GP8": [[147], [147, 92], [92], [], [147]], "NA": [[]]})
    rows = [video.row() for video in charades.read_frame_list(path)]
    assert rows == [("46GP8", 5, "92:1-2 147:0-1 147:4-4"), ("NA", 1, "")]
    table = charades.read_list(write_list(tmp_path / "list.csv", charades.read_frame_list(path)))
    assert table.names.tolist() == ["46GP8", "NA"]
    assert table.runs_of(0).tolist() == [[92, 1, 2], [147, 0, 1], [147, 4, 4]]
    assert len(table.runs_of(1)) == 0


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
def test_a_wrong_frame_list_is_named(tmp_path, content, message):
    path = tmp_path / "train.csv"
    header = "" if content.startswith(("<", "video")) else charades.HEADER + "\n"
    path.write_text(header + content + "\n")
    with pytest.raises(InputError, match=rf"train\.csv.*{message}"):
        list(charades.read_frame_list(path))


def test_test_clips_are_the_published_ones():
    span = charades.clip_span(STARTS["num_frames"], STARTS["sampling_rate"])
    assert span == 249
    for length, clips in STARTS["frames"].items():
        starts = charades.even_starts(STARTS["views"], span, int(length))
        assert [charades.clip_indices(start, 32, 8, int(length)).tolist() for start in starts] == clips


def test_random_starts_cover_the_published_ranges():
    rng = np.random.default_rng(0)
    assert {charades.random_start(rng, 249, 252) for _ in range(200)} == {0, 1, 2, 3}
    assert {charades.random_start(rng, 249, 249) for _ in range(9)} == {0}
    assert {charades.random_start(rng, 249, 247) for _ in range(200)} == {-2, -1, 0}
    # a clip that starts before a short video shows its first frame until the video begins
    assert charades.clip_indices(-17, 4, 8, 12).tolist() == [0, 0, 0, 7]


@pytest.fixture
def videos():
    """One long and one short video: spans of a clip of 4 frames, every 2nd, are 7."""
    table = charades.Videos(
        names=np.array(["LONG", "SHORT"]),
        frames=np.array([24, 3]),
        first_run=np.array([0, 2, 3]),
        runs=np.array([[5, 0, 11], [9, 12, 23], [7, 1, 1]]),
    )
    return table, FramesInMemory(LONG=(30, 18, 32), SHORT=(3, 32, 18))


def test_training_targets_are_those_of_the_clip(videos):
    table, frames = videos
    clips = charades.CharadesClips(table, frames, clip_config(), seed=0, whole_labels=False)
    for epoch in range(20):
        frames.reads.clear()
        sample = clips[epoch, 0]
        first, last = (number for _, number in (frames.reads[0], frames.reads[-1]))
        assert last - first == 6
        assert last < 24  # the list counts fewer frames than the archive
        assert sample.targets.nonzero()[:, 1].tolist() == [5] * (first <= 11) + [9] * (last >= 12)
        assert sample.clip.shape == (4, 16, 16, 3)
        assert sample.clip.dtype == torch.float32
    assert clips[3, 0].clip.equal(clips[3, 0].clip)
    assert not clips[3, 0].clip.equal(clips[4, 0].clip)


def test_validation_draws_once_and_knows_the_whole_video(videos):
    table, frames = videos
    clips = charades.CharadesValidationClips(table, frames, clip_config(), seed=0, whole_labels=True)
    assert clips[0].targets.nonzero()[:, 1].tolist() == [5, 9]
    assert clips[0].clip.equal(clips[0].clip)
    assert clips.sizes() == [16, 16]


@pytest.mark.parametrize("row", [0, 1])
def test_test_views_equal_those_made_one_by_one(videos, row):
    table, frames = videos
    item = charades.CharadesTestVideos(table, frames, clip_config())[row]
    assert len(frames.reads) == len(set(frames.reads))  # each frame once
    views = torch.cat([clips.clone() for clips in item.clips(7)])
    assert views.shape == (30, 3, 4, 16, 16)
    available = int(table.frames[row])
    starts = charades.even_starts(10, 7, available)
    for view, (crop, start) in zip(views, itertools.product(item.crops, starts), strict=True):
        indices = charades.clip_indices(start, 4, 2, available)
        clip, _ = charades.read_clip(frames, item.name, indices, lambda *_, crop=crop: crop, charades.float32_resizer)
        torch.testing.assert_close(view, torch.from_numpy(clip).permute(3, 0, 1, 2), rtol=0, atol=2e-5)
    assert item.target.nonzero()[:, 0].tolist() == [[5, 9], [7]][row]


def test_a_list_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no such list"):
        charades.read_list(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="its columns must be video,frames,labels"):
        charades.read_list(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("video,frames,labels\n")
    with pytest.raises(InputError, match="no video in it"):
        charades.read_list(tmp_path / "empty.csv")
