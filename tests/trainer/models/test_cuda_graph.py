"""Which runs train by CUDA graphs, and what surrounds a capture; tests/gpu checks what graphs compute."""

import gc
import weakref
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from tests.helpers.published_model import run_of
from trainer.models.backbones import BACKBONES
from trainer.models.cuda_graph import capture, capture_pays


def on_gpu(backbone, precision="bfloat16", **machine):
    run = run_of("ava", backbone)
    training, machine = replace(run.training, precision=precision), replace(run.machine, device="cuda", **machine)
    return replace(run, training=training, machine=machine)


@pytest.mark.parametrize(
    ("run", "pays"),
    [
        (on_gpu("r2plus1d_18"), True),
        (on_gpu("vit_b_16"), True),
        (on_gpu("r2plus1d_18", activation_checkpointing=True), True),  # which only transformers do
        (on_gpu("vit_b_16", activation_checkpointing=True), False),
        (on_gpu("r2plus1d_18", precision="tf32"), False),
        (on_gpu("r2plus1d_18", world_size=2), False),
        (run_of("ava"), False),
    ],
)
def test_passes_are_captured_where_it_pays(run, pays):
    assert capture_pays(run) is pays


@pytest.mark.parametrize(
    ("record", "machine", "pays"),
    [
        ({"capturable": False}, {}, False),
        ({"takes": ("recompute",)}, {"activation_checkpointing": True}, False),
        ({"depth": 12}, {"activation_checkpointing": True}, True),
    ],
)
def test_the_record_says_whether_passes_can_be_captured(monkeypatch, record, machine, pays):
    monkeypatch.setitem(BACKBONES, "r3d_18", replace(BACKBONES["r3d_18"], **record))
    assert capture_pays(on_gpu("r3d_18", **machine)) is pays


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_garbage_is_collected_before_a_capture_and_not_during_it(error, monkeypatch):
    network, states = nn.Sequential(OrderedDict(backbone=nn.BatchNorm3d(3))), []
    garbage = nn.Linear(1, 1)
    garbage.forward = partial(lambda module: None, garbage)  # a cycle
    garbage = weakref.ref(garbage)

    def make_graphed_callables(_module, _clips):
        states.append((garbage() is None, gc.isenabled()))
        if error:
            raise error

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make_graphed_callables)
    with suppress(RuntimeError):
        capture(network, run_of("ava"), torch.device("cpu"))
    assert states == [(True, False)]
    assert gc.isenabled()
