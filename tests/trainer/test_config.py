"""The settings of a run: what is refused, what they are equal to after a file, and what makes two runs the same."""

from dataclasses import asdict, fields, replace

import pytest
import yaml

from tests.helpers.paths import FIXTURES
from tests.helpers.small_run import small_run
from trainer import config
from trainer.utils.errors import InputError
from trainer.utils.settings import Switch, read, settings

RUN = yaml.safe_load((FIXTURES / "made_up_run.yaml").read_text())
CLIP = RUN["clip"] | {"crop": 112, "short_side_range": [256, 320]}
TRAINING = RUN["training"] | {
    "batch_size": 32,
    "micro_batches": 4,
    "epochs": 20,
    "warmup_epochs": 5,
    "lr_milestones": [0, 10, 15, 20],
    "lr_factors": [1, 0.1, 0.01, 0.001],
}


@pytest.mark.parametrize(
    ("clip", "training", "message"),
    [
        ({}, {"micro_batches": 5}, "training: micro_batches: expected a divisor of batch_size 32, got 5"),
        ({}, {"micro_batches": 0}, "training: micro_batches: expected a number greater than or equal to 1, got 0"),
        ({}, {"lr_milestones": [1, 10, 15, 20]}, r"training: lr_milestones: expected .* ascend from 0, got \[1\.0, 10"),
        ({}, {"lr_milestones": [0, 15, 10, 20]}, "training: lr_milestones: expected numbers that ascend from 0, got"),
        ({}, {"lr_milestones": [0, 10, 10, 20]}, "training: lr_milestones: expected numbers that ascend from 0, got"),
        ({}, {"lr_milestones": [], "lr_factors": []}, "training: lr_milestones: expected at least 1 item"),
        ({}, {"lr_milestones": [0, 10]}, "training: lr_factors: expected as many as lr_milestones, 2, got 4"),
        ({}, {"epochs": 19}, r"training: lr_milestones: expected at most epochs 19, got \[0\.0, 10\.0, 15\.0, 20"),
        ({}, {"lr_schedule": "cosine", "epochs": 4}, "training: warmup_epochs: expected at most epochs 4, got 5"),
        ({"short_side_range": [320, 256]}, {}, r"clip: short_side_range: expected two sizes .* got \[320, 256\]"),
        ({"crop": 272}, {}, "clip: short_side_range: expected two sizes that ascend from crop 272, got"),
    ],
)
def test_contradicting_settings_are_refused(clip, training, message):
    read(config.Run, RUN | {"clip": CLIP, "training": TRAINING}, "run.yaml")
    changed = RUN | {"clip": CLIP | clip, "training": TRAINING | training}
    with pytest.raises(InputError, match=f"^run.yaml: {message}"):
        read(config.Run, changed, "run.yaml")


def test_normalization_of_pixels_in_0_to_255_is_refused():
    of_bytes = RUN["normalization"] | {"mean": [123.675, 116.28, 103.53]}
    message = r"^run.yaml: normalization: mean: 0: expected numbers of pixels in \[0, 1\], got 123.675; divide"
    with pytest.raises(InputError, match=message):
        read(config.Run, RUN | {"normalization": of_bytes}, "run.yaml")


def test_files_of_the_score_are_required():
    data = {key: path for key, path in RUN["data"].items() if key != "ground_truth"}
    read(config.Run, RUN | {"data": data}, "run.yaml")
    message = r"^run.yaml: data: ground_truth: expected a path, as ava is scored by it, got nothing$"
    with pytest.raises(InputError, match=message):
        read(config.Run, RUN | {"dataset": "ava", "data": data}, "run.yaml")


def test_the_protocol_of_another_dataset_is_refused():
    data = RUN["data"] | {"protocol": "alphaction"}
    message = "^run.yaml: data: protocol: expected none, as Charades has no key seconds and boxes$"
    with pytest.raises(InputError, match=message):
        read(config.Run, RUN | {"data": data}, "run.yaml")


def test_unknown_dataset():
    with pytest.raises(InputError, match=r"^run.yaml: dataset: expected one of ava, charades.*, got 'kinetics'$"):
        read(config.Run, RUN | {"dataset": "kinetics"}, "run.yaml")


def test_a_run_is_checked_when_it_is_read(tmp_path):
    path = small_run(tmp_path, "charades")
    assert config.load(path).training.micro_batches == 2
    content = yaml.safe_load(path.read_text())
    content["training"]["micro_batches"] = 3
    path.write_text(yaml.safe_dump(content))
    message = f"^{path}: training: micro_batches: expected a divisor of batch_size 4, got 3$"
    with pytest.raises(InputError, match=message):
        config.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file; give the config.yaml of a run"),
        ("dataset: [ava", "not YAML: "),
        ("just words", "expected a mapping of keys, got 'just words'"),
        ("", "expected a mapping of keys, got None"),
    ],
)
def test_a_file_that_is_no_run_is_refused(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        config.load(path)


def test_a_value_that_aliases_make_huge_is_shown_short(tmp_path):
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 6)]  # 9 ** 6 values
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *levels, "dataset: *a5", ""]))
    with pytest.raises(InputError, match=f"^{path}: dataset: expected text, got ") as refused:
        config.load(path)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_a_dumped_run_is_read_back_equal(tmp_path, dataset):
    path = small_run(tmp_path, dataset, checkpoint="/here/moco.pth", weight_decay=1e-7)
    run = config.load(path)
    assert run.training.weight_decay == 1e-7  # YAML 1.1 takes 1e-7 for text
    (tmp_path / "again.yaml").write_text(config.dump(run))
    assert config.load(tmp_path / "again.yaml") == run


def test_folders_and_machine_do_not_change_the_fingerprint(tmp_path):
    run = config.load(small_run(tmp_path, "ava", checkpoint="/here/moco.pth"))
    data = replace(run.data, train="/elsewhere/train.csv", excluded="/elsewhere/excluded.csv")
    same = [
        replace(run, model=replace(run.model, checkpoint="/there/moco.pth")),
        replace(run, data=data),
        replace(run, machine=replace(run.machine, device="cuda", world_size=4, workers=8)),
    ]
    other = [
        replace(run, model=replace(run.model, checkpoint="/here/tclr.pth")),
        replace(run, model=replace(run.model, checkpoint=None)),
        replace(run, training=replace(run.training, precision="tf32")),
        replace(run, clip=replace(run.clip, stride=4)),
    ]
    prints = [config.result_fingerprint(each) for each in (run, *same, *other)]
    assert len(set(prints[:4])) == 1
    assert len(set(prints[3:])) == 5


def fingerprints(run):
    """Return the hashes of a run: of its weights, its predictions and its scores."""
    return config.training_fingerprint(run), config.result_fingerprint(run), config.score_fingerprint(run)


def same_hashes(run, other):
    return [one == two for one, two in zip(fingerprints(run), fingerprints(other), strict=True)]


@pytest.mark.parametrize(
    ("part", "change", "same"),
    [
        ("data", {"protocol": "alphaction"}, [True, True, False]),
        ("model", {"checkpoint": "/there/moco.pth"}, [True, True, False]),  # perhaps another file of this name
        ("clip", {"test_clips": 5}, [True, False, False]),
        ("clip", {"test_crops": 3}, [True, False, False]),
        ("clip", {"test_short_side": 20}, [True, False, False]),
        ("clip", {"num_frames": 4}, [False, False, False]),
        ("training", {"base_lr": 0.5}, [False, False, False]),
    ],
)
def test_what_a_setting_determines(tmp_path, part, change, same):
    run = config.load(small_run(tmp_path, "ava", checkpoint="/here/moco.pth"))
    assert same_hashes(run, replace(run, **{part: replace(getattr(run, part), **change)})) == same


@settings
class LaterClip(config.Clip):
    """How a later version may define clips."""

    reverse: Switch = False


@settings
class LaterRun(config.Run):
    clip: LaterClip


def test_a_new_optional_setting_keeps_the_hashes_of_existing_runs(tmp_path):
    run = config.load(small_run(tmp_path, "charades"))
    later = LaterRun(**asdict(run))
    assert same_hashes(run, later) == [True] * 3
    assert same_hashes(run, replace(later, clip=replace(later.clip, reverse=True))) == [False] * 3


@pytest.mark.parametrize(
    ("name", "hashes"),
    {
        "ava_moco": ("06c16c8227f39f78", "f9efeee2e83c2ea3", "ad7f9b32e5146e73"),
        "ava_scratch_vit_b": ("7059e3412ef27fc9", "a822e6b9f0f6a02a", "919b5fede8465c9a"),
        "charades_moco": ("5e7753d5b8388b20", "508baa4b2fe8ddbc", "e16bcc8ce58eb915"),
        "charades_scratch_vit_b": ("d768d1b9a7cfb845", "576d6d9153a3fb73", "86db02f549e4636c"),
    }.items(),
)
def test_published_runs_keep_their_hashes(name, hashes):
    """fixtures/runs: the config.yaml of runs that users may have trained, as version 0.2.0 wrote them."""
    assert fingerprints(config.load(FIXTURES / f"runs/{name}.yaml")) == hashes, (
        "trained runs of published settings would be refused. Never change the default of a setting, as it is not in "
        "the hashes: add another setting, or set the new value in config/"
    )


# Another value of each setting that methods of a group share, and of each that they do not.
TESTED = {
    "clip": {
        "num_frames": 16,
        "stride": 4,
        "crop": 96,
        "test_clips": 5,
        "test_crops": 3,
        "test_short_side": 144,
        "lead": 20,
    },
    "boxes": {"min_score": 0.8, "convention": "alphaction", "extension": (0.1, 0.1), "weight_by_score": True},
    "recipe": {"frozen": True, "protocol": "alphaction"},
}
TRAINED = {
    "clip": {"short_side_range": (200, 300), "hsv_jitter": (20, 0.1, 0.1)},
    "boxes": {"train_detections": False, "jitter": (0.2, 0.1, 0.1, 0.05)},
    "recipe": {"dropout": 0.1, "drop_path": 0.1, "head_scale": 2},
}
OF_RECIPE = [
    (part, field.name)
    for part, kind in {"clip": config.Clip, "boxes": config.Boxes, "recipe": config.Recipe}.items()
    for field in fields(kind)
    if field.name not in ("clip", "boxes", "training")
]


@pytest.mark.parametrize(("part", "name"), OF_RECIPE)
def test_methods_of_a_group_share_all_settings_of_the_test(part, name):
    content = {"dropout": 0.5, "clip": CLIP | {"test_short_side": 128}, "training": TRAINING}
    recipe = read(config.Recipe, content, "recipe")
    values = TESTED[part] | TRAINED[part]
    assert name in values, f"name {name} in TESTED if methods that compare must share it, else in TRAINED"
    changed = (
        {name: values[name]} if part == "recipe" else {part: replace(getattr(recipe, part), **{name: values[name]})}
    )
    assert (replace(recipe, **changed).test_settings != recipe.test_settings) == (name in TESTED[part])
