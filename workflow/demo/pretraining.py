"""Pre-train backbones on drawn clips: the longer, the better the features, so that the demo has a known ranking.

The clips show the same kinds of motion as the demo's films and videos, by other people at other places: scenes of their
own random numbers. A backbone and a linear classifier learn to name the action.
"""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from trainer.data.transforms import random_crop, uint8_resizer
from trainer.models.backbones import BACKBONES, build_backbone
from workflow.demo.scenes import ACTIONS, Appearance, Scene, draw_background

log = logging.getLogger(__name__)

BATCH = 16  # clips
# Of a clip: as many frames as the demo's runs have, in fewer pixels, which halves the time.
FRAMES, CROP, SHORT_SIDES = 8, 24, (26, 32)
SPACING = (0.13, 0.34)  # s between frames: from that of AVA's clips in the demo to that of Charades'
WARMUP = 10  # steps
MEAN, STD = 0.45, 0.225  # of pixels in [0, 1], as in the methods table

# Backbone and steps of each checkpoint, by layout. Tables should show the order of the steps, above random weights.
PRETRAINING = {
    "selavi": ("r2plus1d_18", 4),
    "moco": ("r2plus1d_18", 8),
    "video_moco": ("r2plus1d_18", 12),
    "pretext_contrast": ("r2plus1d_18", 16),
    "rspnet": ("r2plus1d_18", 24),
    "avid_cma": ("r2plus1d_18", 32),
    "ctp": ("r2plus1d_18", 40),
    "tclr": ("r2plus1d_18_tclr", 20),  # few, as it shares them with no other method
    "gdt": ("r2plus1d_18", 50),
    "supervised": ("r2plus1d_18", 64),
    "videomae": ("vit_s_16", 24),  # of another recipe: compared with a transformer of random weights only
}


def pretrained_backbones(seed: int) -> dict[str, dict[str, Tensor]]:
    """Return the state dict of each checkpoint's backbone, by layout; equal backbones share one training."""
    lengths = {}
    for backbone, steps in PRETRAINING.values():
        lengths.setdefault(backbone, []).append(steps)
    states = {backbone: pretrain(backbone, steps, seed) for backbone, steps in lengths.items()}
    return {layout: states[backbone][steps] for layout, (backbone, steps) in PRETRAINING.items()}


def pretrain(backbone: str, lengths: Iterable[int], seed: int) -> dict[int, dict[str, Tensor]]:
    """Return the backbone's state dict after each number of steps in ``lengths``; all are of one training.

    ``seed`` determines the initial weights and all clips.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, record = build_backbone(backbone), BACKBONES[backbone]
    classifier = nn.Linear(record.channels, len(ACTIONS))
    parameters = [*network.parameters(), *classifier.parameters()]
    if record.depth:
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / WARMUP, total_iters=WARMUP)
    states = {}
    for step in range(1, max(lengths) + 1):
        clips, actions = draw_batch(rng, record.num_frames or FRAMES)
        logits = classifier(network(clips).mean(dim=(2, 3, 4)))
        loss = nn.functional.cross_entropy(logits, actions)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        warmup.step()
        if step in lengths:
            states[step] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            log.info("%s: step %d, loss %.3f", backbone, step, loss.item())
    return states


def draw_batch(rng, frames=FRAMES) -> tuple[Tensor, Tensor]:
    """Return normalized clips (B, 3, T, H, W) float32 and their actions (B,), places in ``ACTIONS``."""
    actions = rng.integers(len(ACTIONS), size=BATCH)
    names = list(ACTIONS)
    clips = np.stack([draw_clip(rng, names[action], frames) for action in actions])
    pixels = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 255
    return (pixels - MEAN) / STD, torch.from_numpy(actions)


def draw_clip(rng, action: str, frames: int) -> np.ndarray:
    """Draw a person who performs ``action``, cropped as for training: (T, H, W, 3) uint8."""
    width, height = rng.integers(96, 161, size=2).tolist()
    start, spacing = rng.uniform(0, 20), rng.uniform(*SPACING) * FRAMES / frames
    person = Appearance(0, action, 0, np.inf, x=rng.uniform(0.25, 0.75))
    scene = Scene(draw_background(rng, width, height), rng.uniform(0.7, 0.95), (person,))
    resize = uint8_resizer(random_crop(rng, height, width, SHORT_SIDES, CROP))
    return np.stack([resize(scene.draw(start + spacing * frame)) for frame in range(frames)])
