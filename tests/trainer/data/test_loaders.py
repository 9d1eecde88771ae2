"""Batches: which clips are in them, on any number of ranks and workers, and how pixels are normalized."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.loader_data import FramesInMemory, clip_config
from tests.helpers.published_model import run_of
from tests.helpers.small_run import training
from trainer.config import Normalization, RunMachine
from trainer.data import loaders
from trainer.data.ava_lists import KeyFrames
from trainer.data.charades_lists import Videos
from trainer.data.transforms import INT16_STEPS, full_frame
from trainer.tasks.ava import AvaClips, AvaTrainingClips
from trainer.tasks.charades import CharadesTestVideos
from trainer.utils.errors import InputError

FILMS = {"A": (200, 36, 64), "B": (200, 36, 64), "C": (200, 40, 48), "D": (200, 36, 64)}


def run_settings(workers=0, world_size=1):
    """Return a run with batches of four clips in two micro-batches."""
    machine = RunMachine("cpu", workers, threads=1, checkpoint_minutes=1000.0, world_size=world_size)
    return replace(run_of("ava"), seed=7, training=training(batch_size=4, micro_batches=2), machine=machine)


def key_frames():
    """Return four films of five keyframes; the k-th of a film has k + 1 boxes."""
    counts = np.tile(np.arange(1, 6), 4)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((counts.sum(), 2, 2)), axis=1).reshape(-1, 4)
    return KeyFrames(
        videos=np.repeat(list(FILMS), 5),
        seconds=np.tile(np.arange(902, 907), 4),
        centers=np.tile(np.arange(60, 210, 30), 4),
        first=np.cumsum([0, *counts]),
        boxes=corners,
        targets=(rng.random((counts.sum(), 80)) < 0.1).astype(np.uint8),
        scores=np.full(counts.sum(), 0.95, np.float32),
    )


@pytest.fixture(scope="module")
def training_clips():
    return AvaTrainingClips(key_frames(), FramesInMemory(**FILMS), clip_config(), seed=7)


def epoch(loader, number, iteration=0):
    loader.batch_sampler.start(number, iteration)
    return list(loader)


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for name in ("rows", "clips", "boxes", "targets", "origins"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_workers_do_not_change_the_batches(training_clips):
    alone = loaders.training_loader(training_clips, run_settings())
    helped = loaders.training_loader(training_clips, run_settings(workers=2))
    first = epoch(alone, 0)
    assert_same(first, epoch(helped, 0))
    second = epoch(helped, 1)  # by the same processes
    assert_same(epoch(alone, 1), second)
    assert [b.rows.tolist() for b in first] != [b.rows.tolist() for b in second]
    assert len(first) == 10  # five iterations of two micro-batches


def test_a_resumed_epoch_loads_only_its_remaining_batches(training_clips):
    loader = loaders.training_loader(training_clips, run_settings())
    whole = epoch(loader, 3)
    training_clips.frames.reads.clear()
    tail = epoch(loader, 3, iteration=3)
    assert_same(tail, whole[6:])
    assert len(training_clips.frames.reads) == 2 * 4 * 4  # iterations x clips x frames


def test_ranks_share_an_epoch(training_clips):
    alone = epoch(loaders.training_loader(training_clips, run_settings()), 2)
    both = [epoch(loaders.training_loader(training_clips, run_settings(world_size=2), rank), 2) for rank in (0, 1)]
    assert_same(alone, [b for pair in zip(*both, strict=True) for b in pair])


def test_an_epoch_has_each_clip_once_and_drops_the_rest():
    batches = loaders.batches_of_epoch(107, 10, seed=1, epoch=4)
    assert batches.shape == (10, 10)
    assert len(np.unique(batches)) == 100
    assert np.array_equal(batches, loaders.batches_of_epoch(107, 10, 1, 4))
    assert not np.array_equal(batches, loaders.batches_of_epoch(107, 10, 1, 5))
    assert not np.array_equal(batches, loaders.batches_of_epoch(107, 10, 2, 4))


def test_micro_batches_must_fit():
    with pytest.raises(InputError, match="3 training clips do not fill a batch of 4; lower training: batch_size"):
        loaders.MicroBatchSampler(3, 4, 2, 0)


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_test_clip_is_served_once(world_size, workers):
    clips = AvaClips(key_frames(), FramesInMemory(**FILMS), clip_config(), lambda *size: full_frame(*size, 16))
    run = run_settings(workers, world_size)
    served = [list(loaders.evaluation_loader(clips, run, rank)) for rank in range(world_size)]
    batches = [b for of_rank in served for b in of_rank]
    assert sorted(row for b in batches for row in b.rows.tolist()) == list(range(20))
    assert {b.clips.shape[3:] for b in batches} == {(16, 28), (16, 19)}
    for b in batches:
        assert len(b.rows) <= 2
        counts = torch.bincount(b.boxes[:, 0].long()).tolist()
        assert counts == [row % 5 + 1 for row in b.rows.tolist()]
        assert len(b.targets) == len(b.origins) == len(b.boxes)


def test_batches_of_equal_size():
    assert loaders.batches_of_equal_size("aaaabba", 3) == [[0, 1, 2], [3], [4, 5], [6]]
    assert loaders.batches_of_equal_size([], 3) == []


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_test_video_is_served_once(world_size, workers):
    names = [f"V{i}" for i in range(5)]
    table = Videos(np.array(names), np.full(5, 9), np.zeros(6, int), np.zeros((0, 3), int))
    videos = CharadesTestVideos(table, FramesInMemory(**dict.fromkeys(names, (9, 18, 32))), clip_config())
    run = run_settings(workers, world_size)
    served = [item.row for rank in range(world_size) for item in loaders.video_loader(videos, run, rank)]
    assert sorted(served) == [0, 1, 2, 3, 4]


class SharedMemory(torch.utils.data.Dataset):
    """One item: whether `empty_shared` gives this process memory that needs no copy to reach another one."""

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return torch.tensor(loaders.empty_shared((2, 3), np.int16).is_shared())


class Damaged(SharedMemory):
    """One item that cannot be read, with a name that looks like words of ours."""

    def __getitem__(self, _):
        raise InputError("InputError: is a folder.csv: no such\tfile")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_input_keeps_its_words(workers):
    loader = torch.utils.data.DataLoader(Damaged(), num_workers=workers)
    with pytest.raises(InputError) as raised:
        list(loaders.read_batches(loader))
    assert str(raised.value) == r"InputError: is a folder.csv: no such\tfile"


@pytest.mark.parametrize("workers", [0, 1])
def test_only_workers_share_memory(workers):
    loader = torch.utils.data.DataLoader(SharedMemory(), batch_size=None, num_workers=workers)
    assert [shared.item() for shared in loader] == [workers > 0]


def test_each_batch_of_training_and_prediction_is_a_heartbeat(training_clips, monkeypatch):
    """A step or batch that hangs asks for no next one, so the watchdog ends the run, see `start_watchdog`."""
    beats = []
    monkeypatch.setattr(loaders, "heartbeat", lambda: beats.append(1))
    batches = loaders.read_on_device(loaders.training_loader(training_clips, run_settings()), torch.device("cpu"))
    assert not beats
    next(batches)
    assert len(beats) == 1
    assert len(list(batches)) + 1 == len(beats)


def test_clips_are_normalized():
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1, 1)
    rgb = loaders.normalize_clips(clips, Normalization("rgb", 0.45, 0.225))
    torch.testing.assert_close(rgb.flatten(), torch.tensor([-2.0, (0.2 - 0.45) / 0.225, 0.55 / 0.225]))
    assert rgb.is_contiguous()
    bgr = loaders.normalize_clips(clips, Normalization("bgr", 0.0, 1.0))
    torch.testing.assert_close(bgr.flatten(), torch.tensor([1.0, 0.2, 0.0]))
    assert clips.flatten().tolist() == [0, 51, 255]


def test_pixels_of_all_types_have_the_same_range():
    gray = Normalization("rgb", 0.0, 1.0)
    clips = torch.tensor([0.0, 51.0, 255.0]).reshape(1, 3, 1, 1, 1)
    normalized = [
        loaders.normalize_clips(pixels, gray).flatten()
        for pixels in (clips, clips.byte(), (clips * INT16_STEPS).short())
    ]
    assert all(pixels.equal(normalized[0]) and pixels.dtype == torch.float32 for pixels in normalized)


@pytest.mark.parametrize(("channel_order", "expected"), [("rgb", [-0.2, 0.0, 1.4]), ("bgr", [1.4, 0.0, -0.2])])
def test_each_channel_has_its_mean_and_deviation_in_any_order(channel_order, expected):
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1, 1)
    normalized = loaders.normalize_clips(clips, Normalization(channel_order, (0.1, 0.2, 0.3), (0.5, 0.25, 0.5)))
    torch.testing.assert_close(normalized.flatten(), torch.tensor(expected))


def test_all_tensors_of_a_batch_move(training_clips):
    batch = loaders.collate([training_clips[0, 4], training_clips[0, 0]])
    moved = batch.to("meta")
    assert {t.device.type for t in (moved.clips, moved.boxes, moved.targets, moved.origins, moved.rows)} == {"meta"}
    assert batch.rows.tolist() == [4, 0]
    assert moved.clips.shape == (2, 3, 4, 16, 16)


def test_loaders_do_not_use_the_generator_of_dropout(training_clips):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch(loaders.training_loader(training_clips, run_settings()), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_loaders_with_workers_ask_for_shared_memory(training_clips, monkeypatch):
    asked = []
    monkeypatch.setattr(loaders, "check_shared_memory", asked.append)
    loaders.training_loader(training_clips, run_settings())
    assert not asked
    loaders.training_loader(training_clips, run_settings(workers=2, world_size=2))
    clips = 2 * 2 * 2 * 2  # of a micro-batch, ahead, workers, ranks
    assert asked[0] >= clips * training_clips[0, 0].clip.nbytes
