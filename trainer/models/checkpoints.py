"""Load the backbone of a pre-trained checkpoint, completely or not at all.

``python -m trainer.models.inspect FILE`` prints what is in a file.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.models.layouts import LAYOUTS, Layout, as_published
from trainer.models.matching import POSITIONS, LayoutMatch, group_keys, match_layout
from trainer.models.refusal import refusal
from trainer.models.safe_load import read_checkpoint
from trainer.models.vit_files import unify
from trainer.utils.errors import InputError
from trainer.utils.text import listed, printable, quoted, shown

# Far above what any backbone's file has: they bound the time that a damaged or hostile file takes.
LIMITS = {
    "named tensors": 20_000,
    "dictionaries": 10_000,
    "levels of dictionaries": 20,
    "characters in a name": 1_000,
}
PUBLISHED_ENTRIES = {layout.entry for layout in LAYOUTS.values()}


@dataclass(frozen=True)
class Report:
    """What was loaded from where, and which keys of the file were not used."""

    path: Path
    layout: str  # as asked for
    found: Layout  # the place, with the prefix as it is in the file
    loaded: int  # tensors
    absent_counters: int  # BatchNorm's num_batches_tracked that the file does not hold
    absent_positions: bool  # the position table of a transformer is not in the file
    unused: dict[str, int]  # group of keys: how many

    def __str__(self):
        unused = listed((f"{shown(group)} ({count})" for group, count in self.unused.items()), 20) or "none"
        absent = f"; {self.absent_counters} batch counters not in the file, set to 0" if self.absent_counters else ""
        absent += "; no position table in the file, VideoMAE's is used" if self.absent_positions else ""
        return printable(
            f"{self.path}: all {self.loaded} tensors loaded by layout {self.layout} "
            f"({self.found}{as_published(self.found)}){absent}; keys not used: {unused}"
        )


def load_backbone(backbone: nn.Module, path, layout: str = "auto") -> Report:
    """Copy every tensor of ``backbone``, BatchNorm's statistics included, from a checkpoint; float16 becomes float32.

    ``layout`` is a key of ``LAYOUTS``, or "auto": found among the file's prefixes and the known names. Raises
    InputError and leaves the backbone as it was if a tensor is missing, has another shape or is not finite, if two
    backbones in the file fit equally well, or if the file cannot be read (see ``read_checkpoint``).

    BatchNorm's batch counters are the one exception. Files of old PyTorch have none of them, and as all these layers
    average with a fixed momentum, no output or statistic depends on them. If a file has none, they are set to 0.
    So is the position table of a transformer: VideoMAE's files do not hold theirs, which the backbone has already.
    """
    expected = backbone.state_dict()
    entries = named_tensors(path, read_checkpoint(path))
    match = find_backbone(path, entries, layout, expected)
    tensors = entries[match.place.entry]
    counters = {name: torch.zeros_like(expected[name]) for name in match.absent_counters}
    positions = {POSITIONS: expected[POSITIONS]} if match.absent_positions else {}
    loaded = {name: tensors[key] for name, key in match.keys.items()}
    backbone.load_state_dict(loaded | counters | positions, strict=True)
    return Report(
        path=Path(path),
        layout=layout,
        found=match.place,
        loaded=len(loaded),
        absent_counters=len(counters),
        absent_positions=match.absent_positions,
        unused={group: len(keys) for group, keys in group_keys(tensors, set(match.keys.values())).items()},
    )


def named_tensors(path, checkpoint) -> dict[str, dict[str, Tensor]]:
    """Return the groups of named tensors in a checkpoint by entry ("" for its own, "a.b" for b in a).

    A dictionary in several places is read once: at the first one, and at those that published files have. Raises
    InputError if there is no group, or if the checkpoint is beyond ``LIMITS``.
    """
    entries, groups = {}, {}  # groups: those of the dictionaries read, by their id
    waiting = deque([("", 0, checkpoint)] if isinstance(checkpoint, Mapping) else [])
    found = Counter()
    while waiting:
        entry, level, content = waiting.popleft()
        if id(content) in groups:
            if entry in PUBLISHED_ENTRIES:
                entries[entry] = groups[id(content)]
            continue
        named = {key: value for key, value in content.items() if isinstance(key, str)}  # an optimizer's are numbered
        tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
        inner = {key: value for key, value in named.items() if isinstance(value, Mapping)}
        found.update({"named tensors": len(tensors), "dictionaries": len(inner)})
        found["levels of dictionaries"] = level
        found["characters in a name"] = max(map(len, (*tensors, *inner)), default=0)
        _check_limits(path, found)
        groups[id(content)] = entries[entry] = unify(tensors)
        waiting += [(f"{entry}.{key}" if entry else key, level + 1, value) for key, value in inner.items()]
    if not any(entries.values()):
        kind = "nothing" if checkpoint is None else f"a {type(checkpoint).__name__}"
        raise InputError(f"{path}: holds no named tensors, but {kind}; expected a state_dict")
    return {entry: tensors for entry, tensors in entries.items() if tensors}


def _check_limits(path, found):
    for what, most in LIMITS.items():
        if found[what] > most:
            raise InputError(
                f"{path}: holds {found[what]:,} {what}; expected at most {most:,}. Save the backbone alone: "
                "torch.save(backbone.state_dict(), 'weights.pth')"
            )


def find_backbone(path, entries, layout: str, expected: dict[str, Tensor]) -> LayoutMatch:
    """Find a whole backbone of ``expected``'s names and shapes; raise InputError that explains why there is none."""
    if layout not in LAYOUTS and layout != "auto":
        raise InputError(f"{path}: unknown layout {layout!r}; known: auto, {', '.join(LAYOUTS)}")
    matches = match_layout(entries, layout, expected)
    if len(matches) > 1:
        places = "; ".join(f"{match.place} ({len(match.keys)} tensors)" for match in matches)
        raise InputError(
            f"{path}: ambiguous, {len(matches)} places look like a backbone of {len(expected)} tensors: {places}. "
            "Name the layout if it is a published one, or save the one that is meant, for the first: "
            f"{_saving(matches[0])}"
        )
    if not matches or not matches[0].whole:
        raise InputError(refusal(path, entries, layout, matches[0] if matches else None, expected))
    return matches[0]


def _saving(match):
    """Return the code that saves the tensors of a match alone."""
    entry = "".join(f"[{quoted(key)}]" for key in match.place.entry.split(".") if key)
    kept = f"{{k: v for k, v in torch.load(path){entry}.items() if k.startswith({quoted(match.place.prefix)})}}"
    return f"torch.save({kept}, 'weights.pth')"
