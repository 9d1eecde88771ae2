"""The backbones: torchvision's video ResNets without pooling and classifier, a record for each.

A backbone maps normalized clips (B, 3, T, H, W) to features (B, channels, T/time_stride, H/space_stride,
W/space_stride), rounded up. Its parameters carry torchvision's names (``stem.*``, ``layer1.*`` to ``layer4.*``), so its
``state_dict`` is that of torchvision's network without ``fc``. A new one is a function that builds it and a record.

The module imports no PyTorch, as the plan of the workflow reads names and strides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trainer.utils.errors import InputError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """What the rest must know of an architecture."""

    build: Callable[[], nn.Module]  # randomly initialized
    channels: int  # of the features
    time_stride: int  # frames of a clip per frame of its features
    space_stride: int  # pixels of a clip per pixel of its features
    recipe: str  # how it is fine-tuned unless a row of the methods table says otherwise; a name of config/recipes.yaml


def build_backbone(name: str, bn_eps: float = 1e-5) -> nn.Module:
    """Build a randomly initialized backbone.

    ``bn_eps`` is in no checkpoint; CtP was pre-trained with 1e-3, the others with 1e-5.
    """
    from torch import nn

    if name not in BACKBONES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    backbone = BACKBONES[name].build()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = bn_eps
    return backbone


def _video_resnet(constructor):
    """Build the network of that name in ``torchvision.models.video``, up to layer4."""
    from torch import nn
    from torchvision.models import video

    network = getattr(video, constructor)(weights=None)
    backbone = nn.Sequential()
    for part in ("stem", "layer1", "layer2", "layer3", "layer4"):
        backbone.add_module(part, getattr(network, part))
    return backbone


def _r2plus1d_18_tclr():
    """Build R(2+1)D-18 with TCLR's own layer4 (DAVEISHAN/TCLR, ``build_rpd_encoder_ret``).

    One dilated 3x3x3 convolution stands for the first (2+1)D pair, and neither it nor the shortcut strides in time.
    The shortcut's weights keep their shape, so a checkpoint does not show that difference.
    """
    from torch import nn

    backbone = _video_resnet("r2plus1d_18")
    block = backbone.layer4[0]
    block.conv1[0] = nn.Conv3d(256, 512, 3, stride=(1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False)
    nn.init.kaiming_normal_(block.conv1[0].weight, mode="fan_out", nonlinearity="relu")  # as torchvision's others
    block.downsample[0].stride = (1, 2, 2)
    return backbone


BACKBONES = {
    "r2plus1d_18": Backbone(partial(_video_resnet, "r2plus1d_18"), 512, 8, 16, "r2plus1d"),
    "r2plus1d_18_tclr": Backbone(_r2plus1d_18_tclr, 512, 4, 16, "r2plus1d"),
    "r3d_18": Backbone(partial(_video_resnet, "r3d_18"), 512, 8, 16, "r2plus1d"),
    "mc3_18": Backbone(partial(_video_resnet, "mc3_18"), 512, 1, 16, "r2plus1d"),  # layers 2 to 4: frame by frame
}
