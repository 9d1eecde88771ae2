"""Batches of clips: what a batch holds, which clips are in it, and the loaders that serve it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from trainer.data.transforms import INT16_STEPS
from trainer.distributed.lifetime import heartbeat, start_worker
from trainer.utils.errors import InputError

# The value of white by the type of pixels.
WHITE = {torch.uint8: 255, torch.float32: 255, torch.int16: 255 * INT16_STEPS}


@dataclass
class Sample:
    """One clip as a dataset serves it."""

    clip: torch.Tensor  # (T, H, W, 3) RGB, 0..255, uint8 or float32
    targets: torch.Tensor  # (boxes or 1, classes) float32, 0 or 1
    name: str  # for messages: "-5KQ66BBWC4 second 904"
    row: int  # which item of the dataset it is
    boxes: torch.Tensor | None = None  # (boxes, 4) float32, pixels of the clip
    origins: torch.Tensor | None = None  # (boxes, 4) float32, the same as fractions of the frame, as listed


class OnDevice:
    """What a dataclass with tensors needs to be moved to a device."""

    def to(self, device):
        """Return it with its tensors on ``device``; copies from pinned memory do not wait."""
        return self._each_tensor(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self):
        """Return it in pinned memory; the DataLoader calls this, so that copies overlap with a GPU's work."""
        return self._each_tensor(torch.Tensor.pin_memory)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return its tensors by field."""
        return {f.name: getattr(self, f.name) for f in fields(self) if torch.is_tensor(getattr(self, f.name))}

    def _each_tensor(self, change):
        return replace(self, **{name: change(tensor) for name, tensor in self.tensors().items()})


@dataclass
class Batch(OnDevice):
    """B clips of one size, and their N boxes (AVA)."""

    clips: torch.Tensor  # (B, 3, T, H, W) RGB, of a type in WHITE; not normalized, see `normalize_clips`
    targets: torch.Tensor  # (N boxes, or B clips without boxes; classes) float32, 0 or 1
    rows: torch.Tensor  # (B,) int64: which item of the dataset each clip is
    boxes: torch.Tensor | None = None  # (N, 5) float32: clip in the batch, x1, y1, x2, y2 in pixels of the clip
    origins: torch.Tensor | None = None  # (N, 4) float32: the boxes as fractions of the frame, as listed


def collate(samples: list[Sample]) -> Batch:
    """Stack clips of one size; boxes get the number of their clip in front."""
    # Stacked as the frames lie in memory: turning channels to the front is free on the device, milliseconds here. In a
    # worker, PyTorch's function stacks into the memory that is handed over: a third less system time than a copy.
    clips = default_collate([sample.clip for sample in samples]).permute(0, 4, 1, 2, 3)
    targets = torch.cat([sample.targets for sample in samples])
    rows = torch.tensor([sample.row for sample in samples])
    if samples[0].boxes is None:
        return Batch(clips, targets, rows)
    number = torch.repeat_interleave(torch.tensor([len(sample.boxes) for sample in samples]))
    boxes = torch.cat([number[:, None].float(), torch.cat([sample.boxes for sample in samples])], dim=1)
    return Batch(clips, targets, rows, boxes, torch.cat([sample.origins for sample in samples]))


def empty_shared(shape, dtype) -> torch.Tensor:
    """Return an uninitialized tensor of a NumPy dtype; in a loader worker, in shared memory, which saves a copy."""
    tensor = torch.from_numpy(np.empty(shape, dtype))
    return tensor.share_memory_() if get_worker_info() else tensor


def normalize_clips(clips, normalization):
    """Return RGB clips (B, 3, T, H, W) as float32 (x / 255 - mean) / std, in the channel order of the run.

    They lie in memory as before: the network chooses its layout.
    """
    if normalization.channel_order == "bgr":
        clips = clips.flip(1)
    clips = clips.float().div(WHITE[clips.dtype])
    for change, values in ((torch.Tensor.sub_, normalization.mean), (torch.Tensor.div_, normalization.std)):
        if isinstance(values, tuple):
            channels = clips.unbind(1)[:: -1 if normalization.channel_order == "bgr" else 1]
            for channel, value in zip(channels, values, strict=True):  # a tensor would have to be copied to the GPU
                change(channel, value)
        else:
            change(clips, values)
    return clips


def batches_of_epoch(clips, batch_size, seed, epoch):
    """Return the clip numbers of each iteration of an epoch: (iterations, batch_size) int64.

    The incomplete last batch is dropped.
    """
    order = np.random.default_rng([seed, epoch]).permutation(clips)
    return order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)


class MicroBatchSampler:
    """Serve the training batches of one rank: at each iteration its micro-batches, as lists of (epoch, clip).

    A batch is split into ``micro_batches`` equal parts; rank r of R serves parts r, r + R, ... BatchNorm normalizes by
    the statistics of one micro-batch, so the number of GPUs does not change the computation. The epoch travels with
    each clip, so that workers which outlive epochs draw from (seed, epoch, clip).
    """

    def __init__(self, clips, batch_size, micro_batches, seed, *, rank=0, world_size=1):
        if clips < batch_size:
            raise InputError(f"{clips} training clips do not fill a batch of {batch_size}; lower training: batch_size")
        self.clips, self.batch_size, self.micro_batches, self.seed = clips, batch_size, micro_batches, seed
        self.mine = range(rank, micro_batches, world_size)
        self.iterations = clips // batch_size
        self.start(0)

    def start(self, epoch, iteration=0):
        """Serve ``epoch`` from ``iteration`` on; the clips of earlier iterations are not loaded."""
        self.epoch, self.first = epoch, iteration
        self.order = batches_of_epoch(self.clips, self.batch_size, self.seed, epoch)

    def __len__(self):
        return (self.iterations - self.first) * len(self.mine)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for iteration in range(self.first, self.iterations):
            parts = self.micro_batches_of(iteration)
            yield from (parts[part] for part in self.mine)

    def micro_batches_of(self, iteration) -> list[list[tuple[int, int]]]:
        """Return all micro-batches of an iteration of the epoch, of all ranks: lists of (epoch, clip)."""
        parts = self.order[iteration].reshape(self.micro_batches, -1)
        return [[(self.epoch, clip) for clip in part] for part in parts.tolist()]


def batches_of_equal_size(sizes, batch_size, rank=0, world_size=1):
    """Return a rank's batches for evaluation: consecutive items of equal size, at most ``batch_size`` of them.

    ``sizes`` holds one comparable value per item, in dataset order. Over all ranks each item comes exactly once.
    """
    batches = []
    for item, size in enumerate(sizes):
        if not batches or len(batches[-1]) == batch_size or sizes[batches[-1][-1]] != size:
            batches.append([])
        batches[-1].append(item)
    return batches[rank::world_size]


def training_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Return a loader of ``rank``'s micro-batches, which ``loader.batch_sampler.start(epoch, iteration)`` begins."""
    training, machine = run.training, run.machine
    sampler = MicroBatchSampler(
        len(dataset), training.batch_size, training.micro_batches, run.seed, rank=rank, world_size=machine.world_size
    )
    kept = machine.workers > 0  # workers live on between epochs
    clips = training.batch_size // training.micro_batches
    return _loader(dataset, machine, clips, batch_sampler=sampler, collate_fn=collate, persistent_workers=kept)


def evaluation_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Return a loader of Batches of a validation or AVA test set, in list order; each clip once over all ranks."""
    batch_size = run.training.batch_size // run.training.micro_batches
    batches = batches_of_equal_size(dataset.sizes(), batch_size, rank, run.machine.world_size)
    return _loader(dataset, run.machine, batch_size, batch_sampler=batches, collate_fn=collate)


def video_loader(dataset: Dataset, run, rank=0) -> DataLoader:
    """Return a loader of test videos with all their views, one at a time; each video once over all ranks."""
    mine = range(rank, len(dataset), run.machine.world_size)
    # A video's frames take up to 45 MB: each worker loads one ahead instead of two.
    return _loader(dataset, run.machine, 1, prefetch=1, sampler=mine, batch_size=None)


def _loader(dataset, machine, items, prefetch=2, **kind):
    """Return a loader of batches of ``items`` items, whose workers load ``prefetch`` batches ahead."""
    if machine.workers:
        check_shared_memory(dataset.item_bytes * items * prefetch * machine.workers * machine.world_size)
        kind |= {"prefetch_factor": prefetch}
    return DataLoader(
        dataset,
        num_workers=machine.workers,
        pin_memory=machine.device == "cuda",
        worker_init_fn=start_worker,
        timeout=50 * machine.stall_minutes if machine.workers else 0,  # s: before the watchdog, which knows no cause
        generator=torch.Generator(),  # else each epoch takes a number from the generator that dropout draws from
        **kind,
    )


def read_batches(loader) -> Iterator:
    """Yield what ``loader`` yields, each a heartbeat for the watchdog; an InputError of a worker keeps its words."""
    batches = iter(loader)
    while True:
        try:
            batch = next(batches, None)
        except InputError as error:  # of a worker: the text of its traceback, which ends in its words
            words = error.args[0].strip().rpartition("\n")[2] if loader.num_workers else error.args[0]
            raise InputError(words.removeprefix("trainer.utils.errors.InputError: ")) from None
        if batch is None:
            return
        heartbeat()
        yield batch


@cache
def _copy_stream(device):
    """Return one stream for all loaders: PyTorch keeps freed memory for the stream on which it was allocated."""
    return torch.cuda.Stream(device)


def read_on_device(loader, device) -> Iterator:
    """Yield what ``loader`` yields, on ``device``.

    On a GPU the copy has a stream of its own: it runs while the device computes what was launched before.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in read_batches(loader))
        return
    copies = _copy_stream(device)
    for batch in read_batches(loader):
        with torch.cuda.stream(copies):
            moved = batch.to(device)
        compute = torch.cuda.current_stream(device)
        compute.wait_stream(copies)
        for tensor in moved.tensors().values():
            tensor.record_stream(compute)  # else its memory is given to the next copy too early
        yield moved


def check_shared_memory(needed, path="/dev/shm"):
    """Raise InputError if ``path``, through which workers hand over batches, has fewer than ``needed`` bytes.

    Docker and Kubernetes give a container 64 MB. When it is full, batches are lost without an error.
    """
    free = shutil.disk_usage(path).free if Path(path).is_dir() else needed
    if free < needed:
        raise InputError(
            f"{path}: expected {needed / 1e6:.0f} MB for the batches of loader workers, got {free / 1e6:.0f} MB free; "
            "enlarge it (docker run --shm-size=2g), or lower machine: workers"
        )
