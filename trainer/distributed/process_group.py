"""The processes of one run: this one's rank and device, and what they exchange."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from trainer.config import Run
from trainer.distributed.launch import bind_to_launcher, is_rank
from trainer.distributed.lifetime import end_with_peers
from trainer.utils.errors import InputError

TIMEOUT = timedelta(hours=1)  # of one collective call: a rank may wait while another reads from a slow file system


@dataclass(frozen=True)
class ProcessGroup:
    """One process among ``world_size`` that run the same program."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def broadcast(self, tensors):
        """Overwrite ``tensors`` with those of rank 0."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gather(self, item) -> list:
        """Return the picklable ``item`` of every rank, in rank order, on every rank."""
        if self.world_size == 1:
            return [item]
        items = [None] * self.world_size
        dist.all_gather_object(items, item)
        return items


def set_precision(precision):
    """Let convolutions and matrix products on GPUs round to TF32 or not; autocast adds bfloat16, see `MicroBatchLoss`.

    By PyTorch's default, convolutions round; the GPUs of the published AVA runs had no TF32.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


@contextmanager
def join(run: Run):
    """Yield the ProcessGroup of this process, with the threads, device and precision of ``run`` set."""
    machine = run.machine
    torch.set_num_threads(machine.threads)
    set_precision(run.training.precision)
    if not is_rank():
        yield ProcessGroup(0, 1, torch.device(machine.device))
        return
    bind_to_launcher()
    device, backend = torch.device("cpu"), "gloo"
    if machine.device == "cuda":
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=TIMEOUT)
    group = ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
    if group.world_size != machine.world_size:  # some clips would be served twice, or not at all
        raise InputError(
            f"{group.world_size} processes were started, expected {machine.world_size}; give --gpus a number that "
            "divides training: micro_batches, and start as many"
        )
    call_off = end_with_peers(group.gather(os.getpid()))
    yield group
    # Only after success: a rank that fails exits without waiting. No rank ends before all have stopped watching it.
    dist.barrier()
    call_off()
    dist.barrier()
    dist.destroy_process_group()
