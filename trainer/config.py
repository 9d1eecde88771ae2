"""The configuration of one fine-tuning run: everything that decides its result, and the machine it runs on.

A run is repeated from its file alone: ``python -m trainer.train --config results/runs/ava/moco/seed0/config.yaml``.
"""

import hashlib
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import yaml

from trainer.errors import InputError

CLASSES = {"ava": 80, "charades": 157}  # actions that a dataset labels; AVA's score looks at 60 of them


@dataclass(frozen=True)
class Model:
    """The backbone, where its weights come from, and the dropout of the head."""

    backbone: str  # "r2plus1d_18" or "r2plus1d_18_tclr" (TCLR's own layer4)
    checkpoint: str | None  # None: random initialisation
    layout: str  # key names of the checkpoint, see models/layouts.py; "auto" finds them
    dropout: float
    bn_eps: float


@dataclass(frozen=True)
class Clip:
    """How frames become the network's input. Sizes in pixels, frames counted in the archive's rate."""

    frames: int  # frames per clip
    stride: int  # every stride-th frame
    crop: int  # side of the training crop and short side at test
    jitter: tuple[int, int]  # training: short side 1/uniform(1/max, 1/min), rounded
    test_clips: int  # clips per video (Charades); AVA has one, at its key second
    test_crops: int  # crops along the long side (Charades); AVA sees the whole width
    channels: str  # "rgb" or "bgr"
    mean: float  # of pixels in [0, 1], the same for each channel
    std: float


@dataclass(frozen=True)
class Data:
    """The lists that `list_ava` and `list_charades` checked against the frames; the score's files (AVA only)."""

    frames: str  # CSV: where each video's frames are
    train: str
    test: str
    ground_truth: str | None = None
    excluded: str | None = None
    label_map: str | None = None


@dataclass(frozen=True)
class Training:
    """Optimiser and schedule. Epochs are fractional: epoch + iteration / iterations per epoch."""

    batch: int  # clips per step, over all GPUs
    shares: int  # the batch is split into so many; BatchNorm and the loss's mean see one share (published: one GPU's)
    epochs: int
    base_lr: float
    steps: tuple[float, ...]  # epochs at which a factor begins
    factors: tuple[float, ...]
    warmup_epochs: float
    warmup_start_lr: float
    weight_decay: float  # not on BatchNorm
    momentum: float  # Nesterov
    precise_bn_batches: int  # 0: keep the running averages
    evaluate_every: int  # epochs between validations


@dataclass(frozen=True)
class Machine:
    """Where it runs. Nothing here changes the published result, and a resumed run may have another machine."""

    device: str  # "cuda" or "cpu"
    ranks: int  # processes, one per GPU
    workers: int  # data loading processes per rank
    threads: int  # CPU threads of a rank
    precision: str  # "float32", "tf32" or "bfloat16"
    save_minutes: float  # between resume checkpoints inside an epoch


@dataclass(frozen=True)
class Run:
    """One row of one table at one seed."""

    dataset: str  # "ava" or "charades"
    method: str
    seed: int
    model: Model
    clip: Clip
    data: Data
    training: Training
    machine: Machine


def load(path) -> Run:
    """Read a run's YAML file; raise InputError for a key that is unknown, missing, of a wrong type or at odds."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the config.yaml of a run")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    return build(content, f"{path}: ")


def build(content, where="") -> Run:
    """Make a run of a mapping, as `load` does of a file; ``where`` names its place in messages."""
    run = _build(Run, content, where)
    check_settings(content["clip"], content["training"], where)
    return run


def check_settings(clip: dict, training: dict, where: str):
    """Raise InputError if the settings of a dataset do not go together; ``where`` begins the message.

    Training would fail on them when all data is there, or learn something else without a word.
    """
    batch, shares, epochs, warmup = (training[key] for key in ("batch", "shares", "epochs", "warmup_epochs"))
    steps, factors, jitter, crop = training["steps"], training["factors"], clip["jitter"], clip["crop"]
    for key, fits, words in (
        ("training: shares", shares > 0 and batch % shares == 0, f"{shares} does not divide training: batch {batch}"),
        ("training: steps", steps == sorted({0, *steps}), f"{steps} must begin with 0 and ascend"),
        ("training: factors", len(factors) == len(steps), f"are {len(factors)}, and training: steps {len(steps)}"),
        ("training: warmup_epochs", warmup <= epochs, f"{warmup} is more than training: epochs {epochs}"),
        ("clip: jitter", crop <= jitter[0] <= jitter[1], f"{jitter} must ascend from clip: crop {crop} or more"),
    ):
        if not fits:
            raise InputError(f"{where}{key}: {words}")


def settings(run: Run) -> Run:
    """What decides the result: the run without its files' places and the machine that does it, but for precision."""
    checkpoint = run.model.checkpoint and Path(run.model.checkpoint).name
    machine = replace(run.machine, device="", ranks=0, workers=0, threads=0, save_minutes=0)
    return replace(run, model=replace(run.model, checkpoint=checkpoint), data=Data("", "", ""), machine=machine)


def fingerprint(run: Run) -> str:
    """A short text that differs where `settings` do."""
    return hashlib.sha256(dump(settings(run)).encode()).hexdigest()[:16]


def dump(run: Run) -> str:
    """The YAML text that `load` reads back to an equal run."""
    return yaml.safe_dump(_plain(asdict(run)), sort_keys=False)


def _build(kind, content, where):
    """Build the dataclass ``kind`` from a mapping; ``where`` names the place in messages."""
    if not isinstance(content, dict):
        raise InputError(f"{where}must be a mapping, not {content!r}")
    types = get_type_hints(kind)
    required = {f.name for f in fields(kind) if f.default is not None}
    for problem, keys in (("unknown", content.keys() - types.keys()), ("missing", required - content.keys())):
        if keys:
            raise InputError(f"{where}{problem} key {', '.join(sorted(map(str, keys)))}; known: {', '.join(types)}")
    return kind(**{key: _convert(types[key], value, f"{where}{key}: ") for key, value in content.items()})


def _convert(kind, value, where):
    if is_dataclass(kind):
        return _build(kind, value, where)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, (list, tuple)) or (kinds[-1] is not ... and len(value) != len(kinds)):
            raise InputError(f"{where}must be a list like {kind}, not {value!r}")
        return tuple(_convert(kinds[0], item, where) for item in value)
    kinds = get_args(kind) or (kind,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise InputError(f"{where}must be {' or '.join(k.__name__ for k in kinds)}, not {value!r}")
    return value


def _plain(value):
    """Tuples as lists, as YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
