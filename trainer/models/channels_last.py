"""Compute a video ResNet over channels-last memory, where that is faster.

Parameters, their names and checkpoints stay as they are, and results agree up to rounding.
"""

import torch
from torch import nn
from torch.nn.functional import conv2d

from trainer.config import Clip

# Positions (frames x height x width) of a clip from which on it pays, see benchmarks/README.md.
LARGE_CLIP = 16 * 112 * 112


def choose_layout(backbone: nn.Module, clip: Clip):
    """Have ``backbone`` compute over channels-last memory if training clips are large, else over channels-first memory.

    Over channels-last memory, convolutions over space or time alone are 2D ones.
    """
    layout = torch.contiguous_format
    if clip.num_frames * clip.crop**2 >= LARGE_CLIP:
        layout = torch.channels_last_3d
        for module in backbone.modules():
            if type(module) is nn.Conv3d and (_is_spatial(module) or _is_temporal(module)):
                module.__class__ = FlatConv3d  # the same module with another forward: parameters and hooks stay
    backbone.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous(memory_format=layout))


def _is_spatial(conv):
    return (conv.kernel_size[0], conv.stride[0], conv.padding[0]) == (1, 1, 0)


def _is_temporal(conv):
    return (conv.kernel_size[1:], conv.stride[1:], conv.padding[1:]) == ((1, 1), (1, 1), (0, 0))


class FlatConv3d(nn.Conv3d):
    """A convolution over space or time alone, as a 2D one: (1, k, k) over batch x time, (k, 1, 1) over height x width.

    With inputs (B, C, T, H, W) in channels-last memory, neither needs a copy.
    """

    def forward(self, clips):
        pixels = clips.permute(
            0, 2, 3, 4, 1
        )  # flattened in this order, so that strides of sizes of 1 are the usual ones
        if _is_spatial(self):
            frames = self._conv2d(pixels.flatten(0, 1), self.weight[:, :, 0], (1, 2))
            return frames.unflatten(0, (len(clips), -1)).transpose(1, 2)
        return self._conv2d(pixels.flatten(2, 3), self.weight[..., 0], (0, 1)).unflatten(3, clips.shape[3:])

    def _conv2d(self, pixels, weight, axes):
        stride, padding, dilation = ([of[axis] for axis in axes] for of in (self.stride, self.padding, self.dilation))
        return conv2d(pixels.permute(0, 3, 1, 2), weight, self.bias, stride, padding, dilation, self.groups)
