"""Checkpoints of video transformers: their tensors under VideoMAE's names, and the family that wrote them."""

import re

import torch
from torch import Tensor

# Names of Hugging Face's and MMAction2's VideoMAE, behind the prefix of the encoder; "{}" is the number of a block.
OTHER_NAMES = {
    "embeddings.patch_embeddings.projection.": "patch_embed.proj.",
    "encoder.layer.{}.attention.attention.q_bias": "blocks.{}.attn.q_bias",
    "encoder.layer.{}.attention.attention.v_bias": "blocks.{}.attn.v_bias",
    "encoder.layer.{}.attention.attention.query.bias": "blocks.{}.attn.q_bias",  # since transformers 5
    "encoder.layer.{}.attention.attention.value.bias": "blocks.{}.attn.v_bias",
    "encoder.layer.{}.attention.attention.": "blocks.{}.attn.",
    "encoder.layer.{}.attention.output.dense.": "blocks.{}.attn.proj.",
    "encoder.layer.{}.intermediate.dense.": "blocks.{}.mlp.fc1.",
    "encoder.layer.{}.output.dense.": "blocks.{}.mlp.fc2.",
    "encoder.layer.{}.layernorm_before.": "blocks.{}.norm1.",
    "encoder.layer.{}.layernorm_after.": "blocks.{}.norm2.",
    "layernorm.": "norm.",
    "patch_embed.projection.": "patch_embed.proj.",  # from here MMAction2
    "blocks.{}.mlp.layers.0.0.": "blocks.{}.mlp.fc1.",
    "blocks.{}.mlp.layers.1.": "blocks.{}.mlp.fc2.",
}
PATCHES = re.compile(r"(embeddings\.patch_embeddings|patch_embed)\.projection\.weight$")

FAMILIES = {  # by the beginning of a name, without "module."; the first that a file has counts
    "mask_token_img": "MVD",
    "clip_decoder.": "UMT",
    "prototypes": "SIGMA",
    "decoder.0.": "MME",
    "_orig_mod.": "MGMAE",
    "videomae.": "VideoMAE of Hugging Face (its tensors are listed under VideoMAE's names)",
    "backbone.fc_norm.": "VideoMAE of MMAction2 (its tensors are listed under VideoMAE's names)",
    "backbone.": "V-JEPA",
    "encoder.": "VideoMAE, MGMAE, SMILE or EVEREST (they have the same names)",
    "head.": "VideoMAE, MGMAE, SIGMA, SMILE, MME, EVEREST, UMT or MVD, fine-tuned (if MVD, take its pre-trained file, "
    "as this one lacks the position table)",
}


def unify(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file, with those of known transformers under VideoMAE's names; all others as they are.

    Hugging Face's queries, keys and values become one tensor. A whole bias of the three becomes that of queries and
    values, if positions are added to the tokens: then the keys' part adds the same number to all scores of a query.
    """
    names = {key: key for key in tensors}
    for patches in filter(None, map(PATCHES.search, tensors)):
        prefix = patches.string[: patches.start()]
        names |= {key: prefix + _renamed(key.removeprefix(prefix)) for key in tensors if key.startswith(prefix)}
        norm = prefix.removesuffix("videomae.") + "fc_norm."  # of a fine-tuned file, beside the encoder
        names |= {key: prefix + "fc_norm." + key.removeprefix(norm) for key in tensors if key.startswith(norm)}
    if len(set(names.values())) < len(names):
        return tensors
    return _split_biases(_joined({names[key]: tensor for key, tensor in tensors.items()}))


def _renamed(name):
    for theirs, ours in OTHER_NAMES.items():
        pattern = "^" + re.escape(theirs).replace(r"\{\}", r"(\d+)")
        renamed, count = re.subn(pattern, ours.replace("{}", r"\1"), name)
        if count:
            return renamed
    return name


def _joined(tensors):
    """Join queries, keys and values of each block, if they have one shape."""
    joined = {}
    for key, tensor in tensors.items():
        found = re.fullmatch(r"(.*\.attn\.)(query|key|value)\.weight", key)
        parts = [tensors.get(f"{found[1]}{part}.weight") for part in ("query", "key", "value")] if found else []
        if not found or any(part is None or part.dim() != 2 or part.shape != tensor.shape for part in parts):
            joined[key] = tensor
        elif found[2] == "query":
            joined[f"{found[1]}qkv.weight"] = torch.cat(parts)
    return joined


def _split_biases(tensors):
    """Split whole biases (3 x width,) of blocks beside which there is a position table."""
    split = {}
    for key, tensor in tensors.items():
        block = key.removesuffix("qkv.bias")
        if block != key and tensor.dim() == 1 and len(tensor) % 3 == 0 and _prefix(key) + "pos_embed" in tensors:
            split[f"{block}q_bias"], _, split[f"{block}v_bias"] = tensor.chunk(3)
        else:
            split[key] = tensor
    return split


def _prefix(key):
    return key.rpartition("blocks.")[0]


def family(keys) -> str:
    """Return the family whose code wrote a file with these names; several write the same."""
    for mark, name in FAMILIES.items():
        if any(key.removeprefix("module.").startswith(mark) for key in keys):
            return name
    return "not known"
