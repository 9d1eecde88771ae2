"""The processes of one run: this one's rank and device, and what they do together."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from trainer.config import Machine
from trainer.errors import InputError
from trainer.launch import bind_to_launcher, is_rank

TIMEOUT = timedelta(hours=1)  # of one collective call: a rank may wait while another reads from a slow file system


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
    if not is_rank():
        yield World(0, 1, torch.device(machine.device))
        return
    bind_to_launcher()
    device, backend = torch.device("cpu"), "gloo"
    if machine.device == "cuda":
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        if dist.get_world_size() != machine.ranks:  # each would serve its part of the clips, and some parts nobody
            raise InputError(
                f"{dist.get_world_size()} processes were started for {machine.ranks} ranks; give --gpus a number that "
                "divides training: shares, and start as many"
            )
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
