"""The backbones: torchvision's video ResNets without pooling and classifier, and video transformers; a record for each.

A backbone maps normalized clips (B, 3, T, H, W) to features (B, channels, T/time_stride, H/space_stride,
W/space_stride), rounded up. The parameters of a ResNet carry torchvision's names (``stem.*``, ``layer1.*`` to
``layer4.*``), so its ``state_dict`` is that of torchvision's network without ``fc``; those of a transformer carry
VideoMAE's. A new one is a function that builds it and a record.

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

    from trainer.config import Clip


@dataclass(frozen=True)
class Backbone:
    """What the rest must know of an architecture."""

    build: Callable[..., nn.Module]  # randomly initialized; called with the settings that it takes, by their names
    channels: int  # of the features
    time_stride: int  # frames of a clip per frame of its features
    space_stride: int  # pixels of a clip per pixel of its features
    recipe: str  # how it is fine-tuned unless a row of the methods table says otherwise; a name of config/recipes.yaml
    takes: tuple[str, ...] = ()  # of the settings drop_path and recompute, see `build_backbone`
    depth: int | None = None  # blocks of a transformer like VideoMAE's, for layer decay and the position table
    num_frames: int | None = None  # of a clip, where only one length fits
    mean: str = "0.45"  # subtracted from pixels in [0, 1] unless a row of the methods table says otherwise
    std: str = "0.225"  # by which the difference is divided, likewise
    capturable: bool = True  # by CUDA graphs: its passes neither read values on the host nor change with the clip

    def misfit(self, clip: Clip, drop_path: float, layer_decay: float) -> str | None:
        """Return which setting of a recipe does not fit, what is expected and what it is; None if all fit."""
        frames, crop = clip.num_frames, clip.crop
        for name, size, stride in (("num_frames", frames, self.time_stride), ("crop", crop, self.space_stride)):
            if size % stride:
                return f"clip: {name}: expected a multiple of {stride}, got {size}"
        if self.num_frames not in (None, frames):
            return f"clip: num_frames: expected {self.num_frames}, got {frames}"
        if drop_path and "drop_path" not in self.takes:
            return f"drop_path: expected 0, as this backbone has none, got {drop_path}"
        if not self.depth and layer_decay != 1:
            return f"training: layer_decay: expected 1, as it is no transformer like VideoMAE's, got {layer_decay}"
        return None


def build_backbone(name: str, bn_eps: float = 1e-5, drop_path: float = 0.0, recompute: bool = False) -> nn.Module:
    """Build a randomly initialized backbone.

    ``bn_eps`` is in no checkpoint; CtP was pre-trained with 1e-3, the others with 1e-5. ``drop_path`` (stochastic
    depth) and ``recompute`` (activation checkpointing) reach the backbones that take them, see `trainer.models.vit`.
    """
    from torch import nn

    if name not in BACKBONES:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    record = BACKBONES[name]
    given = {"drop_path": drop_path, "recompute": recompute}
    backbone = record.build(**{name: given[name] for name in record.takes})
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


def _transformer(**size):
    """Build VideoMAE's transformer."""
    from trainer.models.vit import VisionTransformer

    return VisionTransformer(**size)


VIDEOMAE_MEAN = "0.4814576,0.4546922,0.4038435"  # of VideoMAE's AVA code: 122.7717, 115.9465 and 102.9801 of 255


def _vit(width, depth, heads, tubelet=2, recipe="vit"):
    """Return the record of a transformer that was pre-trained on grids of 8 x 14 x 14 tokens, of 16 x 16 px each."""
    build = partial(_transformer, width=width, depth=depth, heads=heads, tubelet=tubelet)
    return Backbone(
        build,
        channels=width,
        time_stride=tubelet,
        space_stride=16,
        recipe=recipe,
        takes=("drop_path", "recompute"),
        depth=depth,
        num_frames=8 * tubelet,
        mean=VIDEOMAE_MEAN,
    )


def _resnet(build, time_stride=8):
    """Return the record of a video ResNet with 18 layers."""
    return Backbone(build, channels=512, time_stride=time_stride, space_stride=16, recipe="r2plus1d")


BACKBONES = {
    "r2plus1d_18": _resnet(partial(_video_resnet, "r2plus1d_18")),
    "r2plus1d_18_tclr": _resnet(_r2plus1d_18_tclr, time_stride=4),
    "r3d_18": _resnet(partial(_video_resnet, "r3d_18")),
    "mc3_18": _resnet(partial(_video_resnet, "mc3_18"), time_stride=1),  # layers 2 to 4: frame by frame
    "vit_s_16": _vit(384, 12, 6),
    "vit_b_16": _vit(768, 12, 12),
    "vit_l_16": _vit(1024, 24, 16),
    "vit_b_16_umt": _vit(768, 12, 12, tubelet=1, recipe="vit_8_frames"),  # 8 frames, each its own time step
}
