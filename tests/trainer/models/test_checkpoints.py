import argparse
import csv
import io
import json
import os
import re
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import video

from tests.helpers.paths import FIXTURES, ROOT
from trainer.models.backbones import build_backbone
from trainer.models.checkpoints import load_backbone
from trainer.models.layouts import LAYOUTS
from trainer.models.matching import group_keys, match_layout, named_shapes
from trainer.models.safe_load import read_checkpoint
from trainer.utils.errors import InputError
from workflow.demo.checkpoints import AUTHORS, FILES, LEGACY, write_checkpoint

pytestmark = pytest.mark.long

PUBLISHED = json.loads((FIXTURES / "published_keys.json").read_text())


def backbone_of(layout):
    return "r2plus1d_18_tclr" if layout == "tclr" else "r2plus1d_18"


def unset(name):
    """A backbone of NaN: what a checkpoint leaves out shows."""
    with torch.device("meta"):
        backbone = build_backbone(name)
    backbone = backbone.to_empty(device="cpu").eval()
    for tensor in backbone.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
    return backbone


@pytest.fixture(scope="module")
def originals():
    """Both backbones with random weights, rounded to what half precision can hold."""
    backbones = {}
    for layout in ("moco", "tclr"):
        torch.manual_seed(1)
        state = build_backbone(backbone_of(layout)).state_dict()
        state = {name: torch.rand_like(t) if t.dim() == 1 else t for name, t in state.items()}  # BatchNorm
        rounded = {name: t.half().float() if t.is_floating_point() else t for name, t in state.items()}
        backbones[backbone_of(layout)] = unset(backbone_of(layout))
        backbones[backbone_of(layout)].load_state_dict(rounded)
    return backbones


@pytest.fixture(scope="module")
def refusal():
    """The message that refuses a file; the backbone must stay as it was."""
    backbone = build_backbone("r2plus1d_18")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    def message_for(path, layout="auto"):
        with pytest.raises(InputError) as refused:
            load_backbone(backbone, path, layout)
        assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
        message = str(refused.value)
        assert str(path) in message
        assert "\n" not in message
        return message

    return message_for


@pytest.fixture
def backbone():
    return unset("r2plus1d_18")


def saved(content, path):
    torch.save(content, path)
    return path


def prefixed(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("layout", FILES)
def test_every_published_layout_gives_the_backbone_it_was_made_from(layout, originals, tmp_path):
    path = tmp_path / FILES[layout]
    original = originals[backbone_of(layout)]
    write_checkpoint(layout, path, original.state_dict(), half=True)
    assert zipfile.is_zipfile(path) == (layout not in LEGACY)
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    for asked in (layout, "auto"):
        loaded = unset(backbone_of(layout))
        report = load_backbone(loaded, path, asked)
        with torch.inference_mode():
            assert torch.equal(loaded(clip), original(clip))
        for name, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, original.state_dict()[name]), name
            assert tensor.dtype == original.state_dict()[name].dtype
        assert report.loaded == len(original.state_dict())
        assert report.loaded + sum(report.unused.values()) == PUBLISHED[layout]["tensors"]
    path.unlink()  # 63 MB


@pytest.mark.parametrize("layout", FILES)
def test_files_without_the_extras_load_too(layout, hollow, tmp_path):
    content = AUTHORS[layout](hollow[backbone_of(layout)])
    weights = {key: value for key, value in content.items() if torch.is_tensor(value) or key in ("model", "state_dict")}
    torch.save(weights, tmp_path / "file.pth")
    assert load_backbone(unset(backbone_of(layout)), tmp_path / "file.pth", layout).absent_counters == 0


def test_the_report_tells_what_was_left(hollow, backbone, tmp_path):
    write_checkpoint("moco", tmp_path / "moco.pth", hollow["r2plus1d_18"])
    report = load_backbone(backbone, tmp_path / "moco.pth")
    assert report.unused == {
        "module.encoder_q.fc": 2,
        "module.encoder_k": 224,
        "module.queue": 1,
        "module.queue_ptr": 1,
    }
    assert str(report) == (
        f"{tmp_path}/moco.pth: all 222 tensors loaded by layout auto (entry 'state_dict', prefix 'module.encoder_q.', "
        "torchvision names, as moco, video_moco); keys not used: module.encoder_q.fc (2), module.encoder_k (224), "
        "module.queue (1), module.queue_ptr (1)"
    )


def test_groups_that_differ_in_a_number_are_one():
    keys = ["net.a.weight", "mlp0.weight", "mlp1.weight", "net.head.1", "queue"]
    assert {group: len(found) for group, found in group_keys(keys, {"net.a.weight"}).items()} == {
        "mlp*": 2,
        "net.head": 1,
        "queue": 1,
    }


@pytest.mark.parametrize("layout", ["moco", "gdt", "tclr", "supervised"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_with_and_without_dataparallel(layout, wrapped, hollow, tmp_path):
    place = LAYOUTS[layout]
    tensors = prefixed("module." * wrapped + place.prefix, hollow[backbone_of(layout)])
    path = saved({place.entry: tensors} if place.entry else tensors, tmp_path / "file.pth")
    for asked in (layout, "auto"):
        load_backbone(unset(backbone_of(layout)), path, asked)


def test_auto_finds_a_new_method(hollow, backbone, tmp_path):
    tensors = prefixed("module.video.trunk.", hollow["r2plus1d_18"]) | {"module.head.weight": torch.zeros(2)}
    report = load_backbone(backbone, saved({"weights": {"net": tensors}}, tmp_path / "mine.pth"))
    assert str(report.found) == "entry 'weights.net', prefix 'module.video.trunk.', torchvision names"
    assert report.unused == {"module.head": 1}


def test_auto_refuses_two_backbones(hollow, refusal, tmp_path):
    tensors = prefixed("student.", hollow["r2plus1d_18"]) | prefixed("teacher.", hollow["r2plus1d_18"])
    message = refusal(saved(tensors, tmp_path / "two.pth"))
    assert "ambiguous" in message
    assert "prefix 'student.'" in message
    assert "prefix 'teacher.'" in message
    path = tmp_path / "two.pth"
    exec(message.partition("for the first: ")[2].replace("'weights.pth'", "path"), {"torch": torch, "path": path})
    assert load_backbone(unset("r2plus1d_18"), path).found.prefix == "student."


COPIES = [
    ("target_encoder", "online_encoder"),
    ("target_encoder", "encoder"),
    ("momentum_encoder", "base_encoder"),
    ("key_encoder", "query_encoder"),
    ("backbone_momentum", "backbone"),
    ("momentum_backbone", "backbone"),
    ("backbone_hist", "backbone"),
    ("encoder_m", "encoder"),
]


@pytest.mark.parametrize(("copy", "trained"), COPIES)
def test_auto_takes_the_trained_encoder_beside_its_running_mean(copy, trained, hollow):
    state = hollow["r2plus1d_18"]
    tensors = prefixed(f"module.{copy}.", state) | prefixed(f"module.{trained}.", state)
    [match] = match_layout({"": tensors}, "auto", named_shapes("r2plus1d_18"))
    assert match.place.prefix == f"module.{trained}."


@pytest.mark.parametrize("other", ["encoder_k.", "ema."])
def test_auto_takes_no_other_encoder_for_one_that_is_not_whole(other, hollow, refusal, tmp_path):
    trained = prefixed("encoder_q.", hollow["r2plus1d_18"])
    trained["encoder_q.layer3.1.conv_1.0.0.weight"] = trained.pop("encoder_q.layer3.1.conv1.0.0.weight")
    message = refusal(saved(trained | prefixed(other, hollow["r2plus1d_18"]), tmp_path / "file.pth"))
    assert ("ambiguous" if other == "ema." else "Missing: layer3.1.conv1.0.0.weight") in message


def test_a_renamed_layer_is_named(hollow, refusal, tmp_path):
    tensors = {re.sub(r"layer3\.1\.conv1\.", "layer3.1.first.", name): t for name, t in hollow["r2plus1d_18"].items()}
    message = refusal(saved(tensors, tmp_path / "file.pth"), "supervised")
    assert "not a whole r2plus1d_18 by layout supervised (torchvision names): 210 of 222 tensors fit" in message
    assert "Missing: layer3.1.conv1.0.0.weight [576, 256, 1, 3, 3], layer3.1.conv1.0.1.weight [576]" in message
    assert "and 9 more. Unexpected: layer3.1.first.0.0.weight" in message


@pytest.mark.parametrize("lost", ["layer2.0.conv1.0.1.running_var", "stem.1.num_batches_tracked"])
def test_statistics_must_be_in_the_file(lost, hollow, refusal, tmp_path):
    tensors = {name: tensor for name, tensor in hollow["r2plus1d_18"].items() if name != lost}
    assert f"Missing: {lost}" in refusal(saved(tensors, tmp_path / "file.pth"))


def test_a_file_of_old_pytorch_has_no_batch_counters(hollow, backbone, tmp_path):
    tensors = {name: t for name, t in hollow["r2plus1d_18"].items() if not name.endswith("num_batches_tracked")}
    report = load_backbone(backbone, saved(tensors, tmp_path / "old.pth"))
    assert (report.loaded, report.absent_counters) == (185, 37)
    assert "37 batch counters not in the file, set to 0" in str(report)
    assert backbone.stem[1].num_batches_tracked == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layer1.0.conv1.0.0.weight", "layer4.1.conv2.1.running_var"])
def test_numbers_must_be_finite(name, value, hollow, refusal, tmp_path):
    broken = hollow["r2plus1d_18"][name].clone()
    broken.flatten()[-1] = value
    path = saved(hollow["r2plus1d_18"] | {name: broken}, tmp_path / "file.pth")
    assert f"Mismatched: {name} holds NaN or infinity" in refusal(path)


def test_a_tensor_of_another_type_or_twice(hollow, refusal, tmp_path):
    state = hollow["r2plus1d_18"]
    whole_numbers = state | {"stem.0.weight": torch.zeros(45, 3, 1, 7, 7, dtype=torch.int64)}
    message = refusal(saved(whole_numbers, tmp_path / "a.pth"))
    assert "stem.0.weight holds torch.int64, expected torch.float32" in message
    with torch.device("meta"):
        hollower = state | {"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}
    assert "stem.0.weight is not a plain tensor" in refusal(saved(hollower, tmp_path / "b.pth"))
    twice = prefixed("backbone.", state) | {"backbone.stem.conv_s.weight": state["stem.0.weight"]}
    message = refusal(saved({"state_dict": twice}, tmp_path / "c.pth"), "ctp")
    assert "backbone.stem.conv_s.weight is stem.0.weight as backbone.stem.0.weight is" in message


@pytest.mark.parametrize(
    ("kind", "key", "tensor", "other_sizes"),
    [
        ("shape", "stem.1.weight", torch.zeros(46), True),
        ("foreign", "layer1.2.conv1.0.0.weight", torch.zeros(1), True),  # of a deeper one
        ("values", "stem.1.weight", torch.full((45,), float("nan")), False),
        ("duplicate", "stem.bn_s.weight", torch.ones(45), False),
    ],
)
def test_other_sizes_are_told_from_damage(kind, key, tensor, other_sizes, hollow, refusal, tmp_path):
    layout = "ctp" if kind == "duplicate" else "auto"
    entries = {"state_dict": prefixed("backbone.", hollow["r2plus1d_18"] | {key: tensor})}
    [match] = match_layout(entries, layout, named_shapes("r2plus1d_18"))
    [flaw] = match.mismatched
    assert (flaw.kind, flaw.name) == (kind, key.replace("bn_s", "1"))
    message = refusal(saved(entries, tmp_path / "file.pth"), layout)
    assert f"Mismatched: {flaw.words}." in message
    assert ("No known backbone has these sizes (r2plus1d_18, " in message) == other_sizes


def test_a_layout_named_wrongly(hollow, refusal, tmp_path):
    path = tmp_path / "moco.pth"
    write_checkpoint("moco", path, hollow["r2plus1d_18"])
    advice = "Layout auto fits: entry 'state_dict', prefix 'module.encoder_q.', torchvision names, as moco, video_moco."
    message = refusal(path, "rspnet")
    assert "by layout rspnet: expected tensors under 'model'; the file has 'state_dict'." in message
    assert advice in message
    message = refusal(path, "ctp")
    assert "0 of 222 tensors fit" in message
    assert "Names in the file begin with: module.encoder_q (224), module.encoder_k (224)" in message
    assert advice in message
    assert "unknown layout 'mocco'; known: auto, selavi, moco" in refusal(path, "mocco")


def test_tclr_and_the_others_need_their_own_backbone(hollow, refusal, tmp_path):
    write_checkpoint("tclr", tmp_path / "tclr.pth", hollow["r2plus1d_18_tclr"])
    write_checkpoint("gdt", tmp_path / "gdt.pth", hollow["r2plus1d_18"])
    for asked in ("tclr", "auto"):
        message = refusal(tmp_path / "tclr.pth", asked)
        assert "Missing: layer4.0.conv1.0.0.weight [921, 256, 1, 3, 3]" in message
        assert "It is a whole r2plus1d_18_tclr: set the method's `backbone` to r2plus1d_18_tclr." in message
    with pytest.raises(InputError) as refused:
        load_backbone(unset("r2plus1d_18_tclr"), tmp_path / "gdt.pth")
    message = str(refused.value)
    assert "Missing: layer4.0.conv1.0.weight [512, 256, 3, 3, 3]" in message
    assert "It is a whole r2plus1d_18: set the method's `backbone` to r2plus1d_18." in message


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18"])
def test_auto_loads_torchvisions_other_networks(name, tmp_path):
    network = getattr(video, name)().eval()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
    backbone = unset(name)
    report = load_backbone(backbone, saved(network.state_dict(), tmp_path / f"{name}.pth"))
    assert (report.loaded, report.unused) == (120, {"fc": 2})
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone(clip)
        assert torch.equal(network.fc(network.avgpool(features).flatten(1)), network(clip))


def test_a_file_of_another_backbone_is_named(hollow, refusal, tmp_path):
    path = saved({"weights": prefixed("module.encoder.", hollow["r3d_18"])}, tmp_path / "mine.pth")
    message = refusal(path)
    assert "does not look like r2plus1d_18 by layout auto" in message
    assert message.endswith("It is a whole r3d_18: set the method's `backbone` to r3d_18.")
    message = refusal(path, "ctp")
    assert message.endswith(
        "Layout auto fits: entry 'weights', prefix 'module.encoder.', torchvision names. "
        "It is a whole r3d_18: set the method's `backbone` to r3d_18."
    )


@pytest.mark.parametrize(("file", "row"), [("r3d_18", "mc3_18"), ("mc3_18", "r3d_18"), ("r2plus1d_18", "r3d_18")])
def test_rows_of_other_backbones_refuse_a_file_in_the_same_words(file, row, hollow, tmp_path):
    with pytest.raises(InputError, match=f"It is a whole {file}: set the method's `backbone` to {file}.$") as refused:
        load_backbone(unset(row), saved(hollow[file], tmp_path / "file.pth"))
    assert f"does not look like {row} by layout auto" in str(refused.value)
    if {file, row} == {"r3d_18", "mc3_18"}:  # the same names
        assert "Mismatched: layer2.0.conv1.0.weight is " in str(refused.value)


def test_an_incomplete_file_of_another_backbone(hollow, refusal, tmp_path):
    tensors = {name: tensor for name, tensor in hollow["r3d_18"].items() if name != "layer4.1.conv2.0.weight"}
    path = saved(tensors, tmp_path / "file.pth")
    told = f"It may be an incomplete r3d_18: python -m trainer.models.inspect {path} --backbone r3d_18"
    assert refusal(path).endswith(told)


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ("rspnet_author_released", "the RSPNet authors' own file (model_best_r21d_200epoch.pth.tar)"),
        ("avid_cma_author_released", "the AVID-CMA authors' own file"),
    ],
)
@pytest.mark.parametrize("asked_by_name", [True, False])
def test_files_of_the_authors_own_sites_are_explained(published, words, asked_by_name, refusal, tmp_path):
    tensors = {key: torch.tensor(0.5).expand(shape) for key, shape in PUBLISHED[published]["keys"].items()}
    path = saved({"epoch": 1, "model": tensors}, tmp_path / PUBLISHED[published]["file"].split("/")[-1])
    assert words in refusal(path, published.removesuffix("_author_released") if asked_by_name else "auto")


@pytest.mark.parametrize("asked", ["ctp", "auto"])
def test_microsofts_ctp_is_explained(asked, hollow, refusal, tmp_path):
    wider = {"layer2": (230, 288), "layer3": (460, 576), "layer4": (921, 1152)}
    state = {}
    for name, tensor in hollow["r2plus1d_18"].items():
        ours, theirs = wider.get(name.split(".")[0], (0, 0))
        second = re.match(r"layer\d\.0\.conv2\.0\.", name)
        shape = [theirs if second and size == ours else size for size in tensor.shape]
        state[name] = torch.tensor(0.5).expand(shape)
    write_checkpoint("ctp", tmp_path / "epoch_90.pth", state)
    message = refusal(tmp_path / "epoch_90.pth", asked)
    assert "204 of 222 tensors fit" in message
    assert "layer2.0.conv2.conv_s.weight is [288, 128, 1, 3, 3], expected [230, 128, 1, 3, 3]" in message
    assert "microsoft/CtP's own R(2+1)D" in message


def test_another_architecture(refusal, tmp_path):
    path = saved({"state_dict": {"blocks.0.attn.qkv.weight": torch.zeros(3, 3)}}, tmp_path / "vit.pth")
    message = refusal(path)
    assert "does not look like r2plus1d_18 by layout auto" in message
    assert "It is no other known backbone either; known: r2plus1d_18, r2plus1d_18_tclr, r3d_18, mc3_18, vit" in message
    assert message.endswith("To add one, or its names: trainer/README.md")
    assert "none of its tensors has a name of the 222 expected" in message
    assert "Names in the file begin with: blocks (1). First tensors: blocks.0.attn.qkv.weight [3, 3]." in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><title>404 Not Found</title></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 284780173\n", "is a Git LFS pointer"),
        (b"PK\x03\x04 not really", "is damaged, incomplete or no PyTorch checkpoint"),
        (bytes(range(256)), "is damaged, incomplete or no PyTorch checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints(content, words, refusal, tmp_path):
    (tmp_path / "file.pth").write_bytes(content)
    assert words in refusal(tmp_path / "file.pth")


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"epoch": 3}, {"state": {0: torch.zeros(3)}}])
def test_files_without_named_tensors(content, refusal, tmp_path):
    assert "holds no named tensors" in refusal(saved(content, tmp_path / "file.pth"))


def plain(tensors):
    """Tensors as safetensors writes them: not views of one number."""
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", ["file.safetensors", "file.pth"])
def test_safetensors(name, originals, backbone, tmp_path):
    original = originals["r2plus1d_18"].state_dict()
    save_file(plain(prefixed("module.", original) | {"head": torch.zeros(1)}), tmp_path / name)
    report = load_backbone(backbone, tmp_path / name)
    assert (report.loaded, report.unused) == (222, {"head": 1})
    assert str(report.found) == "prefix 'module.', torchvision names"
    assert all(torch.equal(tensor, original[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize("mark", ["{", "<"])
def test_a_header_whose_size_reads_like_text(mark, refusal, tmp_path):
    size = 32 + (ord(mark) << 8)  # as bytes: a blank and the mark
    padding = size - len('{"__metadata__":{"a":""},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')
    header = f'{{"__metadata__":{{"a":"{"x" * padding}"}},"w":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}'
    (tmp_path / "file.pth").write_bytes(size.to_bytes(8, "little") + header.encode() + bytes(4))
    assert "Names in the file begin with: w (1)" in refusal(tmp_path / "file.pth")


@pytest.mark.parametrize("length", [4, 9, 1000, 1_000_000, -1])
def test_truncated_safetensors(length, hollow, refusal, tmp_path):
    path = tmp_path / "file.safetensors"
    save_file(plain(hollow["r3d_18"]), path)
    path.write_bytes(path.read_bytes()[:length])
    assert "is damaged, incomplete or no PyTorch checkpoint; download it again" in refusal(path)


def test_a_web_page_named_safetensors(refusal, tmp_path):
    (tmp_path / "file.safetensors").write_text("<!DOCTYPE html><html><title>404 Not Found</title></html>")
    assert "is a web page" in refusal(tmp_path / "file.safetensors")


@pytest.mark.parametrize("end", ["safetensors", "bin"])
def test_the_index_of_shards_is_explained(end, refusal, tmp_path):
    shards = [f"model-0000{number}-of-00002.{end}" for number in (1, 2)]
    index = {"metadata": {"total_size": 8}, "weight_map": {"a": shards[1], "b": shards[0], "c": shards[1]}}
    path = tmp_path / f"model.{end}.index.json"
    path.write_text(json.dumps(index))
    assert f"is only the index of a checkpoint in 2 files, {shards[0]}, {shards[1]}; merge their tensors" in refusal(
        path
    )


@pytest.mark.parametrize("content", ['{"a": 1}', '{"weight_map": [1]}', "{", '{"a":' * 100_000])
def test_other_json_is_no_checkpoint(content, refusal, tmp_path):
    (tmp_path / "file.json").write_text(content)
    assert "is text in braces (JSON?), not a checkpoint" in refusal(tmp_path / "file.json")


def test_a_shard_is_explained(hollow, refusal, tmp_path):
    names = list(hollow["r2plus1d_18"])[:100]
    path = tmp_path / "model-00001-of-00002.safetensors"
    save_file(plain({name: hollow["r2plus1d_18"][name] for name in names}), path)
    assert refusal(path).endswith("it is one of several files of a checkpoint; merge their tensors into one file.")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_is_explained_in_one_line(refusal, tmp_path, capfd):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "file.pt")
    capfd.readouterr()
    message = refusal(tmp_path / "file.pt")
    assert "is a TorchScript program; only weights are read" in message
    assert "torch.save(torch.jit.load(path).state_dict(), 'weights.pth')" in message
    assert capfd.readouterr() == ("", "")


def test_another_zip_is_explained(refusal, tmp_path):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("epoch_90.pth", b"weights")
    assert "is a zip, but not one of torch.save; it holds epoch_90.pth" in refusal(tmp_path / "file.zip")


def test_no_file_or_a_folder(refusal, tmp_path):
    assert "no such file" in refusal(tmp_path / "file.pth")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("layout", ["tclr", "gdt"])  # a zip and a legacy file
@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_truncated_files(layout, part, hollow, refusal, tmp_path):
    path = tmp_path / "file.pth"
    write_checkpoint(layout, path, hollow[backbone_of(layout)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert "is damaged, incomplete" in refusal(path, layout)


HARMLESS = [
    np.array([0.5, 0.7]),
    np.random.RandomState(0).get_state(),
    argparse.Namespace(output=Path("/runs/1"), began=datetime(2026, 1, 2), lasted=timedelta(hours=3)),
    torch.__version__,
]


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("beside", HARMLESS, ids=["array", "random state", "arguments", "version"])
def test_objects_beside_the_weights_are_not_read(beside, legacy, tmp_path):
    path = tmp_path / "file.pth"
    content = {"state_dict": {"weight": torch.ones(2)}, "beside": beside}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert read_checkpoint(path)["state_dict"]["weight"].tolist() == [1, 1]


class Runs:
    """Pickles to a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("legacy", [True, False])
def test_no_code_runs(legacy, hollow, refusal, tmp_path):
    for number, (dangerous, name) in enumerate(
        [
            (Runs(os.mkdir, str(tmp_path / "ran")), "posix.mkdir"),
            (Runs(eval, f"open({str(tmp_path / 'ran')!r}, 'w')"), "eval"),
            (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
            (io.StringIO("text"), "_io.StringIO"),
        ]
    ):
        path = tmp_path / f"{number}.pth"
        content = hollow["r2plus1d_18"] | {"extra": dangerous}
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        assert f"holds {name}, a type or function that could run code" in refusal(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["network", "lightning", "entry"])
def test_the_advice_on_a_pickled_file_gives_its_weights(kind, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = torch.nn.Linear(1, 1)
    lightning = {"state_dict": network.state_dict(), "hyper_parameters": Runs(eval, "1")}
    path = saved({"network": network, "lightning": lightning, "entry": {"model": network}}[kind], tmp_path / "a.pth")
    load, save, entry = refusal(path).partition(" alone: ")[2].split("; ")
    if kind == "entry":
        save = f"torch.save({entry.partition(': ')[2]}, 'weights.pth')"
    exec(f"{load}; {save}", {"torch": torch, "path": path})
    assert read_checkpoint("weights.pth").keys() == {"weight", "bias"}


def test_keys_do_not_reach_the_terminal_as_they_are(hollow, refusal, tmp_path):
    evil = "\x1b[2Jlayer1\n\x9b"
    state = hollow["r2plus1d_18"]
    for number, tensors in enumerate(
        [
            {evil: torch.zeros(1)},
            {evil + name: tensor for name, tensor in state.items() if name != "stem.0.weight"},
            state | {"stem.0.weight": torch.zeros(1), f"stem.{evil}": torch.zeros(1)},
        ]
    ):
        assert refusal(saved(tensors, tmp_path / f"{number}.pth")).isprintable()
    report = load_backbone(unset("r2plus1d_18"), saved(state | {evil: torch.zeros(1)}, tmp_path / "whole.pth"))
    assert str(report).isprintable()
    assert r"keys not used: '\x1b[2Jlayer1\n\x9b' (1)" in str(report)


def test_keys_that_read_like_our_words_are_in_quotes(hollow, refusal, tmp_path):
    state, evil = hollow["r2plus1d_18"], "none (0); error: disk full"
    report = load_backbone(unset("r2plus1d_18"), saved(state | {evil: torch.zeros(1)}, tmp_path / "whole.pth"))
    assert str(report).endswith(f"keys not used: '{evil}' (1)")
    whole = {f"{evil}.{name}": tensor for name, tensor in state.items()}
    assert f"entry '{evil}', prefix '{evil}.'" in refusal(saved({evil: whole, "b": dict(whole)}, tmp_path / "two.pth"))
    message = refusal(saved(state | {"stem.0.weight": torch.zeros(1), evil: torch.zeros(1)}, tmp_path / "part.pth"))
    assert f"Unexpected: '{evil}'." in message
    assert f"Names in the file begin with: '{evil}' (1)." in refusal(saved({evil: torch.zeros(1)}, tmp_path / "no.pth"))
    entries = {evil: {"a": torch.zeros(1)}}
    assert f"the file has '{evil}'." in refusal(saved(entries, tmp_path / "entry.pth"), "moco")


def test_messages_stay_short(hollow, refusal, tmp_path):
    state = hollow["r2plus1d_18"]
    many = {f"{'head' * 200}{chr(97 + i // 26)}{chr(97 + i % 26)}": torch.zeros(1) for i in range(500)}
    report = load_backbone(unset("r2plus1d_18"), saved(state | many, tmp_path / "whole.pth"))
    assert len(str(report)) < 6000
    assert "and 480 more" in str(report)
    shape = saved(state | {"stem.0.weight": torch.zeros(1).expand([1] * 5000)}, tmp_path / "shape.pth")
    assert len(refusal(shape)) < 2000


# Each of these ran for over a minute, or ended with a traceback.
def shared_dictionaries():
    content = {"weight": torch.zeros(1)}
    for _ in range(13):
        content = {f"key{number}": content for number in range(4)}
    return content


def cycle():
    content = {"weight": torch.zeros(1)}
    content["self"] = content
    return content


def deep():
    content = {"weight": torch.zeros(1)}
    for _ in range(30):
        content = {"key": content}
    return content


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (shared_dictionaries, "does not look like r2plus1d_18"),
        (cycle, "does not look like r2plus1d_18"),
        (deep, "holds 21 levels of dictionaries; expected at most 20. Save the backbone alone"),
        (lambda: {"a." * 3000 + "weight": torch.zeros(1)}, "holds 6,006 characters in a name; expected at most 1,000"),
        (lambda: {f"a{i}": torch.zeros(1).expand(1) for i in range(20_001)}, "holds 20,001 named tensors; expected at"),
        (lambda: {f"a{i}": {} for i in range(10_001)}, "holds 10,001 dictionaries; expected at most 10,000"),
    ],
    ids=["shared", "cycle", "deep", "dots", "tensors", "dictionaries"],
)
def test_nested_contents_cannot_hang_the_check(content, words, refusal, tmp_path):
    assert words in refusal(saved(content(), tmp_path / "file.pth"))


@pytest.mark.timeout(120)
def test_many_names_within_the_limits_cannot_hang_the_check(hollow, refusal, tmp_path):
    names = list(hollow["r2plus1d_18"])
    tensors = {f"{'a.' * (i % 400)}{names[i // 400]}": torch.tensor(0.5) for i in range(4000)}
    assert "does not look like r2plus1d_18" in refusal(saved(tensors, tmp_path / "file.pth"))


@pytest.mark.parametrize("asked", ["auto", "moco", "gdt"])
def test_one_dictionary_in_two_entries_is_no_ambiguity(asked, hollow, backbone, tmp_path):
    prefix = "" if asked == "auto" else LAYOUTS[asked].prefix
    tensors = prefixed(prefix, hollow["r2plus1d_18"])
    path = saved({"state_dict": tensors, "model": tensors, "copy": tensors}, tmp_path / "file.pth")
    assert load_backbone(backbone, path, asked).loaded == 222


def test_numbers_of_eight_bits_need_scales(hollow, refusal, tmp_path):
    tensors = hollow["r2plus1d_18"] | {"stem.1.weight": torch.ones(45).to(torch.float8_e4m3fn)}
    message = refusal(saved(tensors, tmp_path / "file.pth"))
    assert "stem.1.weight holds torch.float8_e4m3fn, expected torch.float32" in message


def test_numpys_numbers_are_harmless(hollow, backbone, tmp_path):
    content = {"best_score": np.float64(0.5), "state_dict": hollow["r2plus1d_18"]}
    load_backbone(backbone, saved(content, tmp_path / "file.pth"))


def test_the_published_methods_name_known_files_and_layouts():
    with (ROOT / "config" / "methods.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["recipe"] == "r2plus1d"]
    published = {name: file for name, file in FILES.items() if name != "tubelet_contrast"}
    assert {row["layout"]: row["checkpoint"] for row in rows[1:]} == published
    assert [row["label"] for row in rows][::10] == ["No pre-training", "Supervised"]
    assert all(row["backbone"] == backbone_of(row["method"]) for row in rows)
