"""Explain why a file does not hold a whole backbone: what is wrong, the first examples, and what may help."""

import re
from pathlib import Path

from trainer.models.backbones import BACKBONES
from trainer.models.layouts import LAYOUTS, as_published
from trainer.models.matching import POSITIONS, closest_backbone, group_keys, match_layout, named_shapes
from trainer.utils.text import listed, quoted, shortened, shown

# Files of authors' own sites whose network is not torchvision's: a name, the tensor's first size (None: any), words.
OTHER_NETWORKS = (
    (
        r"\.spatial_conv\.weight$",
        None,
        "The names are those of the RSPNet authors' own file (model_best_r21d_200epoch.pth.tar), another R(2+1)D with "
        "one block per stage; the benchmark pre-trained RSPNet anew: take its snellius_checkpoint_epoch_200.pth.tar.",
    ),
    (
        r"\.spt_conv1\.weight$",
        None,
        "The names are those of the AVID-CMA authors' own file, another R(2+1)D; the benchmark pre-trained AVID-CMA "
        "anew: take its avid_cma_ckpt-ep20.pth.tar.",
    ),
    (
        r"layer2\.0\.conv2\.conv_s\.weight$",
        288,
        "The sizes are those of microsoft/CtP's own R(2+1)D (288 channels where torchvision has 230); the benchmark "
        "pre-trained CtP anew: take its snellius_r2p1d18_ctp_k400_epoch_90.pth.",
    ),
    (
        r"(^|\.)cls_token$",
        None,
        "It has a class token, which no backbone here has: a transformer of images, or another one of videos.",
    ),
    (
        r"(^|\.)blocks\.0\.attn\.qkv\.bias$",  # beside a position table it would have been split
        None,
        "It has a whole bias of queries, keys and values, but no position table: V-JEPA 2, say, whose positions are "
        "rotary, is another architecture.",
    ),
)


def refusal(path, entries, layout, match, expected) -> str:
    """Return the message for a file that does not hold ``expected``; ``match``: the closest by ``layout``, or None."""
    shapes = _shapes(expected)
    backbone = next((name for name in BACKBONES if _shapes(named_shapes(name)) == shapes), "the backbone")
    close = match if match is not None and match.looks_like(expected) else None
    verdict = f"not a whole {backbone}" if close else f"does not look like {backbone}"
    sentences = [f"{path}: {verdict} by layout {layout}"]
    if match is None and layout == "auto":
        sentences[0] += f": none of its tensors has a name of the {len(expected)} expected."
    elif match is None:
        present = listed(quoted(entry) for entry in entries if entry) or "tensors only"
        sentences[0] += f": expected tensors under {LAYOUTS[layout].entry or 'no entry'!r}; the file has {present}."
    else:
        sentences[0] += f" ({match.place}): {len(match.fitting)} of {len(expected)} tensors fit."
        sentences += _listed("Missing", [f"{name} {list(expected[name].shape)}" for name in match.missing])
        sentences += _listed("Mismatched", [flaw.words for flaw in match.mismatched])
        sentences += _listed("Unexpected", map(shown, match.unexpected if len(match.missing) < len(expected) else []))
    if match is None or not match.keys:
        groups = (
            f"{shown(name)} ({len(keys)})"
            for tensors in entries.values()
            for name, keys in group_keys(tensors, ()).items()
        )
        sentences += _listed("Names in the file begin with", groups)
        first = (f"{shown(n)} {shortened(str(list(t.shape)))}" for named in entries.values() for n, t in named.items())
        sentences += _listed("First tensors", first, 5)
    return " ".join([*sentences, *_advice(path, entries, layout, backbone, close)])


def _shapes(tensors):
    return {name: tensor.shape for name, tensor in tensors.items()}


def _listed(title, items, most=3):
    words = listed(items, most)
    return [f"{title}: {words}."] if words else []


def _advice(path, entries, layout, backbone, close):
    """Return what a file that is not a whole ``backbone`` may be instead; ``close``: how it matches, if nearly."""
    if re.search(r"-\d{5}-of-\d{5}\.", Path(path).name):
        return ["By its name it is one of several files of a checkpoint; merge their tensors into one file."]
    for pattern, size, words in OTHER_NETWORKS:
        for tensors in entries.values():
            if any(re.search(pattern, key) and size in (None, *t.shape[:1]) for key, t in tensors.items()):
                return [words]
    if close and close.missing == [POSITIONS]:
        return ["Its position table is not VideoMAE's and fine-tuned files lack it: take the pre-trained file."]
    for tried in dict.fromkeys((layout, "auto")):
        name, match = closest_backbone(entries, tried)
        if match and match.whole and len(match_layout(entries, tried, named_shapes(name))) == 1:
            fits = [f"Layout auto fits: {match.place}{as_published(match.place)}."] if tried != layout else []
            return fits + ([_other_backbone(name, backbone)] if name != backbone else [])
    if close:
        return _advice_on_flaws(close)
    incomplete = f"It may be an incomplete {name}: python -m trainer.models.inspect {path} --backbone {name}"
    known = ", ".join(BACKBONES)
    none = f"It is no other known backbone either; known: {known}. To add one, or its names: trainer/README.md"
    return [incomplete if match and match.looks_like(named_shapes(name)) else none]


def _other_backbone(name, backbone):
    """Return the words for a file that holds a whole backbone ``name`` instead of ``backbone``."""
    words, recipe = f"It is a whole {name}: set the method's `backbone` to {name}", BACKBONES[name].recipe
    if backbone not in BACKBONES or BACKBONES[backbone].recipe != recipe:
        words += f" and its `recipe` to {recipe}"
    return f"{words}."


def _advice_on_flaws(match):
    """Return what to do about a file that is nearly a whole backbone."""
    if any(flaw.kind in ("shape", "foreign") for flaw in match.mismatched):
        return [f"No known backbone has these sizes ({', '.join(BACKBONES)}); trainer/README.md says how to add one."]
    if match.missing == ["norm.weight", "norm.bias"]:
        weight, bias = (shown(match.place.prefix + name) for name in match.missing)
        return [
            "It has no last norm, as Hugging Face's VideoMAE with use_mean_pooling: load the file, add "
            f"{weight} (ones) and {bias} (zeros) to its tensors and save it again."
        ]
    return ["Give a file that holds the whole backbone."] if match.missing else []
