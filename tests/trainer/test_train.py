"""Steps of training: the published numbers, and what a step does to BatchNorm, gradients and random numbers."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests.helpers import formulas
from tests.helpers.published_model import EXPECTED, assert_close, described, load_formula_weights, run_of
from tests.helpers.small_run import small_run, training
from trainer import config
from trainer.checkpointing import TrainingState
from trainer.config import Normalization
from trainer.data.loaders import Batch, normalize_clips, training_loader
from trainer.datasets import task
from trainer.distributed.process_group import ProcessGroup
from trainer.models.network import build_model
from trainer.optim import build_optimizer, set_learning_rate
from trainer.step import MicroBatchLoss, running_stats, seed_dropout, train_step
from trainer.train import update_precise_bn

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


class Norm(nn.Module):
    """A network of BatchNorm alone."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.BatchNorm3d(3)

    def score(self, features, _boxes):
        return features.mean((2, 3, 4))


def test_running_statistics_are_those_of_the_first_micro_batch():
    run = SimpleNamespace(
        dataset="charades", training=training(), normalization=Normalization("rgb", 0.45, 0.225), seed=3
    )
    model, group = Norm(), ProcessGroup(0, 1, torch.device("cpu"))
    batches = [
        Batch((50 * part + torch.randint(20, (2, 3, 4, 8, 8))).byte(), torch.ones(2, 3), [])
        for part in range(run.training.micro_batches)
    ]
    expected = nn.BatchNorm3d(3)
    expected(normalize_clips(batches[0].clips, run.normalization))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train_step(MicroBatchLoss(model, run), optimizer, iter(batches), run, group, TrainingState())
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(model.backbone.get_buffer(name), buffer)


def test_precise_statistics_stay_in_their_memory(tmp_path):
    """CUDA graphs of the training passes write into it."""
    run = config.load(small_run(tmp_path, "charades", precise_bn_batches=1))
    model, group = build_model(run), ProcessGroup(0, 1, torch.device("cpu"))
    before = [(buffer, buffer.clone()) for buffer in running_stats(model)]
    update_precise_bn(model, training_loader(task(run.dataset).training_set(run), run), run, group, TrainingState())
    assert [id(buffer) for buffer in running_stats(model)] == [id(buffer) for buffer, _ in before]
    assert not any(torch.equal(buffer, old) for buffer, old in before if buffer.is_floating_point())


def test_dropout_depends_only_on_its_seeds():
    def draw(*numbers):
        seed_dropout(*numbers)
        return torch.rand(3).tolist()

    assert draw(1, 2, 3, 0) == draw(1, 2, 3, 0)
    assert len({tuple(draw(1, 2, 3, part)) for part in range(4)}) == 4
