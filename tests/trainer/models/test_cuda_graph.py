"""Which runs train by CUDA graphs; tests/gpu checks what these compute."""

from dataclasses import replace

import pytest

from tests.helpers.published_model import run_of
from trainer.models.cuda_graph import capture_pays


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
