from dataclasses import replace

import pytest
import yaml

from tests.small_run import small_run
from trainer import config
from trainer.errors import InputError

CLIP = {"crop": 112, "jitter": [256, 320]}
TRAINING = {
    "batch": 32,
    "shares": 4,
    "epochs": 20,
    "warmup_epochs": 5,
    "steps": [0, 10, 15, 20],
    "factors": [1, 0.1, 0.01, 0.001],
}


@pytest.mark.parametrize(
    ("clip", "training", "message"),
    [
        ({}, {"shares": 5}, "training: shares: 5 does not divide training: batch 32"),
        ({}, {"shares": 0}, "training: shares: 0 does not divide training: batch 32"),
        ({}, {"steps": [1, 10, 15, 20]}, r"training: steps: \[1, 10, 15, 20\] must begin with 0 and ascend"),
        ({}, {"steps": [0, 15, 10, 20]}, "training: steps: .* must begin with 0 and ascend"),
        ({}, {"steps": [0, 10, 10, 20]}, "training: steps: .* must begin with 0 and ascend"),
        ({}, {"steps": [], "factors": []}, "training: steps: .* must begin with 0 and ascend"),
        ({}, {"steps": [0, 10]}, "training: factors: are 4, and training: steps 2"),
        ({}, {"epochs": 4}, "training: warmup_epochs: 5 is more than training: epochs 4"),
        ({"jitter": [320, 256]}, {}, r"clip: jitter: \[320, 256\] must ascend"),
        ({"crop": 272}, {}, "clip: jitter: .* must ascend from clip: crop 272 or more"),
    ],
)
def test_settings_that_do_not_go_together(clip, training, message):
    config.check_settings(CLIP, TRAINING, "")
    with pytest.raises(InputError, match=f"^config: ava: {message}"):
        config.check_settings(CLIP | clip, TRAINING | training, "config: ava: ")


def test_a_run_is_checked_when_it_is_read(tmp_path):
    path = small_run(tmp_path, "charades")
    assert config.load(path).training.shares == 2
    content = yaml.safe_load(path.read_text())
    content["training"]["shares"] = 3
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=f"^{path}: training: shares: 3 does not divide training: batch 4$"):
        config.load(path)


def test_places_and_machines_decide_nothing(tmp_path):
    run = config.load(small_run(tmp_path, "ava", checkpoint="/here/moco.pth"))
    data = replace(run.data, train="/elsewhere/train.csv", excluded=None)
    same = [
        replace(run, model=replace(run.model, checkpoint="/there/moco.pth")),
        replace(run, data=data),
        replace(run, machine=replace(run.machine, device="cuda", ranks=4, workers=8)),
    ]
    other = [
        replace(run, model=replace(run.model, checkpoint="/here/tclr.pth")),
        replace(run, model=replace(run.model, checkpoint=None)),
        replace(run, machine=replace(run.machine, precision="tf32")),
        replace(run, clip=replace(run.clip, stride=4)),
    ]
    prints = [config.fingerprint(each) for each in (run, *same, *other)]
    assert len(set(prints[:4])) == 1
    assert len(set(prints[3:])) == 5
