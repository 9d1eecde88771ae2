import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.small_run import training
from trainer.optimiser import build_optimiser, learning_rate

SCHEDULES = json.loads((Path(__file__).parent / "data" / "schedule.json").read_text())


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_published_rates(dataset):
    published, rates = SCHEDULES[dataset]["config"], SCHEDULES[dataset]["epoch_lr"]
    settings = training(
        base_lr=published["BASE_LR"],
        steps=tuple(published["STEPS"]),
        factors=tuple(published["LRS"]),
        warmup_epochs=published["WARMUP_EPOCHS"],
        warmup_start_lr=published["WARMUP_START_LR"],
    )
    for epoch, rate in rates:
        assert learning_rate(settings, epoch) == pytest.approx(rate, rel=1e-12), epoch


def test_batchnorm_alone_is_not_decayed():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.Linear(2, 2))
    optimiser = build_optimiser(model, training(weight_decay=0.01))
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.01, 0.01, 0, 0, 0.01, 0.01]
    assert all(group["nesterov"] and group["dampening"] == 0 for group in optimiser.param_groups)
    assert isinstance(optimiser, torch.optim.SGD)
