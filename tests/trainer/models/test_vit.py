"""The video transformer against outputs of the published one (tests/fixtures/vit), and what its options do."""

import numpy as np
import pytest
import torch

from tests.helpers import formulas
from tests.helpers.published_model import described
from tests.helpers.published_vit import double, expected, numbered, padded_clips, published_vit
from trainer.data.regions import extended
from trainer.models.backbones import BACKBONES, build_backbone
from trainer.models.vit import VisionTransformer, sine_table

GOLDEN = expected("model_ava")


def assert_digest(tensor, digest, tolerance, count=16):
    assert list(tensor.shape) == digest["shape"]
    numbers = [digest[key] for key in ("mean", "std", "absmax")] + digest[f"values_at_floor(i*numel/{count})"]
    assert np.abs(np.array(described(tensor, count)) - numbers).max() < tolerance * digest["absmax"]


def check_case(model, case, tolerance):
    """Compare features, regions and logits of a case."""
    precision = next(model.parameters()).dtype
    boxes = [
        extended(np.array(of_clip, dtype=float), (height, width), (0.1, 0.05))
        for of_clip, (width, height) in zip(case["boxes_x1y1x2y2_of_each_clip"], case["image_sizes_w_h"], strict=True)
    ]
    for ours, wanted in zip(boxes, case["extended_boxes"], strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)
    model.train()  # logits; the network has neither dropout nor drop path
    with torch.inference_mode():
        features = model.backbone(padded_clips(case).to(precision))
        logits = model.head(features, numbered(case["extended_boxes"]).to(precision))
    tokens = features.flatten(2).transpose(1, 2)
    assert_digest(tokens, case["stages_float64"]["norm"], tolerance)
    wanted = np.array(case["logits_float64"])
    assert np.abs(logits.double().numpy() - wanted).max() < tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("number", range(3))
def test_published_outputs_of_a_tiny_transformer(number):
    model, case = double(published_vit(GOLDEN["tiny"]["config"])), GOLDEN["tiny"]["cases"][number]
    size = case["grid_t_h_w"]
    assert_digest(model.backbone._positions(size)[0], case["position_embedding"], 1e-6)
    check_case(model, case, 1e-9)


@pytest.mark.long
def test_published_outputs_of_vit_b():
    check_case(published_vit(GOLDEN["vit_base"]["config"]), GOLDEN["vit_base"]["cases"][0], 5e-6)


@pytest.mark.parametrize(("size", "wanted"), [("tiny", GOLDEN["tiny"]), ("vit_base", GOLDEN["vit_base"])])
def test_the_sine_table_is_videomaes(size, wanted):
    steps, rows, columns = wanted["config"]["training_grid_t_h_w"]
    table = sine_table(steps * rows * columns, wanted["config"]["embed_dim"])[0]
    for token, channel, value in wanted["position_table [n, d, value]"]:
        assert table[token, channel].item() == pytest.approx(value, abs=1e-7)


def test_records_have_the_published_names_and_shapes():
    published = {
        name: tuple(shape)
        for name, shape, *_ in GOLDEN["vit_base"]["weights [name, shape, float64 sum, first three values]"]
    }
    with torch.device("meta"):
        state = build_backbone("vit_b_16").state_dict()
    ours = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert ours.pop("pos_embed") == (1, 1568, 768)
    assert ours == {name: shape for name, shape in published.items() if not name.startswith("head.")}


@pytest.mark.parametrize("name", [name for name, record in BACKBONES.items() if record.depth])
def test_records_say_what_they_build(name):
    record = BACKBONES[name]
    with torch.device("meta"):
        backbone = build_backbone(name)
        features = backbone(torch.empty(1, 3, record.num_frames, 40, 64))
    assert features.shape == (1, record.channels, record.num_frames // record.time_stride, 3, 4)
    assert len(backbone.blocks) == record.depth


def tiny(**options):
    torch.manual_seed(0)
    return VisionTransformer(24, 3, 2, 2, (2, 2, 2), **options)


def test_odd_sizes_are_padded_with_the_mean_color():
    backbone, clips = tiny().eval(), torch.randn(2, 3, 4, 20, 40)
    padded = torch.nn.functional.pad(clips, (0, 8, 0, 12))
    assert torch.equal(backbone(clips), backbone(padded))


def test_drop_path_rises_over_the_blocks():
    backbone = tiny(drop_path=0.4)
    assert [block.drop_path for block in backbone.blocks] == pytest.approx([0, 0.2, 0.4])


def test_recomputation_changes_no_gradient():
    clips = formulas.clips((2, 3, 4, 32, 32)).float()
    gradients = []
    for recompute in (False, True):
        backbone = tiny(drop_path=0.4, recompute=recompute)
        torch.manual_seed(1)
        backbone(clips).square().mean().backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    assert all(torch.equal(kept, recomputed) for kept, recomputed in zip(*gradients, strict=True))


def test_positions_stay_float32_under_autocast():
    backbone = tiny().eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert backbone._positions((2, 2, 2)).dtype == torch.float32
        assert backbone(torch.zeros(1, 3, 4, 32, 32)).dtype == torch.float32


@pytest.mark.long
def test_a_tubelet_of_one_frame_is_one_of_two_equal_frames():
    """UMT's transformer at its true size, for which there is no fixture, by that of the others, for which there is."""
    torch.manual_seed(0)
    of_one = build_backbone("vit_b_16_umt").eval()
    with torch.device("meta"):
        of_two = build_backbone("vit_b_16").eval()
    weights = of_one.state_dict()
    halves = (weights["patch_embed.proj.weight"] / 2).repeat(1, 1, 2, 1, 1)
    of_two.load_state_dict(weights | {"patch_embed.proj.weight": halves}, assign=True)
    clips = formulas.clips((1, 3, BACKBONES["vit_b_16_umt"].num_frames, 224, 224)).float()
    with torch.inference_mode():
        features = of_one(clips)
        assert features.shape == (1, 768, 8, 14, 14)
        torch.testing.assert_close(features, of_two(clips.repeat_interleave(2, dim=2)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", expected("transforms")["padding"]["cases"], ids=lambda case: str(case["batch"]))
def test_clips_are_padded_as_published(case):
    """The published code pads to the largest clip of a batch; here clips of other sizes are in other batches."""
    with torch.device("meta"):
        backbone = VisionTransformer(24, 1, 2, 2)
        sizes = [backbone(torch.empty(1, *clip)).shape[3:] for clip in case["clips"]]
    assert [16 * max(of_axis) for of_axis in zip(*sizes, strict=True)] == case["batch"][3:]
