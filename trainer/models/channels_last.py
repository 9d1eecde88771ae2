"""Compute a video ResNet over channels-last memory, where that is faster.

Parameters, their names and checkpoints stay as they are, and results agree up to rounding.
"""

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, pad
from torchvision.models.video.resnet import BasicBlock

from trainer.config import Clip

# Positions (frames x height x width) of a clip from which on it pays, see benchmarks/README.md.
LARGE_CLIP = 16 * 112 * 112


def choose_layout(backbone: nn.Module, clip: Clip, precision: str):
    """Have ``backbone`` compute over channels-last memory, small clips in float32 or TF32 over channels-first memory.

    Over channels-last memory, convolutions over space or time alone, and BatchNorm, are 2D ones. In bfloat16 all clips
    are computed so: PyTorch uses no 3D convolution of cuDNN 9.8 to 9.14 over channels-first memory (pytorch/pytorch
    issues 163539, 166122). On a CPU, PyTorch 2.15's bfloat16 gradients of 3D convolutions over two frames are wrong in
    either memory, those of 2D ones right.
    """
    layout = torch.contiguous_format
    if precision == "bfloat16" or clip.num_frames * clip.crop**2 >= LARGE_CLIP:
        layout = torch.channels_last_3d
        for module in backbone.modules():
            _flatten(module)
        for module in backbone.modules():
            if isinstance(module, nn.Sequential):
                _allow_padding(list(module))
    backbone.to(memory_format=layout)  # the parameters
    backbone.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous(memory_format=layout))


def _flatten(module):
    """Give a module another forward; it stays the same module, with its parameters and hooks."""
    if type(module) is nn.Conv3d and module.groups == 1 and (_is_spatial(module) or _is_temporal(module)):
        module.__class__ = FlatConv3d
    elif type(module) is nn.BatchNorm3d:
        module.__class__ = FlatBatchNorm3d
    elif type(module) is BasicBlock:
        module.__class__ = FlatBlock
    elif isinstance(module, nn.ReLU):
        module.inplace = False  # in place on a view, as flat layers return, the backward pass takes three copies


def _allow_padding(layers):
    """Let convolutions add channels where BatchNorm, ReLU and another convolution follow: there zeros stay zeros."""
    kinds = (FlatConv3d, FlatBatchNorm3d, nn.ReLU, FlatConv3d)
    for four in zip(layers, layers[1:], layers[2:], layers[3:], strict=False):
        if all(map(isinstance, four, kinds)):
            four[0].pads_output = four[0].bias is None


def _is_spatial(conv):
    return (conv.kernel_size[0], conv.stride[0], conv.padding[0]) == (1, 1, 0)


def _is_temporal(conv):
    return (conv.kernel_size[1:], conv.stride[1:], conv.padding[1:]) == ((1, 1), (1, 1), (0, 0))


def aligned(channels: int, device: torch.device) -> int:
    """Return how many channels ``device`` shall compute for ``channels``.

    GPUs' matrix units take 8 at a time; cuDNN copies other tensors or uses slower kernels.
    """
    return channels + -channels % 8 if device.type == "cuda" else channels


class FlatConv3d(nn.Conv3d):
    """A convolution over space or time alone, as a 2D one: (1, k, k) over batch x time, (k, 1, 1) over height x width.

    With inputs (B, C, T, H, W) in channels-last memory, neither needs a copy. Inputs, and outputs where the next layers
    allow it (``pads_output``), have channels of zeros added up to a number that suits the device.
    """

    pads_output = False

    def forward(self, clips):
        # flattened in this order, so that strides of sizes of 1 are the usual ones
        pixels = clips.permute(0, 2, 3, 4, 1)
        pixels = _padded(pixels, -1, aligned(pixels.shape[-1], clips.device))
        weight = _padded(self.weight, 1, pixels.shape[-1])
        if self.pads_output:
            weight = _padded(weight, 0, aligned(self.out_channels, clips.device))
        if _is_spatial(self):
            frames = self._conv2d(pixels.flatten(0, 1), weight[:, :, 0], (1, 2))
            return frames.unflatten(0, (len(clips), -1)).transpose(1, 2)
        return self._conv2d(pixels.flatten(2, 3), weight[..., 0], (0, 1)).unflatten(3, clips.shape[3:])

    def _conv2d(self, pixels, weight, axes):
        stride, padding, dilation = ([of[axis] for axis in axes] for of in (self.stride, self.padding, self.dilation))
        return conv2d(pixels.permute(0, 3, 1, 2), weight, self.bias, stride, padding, dilation)


def _padded(tensor, axis, size):
    """Return ``tensor`` with zeros added at the end of an axis up to ``size``."""
    more = size - tensor.shape[axis]
    return pad(tensor, (0, 0) * (tensor.dim() - 1 - axis % tensor.dim()) + (0, more)) if more else tensor


class FlatBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm as a 2D one over batch x time: for five dimensions in channels-last memory GPUs have slow kernels only.

    Channels of zeros after its own stay zeros.
    """

    def forward(self, clips):
        frames = clips.transpose(1, 2).flatten(0, 1)
        mean, var = (_padded(of, 0, frames.shape[1]) for of in (self.running_mean, self.running_var))
        weight, bias = (_padded(of, 0, frames.shape[1]) for of in (self.weight, self.bias))
        frames = batch_norm(frames, mean, var, weight, bias, self.training, self.momentum, self.eps)
        if self.training:
            self.num_batches_tracked.add_(1)
            if mean is not self.running_mean:
                self.running_mean.copy_(mean[: self.num_features])
                self.running_var.copy_(var[: self.num_features])
        return frames.unflatten(0, (len(clips), -1)).transpose(1, 2)


class FlatBlock(BasicBlock):
    """A residual block that adds out of place, as the outputs of flat layers are views."""

    def forward(self, clips):
        shortcut = clips if self.downsample is None else self.downsample(clips)
        return self.relu(self.conv2(self.conv1(clips)) + shortcut)
