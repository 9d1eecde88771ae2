"""The network that is fine-tuned: a backbone and the head of a dataset."""

import torch
from torch import Tensor, nn

from trainer import config
from trainer.datasets import task
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.channels_last import choose_layout


class Network(nn.Module):
    """``backbone`` and ``head``; logits in training, probabilities in evaluation.

    The last layer of a head is its ``projection``.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, clips: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Score normalized clips (B, 3, T, H, W): (N, classes) at N ``boxes``, or (B, classes) without boxes."""
        features = self.backbone(clips)
        # The head costs next to nothing and box coordinates and scores need more than bfloat16's 8 bits:
        # under autocast it still computes in the precision of its weights.
        precision = self.head.projection.weight.dtype
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.to(precision), None if boxes is None else boxes.to(precision))


def build_model(run: config.Run) -> Network:
    """Build the randomly initialized network of a run."""
    backbone = build_backbone(run.model.backbone, run.model.bn_eps)
    choose_layout(backbone, run.clip)
    return Network(backbone, task(run.dataset).build_head(run, BACKBONES[run.model.backbone]))
