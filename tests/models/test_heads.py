import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests import formulas
from trainer import config
from trainer.errors import InputError
from trainer.models.network import build_model

EXPECTED = Path(__file__).parents[1] / "data" / "model"
CLIP = config.Clip(
    frames=32, stride=2, crop=112, jitter=(256, 320), test_clips=1, test_crops=1, channels="rgb", mean=0.45, std=0.225
)
CASES = [("ava", 0), ("ava", 1), ("charades", 0), ("charades", 1)]


def settings(backbone="r2plus1d_18"):
    return config.Model(backbone=backbone, checkpoint=None, layout="auto", dropout=0.5, bn_eps=1e-5)


def load_formula_weights(model):
    model.backbone.load_state_dict(formulas.weights(model.backbone.state_dict()))
    named = {f"projection.{name}": tensor for name, tensor in model.head.projection.state_dict().items()}
    values = formulas.weights(named).items()
    model.head.projection.load_state_dict({name.removeprefix("projection."): value for name, value in values})


def assert_close(actual, expected, tolerance=1e-4):
    """Relative to the largest value: outputs near zero are sums of large terms."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < tolerance * np.abs(expected).max()


def described(tensor, count):
    """The numbers by which the expected values describe a large tensor."""
    flat = tensor.double().flatten()
    return [
        flat.mean(),
        flat.std(correction=0),
        flat.abs().max(),
        *flat[[i * flat.numel() // count for i in range(count)]],
    ]


@pytest.mark.parametrize(("dataset", "number"), CASES)
def test_published_outputs(dataset, number):
    case = json.loads((EXPECTED / f"{dataset}.json").read_text())["cases"][number]
    model = build_model(settings(), dataset, CLIP).eval()
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


@pytest.mark.parametrize("backbone", ["r2plus1d_18", "r2plus1d_18_tclr"])
@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_small_clips_leave_one_window(dataset, backbone):
    model = build_model(settings(backbone), dataset, replace(CLIP, frames=8, crop=48)).eval()
    boxes = torch.tensor([[0, 0, 0, 47, 47], [1, 5, 5, 5, 5]]).float() if dataset == "ava" else None
    with torch.inference_mode():
        features = model.backbone(torch.zeros(2, 3, 8, 48, 48))
        assert model.head(features, boxes).shape == (2, {"ava": 80, "charades": 157}[dataset])
        if dataset == "charades":
            assert model.head.window == features.shape[2:]


def test_the_charades_head_averages_probabilities_not_logits_in_evaluation():
    head = build_model(settings(), "charades", replace(CLIP, frames=8, crop=48)).head.eval()
    features = torch.randn(1, 512, 1, 3, 5) * 100
    columns = [head(features[..., i : i + 3]) for i in range(3)]
    assert_close(head(features).detach(), torch.stack(columns).mean(0).detach())


def test_no_boxes_give_no_scores():
    model = build_model(settings(), "ava", CLIP).eval()
    assert model.head(torch.zeros(1, 512, 1, 3, 3), torch.zeros(0, 5)).shape == (0, 80)


def test_the_head_keeps_full_precision_under_autocast():
    model = build_model(settings(), "ava", CLIP).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        scores = model(torch.zeros(1, 3, 8, 48, 48), torch.tensor([[0, 0.0, 0.0, 300.7, 47.0]]))
    assert scores.dtype == torch.float32


def test_unknown_dataset():
    with pytest.raises(InputError, match="unknown dataset 'kinetics'"):
        build_model(settings(), "kinetics", CLIP)
