"""SGD and its learning rate, as published: Nesterov momentum, no weight decay on BatchNorm, a rate for every step."""

import numpy as np
import torch
from torch import nn

from trainer.config import Training


def learning_rate(training: Training, epoch: float) -> float:
    """Return the learning rate at a fractional epoch (epoch index + iteration / iterations per epoch).

    ``base_lr`` times the factor of the last milestone not after ``epoch``; in the warm-up, linear from
    ``warmup_start_lr`` to the scheduled rate at its end (SlowFast's policy "steps_with_relative_lrs").
    """

    def scheduled(at):
        milestone = int(np.searchsorted(training.lr_milestones, at, side="right")) - 1
        return training.base_lr * training.lr_factors[milestone]

    if epoch >= training.warmup_epochs:
        return scheduled(epoch)
    progress = epoch / training.warmup_epochs
    return training.warmup_start_lr + progress * (scheduled(training.warmup_epochs) - training.warmup_start_lr)


def build_optimizer(model: nn.Module, training: Training) -> torch.optim.SGD:
    """Return SGD with the published weight decay groups: all parameters but BatchNorm's, biases included."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    undecayed = [parameter for norm in norms for parameter in norm.parameters()]
    ids = {id(parameter) for parameter in undecayed}
    decayed = [parameter for parameter in model.parameters() if id(parameter) not in ids]
    return torch.optim.SGD(
        [
            {"params": undecayed, "weight_decay": 0.0},
            {"params": decayed, "weight_decay": training.weight_decay},
        ],
        lr=training.warmup_start_lr,
        momentum=training.momentum,
        nesterov=training.momentum > 0,
        fused=True,  # one pass over the weights: on a CPU in half the time
    )


def set_learning_rate(optimizer, lr: float):
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr
