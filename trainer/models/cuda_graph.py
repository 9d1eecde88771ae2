"""Replay a backbone's passes as CUDA graphs.

A training step of a micro-batch is about 1,000 kernels. Where the GPU computes them faster than the host launches them,
one launch for all of them keeps the GPU busy, see benchmarks/README.md.
"""

import gc

import torch
from torch import nn

from trainer.config import Run
from trainer.models.backbones import BACKBONES
from trainer.models.network import Network, autocast


def capture_pays(run: Run) -> bool:
    """Return whether to capture the training passes of a run.

    In float32 and TF32 the host keeps up. Several ranks exchange gradients during the backward pass, not after it. A
    frozen backbone has no backward pass, and activation checkpointing reads random states, which a capture forbids.
    """
    backbone = BACKBONES[run.model.backbone]
    return (
        run.machine.device == "cuda"
        and run.training.precision == "bfloat16"
        and run.machine.world_size == 1
        and backbone.capturable
        and not (run.machine.activation_checkpointing and "recompute" in backbone.takes)
        and not run.model.frozen
    )


class Passes(nn.Module):
    """A backbone in training, for `make_graphed_callables`, which refuses modules with hooks and replaces `forward`.

    The backbone itself keeps both, so that validation and precise BN run eagerly.
    """

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, clips):
        return self.backbone(clips)


def capture(network: Network, run: Run, device: torch.device) -> nn.Module:
    """Return a module that does for a micro-batch of a run's normalized clips what the backbone does, by CUDA graphs.

    To be called before a loader's threads use the GPU. Gradients get their memory here and must keep it
    (``zero_grad(set_to_none=False)``), as parameters and buffers must: if ``.grad`` were None, autograd would take the
    graph's own output for it, and the next replay would overwrite the sum over micro-batches.
    """
    size = run.training.batch_size // run.training.micro_batches, run.clip.num_frames, run.clip.crop, run.clip.crop, 3
    clips = torch.zeros(size, device=device).permute(0, 4, 1, 2, 3)  # as the loader serves them
    buffers = {name: buffer.clone() for name, buffer in network.backbone.named_buffers()}
    # Up to PyTorch 2.14 only garbage collection frees a graph; during a capture, that would invalidate the capture.
    gc.collect()
    gc.disable()
    try:
        with autocast(device, run.training.precision, cache_enabled=False):
            passes = torch.cuda.make_graphed_callables(Passes(network.backbone.train()), (clips,))
    finally:
        gc.enable()
    for name, before in buffers.items():  # BatchNorm has seen the zeros
        network.backbone.get_buffer(name).copy_(before)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return passes
