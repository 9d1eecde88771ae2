"""The networks of both datasets against outputs of the published ones (tests/fixtures/model), and their heads."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests.helpers import formulas
from tests.helpers.published_model import EXPECTED, assert_close, described, load_formula_weights, run_of
from trainer.datasets import DATASETS
from trainer.models.backbones import BACKBONES
from trainer.models.network import build_model
from trainer.optim import build_optimizer, set_learning_rate
from trainer.tasks.ava import AvaHead
from trainer.tasks.charades import CharadesHead

pytestmark = pytest.mark.long

CASES = [("ava", 0), ("ava", 1), ("charades", 0), ("charades", 1)]


@pytest.mark.parametrize(("dataset", "number"), CASES)
def test_published_outputs(dataset, number):
    case = json.loads((EXPECTED / f"{dataset}.json").read_text())["cases"][number]
    model = build_model(run_of(dataset)).eval()
    load_formula_weights(model)
    boxes = torch.tensor(case["boxes_batchidx_x1y1x2y2"]) if dataset == "ava" else None
    x = formulas.clips(case["input_shape"]).float()
    with torch.inference_mode():
        for name, stage in model.backbone.named_children():
            x = stage(x)
            expected = case["stages_float64"][name]
            assert list(x.shape) == expected["shape"]
            numbers = [expected[key] for key in ("mean", "std", "absmax")]
            assert_close(described(x, 16), numbers + expected["values_at_floor(i*numel/16)"])
        probabilities = model.head(x, boxes)
        model.head.train()
        model.head.dropout.eval()
        logits = model.head(x, boxes)

    assert_close(probabilities, case["output_float64"])
    expected = np.array(case["logits_float64"])
    assert_close(logits, expected if dataset == "ava" else expected.mean((1, 2, 3)))
    targets = formulas.labels(*logits.shape).float()
    if dataset == "ava":  # the published loss, on probabilities, is ours, on logits
        published = case["loss_bce_of_output_vs_labels"]
        assert binary_cross_entropy(probabilities, targets).item() == pytest.approx(published, rel=1e-4)
    else:
        published = case["loss_bce_with_logits_of_mean_logits"]
    assert binary_cross_entropy_with_logits(logits, targets).item() == pytest.approx(published, rel=1e-4)


@pytest.mark.parametrize("backbone", sorted(BACKBONES.keys() - {"vit_l_16"}))  # as vit_b_16, of 300 million parameters
@pytest.mark.parametrize("dataset", DATASETS)
def test_small_clips_leave_one_window(dataset, backbone):
    frames = BACKBONES[backbone].num_frames or 8
    model = build_model(run_of(dataset, backbone, num_frames=frames, crop=48)).eval()
    boxes = torch.tensor([[0, 0, 0, 47, 47], [1, 5, 5, 5, 5]]).float() if dataset == "ava" else None
    with torch.inference_mode():
        features = model.backbone(torch.zeros(2, 3, frames, 48, 48))
        assert model.head(features, boxes).shape == (2, {"ava": 80, "charades": 157}[dataset])
        if dataset == "charades":
            assert model.head.window == features.shape[2:]


def test_dropout_and_eps_are_the_runs():
    run = run_of("ava")
    model = build_model(replace(run, model=replace(run.model, dropout=0.25, bn_eps=1e-3)))
    assert model.head.dropout.p == 0.25
    assert model.backbone.stem[1].eps == 1e-3


def test_a_frozen_backbone_keeps_weights_statistics_and_mode():
    run = run_of("charades", "r3d_18", num_frames=8, crop=32)
    model = build_model(replace(run, model=replace(run.model, frozen=True))).train()
    assert not any(module.training for module in model.backbone.modules())
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    optimizer = build_optimizer(model, run.training)
    set_learning_rate(optimizer, 0.1)
    model(torch.randn(2, 3, 8, 32, 32)).sum().backward()
    assert [p.grad is not None for p in model.backbone.parameters()] == [False] * 60
    projection = model.head.projection.weight.clone()
    optimizer.step()
    assert not torch.equal(projection, model.head.projection.weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbone.state_dict().items())


def test_the_head_of_transformers_begins_small():
    run = run_of("ava", "r3d_18", num_frames=8, crop=32)
    projection = build_model(replace(run, model=replace(run.model, head_scale=0.001))).head.projection
    assert projection.bias.unique().tolist() == [0]
    assert projection.weight.std().item() == pytest.approx(2e-5, rel=0.02)


def test_the_charades_head_averages_probabilities_not_logits_in_evaluation():
    head = CharadesHead(512, 157, 0.5, (1, 3, 3)).eval()
    features = torch.randn(1, 512, 1, 3, 5) * 100
    columns = [head(features[..., i : i + 3]) for i in range(3)]
    assert_close(head(features).detach(), torch.stack(columns).mean(0).detach())


def test_no_boxes_give_no_scores():
    head = AvaHead(512, 16, 80, 0.5).eval()
    assert head(torch.zeros(1, 512, 1, 3, 3), torch.zeros(0, 5)).shape == (0, 80)


def test_the_ava_head_divides_boxes_by_the_stride_in_space():
    features = torch.zeros(1, 2, 1, 8, 8)
    features[0, 0, 0, 6, 6] = 1
    for stride, box in ((16, [0, 90.0, 90.0, 110.0, 110.0]), (8, [0, 45.0, 45.0, 55.0, 55.0])):
        head = AvaHead(2, stride, 3, 0.5)
        scores = [head.eval()(features, torch.tensor([where])) for where in (box, [0, 0.0, 0.0, 20.0, 20.0])]
        elsewhere = head.projection.bias.sigmoid()
        assert torch.equal(scores[1][0], elsewhere)
        assert not torch.allclose(scores[0][0], elsewhere, atol=1e-3)


def test_the_head_keeps_full_precision_under_autocast():
    model = build_model(run_of("ava")).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        scores = model(torch.zeros(1, 3, 8, 48, 48), torch.tensor([[0, 0.0, 0.0, 300.7, 47.0]]))
    assert scores.dtype == torch.float32
