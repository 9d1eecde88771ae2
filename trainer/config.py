"""The settings of one fine-tuning run: all that determines its result, and the machine it runs on.

A run is repeated from its file alone: ``python -m trainer.train --config results/runs/ava/moco/seed0/config.yaml``.
Each setting's type, bounds and sentence stand here and nowhere else; the workflow's config is made of the same classes.
"""

import hashlib
import reprlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from trainer.datasets import DATASETS
from trainer.run_files import DamagedFile
from trainer.utils.errors import InputError
from trainer.utils.settings import Count, Fraction, Number, PathText, Positive, Text, Whole, read, settings


@settings
class Model:
    """The network, and where the weights of its backbone come from."""

    backbone: Text
    """architecture; a name of `trainer/models/backbones.py`"""
    checkpoint: PathText | None
    """path of the pre-trained weights; null: random initialization"""
    layout: str
    """names of the checkpoint's tensors, see `trainer/models/layouts.py`; `auto` finds them"""
    bn_eps: Positive
    """epsilon of BatchNorm, which no checkpoint holds"""
    dropout: Fraction
    """before the last layer"""


@settings
class Clip:
    """How frames become clips. Sizes in pixels; frames are counted at the archive's rate."""

    num_frames: Count
    """frames of a clip; a multiple of the backbone's stride in time"""
    stride: Count
    """every stride-th frame is used"""
    crop: Count
    """px; side of a training crop, and short side at test; a multiple of the backbone's stride in space"""
    short_side_range: tuple[Count, Count]
    """px; the short side of a training clip is 1/uniform(1/max, 1/min), rounded; min is not below `crop`"""
    test_clips: Count
    """clips of a test video, evenly spaced (Charades); a key second of AVA has one"""
    test_crops: Literal[1, 3]
    """crops of a test clip along its long side (Charades); AVA sees the whole width"""

    @model_validator(mode="after")
    def _check(self):
        if not self.crop <= self.short_side_range[0] <= self.short_side_range[1]:
            raise ValueError(
                f"short_side_range: expected two sizes that ascend from crop {self.crop}, got "
                f"{list(self.short_side_range)}"
            )
        return self


@settings
class Normalization:
    """How pixels in [0, 1] become the network's input: (x - mean) / std, the same for each channel."""

    channel_order: Literal["rgb", "bgr"]
    """order of the color channels"""
    mean: Number
    """subtracted from pixels in [0, 1]"""
    std: Positive
    """by which the difference is divided"""


@settings
class Data:
    """Paths: the lists that `list_ava` and `list_charades` checked against the frames, and what scores read."""

    frames: PathText
    """CSV: where each video's frames are"""
    train: PathText
    """CSV: training examples"""
    test: PathText
    """CSV: test examples"""
    label_map: PathText
    """names of classes: AVA's pbtxt, or a table with the columns action and name"""
    ground_truth: PathText | None = None
    """AVA: boxes and actions of the test videos"""
    excluded: PathText | None = None
    """AVA: key seconds that are not scored"""


@settings
class Training:
    """Optimizer and schedule. Epochs are fractional: epoch + iteration / iterations per epoch."""

    batch_size: Count
    """clips of an optimizer step, over all GPUs"""
    micro_batches: Count
    """equal parts of a batch. BatchNorm and the mean of the loss see one micro-batch: what one GPU of the published
    runs saw. They are computed one after the other, or on several GPUs"""
    epochs: Count
    """passes over the training clips; the last, incomplete batch is dropped"""
    base_lr: Positive
    """learning rate, multiplied by the factor of the last milestone"""
    lr_milestones: Annotated[tuple[Number, ...], Field(min_length=1)]
    """epochs at which a factor begins to hold; the first is 0"""
    lr_factors: Annotated[tuple[Number, ...], Field(min_length=1)]
    """a factor for each milestone"""
    warmup_epochs: Number
    """epochs in which the learning rate rises linearly, at most `epochs`"""
    warmup_start_lr: Number
    """learning rate at the begin of the warm-up"""
    weight_decay: Number
    """of SGD; BatchNorm's parameters have none"""
    momentum: Fraction
    """of SGD, Nesterov's if above 0"""
    precise_bn_batches: Whole
    """batches over which BatchNorm's statistics are measured before a validation; 0: running averages are kept"""
    evaluate_every: Count
    """epochs from one validation to the next; the last epoch is always validated"""
    precision: Literal["float32", "tf32", "bfloat16"]
    """of convolutions and matrix products, in training and prediction"""

    @model_validator(mode="after")
    def _check(self):
        milestones, factors = list(self.lr_milestones), self.lr_factors
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"micro_batches: expected a divisor of batch_size {self.batch_size}, got {self.micro_batches}"
            )
        if milestones != sorted({0, *milestones}):
            raise ValueError(f"lr_milestones: expected numbers that ascend from 0, got {milestones}")
        if len(factors) != len(milestones):
            raise ValueError(f"lr_factors: expected as many as lr_milestones, {len(milestones)}, got {len(factors)}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs: expected at most epochs {self.epochs}, got {self.warmup_epochs}")
        return self


@settings
class Recipe:
    """How a family of backbones is fine-tuned on one dataset."""

    dropout: Fraction
    """before the last layer"""
    clip: Clip
    training: Training


@settings
class Machine:
    """Where a run computes. Nothing here changes the result, and a resumed run may have another machine."""

    device: Literal["cuda", "cpu"]
    """what trains and predicts"""
    workers: Whole
    """data loading processes of a GPU; 0: the training process loads"""
    threads: Count
    """CPU threads of a process"""
    checkpoint_minutes: Positive
    """from one resume checkpoint to the next"""
    stall_minutes: Positive = 30.0
    """a run ends when no step or batch was finished for so long, e.g. as a GPU or file system hangs"""


@settings
class RunMachine(Machine):
    """The machine of one run."""

    world_size: Count = 1
    """processes, one per GPU"""


@settings
class Run:
    """One row of one table at one seed."""

    dataset: Text
    """a name of `trainer/datasets.py`"""
    method: Text
    """the row of the methods table"""
    seed: Whole
    """of initialization, order, crops and dropout"""
    model: Model
    clip: Clip
    normalization: Normalization
    data: Data
    training: Training
    machine: RunMachine

    @model_validator(mode="after")
    def _check(self):
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset: expected one of {', '.join(DATASETS)}, got {self.dataset!r}")
        for role in DATASETS[self.dataset].score_files:
            if getattr(self.data, role) is None:
                raise ValueError(f"data: {role}: expected a path, as {self.dataset} is scored by it, got nothing")
        return self


def load(path) -> Run:
    """Read a run's YAML file, of any Unicode encoding; raise InputError naming file and key if it is not one."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; give the config.yaml of a run")
    advice = "give the config.yaml of a run; the workflow writes it again once it is deleted"
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise DamagedFile(path, f"cannot be read ({error.strerror})", advice) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedFile(path, f"not YAML: {' '.join(str(error).split())}", advice) from error
    if not isinstance(content, dict):
        raise DamagedFile(path, f"expected a mapping of keys, got {reprlib.repr(content)}", advice)
    return read(Run, content, str(path))


def result_config(run: Run) -> dict:
    """Return the settings that determine a run's result: all but the machine and the folders of files.

    Checkpoints are known by their file name.
    """
    settings = asdict(run)
    del settings["machine"], settings["data"]
    settings["model"]["checkpoint"] = run.model.checkpoint and Path(run.model.checkpoint).name
    return settings


def fingerprint(run: Run) -> str:
    """Return a short hash of ``result_config``."""
    return hashlib.sha256(_yaml(result_config(run)).encode()).hexdigest()[:16]


def dump(run: Run) -> str:
    """Return the YAML text that `load` reads back to an equal run."""
    return _yaml(asdict(run))


def _yaml(content):
    return yaml.safe_dump(_plain(content), sort_keys=False)


def _plain(value):
    """Turn tuples into lists, as YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
