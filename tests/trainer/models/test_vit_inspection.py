"""What inspection says of files as authors' code saves them (names and shapes: tests/fixtures/vit/checkpoints.json)."""

import argparse
import json
import re

import pytest
import torch

from tests.helpers.paths import FIXTURES
from trainer.models.inspect import main

pytestmark = pytest.mark.long

ROWS = {  # by the shape of the patches' convolution
    (768, 3, 2, 16, 16): ("vit_b_16, recipe vit", "12 blocks, 768 wide, tubelet 2"),
    (1024, 3, 2, 16, 16): ("vit_l_16, recipe vit", "24 blocks, 1024 wide, tubelet 2"),
    (768, 3, 1, 16, 16): ("vit_b_16_umt, recipe vit_8_frames", "12 blocks, 768 wide, tubelet 1"),
}
USED_HERE = re.compile(r"(module\.backbone\.)?pos_embed|.*\.attn\.qkv\.bias")  # beside what the fixtures map


def published_files():
    """Return (methods, shapes by name, what is left over) of each file; methods share those that look the same."""
    found = {}
    for method in json.loads((FIXTURES / "vit/checkpoints.json").read_text())["methods"]:
        label = method["method"].replace("VideoMAE, Hugging Face transformers", "VideoMAE of Hugging Face")
        for kind, file in method["files"].items():
            if "predictor" in kind:  # beside V-JEPA's encoder
                continue
            shapes = expanded(file["names [pattern, shape, range]"])
            left_over = file["mapping_checked"]["left_over"] if "mapping_checked" in file else []
            left_over = expanded((name, None, *numbers) for name, *numbers in (row.split(" ", 1) for row in left_over))
            assert len(shapes) == file["tensors"]
            found.setdefault(str(shapes), ([], shapes, left_over))[0].append(label)
    return [pytest.param(*file, id=f"{'-'.join(file[0])}-{len(file[1])}") for file in found.values()]


def expanded(rows):
    """Return {name: shape} of rows (pattern, shape, "N = 0-11"): N in the pattern stands for each number."""
    names = {}
    for pattern, shape, *numbers in rows:
        ends = [int(end) for end in re.findall(r"\d+", *numbers)] if numbers else [0]
        for number in range(ends[0], ends[-1] + 1):
            names[re.sub(r"\bN\b", str(number), pattern)] = shape
    return names


def content_of(methods, shapes):
    """Return what the authors' code saves, each tensor expanded from one number."""
    tensors = {name: torch.tensor(0.5).expand(shape) for name, shape in shapes.items()}
    if "V-JEPA" in methods:
        return {"encoder": tensors, "target_encoder": dict(tensors), "opt": {}, "scaler": None, "epoch": 300}
    if "VideoMAE of Hugging Face" in methods:
        return tensors
    optimizer = {"state": {}, "param_groups": [{"lr": 1e-3}]}
    return {"model": tensors, "optimizer": optimizer, "epoch": 799, "scaler": {}, "args": argparse.Namespace(lr=1e-3)}


@pytest.mark.parametrize(("methods", "shapes", "left_over"), published_files())
def test_what_is_in_the_file_and_what_to_write_into_the_row(methods, shapes, left_over, tmp_path, capsys):
    torch.save(content_of(methods, shapes), tmp_path / "file.pth")
    main([str(tmp_path / "file.pth")])
    *content, family, positions, norm, row, verdict = capsys.readouterr().out.splitlines()
    [settings, size] = next(ROWS[tuple(shape)] for name, shape in shapes.items() if len(shape) == 5)
    assert all(method in family for method in methods) and family.endswith(f"; {size}")
    in_file = any(name.endswith("pos_embed") for name in shapes)
    absent = "VideoMAE's for 16 frames of 224 px, as the file has none; a pre-training on other clips does not fit"
    assert positions == "  position table: " + ("in the file" if in_file else absent)
    assert norm.endswith(", fine-tuned after the mean over tokens") == any("fc_norm." in name for name in shapes)
    pixels = "channel_order rgb, mean 0.4814576,0.4546922,0.4038435, std 0.225"
    assert row == f"  row: backbone {settings}, layout auto, {pixels}"
    assert verdict.startswith(f"fits {settings.partition(',')[0]} whole: {160 + in_file + (size[:2] == '24') * 156} ")
    unused = {group: int(count) for group, count in re.findall(r"not used (\S+): (\d+) tensor", "\n".join(content))}
    left_over = [name for name in left_over if not USED_HERE.fullmatch(name)]
    assert sum(unused.values()) == len(left_over) and all(name.startswith(tuple(unused)) for name in left_over)
