"""The published transformer and its AVA head by formulas, and what the reference implementation made of them."""

import json

import torch
from torch import nn

from tests.helpers import formulas
from tests.helpers.config import read_yaml
from tests.helpers.paths import FIXTURES
from trainer.models.network import Network
from trainer.models.vit import VisionTransformer
from trainer.tasks.ava import AvaHead

RECIPE = read_yaml("recipes.yaml")["recipes"]["vit"]["ava"]


def expected(name):
    """Return the content of a fixture."""
    return json.loads((FIXTURES / "vit" / f"{name}.json").read_text())


def published_vit(config, **options) -> Network:
    """Return the published network of a configuration of model_ava.json."""
    backbone = VisionTransformer(
        config["embed_dim"],
        config["depth"],
        config["num_heads"],
        config["tubelet"],
        tuple(config["training_grid_t_h_w"]),
        **options,
    )
    model = Network(backbone, AvaHead(config["embed_dim"], config["patch"], config["classes"], 0, aligned=False))
    names = {name: theirs(name) for name, _ in model.named_parameters()}
    values = formulas.vit_weights({names[name]: p.shape for name, p in model.named_parameters()})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[names[name]])
    return model


def theirs(name):
    """Return the name of one of our parameters in the reference implementation."""
    return name.removeprefix("backbone.").replace("head.projection.", "head.")


def double(model: nn.Module) -> nn.Module:
    """Return the model in float64, weights by formula included, which float32 has rounded."""
    model.double()
    values = formulas.vit_weights({theirs(name): p.shape for name, p in model.named_parameters()})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[theirs(name)])
    return model


def padded_clips(case):
    """Return the clips (B, 3, T, H, W) of a case, float64, zero outside their images."""
    clips = formulas.clips(case["input_shape"])
    for clip, (width, height) in zip(clips, case["image_sizes_w_h"], strict=True):
        clip[..., height:, :] = 0
        clip[..., width:] = 0
    return clips


def numbered(boxes):
    """Return boxes of each clip as (N, 5): clip in the batch, x1, y1, x2, y2."""
    return torch.tensor([[clip, *box] for clip, of_clip in enumerate(boxes) for box in of_clip], dtype=torch.float64)
