import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torchvision.models import video

from tests.helpers.paths import ROOT
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.utils.errors import InputError

pytestmark = pytest.mark.long


@pytest.mark.parametrize(("name", "count"), [("r2plus1d_18", 222), ("r3d_18", 120), ("mc3_18", 120)])
def test_keys_are_torchvisions_without_the_classifier(name, count):
    network = getattr(video, name)().state_dict()
    expected = {key: tensor.shape for key, tensor in network.items() if not key.startswith("fc.")}
    assert {key: tensor.shape for key, tensor in build_backbone(name).state_dict().items()} == expected
    assert len(expected) == count


def test_tclr_has_its_own_first_convolution_of_layer4():
    plain, tclr = (build_backbone(name).state_dict() for name in ("r2plus1d_18", "r2plus1d_18_tclr"))
    assert len(tclr) == 216
    assert set(tclr) - set(plain) == {"layer4.0.conv1.0.weight"}
    assert tclr["layer4.0.conv1.0.weight"].shape == (512, 256, 3, 3, 3)


@pytest.mark.parametrize(
    ("name", "frames"), [("r2plus1d_18", 2), ("r2plus1d_18_tclr", 4), ("r3d_18", 2), ("mc3_18", 16)]
)
def test_features_of_the_video_resnets(name, frames):
    with torch.inference_mode():
        features = build_backbone(name).eval()(torch.zeros(1, 3, 16, 48, 64))
    assert features.shape == (1, 512, frames, 3, 4)


@pytest.mark.parametrize("name", BACKBONES)
def test_features_are_as_the_record_says(name):
    record, clip = BACKBONES[name], (BACKBONES[name].num_frames or 32, 96, 128)
    with torch.device("meta"):
        features = build_backbone(name).eval()(torch.zeros(1, 3, *clip))
    strides = (record.time_stride, record.space_stride, record.space_stride)
    assert features.shape == (1, record.channels, *(-(-size // by) for size, by in zip(clip, strides, strict=True)))


@pytest.mark.parametrize("takes", [(), ("recompute",), ("drop_path", "recompute")])
def test_a_backbone_is_built_with_the_settings_that_it_takes(monkeypatch, takes):
    got = {}

    def build(**settings):
        got.update(settings)
        return torch.nn.Identity()

    record = replace(BACKBONES["r3d_18"], build=build, takes=takes)
    monkeypatch.setitem(BACKBONES, "r3d_18", record)
    build_backbone("r3d_18", drop_path=0.1, recompute=True)
    assert got == {name: {"drop_path": 0.1, "recompute": True}[name] for name in takes}


def test_records_are_read_without_pytorch():
    code = "import sys, trainer.models.backbones; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_eps_reaches_every_batchnorm():
    norms = [m for m in build_backbone("r2plus1d_18", 1e-3).modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert len(norms) == 37
    assert {norm.eps for norm in norms} == {1e-3}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown backbone 'resnet'; known: .*r2plus1d_18_tclr, r3d"):
        build_backbone("resnet")
