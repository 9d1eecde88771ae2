"""Match a file's tensors to a backbone's: which keys hold them, and what is missing, mismatched or unexpected."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.layouts import LAYOUTS, SCHEMES, WRAPPERS, Layout
from trainer.utils.text import shortened, shown

# A momentum encoder is a running mean of the trained one and has its names; the trained one is what methods publish. A
# decoder has blocks like its encoder.
MOMENTUM_COPIES = {
    "encoder_k.": ("encoder_q.",),
    "key_encoder.": ("query_encoder.", "backbone."),
    "target_encoder.": ("online_encoder.", "encoder."),  # BYOL
    "momentum_encoder.": ("base_encoder.", "encoder_q.", "backbone."),  # MoCo v3
    "backbone_momentum.": ("backbone.",),  # lightly
    "momentum_backbone.": ("backbone.",),  # solo-learn
    "backbone_hist.": ("backbone.",),  # PySlowFast
    "encoder_m.": ("encoder.",),
    "decoder.": ("encoder.",),
}
# The same among entries; V-JEPA's authors evaluate the running mean.
COPIED_ENTRIES = {"model_ema": "model", "encoder": "target_encoder"}
POSITIONS = "pos_embed"  # of transformers: VideoMAE's files do not hold it

MOST_PLACES = 20  # compared with a backbone in one entry, those with most of its names: bounds the time of any file
_FINITE = WeakIdKeyDictionary()  # answers of `_is_finite`
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # smaller ones need scales, which are not read


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a key of a file."""

    kind: Literal["duplicate", "shape", "values", "foreign"]  # foreign: one of a deeper backbone, say
    name: str  # that the backbone has for it, or would have
    words: str  # that name the key


@dataclass(frozen=True)
class LayoutMatch:
    """A file beside a backbone: which keys hold its tensors at one place, and what is not as it must be."""

    place: Layout
    keys: dict[str, str]  # backbone's name: file's
    fitting: set[str]  # of these names, those whose tensor is as it must be
    absent_counters: set[str]
    absent_positions: bool
    missing: list[str]
    mismatched: list[Flaw]
    unexpected: list[str]  # keys under the prefix that no tensor of a backbone has

    @property
    def whole(self) -> bool:
        return not self.missing and not self.mismatched

    def looks_like(self, expected: dict[str, Tensor]) -> bool:
        """Return whether half of the convolutions fit; BatchNorm's vectors fit many a network."""
        convolutions = {name for name, tensor in expected.items() if tensor.dim() > 1}
        return len(self.fitting & convolutions) >= len(convolutions) / 2


def named_shapes(backbone: str) -> dict[str, Tensor]:
    """Return the names and shapes of a backbone's tensors, without memory."""
    with torch.device("meta"):
        return build_backbone(backbone).state_dict()


def closest_backbone(entries, layout: str) -> tuple[str, LayoutMatch | None]:
    """Return the backbone of which ``entries`` lack the smallest part, and how they match it."""

    def lacking(match, expected):
        return min(1, (len(match.missing) + len(match.mismatched)) / len(expected))

    found = []
    for name in BACKBONES:
        expected = named_shapes(name)
        matches = [(lacking(match, expected), match) for match in match_layout(entries, layout, expected)]
        found.append((name, *min(matches, key=lambda pair: pair[0], default=(1, None))))
    name, _, match = min(found, key=lambda item: item[1])
    return name, match


def match_layout(entries, layout: str, expected: dict[str, Tensor]) -> list[LayoutMatch]:
    """Match the place of a named layout, or for "auto" the places where at least half of the names occur.

    Half, not all: beside a backbone that lacks a tensor, another whole one must not be taken unnoticed. If no place has
    half of them, the closest is returned; none if no name occurs.
    """
    if layout != "auto":
        named = LAYOUTS[layout]
        places = [replace(named, prefix=wrapper + named.prefix) for wrapper in WRAPPERS]
        matches = [_match_at(p, entries[p.entry], expected) for p in places if p.entry in entries]
        return sorted(matches, key=_closeness)[-1:]
    originals = {entry: tensors for entry, tensors in entries.items() if COPIED_ENTRIES.get(entry) not in entries}
    distinct = {id(tensors): (entry, tensors) for entry, tensors in originals.items()}  # one may be in two entries
    matches = [match for entry, tensors in distinct.values() for match in _matches_in(entry, tensors, expected)]
    close = [match for match in matches if len(match.keys) >= len(expected) / 2]
    return close or sorted(matches, key=_closeness)[-1:]


def _closeness(match):
    return len(match.fitting), -len(match.unexpected)


def _matches_in(entry, tensors, expected):
    """Yield a match for each prefix that makes a name of the backbone, by the scheme that makes most of them."""
    most_parts = _most_parts(expected)
    named = Counter()
    for scheme in [scheme for scheme in SCHEMES if (scheme == "vit") == (POSITIONS in expected)]:
        for key in tensors:
            parts = key.split(".")
            names = (".".join(parts[i:]) for i in range(max(0, len(parts) - most_parts), len(parts)))
            named.update((key[: len(key) - len(name)], scheme) for name in names if _rename(name, scheme) in expected)
    schemes = {}
    for (prefix, scheme), _count in named.most_common():
        schemes.setdefault(prefix, scheme)
    for prefix, scheme in islice(schemes.items(), MOST_PLACES):
        if not _is_momentum_copy(prefix, tensors):
            with_positions = POSITIONS in expected and prefix + POSITIONS in tensors
            yield _match_at(Layout(entry, prefix, scheme, with_positions), tensors, expected)


def _most_parts(names):
    """Return the most parts that a name has; no scheme gives a name fewer parts than it has in a file."""
    return max(name.count(".") for name in names) + 1


def _is_momentum_copy(prefix, keys):
    copies = {copy: names for copy, names in MOMENTUM_COPIES.items() if copy in prefix}
    originals = [prefix.replace(copy, trained) for copy, names in copies.items() for trained in names]
    return any(key.startswith(original) for original in originals for key in keys)


def _rename(name, scheme):
    for pattern, ours in SCHEMES[scheme]:
        renamed, count = re.subn(pattern, ours, name)
        if count:
            return renamed
    return name


def _match_at(place, tensors, expected):
    named, flaws = {}, []
    most_parts = _most_parts(expected)
    for key in tensors:
        if key.startswith(place.prefix):
            name = key.removeprefix(place.prefix)
            if name.count(".") < most_parts:
                name = _rename(name, place.scheme)
            if name in named:
                flaws.append(Flaw("duplicate", name, f"{shown(key)} is {shown(name)} as {shown(named[name])} is"))
            named[name] = key
    keys = {name: named[name] for name in expected if name in named}
    for name, key in keys.items():
        tensor, shape = tensors[key], expected[name].shape
        if tensor.shape != shape:
            sizes = f"is {shortened(str(list(tensor.shape)))}, expected {list(shape)}"
            flaws.append(Flaw("shape", name, f"{shown(key)} {sizes}"))
        elif problem := _wrong_values(tensor, expected[name].dtype):
            flaws.append(Flaw("values", name, f"{shown(key)} {problem}"))
    parts = {name.partition(".")[0] for name in expected} | {"cls_token"}
    for name, key in named.items():
        if name not in expected and name.partition(".")[0] in parts:
            flaws.append(Flaw("foreign", name, f"{shown(key)} is none of its tensors"))
    counters = {name for name in expected if name.endswith(".num_batches_tracked")}
    absent_counters = set() if counters & named.keys() else counters
    positions = set() if place.with_positions else {POSITIONS} & expected.keys()
    may_lack = absent_counters | positions
    return LayoutMatch(
        place=place,
        keys=keys,
        fitting=keys.keys() - {flaw.name for flaw in flaws},
        absent_counters=absent_counters,
        absent_positions=not positions <= named.keys(),
        missing=[name for name in expected if name not in named and name not in may_lack],
        mismatched=flaws,
        unexpected=[key for name, key in named.items() if name not in expected],
    )


def _wrong_values(tensor, expected):
    """Return what is wrong with a tensor's values as those of type ``expected``, or None."""
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        return "is not a plain tensor"
    if not expected.is_floating_point:  # a counter, in whatever type
        return None
    if tensor.dtype not in FLOATS:
        return f"holds {tensor.dtype}, expected {expected}"
    return None if _is_finite(tensor) else "holds NaN or infinity"


def _is_finite(tensor):
    """Return whether all values are finite; a tensor that is matched with several backbones is read once."""
    if tensor not in _FINITE:
        _FINITE[tensor] = bool(tensor.isfinite().all())
    return _FINITE[tensor]


def group_keys(keys, used) -> dict[str, list[str]]:
    """Group the keys that are not in ``used`` by the shortest beginning that no used key shares.

    Groups that differ in a number at their end (mlp_v0 to mlp_v9) are one, named with a star.
    """
    shared = {"module"} | {key[: dot.start()] for key in used for dot in re.finditer(r"\.", key)}
    groups = {}
    for key in keys:
        if key not in used:
            beginnings = (key[: dot.start()] for dot in re.finditer(r"\.", key))
            groups.setdefault(next((b for b in beginnings if b not in shared), key), []).append(key)
    starred = Counter(_starred(group) for group in groups)
    merged = {}
    for group, members in groups.items():
        merged.setdefault(_starred(group) if starred[_starred(group)] > 1 else group, []).extend(members)
    return merged


def _starred(group):
    return re.sub(r"(?<=[A-Za-z_])\d+$", "*", group)
