"""Layouts of memory: results and parameters are the same, and channels-last memory is kept from clips to features."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.helpers.published_model import run_of
from trainer.config import Clip
from trainer.models import channels_last
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.channels_last import FlatConv3d, choose_layout
from trainer.models.cost import cost
from trainer.models.network import autocast, build_model
from trainer.models.vit import VisionTransformer

pytestmark = pytest.mark.long

LARGE, SMALL = Clip(32, 2, 112, (112, 112), 1, 1), Clip(8, 4, 32, (32, 32), 1, 1)
RESNETS = [name for name in BACKBONES if name.endswith("18") or name.endswith("tclr")]


def results(backbone, clips):
    """Return features and all gradients."""
    features = backbone(clips)
    features.square().mean().backward()
    return [features, *(parameter.grad for parameter in backbone.parameters())]


@pytest.mark.parametrize("multiple", [1, 8], ids=["own widths", "padded widths"])
@pytest.mark.parametrize("name", RESNETS)
def test_both_layouts_compute_the_same(name, multiple, monkeypatch):
    monkeypatch.setattr(channels_last, "aligned", lambda channels, _: channels + -channels % multiple)
    torch.manual_seed(0)
    first = build_backbone(name).double()
    last = deepcopy(first)
    choose_layout(first, SMALL, "float32")
    choose_layout(last, LARGE, "float32")
    clips = torch.randn(2, 3, 5, 24, 20).double()  # odd sizes: strides round up
    for one, other in zip(results(first, clips), results(last, clips), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)
    assert list(first.state_dict()) == list(last.state_dict())
    for key, buffer in first.named_buffers():
        torch.testing.assert_close(last.get_buffer(key), buffer)


@pytest.mark.parametrize("tubelet", [1, 2])
def test_transformers_compute_the_same_in_both_layouts(tubelet):
    """UMT's patches are of one frame, whose convolution is a 2D one."""
    torch.manual_seed(0)
    first = VisionTransformer(24, 1, 2, tubelet, grid=(2, 14, 14)).double()
    last = deepcopy(first)
    choose_layout(first, SMALL, "float32")
    choose_layout(last, Clip(8, 9.6, 224, (256, 256), 1, 1), "float32")
    assert isinstance(last.patch_embed.proj, FlatConv3d) == (tubelet == 1)
    clips = torch.randn(2, 3, 2 * tubelet, 224, 208).double()
    for one, other in zip(results(first, clips), results(last, clips), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("clip", "precision"),
    [(SMALL, "float32"), (SMALL, "bfloat16"), (LARGE, "float32")],
    ids=["channels-first", "bfloat16", "channels-last"],
)
def test_results_are_finite_and_repeatable(clip, precision):
    """Repeatable bit for bit, as resuming a run needs.

    Finite: layer3 has two frames, over which 3D convolutions have bfloat16 gradients that are infinite or NaN.
    """
    torch.manual_seed(0)
    backbone = build_backbone("r2plus1d_18")
    choose_layout(backbone, clip, precision)
    again, clips = deepcopy(backbone), torch.randn(2, 3, 8, 32, 32)
    with autocast(clips.device, precision):
        pairs = list(zip(results(backbone, clips), results(again, clips), strict=True))
    assert all(torch.equal(one, other) and one.isfinite().all() for one, other in pairs)


@pytest.mark.parametrize("name", RESNETS)
def test_large_clips_stay_channels_last(name):
    backbone = build_backbone(name)
    choose_layout(backbone, LARGE, "float32")
    layers = [m for m in backbone.modules() if isinstance(m, nn.Conv3d | nn.BatchNorm3d)]
    assert any(isinstance(layer, FlatConv3d) for layer in layers) == ("r3d" not in name)
    kept = []
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, output: kept.extend(is_last(t) for t in (*inputs, output)))
    backbone(torch.randn(2, 3, 8, 32, 32))
    assert len(kept) == 2 * len(layers)
    assert all(kept)


def is_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last_3d)


def test_gpus_compute_multiples_of_8_channels(monkeypatch):
    monkeypatch.setattr(channels_last, "aligned", lambda channels, _: channels + -channels % 8)
    backbone = build_backbone("r2plus1d_18")
    choose_layout(backbone, LARGE, "float32")
    widths = []
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.register_forward_hook(lambda _, inputs, output: widths.extend((inputs[0].shape[1], output.shape[1])))
    backbone.eval()(torch.randn(1, 3, 8, 32, 32))
    assert len(widths) == 2 * 37
    assert not any(width % 8 for width in widths)


@pytest.mark.parametrize(("kernel", "padding"), [((1, 3, 3), (0, 1, 1)), ((3, 1, 1), (1, 0, 0))])
def test_grouped_convolutions_compute_the_same(kernel, padding):
    """X3D's and MoViNet's."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(4, 8, kernel, padding=padding, groups=4, bias=False), nn.BatchNorm3d(8))
    first, last = network.double(), deepcopy(network).double()
    choose_layout(last, LARGE, "float32")
    clips = torch.randn(2, 4, 5, 6, 7).double()
    for one, other in zip(results(first, clips), results(last, clips), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("precision", "flat"), [("float32", False), ("bfloat16", True)])
def test_small_clips_of_a_run_are_flat_in_bfloat16(precision, flat):
    run = run_of("charades")
    small = replace(run, clip=SMALL, training=replace(run.training, precision=precision))
    assert any(isinstance(module, FlatConv3d) for module in build_model(small).modules()) == flat


def test_small_clips_are_computed_channels_first():
    backbone = build_backbone("r2plus1d_18")
    choose_layout(backbone, SMALL, "float32")
    assert not any(isinstance(module, FlatConv3d) for module in backbone.modules())
    seen = []
    backbone.stem[0].register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].is_contiguous()))
    backbone(torch.randn(1, 8, 32, 32, 3).permute(0, 4, 1, 2, 3))  # as the loader serves clips
    assert seen == [True]


def test_operations_are_counted_the_same():
    network = build_model(run_of("ava"))
    assert any(isinstance(module, FlatConv3d) for module in network.modules())
    assert cost(network, LARGE)["gflops"] == pytest.approx(81, abs=1)


def test_bfloat16_leaves_statistics_and_gradients_in_float32():
    torch.manual_seed(0)
    backbone = build_backbone("r2plus1d_18")
    choose_layout(backbone, LARGE, "float32")
    exact, clips = deepcopy(backbone), torch.randn(2, 3, 8, 32, 32)
    exact(clips)
    with torch.autocast("cpu", torch.bfloat16):
        features = backbone(clips)
    assert features.dtype == torch.bfloat16
    features.float().square().mean().backward()
    assert {parameter.grad.dtype for parameter in backbone.parameters()} == {torch.float32}
    norm, reference = backbone.stem[1], exact.stem[1]
    assert norm.running_var.dtype == torch.float32
    # of outputs with 8 bits; sums of so many numbers in bfloat16 would be off by far more
    torch.testing.assert_close(norm.running_var, reference.running_var, rtol=2e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_mean, reference.running_mean, rtol=2e-3, atol=1e-3)
