"""The published recipe of transformers: optimizer, schedule and two steps of training (tests/fixtures/vit)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.helpers import formulas
from tests.helpers.published_model import described
from tests.helpers.published_vit import RECIPE, double, expected, numbered, published_vit, theirs
from tests.helpers.small_run import training
from trainer.data.regions import jittered
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.network import Network
from trainer.optim import build_optimizer, layer_of, learning_rate, set_learning_rate
from trainer.step import loss_of
from trainer.tasks.ava import AvaHead

SCHEDULES = expected("schedule")["settings"]
STEPS = expected("train_steps")


@pytest.mark.parametrize("published", SCHEDULES, ids=lambda published: published["name"])
def test_published_learning_rates(published):
    scale, iterations = published["total_batch"] / 256, published["steps_per_epoch"]
    warmup = published["warmup_steps"] / iterations if published["warmup_steps"] > 0 else published["warmup_epochs"]
    settings = training(
        epochs=published["epochs"],
        lr_schedule="cosine",
        base_lr=published["lr"] * scale,
        min_lr=published["min_lr"] * scale,
        warmup_epochs=warmup,
        warmup_start_lr=0.0,
    )
    rates = [learning_rate(settings, step / iterations, iterations) for step in range(published["all_steps"])]
    for step, rate in published["steps"]:
        assert rates[step] == pytest.approx(rate, rel=1e-12), step
    assert sum(rates) == pytest.approx(published["sum_of_all_rates"], rel=1e-9)


def test_the_recipe_has_the_published_numbers():
    published, ours = SCHEDULES[0], RECIPE["training"]
    scale = published["total_batch"] / 256
    assert (ours["batch_size"], ours["micro_batches"]) == (published["total_batch"], published["gpus"])
    assert (ours["epochs"], ours["warmup_epochs"]) == (published["epochs"], published["warmup_epochs"])
    assert [ours["base_lr"], ours["min_lr"]] == pytest.approx([published["lr"] * scale, published["min_lr"] * scale])
    assert [ours["weight_decay"]] * 2 == published["weight_decay_first_last"]
    assert ours["layer_decay"] == expected("groups")["models"][0]["layer_decay"]
    assert (ours["optimizer"], ours["lr_schedule"], ours["warmup_start_lr"]) == ("adamw", "cosine", 0)


def test_published_groups():
    published = expected("groups")["models"][0]
    with torch.device("meta"):
        model = Network(build_backbone("vit_b_16"), AvaHead(768, 16, 80, 0))
    settings = training(optimizer="adamw", weight_decay=0.05, layer_decay=published["layer_decay"])
    optimizer = build_optimizer(model, settings, BACKBONES["vit_b_16"].depth)
    assert len(optimizer.param_groups) == published["groups"]
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    listed = published["parameters [name, layer, lr_scale, weight_decay]"]
    ours = {theirs(name): (name, groups[id(p)]) for name, p in model.named_parameters()}
    per_block = published.get("per_block [name, weight_decay]", [])
    assert listed or per_block
    for name, layer, scale, decay in listed:
        full, group = ours[name]
        assert layer_of(full, 12) == layer, name
        assert group["lr_scale"] == pytest.approx(scale, rel=1e-12), name
        assert group["weight_decay"] == decay, name
    assert len(listed) == len(ours)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_two_published_steps(precision):
    config = expected("model_ava")["tiny"]["config"]
    model = (double(published_vit(config)) if precision == "float64" else published_vit(config)).train()
    ours = {name: RECIPE["training"][name] for name in ("optimizer", "weight_decay", "layer_decay", "loss")}
    settings = training(**ours)
    optimizer = build_optimizer(model, settings, config["depth"])
    clips = formulas.clips(STEPS["config"]["input_shape"])
    boxes = [np.array(of_clip, dtype=float) for of_clip in STEPS["boxes_x1y1x2y2_of_each_clip"]]
    for step, lr in enumerate(STEPS["config"]["lr_schedule"]):
        wanted, draws = STEPS[precision][step], STEPS["draws"][step]
        moved = [
            jittered(of_clip, (64, 64), RECIPE["boxes"]["jitter"], np.array(drawn))
            for of_clip, drawn in zip(boxes, draws, strict=True)
        ]
        published = STEPS["jittered_boxes_of_each_step"][step]
        for ours, theirs_ in zip(moved, published, strict=True):
            np.testing.assert_allclose(ours, theirs_, atol=1e-4)
        set_learning_rate(optimizer, lr)
        logits = model((clips * (1, 1.5)[step]).to(model.head.projection.weight), numbered(published))
        targets = formulas.labels(*logits.shape).to(logits)
        loss = loss_of(logits, targets, SimpleNamespace(dataset="ava", training=settings))
        assert loss.item() == pytest.approx(wanted["loss"], abs=tolerance(precision, "loss", wanted["loss"]))
        loss.backward()
        check(precision, step, "gradients", {theirs(name): p.grad for name, p in model.named_parameters()})
        optimizer.step()
        optimizer.zero_grad()
        check(precision, step, "weights_after", {theirs(name): p.detach() for name, p in model.named_parameters()})


def tolerance(precision, what, largest):
    """Return the absolute tolerance that the fixture states for numbers of which ``largest`` is the largest."""
    return 1e-9 * largest if precision == "float64" else 3 * max(STEPS["float32_vs_float64_max_abs_diff"][what])


def check(precision, step, what, tensors):
    for name, digest in STEPS[precision][step][what].items():
        numbers = [digest[key] for key in ("mean", "std", "absmax")] + digest["values_at_floor(i*numel/8)"]
        difference = np.abs(np.array(described(tensors[name], 8)) - numbers).max()
        assert difference < tolerance(precision, what, digest["absmax"]), name
