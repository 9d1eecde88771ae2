"""The backbone of every row: torchvision's R(2+1)D-18 without its pooling and classifier."""

from torch import nn
from torchvision.models.video import r2plus1d_18

from trainer.errors import InputError

# Frames of a clip per frame of its features. TCLR's last stage keeps the time resolution of the one before.
TIME_STRIDE = {"r2plus1d_18": 8, "r2plus1d_18_tclr": 4}
SPACE_STRIDE = 16  # pixels of a clip per pixel of its features
CHANNELS = 512  # of the features


def build_backbone(name: str, bn_eps: float = 1e-5) -> nn.Sequential:
    """Build a randomly initialised backbone: (B, 3, T, H, W) normalised to (B, 512, T/stride, H/16, W/16).

    Parameters carry torchvision's names (``stem.*``, ``layer1.*`` to ``layer4.*``), so that its ``state_dict`` is that
    of ``r2plus1d_18`` without ``fc``. ``bn_eps`` is in no checkpoint; CtP was pre-trained with 1e-3, the others 1e-5.
    """
    if name not in TIME_STRIDE:
        raise InputError(f"unknown backbone {name!r}; known: {', '.join(TIME_STRIDE)}")
    network = r2plus1d_18(weights=None)
    if name == "r2plus1d_18_tclr":
        _use_tclr_layer4(network)
    backbone = nn.Sequential()
    for part in ("stem", "layer1", "layer2", "layer3", "layer4"):
        backbone.add_module(part, getattr(network, part))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = bn_eps
    return backbone


def _use_tclr_layer4(network):
    """Replace the first convolution of layer4 as TCLR does (DAVEISHAN/TCLR, ``build_rpd_encoder_ret``).

    One dilated 3x3x3 convolution stands for the (2+1)D pair, and neither it nor the shortcut strides in time.
    The shortcut's weights keep their shape, so a checkpoint does not show that difference.
    """
    block = network.layer4[0]
    block.conv1[0] = nn.Conv3d(256, 512, 3, stride=(1, 2, 2), padding=(2, 1, 1), dilation=(2, 1, 1), bias=False)
    nn.init.kaiming_normal_(block.conv1[0].weight, mode="fan_out", nonlinearity="relu")  # as torchvision's others
    block.downsample[0].stride = (1, 2, 2)
