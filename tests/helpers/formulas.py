"""Make weights, inputs and labels by formulas, so that expected outputs need no files of weights."""

from math import prod
from zlib import crc32

import numpy as np
import torch


def weights(state_dict):
    """Return a float64 state dict of a backbone's and projection's names and shapes."""
    return {name: torch.from_numpy(_weight(name, tuple(tensor.shape))) for name, tensor in state_dict.items()}


def clips(shape):
    """Return normalized clips (B, 3, T, H, W) in float64."""
    k = np.arange(prod(shape), dtype=np.float64)
    return torch.from_numpy((np.sin(0.001 * k) + 0.5 * np.sin(0.37 * k + 1)).reshape(shape))


def labels(rows, classes):
    """Return targets (rows, classes) of zeros and ones in float64."""
    i, j = np.mgrid[:rows, :classes]
    return torch.from_numpy(((7 * i + 3 * j) % 11 == 0).astype(np.float64))


def _weight(name, shape):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    u = uniform(name, prod(shape)).reshape(shape)
    if name.startswith("projection."):
        return (2 * u - 1) * 0.5
    if len(shape) == 5:
        return (2 * u - 1) * np.sqrt(6 / prod(shape[1:])) * 0.8
    if name.endswith((".weight", ".running_var")):
        return 0.8 + 0.4 * u
    return 0.2 * u - 0.1


def uniform(name, count):
    """Return a hash of (name, index) in [0, 1): MurmurHash3's finalizer over 32 bits."""
    x = (np.arange(count, dtype=np.uint64) * 2654435761 + crc32(name.encode())) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, None)):
        x ^= x >> np.uint64(shift)
        if factor:
            x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    return x / 2.0**32


def vit_weights(shapes):
    """Return float64 tensors of a transformer by the names and shapes of the authors' code."""
    return {name: torch.from_numpy(_vit_weight(name, tuple(shape))) for name, shape in shapes.items()}


def _vit_weight(name, shape):
    u = uniform(name, prod(shape)).reshape(shape)
    if name.startswith("head."):
        return (2 * u - 1) * 0.5
    if len(shape) > 1:
        return (2 * u - 1) * np.sqrt(3 / prod(shape[1:]))
    return 0.8 + 0.4 * u if name.endswith(".weight") else 0.2 * u - 0.1
