"""The settings of one fine-tuning run: all that determines its result, and the machine it runs on.

A run is repeated from its file alone: ``python -m trainer.train --config results/runs/ava/moco/seed0/config.yaml``.
Each setting's type, bounds and sentence stand here and nowhere else; the workflow's config is made of the same classes.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from trainer.datasets import DATASETS
from trainer.run_files import DamagedFile
from trainer.utils.errors import InputError
from trainer.utils.settings import (
    Count,
    Fraction,
    Number,
    PathText,
    Positive,
    Switch,
    Text,
    Whole,
    plain,
    read,
    settings,
)
from trainer.utils.text import value_text


@partial(settings, kw_only=True)
class Tuning:
    """How the network is regularized, and what of it is trained."""

    dropout: Fraction
    """before the last layer"""
    drop_path: Fraction = 0.0
    """stochastic depth of transformers: probability of the last block to skip a branch; it rises linearly from 0"""
    head_scale: Positive | None = None
    """the last layer begins with weights of standard deviation 0.02 times this, and biases of 0; null: PyTorch's own
    initialization"""
    frozen: Switch = False
    """train the head alone: the backbone keeps its weights and BatchNorm's statistics as pre-trained"""


@settings
class Model(Tuning):
    """The network, and where the weights of its backbone come from."""

    backbone: Text
    """architecture; a name of `trainer/models/backbones.py`"""
    checkpoint: PathText | None
    """path of the pre-trained weights; null: random initialization"""
    layout: str
    """names of the checkpoint's tensors, see `trainer/models/layouts.py`; `auto` finds them"""
    bn_eps: Positive
    """epsilon of BatchNorm, which no checkpoint holds"""


TEST_VIEWS = ("test_clips", "test_crops", "test_short_side")  # settings of clips that only the test set reads


@settings
class Clip:
    """How frames become clips. Sizes in pixels; frames are counted at the archive's rate."""

    num_frames: Count
    """frames of a clip; a multiple of the backbone's stride in time"""
    stride: Count | Positive
    """frames from one frame of the clip to the next; a fraction takes the nearest frames"""
    crop: Count
    """px; side of a training crop; a multiple of the backbone's stride in space"""
    short_side_range: tuple[Count, Count]
    """px; the short side of a training clip is 1/uniform(1/max, 1/min), rounded; min is not below `crop`"""
    test_clips: Count
    """clips of a test video, evenly spaced (Charades); a key second of AVA has one"""
    test_crops: Literal[1, 3]
    """crops of a test clip along its long side (Charades); AVA sees the whole width"""
    test_short_side: Count | None = None
    """px; the short side at test; null: as `crop`"""
    lead: Number | None = None
    """frames from the first frame of a clip to the key second (AVA); null: half the clip"""
    hsv_jitter: tuple[Number, Fraction, Fraction] | None = None
    """the hue of a training clip is shifted by at most these degrees, saturation and value by at most these parts of
    their range (AVA); null: none"""

    @property
    def test_side(self) -> int:
        """The short side at test, in px."""
        return self.test_short_side or self.crop

    @model_validator(mode="after")
    def _check(self):
        if not self.crop <= self.short_side_range[0] <= self.short_side_range[1]:
            raise ValueError(
                f"short_side_range: expected two sizes that ascend from crop {self.crop}, got "
                f"{list(self.short_side_range)}"
            )
        return self


@settings
class Boxes:
    """AVA: which boxes of people a run sees, how they become regions of a clip, and what scores them."""

    train_detections: Switch = True
    """train on labeled person detections beside the ground truth"""
    min_score: Annotated[Number, Field(le=1)] = 0.9
    """detections with a lower score are skipped"""
    convention: Literal["slowfast", "alphaction"] = "slowfast"
    """whose pixels boxes and RoIAlign have, see `trainer/data/regions.py`"""
    jitter: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    """the left and right side of a training box move outwards by at most the first part of its width, top and bottom by
    at most the second part of its height; inwards by the third and fourth. null: none"""
    extension: tuple[Fraction, Fraction] | None = None
    """test boxes grow by these parts of their width and height; null: not at all"""
    weight_by_score: Switch = False
    """a test box's probabilities are multiplied by the score of its detection"""


def check_pixel_scale(number: float) -> float:
    """Return a mean or standard deviation of pixels; raise ValueError if it is of pixels in 0 to 255."""
    if number > 1:
        raise ValueError(f"expected numbers of pixels in [0, 1], got {number:g}; divide mean and std by 255")
    return number


Mean = Annotated[Number, AfterValidator(check_pixel_scale)]  # of a color channel
Std = Annotated[Positive, AfterValidator(check_pixel_scale)]


@settings
class Normalization:
    """How pixels in [0, 1] become the network's input: (x - mean) / std."""

    channel_order: Literal["rgb", "bgr"]
    """order of the color channels"""
    mean: Mean | tuple[Mean, Mean, Mean]
    """subtracted from pixels in [0, 1]; one number, or those of red, green and blue in any order of channels"""
    std: Std | tuple[Std, Std, Std]
    """by which the difference is divided, likewise"""


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
    protocol: Literal["published", "alphaction"] = "published"
    """AVA: rules by which mAP is counted, see `trainer/metrics/ava.py`"""


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
    """learning rate after the warm-up"""
    warmup_epochs: Number
    """epochs in which the learning rate rises linearly, at most `epochs`"""
    warmup_start_lr: Number
    """learning rate at the beginning of the warm-up"""
    weight_decay: Number
    """weight decay; with SGD BatchNorm's parameters have none, with AdamW biases and norms have none"""
    precise_bn_batches: Whole
    """batches over which BatchNorm's statistics are measured before a validation; 0: running averages are kept"""
    evaluate_every: Count
    """epochs from one validation to the next; the last epoch is always validated"""
    precision: Literal["float32", "tf32", "bfloat16"]
    """precision of convolutions and matrix products, in training and prediction"""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD, with Nesterov's momentum if it is above 0, or AdamW with betas 0.9 and 0.999"""
    momentum: Fraction = 0.0
    """momentum of SGD"""
    lr_schedule: Literal["steps", "cosine"] = "steps"
    """`steps`: `base_lr` times the factor of the last milestone; `cosine`: a half wave from `base_lr` to `min_lr`"""
    lr_milestones: Annotated[tuple[Number, ...], Field(min_length=1)] = (0,)
    """epochs at which a factor of the schedule `steps` begins to hold, from 0 to at most `epochs`"""
    lr_factors: Annotated[tuple[Number, ...], Field(min_length=1)] = (1,)
    """factors of the schedule `steps`, one for each milestone"""
    min_lr: Number = 0.0
    """learning rate at the end of the schedule `cosine`"""
    layer_decay: Annotated[Positive, Field(le=1)] = 1.0
    """layer-wise decay of transformers: a block's learning rate is this times that of the next one"""
    loss: Literal["mean", "sum"] = "mean"
    """loss of a micro-batch: mean or sum over its clips or boxes, always the mean over classes"""

    @model_validator(mode="after")
    def _check(self):
        milestones, factors = list(self.lr_milestones), self.lr_factors
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"micro_batches: expected a divisor of batch_size {self.batch_size}, got {self.micro_batches}"
            )
        if milestones != sorted({0, *milestones}):
            raise ValueError(f"lr_milestones: expected numbers that ascend from 0, got {milestones}")
        if self.lr_schedule == "steps" and milestones[-1] > self.epochs:
            raise ValueError(f"lr_milestones: expected at most epochs {self.epochs}, got {milestones}")
        if len(factors) != len(milestones):
            raise ValueError(f"lr_factors: expected as many as lr_milestones, {len(milestones)}, got {len(factors)}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs: expected at most epochs {self.epochs}, got {self.warmup_epochs}")
        return self


@settings
class Recipe(Tuning):
    """How a family of backbones is fine-tuned on one dataset."""

    clip: Clip
    training: Training
    boxes: Boxes = Boxes()
    protocol: Literal["published", "alphaction"] = "published"
    """AVA: rules by which mAP is counted, those of the published numbers; see `trainer/metrics/ava.py`"""

    @model_validator(mode="after")
    def _check(self):
        check_frozen(self, self.training)
        return self

    @property
    def test_settings(self) -> tuple:
        """What methods must share so that their scores compare: how they are tested, and whether the backbone learns.

        The crop is among them, as Charades' head averages over windows of its size also at test. A frozen backbone is
        another experiment, although it is tested alike.
        """
        clip, boxes = self.clip, self.boxes
        return (
            *(self.frozen, self.protocol),
            *(clip.num_frames, clip.stride, clip.lead, clip.crop, clip.test_side, clip.test_clips, clip.test_crops),
            *(boxes.min_score, boxes.convention, boxes.extension, boxes.weight_by_score),
        )


def check_frozen(tuning: Tuning, training: Training):
    """Raise ValueError if a setting changes a backbone that is frozen."""
    for name, value in (("drop_path", tuning.drop_path), ("precise_bn_batches", training.precise_bn_batches)):
        if tuning.frozen and value:
            raise ValueError(f"{name}: expected 0, as the backbone is frozen, got {value}")


def check_for_dataset(dataset: str, run, protocol: str, key="protocol"):
    """Raise ValueError if a recipe or run has what its dataset cannot use; ``key`` is that of ``protocol``."""
    if DATASETS[dataset].has_boxes:
        return
    if run.clip.test_side < run.clip.crop:
        raise ValueError(
            f"clip: test_short_side: expected at least crop {run.clip.crop}, as the head averages over windows of that "
            f"size, got {run.clip.test_side}"
        )
    given = {"clip: lead": run.clip.lead, "clip: hsv_jitter": run.clip.hsv_jitter, "boxes": run.boxes != Boxes()}
    given[key] = protocol != "published"
    if wrong := [name for name, value in given.items() if value]:
        raise ValueError(f"{wrong[0]}: expected none, as {DATASETS[dataset].title} has no key seconds and boxes")


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
    activation_checkpointing: Switch = False
    """transformers keep less for the backward pass and compute it again there: slower, in less GPU memory"""
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
    """seed of initialization, order, crops and dropout"""
    model: Model
    clip: Clip
    normalization: Normalization
    data: Data
    training: Training
    machine: RunMachine
    boxes: Boxes = Boxes()

    @model_validator(mode="after")
    def _check(self):
        check_frozen(self.model, self.training)
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset: expected one of {', '.join(DATASETS)}, got {self.dataset!r}")
        check_for_dataset(self.dataset, self, self.data.protocol, key="data: protocol")
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
        raise DamagedFile(path, f"expected a mapping of keys, got {value_text(content)}", advice)
    return read(Run, content, str(path))


def result_config(run: Run, changed_only=False) -> dict:
    """Return the settings that determine a run's predictions: all but ``machine`` and ``data``.

    Checkpoints are known by their file name. Contents of files are in `trainer.fingerprints.run_fingerprint`; the
    protocol changes the score alone, see ``score_fingerprint``. ``changed_only``: without settings that have their
    default, so that the hashes of existing runs stay the same when an optional setting is added.
    """
    kept = {name: value for name, value in plain(run, changed_only).items() if name not in ("machine", "data")}
    checkpoint = run.model.checkpoint and Path(run.model.checkpoint).name
    return kept | {"model": kept["model"] | {"checkpoint": checkpoint}}


def training_config(run: Run, changed_only=False) -> dict:
    """Return the settings that determine a run's weights: ``result_config`` without the views of the test set."""
    kept = result_config(run, changed_only)
    return kept | {"clip": {name: value for name, value in kept["clip"].items() if name not in TEST_VIEWS}}


def training_fingerprint(run: Run) -> str:
    """Return a short hash of ``training_config``."""
    return _hash(training_config(run, changed_only=True))


def result_fingerprint(run: Run) -> str:
    """Return a short hash of ``result_config``."""
    return _hash(result_config(run, changed_only=True))


def score_fingerprint(run: Run) -> str:
    """Return a short hash of ``result_config``, the protocol by which mAP is counted and the checkpoint's path.

    Another folder may have another checkpoint of the same name: tables do not show the scores of the former one.
    """
    own = {"protocol": run.data.protocol, "checkpoint": run.model.checkpoint}
    return _hash(result_config(run, changed_only=True) | own)


def dump(run: Run) -> str:
    """Return the YAML text that `load` reads back to an equal run."""
    return yaml.safe_dump(plain(run), sort_keys=False)


def _hash(content):
    return hashlib.sha256(yaml.safe_dump(content).encode()).hexdigest()[:16]
