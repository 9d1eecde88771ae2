"""Files of video transformers: all published layouts by value (tests/fixtures/vit), and what is refused."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers import formulas
from tests.helpers.paths import FIXTURES
from tests.helpers.published_model import described
from trainer.models.backbones import build_backbone
from trainer.models.checkpoints import load_backbone
from trainer.models.inspect import main as inspect
from trainer.models.matching import named_shapes
from trainer.models.vit import VisionTransformer
from trainer.utils.errors import InputError

pytestmark = pytest.mark.long

LAYOUTS = json.loads((FIXTURES / "vit" / "layouts_forward.json").read_text())["layouts"]
NAMES = [layout["method"] for layout in LAYOUTS]


def mvd_table(size, width):
    """MVD's own position table: of time, columns and rows."""
    t, y, x = np.meshgrid(*(np.arange(s, dtype=float) for s in size), indexing="ij")
    parts = []
    for position, values in ((t, width // 4), (x, 3 * width // 8), (y, 3 * width // 8)):
        angle = position.reshape(-1, 1) * 10_000 ** -(np.arange(values // 2) / (values // 2))
        parts += [np.sin(angle), np.cos(angle)]
    return torch.from_numpy(np.concatenate(parts, axis=1))[None]


def vjepa_table(size, width):
    """V-JEPA's own position table: of time, rows and columns, cut to the width."""
    t, y, x = np.meshgrid(*(np.arange(s, dtype=float) for s in size), indexing="ij")
    half = int(np.ceil(width / 6))
    parts = []
    for position in (t, y, x):
        angle = position.reshape(-1, 1) * 10_000 ** -(np.arange(half) / half)
        parts += [np.sin(angle), np.cos(angle)]
    return torch.from_numpy(np.concatenate(parts, axis=1)[:, :width])[None]


def content_of(layout):
    """What the authors' code saves, of tensors by formula."""
    tensors = formulas.vit_weights({name: shape for name, shape, *_ in layout["names [name, shape]"]})
    for name in tensors:
        if name.endswith("pos_embed"):
            make = vjepa_table if "backbone" in name else mvd_table
            tensors[name] = make((8, 4, 4), 48).float().double()
    entry = layout["weights_under"]
    return {entry: tensors, "epoch": 1} if entry else tensors


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_every_layout_gives_the_authors_tokens(layout, tmp_path):
    torch.save(content_of(layout), tmp_path / "file.pth")
    backbone = VisionTransformer(48, 3, 4, layout["tubelet"], (8, 4, 4)).double().eval()
    load_backbone(backbone, tmp_path / "file.pth")
    norm, of_mean = backbone.norm, layout.get("fc_norm_of_the_mean_over_tokens")
    if of_mean:  # the authors' tokens are those before it
        backbone.norm = torch.nn.Identity()
    with torch.inference_mode():
        tokens = backbone(formulas.clips(layout["input_shape"])).flatten(2).transpose(1, 2)
        assert_digest(tokens, layout["tokens"])
        if of_mean:
            assert_digest(norm(tokens.mean(1)), of_mean)


def assert_digest(tensor, wanted):
    assert list(tensor.shape) == wanted["shape"]
    numbers = [wanted[key] for key in ("mean", "std", "absmax")] + wanted["values_at_floor(i*numel/24)"]
    assert np.abs(np.array(described(tensor, 24)) - numbers).max() < 1e-9 * wanted["absmax"]


# --- Of the true size ------------------------------------------------------------------------------------------------


def hollow(name, **changes):
    """Tensors of a backbone without its position table, each expanded from one number; None leaves one out."""
    tensors = {key: torch.tensor(0.5).expand(tensor.shape) for key, tensor in named_shapes(name).items()}
    tensors = {key: tensor for key, tensor in tensors.items() if key != "pos_embed"} | changes
    return {key: tensor for key, tensor in tensors.items() if tensor is not None}


def pretrained(tensors):
    return {f"encoder.{key}": tensor for key, tensor in tensors.items()} | {"mask_token": torch.zeros(1, 1, 384)}


def saved(tmp_path, content):
    path = tmp_path / "file.pth"
    torch.save(content, path)
    return path


def refusal(path, backbone="vit_b_16", layout="auto"):
    with torch.device("meta"):
        network = build_backbone(backbone)
    with pytest.raises(InputError) as refused:
        load_backbone(network, path, layout)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("layout", ["mgmae", "auto"])
def test_compiled_and_parallel_models(tmp_path, prefix, layout):
    tensors = {prefix + key: tensor.half() for key, tensor in pretrained(hollow("vit_s_16")).items()}
    report = load_backbone(build_backbone("vit_s_16"), saved(tmp_path, {"model": tensors}), layout)
    assert report.loaded == 160
    assert report.absent_positions
    assert "no position table in the file, VideoMAE's is used" in str(report)


@pytest.mark.parametrize("layout", ["deepspeed", "auto"])
def test_a_fine_tuned_file_of_deepspeed(tmp_path, layout):
    tensors = hollow("vit_s_16", **{"norm.weight": None, "norm.bias": None})
    tensors |= {
        "fc_norm.weight": torch.full((384,), 2.0),
        "fc_norm.bias": torch.zeros(384),
        "head.bias": torch.zeros(9),
    }
    backbone = build_backbone("vit_s_16")
    report = load_backbone(backbone, saved(tmp_path, {"module": tensors, "dp_world_size": 8}), layout)
    assert report.unused == {"head": 1}
    assert backbone.norm.weight.unique().item() == 2


def test_names_of_mmaction2(tmp_path):
    ours = (r"^patch_embed\.proj\.", r"\.fc1\.", r"\.fc2\.", r"^norm\.")
    theirs = ("patch_embed.projection.", ".layers.0.0.", ".layers.1.", "fc_norm.")
    names = tensors = hollow("vit_s_16", pos_embed=torch.tensor(0.5).expand(1, 1568, 384))
    for pattern, new in zip(ours, theirs, strict=True):
        tensors = {re.sub(pattern, new, name): tensor for name, tensor in tensors.items()}
    assert len(tensors.keys() - names.keys()) == 2 + 12 * 4 + 2
    tensors = {f"backbone.{name}": tensor for name, tensor in tensors.items()}
    content = {"state_dict": tensors | {"cls_head.fc_cls.bias": torch.zeros(400)}}
    report = load_backbone(build_backbone("vit_s_16"), saved(tmp_path, content))
    assert (report.loaded, report.absent_positions, report.unused) == (161, False, {"cls_head": 1})


def test_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in pretrained(hollow("vit_s_16")).items()}, path)
    assert load_backbone(build_backbone("vit_s_16"), path).loaded == 160
    path.write_bytes(path.read_bytes()[:-1000])
    assert "is damaged, incomplete or no PyTorch checkpoint" in refusal(path, "vit_s_16")


def test_copies_of_the_encoder_are_not_read(tmp_path):
    trained, mean = pretrained(hollow("vit_s_16")), pretrained(hollow("vit_s_16"))
    report = load_backbone(build_backbone("vit_s_16"), saved(tmp_path, {"model_ema": mean, "model": trained}))
    assert report.found.entry == "model"


def test_a_long_decoder_is_not_taken_for_the_encoder(tmp_path):
    decoder = {f"decoder.{key}": tensor for key, tensor in hollow("vit_s_16").items()}
    report = load_backbone(build_backbone("vit_s_16"), saved(tmp_path, pretrained(hollow("vit_s_16")) | decoder))
    assert report.found.prefix == "encoder."


WIDE = torch.tensor(0.5).expand
REFUSED = {
    "a missing block": (
        {name: tensor for name, tensor in hollow("vit_b_16").items() if not name.startswith("blocks.7.")},
        "blocks.7.attn.q_bias [768] and 10 more. Give a file that holds the whole backbone.",
    ),
    "no last norm": (
        hollow("vit_b_16", **{"norm.weight": None, "norm.bias": None}),
        "load the file, add encoder.norm.weight (ones) and encoder.norm.bias (zeros) to its tensors and save it again.",
    ),
    "another depth": (
        hollow("vit_b_16", **{"blocks.12.norm1.weight": WIDE(768)}),
        "Mismatched: encoder.blocks.12.norm1.weight is none of its tensors. Unexpected: encoder.blocks.12.norm1.weight."
        " No known backbone has these sizes (",
    ),
    "another width": (hollow("vit_l_16"), "It is a whole vit_l_16: set the method's `backbone` to vit_l_16."),
    "another patch size": (
        hollow("vit_b_16", **{"patch_embed.proj.weight": WIDE(768, 3, 2, 14, 14)}),
        "encoder.patch_embed.proj.weight is [768, 3, 2, 14, 14], expected [768, 3, 2, 16, 16]. No known backbone has "
        "these sizes (",
    ),
    "another tubelet": (
        hollow("vit_b_16_umt"),
        "It is a whole vit_b_16_umt: set the method's `backbone` to vit_b_16_umt and its `recipe` to vit_8_frames.",
    ),
    "a class token": (
        hollow("vit_b_16", cls_token=WIDE(1, 1, 768)),
        "It has a class token, which no backbone here has",
    ),
    "a longer position table": (
        hollow("vit_b_16", pos_embed=WIDE(1, 3136, 768)),
        "encoder.pos_embed is [1, 3136, 768], expected [1, 1568, 768]. No known backbone has these sizes (",
    ),
    "rotary positions": (
        hollow("vit_b_16", **{f"blocks.{i}.attn.{k}_bias": None for i in range(12) for k in "qv"})
        | {f"blocks.{i}.attn.qkv.bias": WIDE(2304) for i in range(12)},
        "but no position table: V-JEPA 2",
    ),
}


@pytest.mark.parametrize(("tensors", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused(tmp_path, tensors, words):
    assert words in refusal(saved(tmp_path, {"model": pretrained(tensors)}))


def test_a_transformer_in_a_row_of_a_resnet_and_the_reverse(tmp_path):
    path = saved(tmp_path, {"model": pretrained(hollow("vit_b_16"))})
    words = "It is a whole vit_b_16: set the method's `backbone` to vit_b_16 and its `recipe` to vit."
    assert words in refusal(path, "r2plus1d_18")
    resnet = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in named_shapes("r2plus1d_18").items()}
    words = "It is a whole r2plus1d_18: set the method's `backbone` to r2plus1d_18 and its `recipe` to r2plus1d."
    assert words in refusal(saved(tmp_path, resnet))


def test_an_mvd_file_without_its_position_table_is_refused(tmp_path):
    path = saved(tmp_path, {"model": hollow("vit_b_16")})
    words = "Missing: pos_embed [1, 1568, 768]. Its position table is not VideoMAE's and fine-tuned files lack it: take"
    assert words in refusal(path, layout="mvd")


def test_an_added_row_has_the_recipe_and_mean_of_transformers(tmp_path, capsys):
    path, table = saved(tmp_path, {"model": pretrained(hollow("vit_b_16"))}), tmp_path / "mine.tsv"
    inspect([str(path), "--add", "My ViT", "--table", str(table)])
    row = dict(zip(*(line.split("\t") for line in table.read_text().splitlines()), strict=True))
    assert (row["backbone"], row["recipe"], row["mean"]) == ("vit_b_16", "vit", "0.4814576,0.4546922,0.4038435")
    assert "'methods=[scratch_vit_b, my_vit]'" in capsys.readouterr().out
