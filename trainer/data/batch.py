"""From clips to batches: what a batch holds, which clips it is made of, and the loaders that serve it."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from trainer.errors import InputError


@dataclass
class Sample:
    """One clip as a dataset serves it."""

    clip: torch.Tensor  # (T, H, W, 3) RGB, 0..255, uint8 or float32
    targets: torch.Tensor  # (boxes or 1, classes) float32, 0 or 1
    name: str  # for messages: "-5KQ66BBWC4 second 904"
    row: int  # which item of the dataset it is
    boxes: torch.Tensor | None = None  # (boxes, 4) float32, pixels of the clip
    origins: torch.Tensor | None = None  # (boxes, 4) float32, the same as fractions of the frame, as listed


@dataclass
class Batch:
    """B clips of one size, and their N boxes (AVA)."""

    clips: torch.Tensor  # (B, 3, T, H, W) RGB, 0..255, uint8 or float32; not normalised, see `network_input`
    targets: torch.Tensor  # (N boxes, or B clips without boxes; classes) float32, 0 or 1
    names: list[str]  # of each clip, for messages
    rows: list[int]  # of each clip: which item of the dataset it is
    boxes: torch.Tensor | None = None  # (N, 5) float32: clip in the batch, x1, y1, x2, y2 in pixels of the clip
    origins: torch.Tensor | None = None  # (N, 4) float32: the boxes as fractions of the frame, as listed

    def to(self, device):
        """The batch with its tensors on ``device``; copies from pinned memory do not wait."""
        return self._each_tensor(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self):
        """Called by the DataLoader, so that copies to a GPU overlap with its work."""
        return self._each_tensor(torch.Tensor.pin_memory)

    def _each_tensor(self, change):
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if torch.is_tensor(getattr(self, f.name))}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


def collate(samples: list[Sample]) -> Batch:
    """Stack clips of one size; boxes get the number of their clip in front."""
    # Stacked as the frames lie in memory: turning channels to the front is free on the device, milliseconds here.
    clips = torch.stack([sample.clip for sample in samples]).permute(0, 4, 1, 2, 3)
    targets = torch.cat([sample.targets for sample in samples])
    names, rows = [sample.name for sample in samples], [sample.row for sample in samples]
    if samples[0].boxes is None:
        return Batch(clips, targets, names, rows)
    number = torch.repeat_interleave(torch.tensor([len(sample.boxes) for sample in samples]))
    boxes = torch.cat([number[:, None].float(), torch.cat([sample.boxes for sample in samples])], dim=1)
    return Batch(clips, targets, names, rows, boxes, torch.cat([sample.origins for sample in samples]))


def network_input(clips, clip_config):
    """Normalise clips on their device: (B, 3, T, H, W) 0..255 to float32 (x / 255 - mean) / std, RGB or BGR as set."""
    if clip_config.channels == "bgr":
        clips = clips.flip(1)
    clips = clips.to(torch.float32, memory_format=torch.contiguous_format)
    return clips.div(255).sub_(clip_config.mean).div_(clip_config.std)


def batches_of_epoch(clips, batch, seed, epoch):
    """Clip numbers of each iteration of an epoch: (iterations, batch) int64. The incomplete last batch is dropped."""
    order = np.random.default_rng([seed, epoch]).permutation(clips)
    return order[: len(order) // batch * batch].reshape(-1, batch)


class ShareSampler:
    """The training batches of one rank: at each iteration its shares of the whole batch, as lists of (epoch, clip).

    The whole batch is cut into ``shares`` equal parts; rank r of R serves shares r, r + R, ... The epoch travels with
    each clip, so that workers which outlive epochs draw from (seed, epoch, clip).
    """

    def __init__(self, clips, batch, shares, seed, *, rank=0, ranks=1):
        if clips < batch:
            raise InputError(f"{clips} clips to train on do not fill a batch of {batch}; lower training.batch")
        if batch % shares or shares % ranks:
            raise InputError(
                f"a batch of {batch} clips does not split into {shares} equal shares over {ranks} processes; "
                "choose training.batch, training.shares and GPUs (`--resources gpu=`) that divide each other"
            )
        self.clips, self.batch, self.shares, self.seed = clips, batch, shares, seed
        self.mine = range(rank, shares, ranks)
        self.iterations = clips // batch
        self.start(0)

    def start(self, epoch, iteration=0):
        """Serve ``epoch`` from ``iteration`` on; the clips of earlier iterations are not loaded."""
        self.epoch, self.first = epoch, iteration

    def __len__(self):
        return (self.iterations - self.first) * len(self.mine)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for clips in batches_of_epoch(self.clips, self.batch, self.seed, self.epoch)[self.first :]:
            shares = clips.reshape(self.shares, -1)
            for share in self.mine:
                yield [(self.epoch, int(clip)) for clip in shares[share]]


def batches_of_equal_size(sizes, batch, rank=0, ranks=1):
    """Batches for evaluation: consecutive items of equal size, at most ``batch`` of them; every ranks-th is a rank's.

    ``sizes`` holds one comparable value per item, in dataset order. Over all ranks each item comes exactly once.
    """
    batches = []
    for item, size in enumerate(sizes):
        if not batches or len(batches[-1]) == batch or sizes[batches[-1][-1]] != size:
            batches.append([])
        batches[-1].append(item)
    return batches[rank::ranks]


def training_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Yields the Batch of each share of ``rank``, from where ``loader.batch_sampler.start(epoch, iteration)`` says."""
    training, machine = run.training, run.machine
    sampler = ShareSampler(len(dataset), training.batch, training.shares, run.seed, rank=rank, ranks=machine.ranks)
    kept = machine.workers > 0  # workers live on between epochs
    return _loader(dataset, machine, batch_sampler=sampler, collate_fn=collate, persistent_workers=kept)


def evaluation_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Yields Batches of the clips of a validation or AVA test set, in list order; each clip once over all ranks."""
    share = run.training.batch // run.training.shares
    batches = batches_of_equal_size(dataset.sizes(), share, rank, run.machine.ranks)
    return _loader(dataset, run.machine, batch_sampler=batches, collate_fn=collate)


def video_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Yields the VideoViews of a Charades test set, one video at a time; each video once over all ranks."""
    mine = range(rank, len(dataset), run.machine.ranks)
    # a video's frames fill up to 90 MB: one per worker is read ahead, not the usual two
    ahead = {"prefetch_factor": 1} if run.machine.workers else {}
    return _loader(dataset, run.machine, sampler=mine, batch_size=None, **ahead)


def _loader(dataset, machine, **kind):
    return DataLoader(
        dataset,
        num_workers=machine.workers,
        pin_memory=machine.device == "cuda",
        worker_init_fn=_outlive_sigterm,
        generator=torch.Generator(),  # else each epoch takes a number from the generator that dropout draws from
        **kind,
    )


def _outlive_sigterm(worker):
    """A cluster's SIGTERM reaches every process of a job; the trainer, which saves upon it, then ends its workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
