"""Backbones that are written and read in no time."""

import pytest
import torch

from trainer.models.backbones import BACKBONES
from trainer.models.matching import named_shapes


@pytest.fixture(scope="session")
def hollow():
    """State dicts of all backbones whose tensors are views of one number."""
    return {
        name: {key: torch.tensor(0.5).expand(tensor.shape) for key, tensor in named_shapes(name).items()}
        for name in BACKBONES
    }
