"""Optimizers and their learning rates, as published: SGD of the ResNets, AdamW of the transformers."""

import math
import re

import numpy as np
import torch
from torch import nn

from trainer.config import Training


def learning_rate(training: Training, epoch: float, iterations: int) -> float:
    """Return the learning rate at a fractional epoch: epoch index + iteration / ``iterations``, those of an epoch."""
    if training.lr_schedule == "cosine":
        return _cosine_rate(training, round(epoch * iterations), iterations)
    return _steps_rate(training, epoch)


def _steps_rate(training, epoch):
    """Return ``base_lr`` times the factor of the last milestone not after ``epoch``.

    In the warm-up, linear from ``warmup_start_lr`` to the scheduled rate at its end (SlowFast's policy
    "steps_with_relative_lrs").
    """

    def scheduled(at):
        milestone = int(np.searchsorted(training.lr_milestones, at, side="right")) - 1
        return training.base_lr * training.lr_factors[milestone]

    if epoch >= training.warmup_epochs:
        return scheduled(epoch)
    progress = epoch / training.warmup_epochs
    return training.warmup_start_lr + progress * (scheduled(training.warmup_epochs) - training.warmup_start_lr)


def _cosine_rate(training, step, iterations):
    """Return half a wave from ``base_lr`` to ``min_lr``, which would be that of the step after the last.

    In the warm-up, linear from ``warmup_start_lr`` at its first step to ``base_lr`` at its last (VideoMAE).
    """
    warmup = round(training.warmup_epochs * iterations)
    if step < warmup:
        return training.warmup_start_lr + (training.base_lr - training.warmup_start_lr) * step / max(warmup - 1, 1)
    progress = (step - warmup) / (training.epochs * iterations - warmup)
    return training.min_lr + (training.base_lr - training.min_lr) * (1 + math.cos(math.pi * progress)) / 2


def build_optimizer(model: nn.Module, training: Training, depth: int | None = None) -> torch.optim.Optimizer:
    """Return the optimizer of all parameters that are trained; ``depth``: blocks of a transformer.

    Each group has its ``lr_scale``, by which ``set_learning_rate`` multiplies the learning rate.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if training.optimizer == "adamw":
        groups = _groups_by_layer(trained, training, depth)
        return torch.optim.AdamW(groups, lr=training.warmup_start_lr, betas=(0.9, 0.999), fused=True)
    return torch.optim.SGD(
        _groups_by_norm(model, trained, training),
        lr=training.warmup_start_lr,
        momentum=training.momentum,
        nesterov=training.momentum > 0,
        fused=True,  # one pass over the weights: on a CPU in half the time
    )


def _groups_by_norm(model, trained, training):
    """Return SGD's published groups: no weight decay on BatchNorm's parameters, but on all others, biases included."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    ids = {id(parameter) for norm in norms for parameter in norm.parameters()}
    return [
        {"params": [p for p in trained.values() if (id(p) in ids) == is_norm], "weight_decay": decay, "lr_scale": 1.0}
        for is_norm, decay in ((True, 0.0), (False, training.weight_decay))
    ]


def _groups_by_layer(trained, training, depth):
    """Return AdamW's published groups, of one layer and weight decay each: vectors, biases included, have none."""
    groups = {}
    for name, parameter in trained.items():
        layers_above = 0 if depth is None else depth + 1 - layer_of(name, depth)
        decay = training.weight_decay if parameter.dim() > 1 else 0.0
        group = {"params": [], "weight_decay": decay, "lr_scale": training.layer_decay**layers_above}
        groups.setdefault((layers_above, decay), group)["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """Return the layer of a transformer's parameter: 0 the patches, 1 to ``depth`` the blocks, then norm and head."""
    if ".patch_embed." in name:
        return 0
    block = re.search(r"\.blocks\.(\d+)\.", name)
    return int(block[1]) + 1 if block else depth + 1


def set_learning_rate(optimizer, lr: float):
    """Set the learning rate of all parameters: ``lr`` times the scale of their group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
