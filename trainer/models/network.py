"""The network that is fine-tuned: a backbone and the head of a dataset."""

import torch
from torch import Tensor, nn

from trainer import config
from trainer.datasets import task
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.channels_last import choose_layout
from trainer.utils.errors import InputError


class Network(nn.Module):
    """``backbone`` and ``head``; logits in training, probabilities in evaluation.

    The last layer of a head is its ``projection``. A ``frozen`` backbone stays in evaluation mode and has no gradients.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, frozen: bool = False):
        super().__init__()
        self.backbone = backbone.requires_grad_(not frozen)
        self.head = head
        self.frozen = frozen
        self.train()

    def train(self, mode: bool = True):
        """Set the mode of the head, and of a backbone that is not frozen."""
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        return self

    def forward(self, clips: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Score normalized clips (B, 3, T, H, W): (N, classes) at N ``boxes``, or (B, classes) without boxes."""
        return self.score(self.backbone(clips), boxes)

    def score(self, features: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Score the backbone's features of clips, as above."""
        # The head costs next to nothing and box coordinates and scores need more than bfloat16's 8 bits:
        # under autocast it still computes in the precision of its weights.
        precision = self.head.projection.weight.dtype
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.to(precision), None if boxes is None else boxes.to(precision))


def autocast(device: torch.device, precision: str, **options):
    """Let backbones compute in bfloat16 during the block if ``precision`` (of a recipe's training) says so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", **options)


def build_model(run: config.Run) -> Network:
    """Build the randomly initialized network of a run; raise InputError if its settings do not fit the backbone."""
    model = run.model
    backbone = build_backbone(model.backbone, model.bn_eps, model.drop_path, run.machine.activation_checkpointing)
    choose_layout(backbone, run.clip, run.training.precision)
    record = BACKBONES[model.backbone]
    if problem := record.misfit(run.clip, model.drop_path, run.training.layer_decay):
        raise InputError(f"{problem}, with backbone {model.backbone}")
    head = task(run.dataset).build_head(run, record)
    if model.head_scale:
        nn.init.normal_(head.projection.weight, std=0.02 * model.head_scale)
        nn.init.zeros_(head.projection.bias)
    return Network(backbone, head, model.frozen)
