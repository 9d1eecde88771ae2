import pytest
import torch
from torchvision.models.video import r2plus1d_18

from trainer.errors import InputError
from trainer.models.backbone import build_backbone


def test_keys_are_torchvisions_without_the_classifier():
    expected = {name: tensor.shape for name, tensor in r2plus1d_18().state_dict().items() if not name.startswith("fc.")}
    assert {name: tensor.shape for name, tensor in build_backbone("r2plus1d_18").state_dict().items()} == expected
    assert len(expected) == 222


def test_tclr_has_its_own_first_convolution_of_layer4():
    plain, tclr = (build_backbone(name).state_dict() for name in ("r2plus1d_18", "r2plus1d_18_tclr"))
    assert len(tclr) == 216
    assert set(tclr) - set(plain) == {"layer4.0.conv1.0.weight"}
    assert tclr["layer4.0.conv1.0.weight"].shape == (512, 256, 3, 3, 3)


@pytest.mark.parametrize(("name", "frames"), [("r2plus1d_18", 2), ("r2plus1d_18_tclr", 4)])
def test_strides_in_time_and_space(name, frames):
    with torch.inference_mode():
        features = build_backbone(name).eval()(torch.zeros(1, 3, 16, 48, 64))
    assert features.shape == (1, 512, frames, 3, 4)


def test_eps_reaches_every_batchnorm():
    norms = [m for m in build_backbone("r2plus1d_18", 1e-3).modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert len(norms) == 37
    assert {norm.eps for norm in norms} == {1e-3}


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown backbone 'resnet'; known: r2plus1d_18, r2plus1d_18_tclr"):
        build_backbone("resnet")
