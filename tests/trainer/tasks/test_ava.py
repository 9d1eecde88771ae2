"""AVA's clips: their frames, boxes and targets, and on what a random clip depends."""

import numpy as np
import pytest
import simplejpeg

from tests.helpers.ava_list import detections, write_list
from tests.helpers.loader_data import FramesInMemory, clip_config, expected
from trainer.data.ava_lists import read_list
from trainer.data.clips import indices_around
from trainer.data.transforms import full_frame
from trainer.tasks.ava import AvaClips, AvaTrainingClips
from trainer.utils.errors import InputError


def test_clip_indices_are_the_published_ones():
    for case in expected("ava_clips.json")["clips"]:
        center = case["center"] if "center" in case else (case["second"] - 900) * 30
        assert indices_around(center, 32, 2, case["frames_available"]).tolist() == case["indices"]


@pytest.fixture
def two_films(tmp_path):
    """Frames and list of two films of different sizes, names that other readers take for numbers or options."""
    frames = FramesInMemory(**{"-1e5": (200, 36, 64), "nan": (200, 48, 40)})
    boxes = {
        "-1e5": {
            902: {("0.1", "0.2", "0.9", "1.010"): [12, 12], ("0", "0", "0.5", "0.5"): []},
            904: {("0", "0", "1", "1"): [80]},
        },
        "nan": {903: {("0.25", "0.25", "0.75", "0.75"): [1]}},
    }
    return read_list(write_list(tmp_path / "list.csv", detections(boxes))), frames


def test_a_test_clip(two_films):
    table, frames = two_films
    clips = AvaClips(table, frames, clip_config(), lambda *size: full_frame(*size, 16))
    assert len(clips) == 3
    sample = clips[0]
    assert (sample.name, sample.row) == ("-1e5 second 902", 0)
    assert sample.clip.shape == (4, 16, 28, 3)
    np.testing.assert_allclose(sample.origins, [[0.1, 0.2, 0.9, 1.01], [0, 0, 0.5, 0.5]], rtol=1e-7)
    assert sample.boxes[0, 3] == 15  # clipped, unlike the origin
    assert sample.targets.nonzero().tolist() == [[0, 11]]
    assert [frame for _, frame in frames.reads] == [56, 58, 60, 62]
    assert clips.sizes() == [(36, 64), (36, 64), (48, 40)]


def test_a_training_clip_depends_only_on_seed_epoch_and_row(two_films):
    table, frames = two_films
    clips = AvaTrainingClips(table, frames, clip_config(), seed=0)
    first = clips[2, 1]
    assert first.clip.shape == (4, 16, 16, 3)
    assert first.name == "-1e5 second 904"
    assert clips[2, 1].clip.equal(first.clip)
    assert not clips[3, 1].clip.equal(first.clip)
    assert not AvaTrainingClips(table, frames, clip_config(), seed=1)[2, 1].clip.equal(first.clip)


def test_frames_of_another_size_are_reported(two_films):
    table, frames = two_films
    frames.content["nan"][90] = simplejpeg.encode_jpeg(np.zeros((40, 40, 3), np.uint8))
    clips = AvaTrainingClips(table, frames, clip_config(), seed=0)
    with pytest.raises(InputError, match="nan: frame 90 is 40x40, frame 86 is 40x48"):
        clips[0, 2]
