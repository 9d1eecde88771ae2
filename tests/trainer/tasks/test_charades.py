"""Charades' clips: their frames and targets, on what a random clip depends, and all test views of a video."""

import itertools

import numpy as np
import pytest
import torch

from tests.helpers.loader_data import FramesInMemory, clip_config, expected
from trainer.data.charades_lists import Videos
from trainer.data.clips import indices_from, read_clip
from trainer.data.transforms import INT16_STEPS, float32_resizer
from trainer.tasks import charades

STARTS = expected("charades_test_frames.json")


def test_test_clips_are_the_published_ones():
    span = charades.clip_span(STARTS["num_frames"], STARTS["sampling_rate"])
    assert span == 249
    for length, clips in STARTS["frames"].items():
        starts = charades.even_starts(STARTS["views"], span, int(length))
        assert [indices_from(start, 32, 8, int(length)).tolist() for start in starts] == clips


def test_random_starts_cover_the_published_ranges():
    rng = np.random.default_rng(0)
    assert {charades.random_start(rng, 249, 252) for _ in range(200)} == {0, 1, 2, 3}
    assert {charades.random_start(rng, 249, 249) for _ in range(9)} == {0}
    assert {charades.random_start(rng, 249, 247) for _ in range(200)} == {-2, -1, 0}
    # a clip that starts before a short video shows its first frame until the video begins
    assert indices_from(-17, 4, 8, 12).tolist() == [0, 0, 0, 7]


@pytest.fixture
def videos():
    """One long and one short video: spans of a clip of 4 frames, every 2nd, are 7."""
    table = Videos(
        names=np.array(["LONG", "SHORT"]),
        frames=np.array([24, 3]),
        first_segment=np.array([0, 2, 3]),
        segments=np.array([[5, 0, 11], [9, 12, 23], [7, 1, 1]]),
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


def test_validation_clips_stay_the_same_and_have_the_labels_of_the_video(videos):
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
        indices = indices_from(start, 4, 2, available)
        clip, _ = read_clip(frames, str(table.names[row]), indices, lambda *_, crop=crop: crop, float32_resizer)
        # of 255: whole frames are rounded to int16, and resized by a function that rounds positions differently
        rounding = 0.5 / INT16_STEPS + 1e-3
        torch.testing.assert_close(
            view / INT16_STEPS, torch.from_numpy(clip).permute(3, 0, 1, 2), rtol=0, atol=rounding
        )
    assert item.target.nonzero()[:, 0].tolist() == [[5, 9], [7]][row]
