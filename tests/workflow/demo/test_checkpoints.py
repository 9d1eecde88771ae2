import json

import pytest
import torch

from tests.helpers.paths import FIXTURES
from trainer.models.backbones import build_backbone
from workflow.demo.checkpoints import AUTHORS, FILES

VIDEOMAE = json.loads((FIXTURES / "vit/checkpoints.json").read_text())["methods"][0]["files"]["pretrained"]
PUBLISHED = json.loads((FIXTURES / "published_keys.json").read_text())


@pytest.mark.parametrize("layout", FILES)
def test_names_and_shapes_are_the_authors(layout):
    with torch.device("meta"):
        backbone = build_backbone("r2plus1d_18_tclr" if layout == "tclr" else "r2plus1d_18").state_dict()
    published = PUBLISHED[layout]
    checkpoint = AUTHORS[layout](backbone)
    tensors = checkpoint[published["entry"]] if published["entry"] else checkpoint
    assert FILES[layout] == published["file"].split("/")[-1]
    assert len(tensors) == published["tensors"]
    assert {key: list(tensors[key].shape) for key in published["keys"]} == published["keys"]


def test_names_and_shapes_are_videomaes():
    with torch.device("meta"):
        backbone = build_backbone("vit_b_16").state_dict()
    tensors = AUTHORS["videomae"](backbone)["model"]
    published = {}
    for pattern, shape, *blocks in VIDEOMAE["names [pattern, shape, range]"]:
        last = int(blocks[0].split("-")[1]) if blocks else 0  # "N = 0-11"
        published |= {pattern.replace(".N.", f".{number}."): shape for number in range(last + 1)}
    assert len(published) == VIDEOMAE["tensors"]
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == published
