"""What is fine-tuned: a backbone and the head of a dataset."""

from math import ceil

import torch
from torch import Tensor, nn

from trainer import config
from trainer.errors import InputError
from trainer.models.backbone import SPACE_STRIDE, TIME_STRIDE, build_backbone
from trainer.models.heads import AvaHead, CharadesHead


class Network(nn.Module):
    """``backbone`` and ``head``; logits in training, probabilities in evaluation."""

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, clips: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Score normalised clips (B, 3, T, H, W): (N, classes) at N ``boxes`` (AVA) or (B, classes) (Charades)."""
        features = self.backbone(clips)
        # The head costs next to nothing and box coordinates and scores need more than bfloat16's 8 bits:
        # under autocast it still computes in the precision of its weights.
        precision = self.head.projection.weight.dtype
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.to(precision), None if boxes is None else boxes.to(precision))


def build_model(model: config.Model, dataset: str, clip: config.Clip) -> Network:
    """Build the randomly initialised network of ``dataset`` ("ava" or "charades") for clips of ``clip``'s size."""
    backbone = build_backbone(model.backbone, model.bn_eps)
    if dataset == "ava":
        return Network(backbone, AvaHead(config.CLASSES[dataset], model.dropout))
    if dataset == "charades":
        side = ceil(clip.crop / SPACE_STRIDE)
        window = (ceil(clip.frames / TIME_STRIDE[model.backbone]), side, side)
        return Network(backbone, CharadesHead(config.CLASSES[dataset], model.dropout, window))
    raise InputError(f"unknown dataset {dataset!r}; known: ava, charades")
