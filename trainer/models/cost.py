"""What a network costs: parameters and floating-point operations, by fvcore."""

import logging

import torch
from fvcore.nn import FlopCountAnalysis

from trainer import config
from trainer.models.network import Network


def cost(model: Network, clip: config.Clip) -> dict:
    """Return the parameters, and the backbone's GFLOPs for one clip of the training size (a multiply-add counts once).

    The heads, below a thousandth of it, are left out: fvcore cannot trace RoIAlign.
    """
    logging.getLogger("fvcore").setLevel(logging.ERROR)  # it warns of every operation that costs nothing
    parameter = next(model.parameters())
    pixels = torch.zeros(1, 3, clip.num_frames, clip.crop, clip.crop, device=parameter.device)
    training = model.training
    flops = FlopCountAnalysis(model.backbone.eval(), pixels)
    flops.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    flops = flops.total()
    model.train(training)
    return {"parameters": sum(p.numel() for p in model.parameters()), "gflops": flops / 1e9}


def _attention_flops(inputs, _outputs):
    """Count attention: the products of queries and keys, and of weights and values."""
    batch, heads, tokens, width = inputs[0].type().sizes()
    return 2 * batch * heads * tokens**2 * width
