import json

import pytest
import torch
from torch import nn

from tests.helpers.paths import FIXTURES
from tests.helpers.small_run import training
from trainer.optim import build_optimizer, learning_rate

SCHEDULES = json.loads((FIXTURES / "schedule.json").read_text())


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_published_learning_rates(dataset):
    published, rates = SCHEDULES[dataset]["config"], SCHEDULES[dataset]["epoch_lr"]
    settings = training(
        epochs=published["MAX_EPOCH"],
        base_lr=published["BASE_LR"],
        lr_milestones=tuple(published["STEPS"]),
        lr_factors=tuple(published["LRS"][: len(published["STEPS"])]),  # SlowFast reads no factor beyond its steps
        warmup_epochs=published["WARMUP_EPOCHS"],
        warmup_start_lr=published["WARMUP_START_LR"],
    )
    for epoch, lr in rates:
        assert learning_rate(settings, epoch, 100) == pytest.approx(lr, rel=1e-12), epoch


def test_only_batchnorm_has_no_weight_decay():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.Linear(2, 2))
    optimizer = build_optimizer(model, training(weight_decay=0.01))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.01, 0.01, 0, 0, 0.01, 0.01]
    assert all(group["nesterov"] and group["dampening"] == 0 for group in optimizer.param_groups)
    assert isinstance(optimizer, torch.optim.SGD)
