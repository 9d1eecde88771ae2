"""One optimizer step: losses stay on the device, and all of them are read and checked before weights are saved."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import feed_gpu
from tests.helpers.small_run import training
from trainer.checkpointing import TrainingState
from trainer.config import Normalization
from trainer.data.loaders import Batch, MicroBatchSampler
from trainer.distributed.process_group import ProcessGroup
from trainer.step import MicroBatchLoss, PendingLosses, loss_of, train_step
from trainer.tasks import charades
from trainer.utils.errors import InputError

RUN = SimpleNamespace(dataset="charades", training=training(), normalization=Normalization("rgb", 0.45, 0.225), seed=3)
ALONE = ProcessGroup(0, 1, torch.device("cpu"))


class Scores(nn.Module):
    """A network of one layer over the mean color."""

    def __init__(self):
        super().__init__()
        self.backbone, self.layer = nn.AdaptiveAvgPool3d(1), nn.Linear(3, 5)

    def score(self, features, boxes):
        return self.layer(features.flatten(1))


def batches(count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        clips = torch.randint(0, 256, (2, 3, 4, 8, 8), generator=generator, dtype=torch.uint8)
        targets = torch.randint(0, 2, (2, 5), generator=generator).float()
        yield Batch(clips, targets, torch.tensor([0, 1]))


def step(model, served=None):
    optimizer = torch.optim.SGD(model.network.parameters(), 0.1)
    return train_step(model, optimizer, served or batches(2), RUN, ALONE, TrainingState())


def test_losses_are_those_of_micro_batches_and_the_last_gradient_is_gone():
    torch.manual_seed(0)
    model = MicroBatchLoss(Scores(), RUN)
    expected = [model(batch, part).item() for part, batch in enumerate(batches(2))]
    assert (step(model) * 2).tolist() == expected
    assert (step(model) * 2).tolist() != expected  # one step later
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("reduction", "factor"), [("mean", 1), ("sum", 2)])
def test_the_loss_is_that_of_the_task(reduction, factor, monkeypatch):
    """Cross-entropy, of a dataset whose videos have one label each."""
    monkeypatch.setattr(charades, "loss", nn.functional.cross_entropy)
    run = SimpleNamespace(dataset="charades", training=training(loss=reduction))
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.eye(2)
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2 * factor
    assert loss_of(logits, targets, run).item() == pytest.approx(expected)


def test_a_step_does_not_wait_for_the_device(monkeypatch):
    """What would wait for a GPU raises here: reading numbers of a tensor, or copying it to the host."""
    model, served = MicroBatchLoss(Scores(), RUN), iter(list(batches(2)))

    def refuse(*_args, **_options):
        raise AssertionError("the host waits")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    with pytest.raises(AssertionError, match="the host waits"):
        bool(torch.ones(1))
    step(model, served)


class Copy:
    """A CUDA event by which the copy of a loss is still under way."""

    arrived = False

    def query(self):
        return self.arrived

    def synchronize(self):
        self.arrived = True


class Clips:
    """A training set whose clips have names."""

    def __getitem__(self, item):
        epoch, clip = item
        return SimpleNamespace(name=f"clip {clip} of epoch {epoch}")


def pending():
    sampler = MicroBatchSampler(12, 4, 2, seed=0)
    losses = PendingLosses(SimpleNamespace(batch_sampler=sampler, dataset=Clips()), TrainingState())
    return losses, sampler


def test_losses_add_up_once_they_have_arrived():
    losses, _ = pending()
    copies = [Copy(), Copy()]
    for copy, loss in zip(copies, (0.25, 0.5), strict=True):
        losses.steps.append((0, 0.1, torch.tensor([loss, loss]), copy))
    losses.read(wait=False)
    assert losses.state.loss == 0
    copies[0].arrived = True
    losses.read(wait=False)
    assert losses.state.loss == 0.5
    losses.read()
    assert losses.state.loss == 1.5
    assert copies[1].arrived  # it was waited for
    losses.add(torch.tensor([1.0, 2.0]), 0.1)
    losses.read(wait=False)  # nothing to wait for on a CPU
    assert losses.state.loss == 4.5


@pytest.mark.parametrize(("part", "loss"), [(0, np.nan), (1, np.inf)])
def test_a_loss_that_is_not_finite_names_its_step_and_clips(part, loss):
    losses, sampler = pending()
    losses.state.iteration = 1
    found = torch.ones(2)
    found[part] = loss
    losses.add(found, 0.125)
    losses.state.iteration = 2  # the host is a step ahead
    clips = [clip for _, clip in list(sampler)[2 + part]]
    names = "; ".join(f"clip {clip} of epoch 0" for clip in clips)
    message = rf"the loss is {loss} at epoch 1, step 2, learning rate 0\.125, on the clips {names}; look at"
    with pytest.raises(InputError, match=message):
        losses.read()


def test_benchmarks_name_a_loss_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(feed_gpu, "train_step", lambda *_: torch.tensor([np.nan]))
    loader, run = pending()[0].loader, SimpleNamespace(machine=SimpleNamespace(device="cpu"))
    with pytest.raises(InputError, match="the loss is nan at epoch 1, step 1"):
        next(feed_gpu.train(None, None, run, loader, None))
