"""Steps of training: the published numbers, and what a step does to BatchNorm, gradients and random numbers."""

import json

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests.helpers import formulas
from tests.helpers.published_model import EXPECTED, assert_close, described, load_formula_weights, run_of
from tests.helpers.small_run import training
from trainer.models.network import build_model
from trainer.optim import build_optimizer, set_learning_rate
from trainer.step import kept_running_stats, seed_dropout

WEIGHT_DECAY = {"ava": 1e-7, "charades": 1e-4}


@pytest.mark.long
@pytest.mark.xdist_group("published")  # one after the other, as each takes 6 GB
@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_two_published_steps(dataset):
    expected = json.loads((EXPECTED / f"{dataset}.json").read_text())["two_training_steps"]
    model = build_model(run_of(dataset)).double()
    load_formula_weights(model)
    model.head.dropout.p = 0
    optimizer = build_optimizer(model, training(weight_decay=WEIGHT_DECAY[dataset]))
    set_learning_rate(optimizer, 0.05)
    clips = formulas.clips(expected["input_shape"])
    boxes = torch.tensor(expected["boxes"]).double() if dataset == "ava" else None
    for factor, loss_expected in zip((1, 1.5), expected["losses"], strict=True):
        logits = model(factor * clips, boxes)
        targets = formulas.labels(*logits.shape)
        loss = binary_cross_entropy_with_logits(logits, targets)
        if dataset == "ava":
            # The published loss is of probabilities: the same number, but where a probability rounds to 0 or 1 it has
            # no gradient, and these weights make such. Ours has, so the steps are taken with the published one here.
            published = binary_cross_entropy(logits.sigmoid(), targets)
            torch.testing.assert_close(loss, published, rtol=1e-4, atol=0)
            loss = published
        assert loss.item() == pytest.approx(loss_expected, rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = {name.removeprefix("backbone.").removeprefix("head."): t for name, t in model.state_dict().items()}
    for name, after in expected["after"].items():
        numbers = [after["mean"], after["std"], after["absmax"], *after["values_at_floor(i*numel/8)"]]
        # Looser than an output: of gradients' many maxima and ReLUs, rounding flips some.
        assert_close(described(state[name], 8), numbers, tolerance=5e-4)


def test_kept_running_statistics_normalize_by_the_batch():
    norm, clips = nn.BatchNorm3d(2), torch.randn(3, 2, 4, 5, 5) * 7 + 3
    with kept_running_stats(nn.Sequential(norm)):
        frozen = norm(clips)
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.num_batches_tracked == 0
    assert torch.equal(frozen, norm(clips))
    assert norm.num_batches_tracked == 1


def test_dropout_depends_only_on_its_seeds():
    def draw(*numbers):
        seed_dropout(*numbers)
        return torch.rand(3).tolist()

    assert draw(1, 2, 3, 0) == draw(1, 2, 3, 0)
    assert len({tuple(draw(1, 2, 3, part)) for part in range(4)}) == 4
