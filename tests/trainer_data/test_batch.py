from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.loader_data import FramesInMemory, clip_config
from trainer.data import ava, batch, charades
from trainer.data.transforms import whole_view
from trainer.errors import InputError

FILMS = {"A": (200, 36, 64), "B": (200, 36, 64), "C": (200, 40, 48), "D": (200, 36, 64)}


def run_settings(workers=0, ranks=1, batch=4, shares=2):
    training = SimpleNamespace(batch=batch, shares=shares)
    return SimpleNamespace(
        seed=7, training=training, machine=SimpleNamespace(workers=workers, ranks=ranks, device="cpu")
    )


def key_frames():
    """Four films of five key frames; the k-th of a film has k + 1 boxes."""
    counts = np.tile(np.arange(1, 6), 4)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((counts.sum(), 2, 2)), axis=1).reshape(-1, 4)
    return ava.KeyFrames(
        videos=np.repeat(list(FILMS), 5),
        seconds=np.tile(np.arange(902, 907), 4),
        centres=np.tile(np.arange(60, 210, 30), 4),
        first=np.cumsum([0, *counts]),
        boxes=corners,
        targets=(rng.random((counts.sum(), 80)) < 0.1).astype(np.uint8),
    )


@pytest.fixture(scope="module")
def training_clips():
    return ava.AvaTrainingClips(key_frames(), FramesInMemory(**FILMS), clip_config(), seed=7)


def epoch(loader, number, iteration=0):
    loader.batch_sampler.start(number, iteration)
    return list(loader)


def assert_same(ours, theirs):
    assert [b.rows for b in ours] == [b.rows for b in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.names == other.names
        for name in ("clips", "boxes", "targets", "origins"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_workers_change_nothing(training_clips):
    alone = batch.training_loader(training_clips, run_settings())
    helped = batch.training_loader(training_clips, run_settings(workers=2))
    first = epoch(alone, 0)
    assert_same(first, epoch(helped, 0))
    second = epoch(helped, 1)  # by the same processes
    assert_same(epoch(alone, 1), second)
    assert [b.rows for b in first] != [b.rows for b in second]
    assert len(first) == 10  # five iterations of two shares


def test_a_resumed_epoch_is_the_tail_and_loads_nothing_else(training_clips):
    loader = batch.training_loader(training_clips, run_settings())
    whole = epoch(loader, 3)
    training_clips.frames.reads.clear()
    tail = epoch(loader, 3, iteration=3)
    assert_same(tail, whole[6:])
    assert len(training_clips.frames.reads) == 2 * 4 * 4  # iterations x clips x frames


def test_ranks_share_an_epoch(training_clips):
    alone = epoch(batch.training_loader(training_clips, run_settings()), 2)
    both = [epoch(batch.training_loader(training_clips, run_settings(ranks=2), rank), 2) for rank in (0, 1)]
    assert_same(alone, [b for pair in zip(*both, strict=True) for b in pair])


def test_an_epoch_has_each_clip_once_and_drops_the_rest():
    batches = batch.batches_of_epoch(107, 10, seed=1, epoch=4)
    assert batches.shape == (10, 10)
    assert len(np.unique(batches)) == 100
    assert np.array_equal(batches, batch.batches_of_epoch(107, 10, 1, 4))
    assert not np.array_equal(batches, batch.batches_of_epoch(107, 10, 1, 5))
    assert not np.array_equal(batches, batch.batches_of_epoch(107, 10, 2, 4))


def test_shares_must_fit():
    with pytest.raises(InputError, match="3 clips to train on do not fill a batch of 4"):
        batch.ShareSampler(3, 4, 2, 0)
    with pytest.raises(InputError, match="does not split into 3 equal shares"):
        batch.ShareSampler(30, 4, 3, 0)
    with pytest.raises(InputError, match="over 3 processes"):
        batch.ShareSampler(30, 4, 4, 0, ranks=3)


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_test_clip_is_dropped_or_doubled(ranks, workers):
    clips = ava.AvaClips(key_frames(), FramesInMemory(**FILMS), clip_config(), lambda *size: whole_view(*size, 16))
    run = run_settings(workers, ranks)
    served = [list(batch.evaluation_loader(clips, run, rank)) for rank in range(ranks)]
    batches = [b for of_rank in served for b in of_rank]
    assert sorted(row for b in batches for row in b.rows) == list(range(20))
    assert {b.clips.shape[3:] for b in batches} == {(16, 28), (16, 19)}
    for b in batches:
        assert len(b.rows) <= 2
        counts = torch.bincount(b.boxes[:, 0].long()).tolist()
        assert counts == [row % 5 + 1 for row in b.rows]
        assert len(b.targets) == len(b.origins) == len(b.boxes)


def test_batches_of_equal_size():
    assert batch.batches_of_equal_size("aaaabba", 3) == [[0, 1, 2], [3], [4, 5], [6]]
    assert batch.batches_of_equal_size([], 3) == []


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_test_video_comes_once(ranks, workers):
    names = [f"V{i}" for i in range(5)]
    table = charades.Videos(np.array(names), np.full(5, 9), np.zeros(6, int), np.zeros((0, 3), int))
    videos = charades.CharadesTestVideos(table, FramesInMemory(**dict.fromkeys(names, (9, 18, 32))), clip_config())
    run = run_settings(workers, ranks)
    served = [item.name for rank in range(ranks) for item in batch.video_loader(videos, run, rank)]
    assert sorted(served) == names


def test_network_input():
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1, 1)
    rgb = batch.network_input(clips, clip_config())
    torch.testing.assert_close(rgb.flatten(), torch.tensor([-2.0, (0.2 - 0.45) / 0.225, 0.55 / 0.225]))
    assert rgb.is_contiguous()
    bgr = batch.network_input(clips, clip_config(channels="bgr", mean=0.0, std=1.0))
    torch.testing.assert_close(bgr.flatten(), torch.tensor([1.0, 0.2, 0.0]))
    assert clips.flatten().tolist() == [0, 51, 255]


def test_a_batch_moves_whole(training_clips):
    moved = batch.collate([training_clips[0, 4], training_clips[0, 0]]).to("meta")
    assert {t.device.type for t in (moved.clips, moved.boxes, moved.targets, moved.origins)} == {"meta"}
    assert (moved.rows, moved.names) == ([4, 0], ["A second 906", "A second 902"])
    assert moved.clips.shape == (2, 3, 4, 16, 16)


def test_loaders_leave_the_generator_of_dropout_alone(training_clips):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch(batch.training_loader(training_clips, run_settings()), 0)
    assert torch.equal(torch.get_rng_state(), before)
