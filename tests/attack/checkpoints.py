"""Checkpoints of others, and those by which a run resumes and predicts."""

import json
import pickle
import subprocess
from dataclasses import replace

import numpy as np
import safetensors.torch
import torch
from torch import nn

from tests.attack import samples
from tests.attack.damage import (
    ANY_FILE,
    Damage,
    content,
)
from tests.attack.samples import (
    zip_of,
)
from tests.attack.tries import Reader
from tests.helpers.published_model import run_of
from tests.helpers.small_run import small_run
from trainer import checkpointing, config
from trainer.checkpointing import TrainingState
from trainer.distributed.process_group import ProcessGroup
from trainer.models import inspect
from trainer.models.backbones import BACKBONES, Backbone
from trainer.models.checkpoints import load_backbone
from trainer.models.network import build_model
from trainer.predict import predict


def tiny_backbone():
    torch.manual_seed(0)
    backbone = nn.Sequential()
    backbone.add_module("stem", nn.Sequential(nn.Conv3d(3, 4, 3, padding=1, bias=False), nn.BatchNorm3d(4), nn.ReLU()))
    backbone.add_module(
        "layer1", nn.Sequential(nn.Conv3d(4, 8, 3, padding=1, bias=False), nn.BatchNorm3d(8), nn.ReLU())
    )
    return backbone


BACKBONES["tiny"] = Backbone(tiny_backbone, 8, 1, 1, "r2plus1d")


def make_checkpoints(folder):
    state = tiny_backbone().state_dict()
    whole = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(whole, folder / "zip.pth")
    torch.save(whole, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, folder / "weights.safetensors")


def loaded(name):
    def read(folder):
        backbone = tiny_backbone()
        for tensor in backbone.state_dict().values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
        load_backbone(backbone, folder / name)
        return backbone.state_dict()

    return read


def inspected(name):
    def read(folder):
        inspect.main([str(folder / name), "--backbone", "tiny"])
        return "fits"

    return read


def _saved(change, **options) -> Damage:
    """Return the damage that saves other content; ``change`` is of the state dict."""

    def apply(path):
        path.unlink()
        torch.save(change(tiny_backbone().state_dict()), path, **options)

    return apply


def _one(value):
    def change(state):
        state["layer1.0.weight"] = value(state["layer1.0.weight"])
        return state

    return change


def _nested(depth):
    def change(state):
        for _ in range(depth):
            state = {"a": state}
        return state

    return change


def _shared(depth):
    def change(state):
        for _ in range(depth):
            state = {"a": state, "b": state}
        return state

    return change


class _Evil:
    def __reduce__(self):
        return (subprocess.call, (["touch", str(samples.CACHE / "hacked")],))


def _scripted(path):
    path.unlink()
    torch.jit.script(tiny_backbone()).save(str(path))


def _raw_pickle(code) -> Damage:
    """Return the damage that puts a program for the unpickler into a file like torch.save's."""
    files = {"a/data.pkl": b"\x80\x02" + code + b".", "a/version": b"3\n", "a/byteorder": b"little"}
    return lambda path: zip_of(path, files)


def _pickled(value) -> Damage:
    def apply(path):
        path.unlink()
        path.write_bytes(pickle.dumps(value, protocol=2))

    return apply


def _in_itself(state):
    state["self"] = state
    return state


CHECKPOINT: dict[str, Damage] = {
    "code": _saved(lambda state: state | {"x": _Evil()}),
    "code, pickled": _pickled(_Evil()),
    "code in a set": _pickled({"a": {_Evil()}}),
    "TorchScript": _scripted,
    "NaN": _saved(_one(lambda tensor: tensor.fill_(float("nan")))),
    "infinity": _saved(_one(lambda tensor: tensor.fill_(float("inf")))),
    "another shape": _saved(_one(lambda tensor: tensor[:, :1])),
    "whole numbers": _saved(_one(lambda tensor: tensor.long())),
    "complex numbers": _saved(_one(lambda tensor: tensor.to(torch.complex64))),
    "a sparse tensor": _saved(_one(lambda tensor: tensor.to_sparse())),
    "a meta tensor": _saved(_one(lambda tensor: tensor.to("meta"))),
    "a list for a tensor": _saved(_one(lambda tensor: tensor.tolist())),
    "a tensor lacks": _saved(lambda state: {name: state[name] for name in list(state)[1:]}),
    "a tensor expanded to 2^60": _saved(_one(lambda tensor: torch.zeros(1).expand(1 << 30, 1 << 30))),
    "half precision": _saved(_one(lambda tensor: tensor.half().float().half())),
    "an optimizer only": _saved(lambda state: {"optimizer": {"state": {0: {"m": state["stem.0.weight"]}}}}),
    "a list": _saved(lambda state: list(state.values())),
    "a tensor": _saved(lambda state: state["stem.0.weight"]),
    "text": _saved(lambda _: "no weights"),
    "nothing": _saved(lambda _: None),
    "an empty mapping": _saved(lambda _: {}),
    "200 nested mappings": _saved(_nested(200)),
    "100,000 nested lists": _raw_pickle(b"]" * 100_000 + b"a" * 99_999),
    "100,000 nested mappings": _raw_pickle(b"}X\1\0\0\0a" * 100_000 + b"}" + b"s" * 100_000),
    "25 levels of shared mappings": _saved(_shared(25)),
    "keys of 3,000 dots": _saved(lambda state: {"." * 3000 + name: tensor for name, tensor in state.items()}),
    "50,000 other keys": _saved(lambda state: {f"other.{i}.weight": torch.zeros(()) for i in range(50_000)}),
    "keys with escape codes": _saved(
        lambda state: {f"\x1b[2J\n\rerror: disk full {name}": t for name, t in state.items()}
    ),
    "a key of 1 MB": _saved(lambda state: {"x" * 1_000_000: torch.zeros(2)}),
    "numbers as keys": _saved(lambda state: dict(enumerate(state.values()))),
    "two backbones": _saved(lambda state: {"a": state, "b": state}),
    "a mapping in itself": _saved(_in_itself),
    "a zip of other files": lambda path: zip_of(path, {"a.txt": b"x"}),
    "pickle protocol 5": lambda path: (path.unlink(), path.write_bytes(pickle.dumps({"a": 1}, protocol=5))),
    "an index of shards": content(lambda _: json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()),
}


def _header(change):
    """Return the damage that changes the JSON header of a .safetensors file."""

    def apply(whole):
        size = int.from_bytes(whole[:8], "little")
        header = change(whole[8 : 8 + size])
        return len(header).to_bytes(8, "little") + header + whole[8 + size :]

    return content(apply)


SAFETENSORS: dict[str, Damage] = {
    "a header of 2^63 bytes": content(lambda whole: (1 << 63).to_bytes(8, "little") + whole[8:]),
    "a header that is no JSON": _header(lambda header: b"{" + b"x" * (len(header) - 1)),
    "a deep header": _header(lambda _: b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "an unknown type": _header(lambda header: header.replace(b"F32", b"F99")),
    "offsets beyond the file": _header(lambda header: header.replace(b'"data_offsets":[', b'"data_offsets":[9')),
    "a negative shape": _header(lambda header: header.replace(b'"shape":[', b'"shape":[-', 1)),
    "a .pth in its place": _saved(lambda state: state),
}


def make_resume(folder):
    """Write a run that was interrupted, its last two checkpoints and, as if it had ended, its model."""
    path = small_run(folder, "charades")
    path.write_text(path.read_text().replace("r2plus1d_18", "tiny"))
    run, model = config.load(path), _model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for epoch in 1, 2:
        checkpointing.save(folder / "resume.pth", run, model, TrainingState(epoch=epoch), optimizer)


def _model():
    torch.manual_seed(0)
    run = run_of("charades", "tiny")
    return build_model(replace(run, clip=replace(run.clip, num_frames=8, crop=16)))


def resumed(folder):
    run, model = config.load(folder / "config.yaml"), _model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    state = checkpointing.load(folder / "resume.pth", run, model, optimizer)
    return state, model.state_dict()


def resumed_from_one(folder):
    """Resume from whichever of two checkpoints is whole."""
    state, weights = resumed(folder)
    assert state.epoch in (1, 2), state
    return len(weights)


def make_last_resume(folder):
    make_resume(folder)
    checkpointing.previous(folder / "resume.pth").unlink()


def make_model(folder):
    make_last_resume(folder)
    (folder / "resume.pth").rename(folder / "model.pth")


def predicted(folder):
    predict(config.load(folder / "config.yaml"), folder, ProcessGroup(0, 1, torch.device("cpu")))
    with np.load(folder / "predictions.npz") as arrays:
        return [arrays[name] for name in ("score", "video", "target")]


def _resaved(change) -> Damage:
    def apply(path):
        saved = torch.load(path, weights_only=True)
        torch.save(change(saved), path)

    return apply


RESUME: dict[str, Damage] = {
    "code": _resaved(lambda saved: saved | {"x": _Evil()}),
    "a list": _resaved(lambda saved: [1]),
    "a mapping without content": _resaved(lambda saved: {}),
    "state of other keys": _resaved(lambda saved: saved | {"state": {"other": 1}}),
    "state is a list": _resaved(lambda saved: saved | {"state": [1, 2]}),
    "state lacks": _resaved(lambda saved: {key: value for key, value in saved.items() if key != "state"}),
    "epoch is text": _resaved(lambda saved: saved | {"state": saved["state"] | {"epoch": "x"}}),
    "epoch is -1": _resaved(lambda saved: saved | {"state": saved["state"] | {"epoch": -1}}),
    "weights lack": _resaved(lambda saved: {key: value for key, value in saved.items() if key != "model"}),
    "a tensor lacks": _resaved(lambda saved: saved | {"model": dict(list(saved["model"].items())[1:])}),
    "a tensor of another shape": _resaved(
        lambda saved: saved | {"model": saved["model"] | {next(iter(saved["model"])): torch.zeros(3)}}
    ),
    "the optimizer lacks": _resaved(lambda saved: {key: value for key, value in saved.items() if key != "optimizer"}),
    "an optimizer of another network": _resaved(
        lambda saved: saved | {"optimizer": torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.1).state_dict()}
    ),
}


READERS = [
    *(
        Reader(f"{how.__name__} {name}", (name,), make_checkpoints, how(name), ANY_FILE | CHECKPOINT | own)
        for name, own in {"zip.pth": {}, "legacy.pth": {}, "weights.safetensors": SAFETENSORS}.items()
        for how in ((loaded, inspected) if name == "zip.pth" else (loaded,))
    ),
    Reader("resume.pth", ("resume.pth",), make_last_resume, resumed, ANY_FILE | RESUME),
    Reader(
        "resume.pth with another",
        ("resume.pth", "resume.previous.pth"),
        make_resume,
        resumed_from_one,
        ANY_FILE | RESUME,
    ),
    Reader("model.pth", ("model.pth",), make_model, predicted, ANY_FILE | RESUME, outputs=("predictions.npz",)),
]
