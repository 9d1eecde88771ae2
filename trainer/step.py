"""One optimizer step, and the losses it leaves on the device.

The host never waits for the device within a step: it prepares the next steps while the device computes.
"""

import inspect
from collections import deque
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainer.data.loaders import normalize_clips
from trainer.datasets import task
from trainer.models.network import autocast
from trainer.utils.errors import InputError


class MicroBatchLoss(nn.Module):
    """The loss of ``network`` on a micro-batch; ``backbone`` computes what the network's does, see `cuda_graph`.

    The gradient of ``losses`` is the losses of a step, one of each micro-batch, divided by their number: so ranks share
    them in the same exchange as all other gradients.
    """

    def __init__(self, network, run, backbone=None):
        super().__init__()
        self.network, self.run, self.backbone = network, run, backbone or network.backbone
        self.losses = nn.Parameter(torch.zeros(run.training.micro_batches))  # always 0; the optimizer does not know it

    def forward(self, batch, part):
        """Return the loss of ``batch``, the micro-batch number ``part`` of its step."""
        with autocast(batch.clips.device, self.run.training.precision):
            features = self.backbone(normalize_clips(batch.clips, self.run.normalization))
            loss = loss_of(self.network.score(features, batch.boxes), batch.targets, self.run)
        return loss + self.losses[part] * loss.detach()


def loss_of(logits, targets, run):
    """Return the loss of the dataset's task: mean or, by some recipes, sum over clips or boxes."""
    loss = task(run.dataset).loss(logits, targets)
    return loss * len(logits) if run.training.loss == "sum" else loss


def parallelize(model, group):
    """Return ``model`` such that the backward pass of a rank's last micro-batch averages gradients over ranks.

    Gradients are exchanged in buckets while the backward pass goes on. BatchNorm's running statistics are those of
    rank 0 alone, so buffers are not exchanged.
    """
    if group.world_size == 1:
        return model
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before PyTorch 2.13
    return DistributedDataParallel(model, gradient_as_bucket_view=True, **{buffers: False})


def train_step(model, optimizer, batches, run, group, state):
    """Take one optimizer step over this rank's micro-batches, the next of ``batches``, on the device.

    ``model`` is a `MicroBatchLoss`, perhaps parallelized. Every micro-batch has its own BatchNorm statistics and mean
    loss, and gradients are averaged over micro-batches, so the number of GPUs does not change the computation. Running
    statistics follow micro-batch 0, as those of GPU 0 do in the published runs.

    Returns (micro-batches,) on the device: the loss of each, of all ranks, divided by their number.
    """
    mine, statistics = range(group.rank, run.training.micro_batches, group.world_size), []
    for part in mine:
        batch = next(batches)
        seed_dropout(run.seed, state.epoch, state.iteration, part)
        synchronize = nullcontext() if group.world_size == 1 or part == mine[-1] else model.no_sync()
        with synchronize:
            (model(batch, part) / len(mine)).backward()
        if part == 0 and len(mine) > 1:
            statistics = [(buffer, buffer.clone()) for buffer in running_stats(model)]
    for buffer, of_first in statistics:
        buffer.copy_(of_first)
    optimizer.step()
    optimizer.zero_grad(set_to_none=group.device.type == "cpu")  # on a GPU gradients keep their memory, see `capture`
    losses = getattr(model, "module", model).losses
    found, losses.grad = losses.grad, None
    return found


def seed_dropout(*numbers):
    """Seed the next random numbers by ``numbers`` alone, so that interruptions and ranks do not change them."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def running_stats(model):
    """Return the running statistics of all BatchNorm layers that train."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d) and module.training]
    return [buffer for norm in norms for buffer in norm.buffers()]


class PendingLosses:
    """Losses of steps that the device may still compute; they are added to ``state.loss`` once they are there.

    A loss that is not finite raises InputError when it is read: a few steps late at most, and before any weights are
    saved, as `read` then waits for all.
    """

    def __init__(self, loader, state):
        self.loader, self.state = loader, state
        self.steps = deque()

    def add(self, losses, lr):
        """Begin to copy what `train_step` returned for the next iteration, whose learning rate is ``lr``."""
        copy, copied = losses.to("cpu", non_blocking=True, copy=True), None
        if losses.is_cuda:
            copied = torch.cuda.Event()
            copied.record()
        self.steps.append((self.state.iteration, lr, copy, copied))

    def read(self, wait=True):
        """Add the losses that have arrived, or all, to ``state.loss``."""
        while self.steps and (wait or self.steps[0][-1] is None or self.steps[0][-1].query()):
            iteration, lr, losses, copied = self.steps.popleft()
            if copied is not None:
                copied.synchronize()
            self._check(iteration, lr, losses)
            self.state.loss += losses.double().sum().item()

    def _check(self, iteration, lr, losses):
        if losses.isfinite().all():
            return
        part = int(losses.isfinite().logical_not().nonzero()[0])
        clips = self.loader.batch_sampler.micro_batches_of(iteration)[part]
        names = "; ".join(self.loader.dataset[clip].name for clip in clips)
        raise InputError(
            f"the loss is {losses[part].item()} at epoch {self.state.epoch + 1}, step {iteration + 1}, learning rate "
            f"{lr:.3g}, on the clips {names}; look at their frames and boxes, or lower training: base_lr"
        )
