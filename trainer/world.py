"""The processes of one run: this one's rank and device, and what they do together."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from trainer.config import Machine
from trainer.launch import process_group


@dataclass(frozen=True)
class World:
    """One process among ``ranks`` that run the same program."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def broadcast(self, tensors):
        """Overwrite ``tensors`` with those of rank 0."""
        if self.ranks > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gather(self, item) -> list:
        """The picklable ``item`` of every rank, in rank order, on every rank."""
        if self.ranks == 1:
            return [item]
        items = [None] * self.ranks
        dist.all_gather_object(items, item)
        return items


@contextmanager
def join(machine: Machine):
    """Be one of the run's processes for the block, with the threads, device and precision that ``machine`` says."""
    torch.set_num_threads(machine.threads)
    # PyTorch lets convolutions round to TF32 unless told otherwise; the published GPUs had no TF32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = machine.precision == "tf32"
    with process_group(machine.device) as (rank, ranks):
        device = torch.device("cuda", torch.cuda.current_device()) if machine.device == "cuda" else torch.device("cpu")
        yield World(rank, ranks, device)
