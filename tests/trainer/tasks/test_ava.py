"""AVA's clips: their frames, boxes and targets, and on what a random clip depends."""

import numpy as np
import pytest
import simplejpeg
import torch

from tests.helpers import formulas, published_vit
from tests.helpers.ava_list import detections, write_list
from tests.helpers.loader_data import FramesInMemory, clip_config, expected
from tests.helpers.published_model import run_of
from trainer.config import Boxes
from trainer.data import ava_lists
from trainer.data.ava_lists import read_list
from trainer.data.clips import indices_around
from trainer.data.transforms import full_frame
from trainer.distributed.process_group import ProcessGroup
from trainer.tasks.ava import AvaClips, AvaTrainingClips, predict_boxes
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


class FormulaScores(torch.nn.Module):
    """Gives the boxes that it sees, one after the other, the probabilities of the published example."""

    def __init__(self, boxes):
        super().__init__()
        logits = (2 * formulas.uniform("logits", boxes * 80) - 1) * 9 - 3
        self.left = torch.from_numpy(logits.astype(np.float32)).reshape(boxes, 80).sigmoid()

    def forward(self, clips, boxes):
        scores, self.left = self.left.split([len(boxes), len(self.left) - len(boxes)])
        return scores


def test_published_scores_are_weighted_by_those_of_the_detections(tmp_path):
    golden = published_vit.expected("transforms")["results"]
    boxes, frames = {}, {}
    for video, of_clip, scores, (width, height) in zip(
        golden["videos"], golden["boxes"], golden["box_scores"], golden["image_sizes_w_h"], strict=True
    ):
        frames[video["movie"]] = (20, height // 8, width // 8)
        corners = [tuple(map(str, np.array(box) / (width, height, width, height))) for box in of_clip]
        of_second = {c: ava_lists.Box(str(score), []) for c, score in zip(corners, scores, strict=True)}
        boxes[video["movie"]] = {video["timestamp"]: of_second}
    table = read_list(write_list(tmp_path / "list.csv", boxes), min_score=0.8)
    weighted = Boxes(extension=(0.1, 0.05), weight_by_score=True)
    clips = AvaClips(table, FramesInMemory(**frames), clip_config(), lambda *size: full_frame(*size, 16), weighted)
    found = predict_boxes(FormulaScores(3), clips, run_of("ava"), ProcessGroup(0, 1, torch.device("cpu")))

    written = golden["results"]["float32"]
    rows = [line.split(",") for line in written["csv_rows_of_actions_1_2_12_74_80"]]
    wanted = np.array([float(row[-1]) for row in rows]).reshape(3, 5)
    np.testing.assert_allclose(found["score"][:, [0, 1, 11, 73, 79]], wanted, atol=1.01e-5)
    assert found["score"].round(5).sum() == pytest.approx(written["sum_of_written_scores"], abs=1e-4)
    assert found["second"].tolist() == [int(row[1]) for row in rows[::5]]
    np.testing.assert_allclose(found["box"], table.boxes, rtol=1e-7)  # as detected, not extended
