"""Counted operations agree with those worked out by hand."""

import pytest
from torch import nn

from trainer import config
from trainer.models.backbones import build_backbone
from trainer.models.cost import cost


class Headless(nn.Module):
    """A network without a head, whose cost is not counted."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def test_attention_counts():
    clip = config.Clip(num_frames=16, stride=1, crop=32, short_side_range=(32, 32), test_clips=1, test_crops=1)
    tokens, width, depth = 8 * 2 * 2, 384, 12
    block = 12 * tokens * width**2 + 2 * tokens**2 * width  # projections and MLP; attention
    patches = tokens * width * 3 * 2 * 16 * 16
    counted = 1e9 * cost(Headless(build_backbone("vit_s_16", 1e-5)), clip)["gflops"]
    assert counted == pytest.approx(depth * block + patches, rel=0.02)  # norms are counted, too
    assert counted > depth * block + patches
