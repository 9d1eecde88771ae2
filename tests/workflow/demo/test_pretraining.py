"""The demo's checkpoints are stages of real trainings."""

import zipfile

import numpy as np
import pytest
import torch

from tests.helpers.positive_control import METHODS
from trainer.models.backbones import build_backbone
from trainer.models.checkpoints import load_backbone
from workflow.demo import mirror, pretraining
from workflow.demo.checkpoints import FILES
from workflow.demo.mirror import ARCHIVED, build_demo_checkpoints


def test_each_checkpoint_has_another_length_and_supervised_the_longest():
    assert {*pretraining.PRETRAINING} == {*ARCHIVED, "supervised", "videomae"}
    steps = {method: pretraining.PRETRAINING[method][1] for method in METHODS[1:]}
    assert len(set(steps.values())) == len(steps) and max(steps, key=steps.get) == "supervised"


def test_batches_show_all_actions_and_differ():
    rng = np.random.default_rng(0)
    (clips, actions), (others, _) = pretraining.draw_batch(rng), pretraining.draw_batch(rng)
    assert clips.shape == (pretraining.BATCH, 3, pretraining.FRAMES, pretraining.CROP, pretraining.CROP)
    assert clips.abs().max() < 3 and 0.5 < clips.std() < 2
    assert set(actions.tolist()) <= set(range(8)) and len(set(actions.tolist())) > 4
    assert not torch.equal(clips, others)
    assert (clips[:, :, 0] != clips[:, :, -1]).flatten(1).any(dim=1).sum() > pretraining.BATCH / 2  # most of them move


@pytest.mark.long
def test_states_are_of_one_training(monkeypatch):
    monkeypatch.setattr(pretraining, "BATCH", 2)
    states = pretraining.pretrain("r2plus1d_18", [2, 1], seed=0)
    assert list(states) == [1, 2]
    assert states[2]["stem.1.num_batches_tracked"] == 2 and states[1]["stem.1.num_batches_tracked"] == 1
    build_backbone("r2plus1d_18").load_state_dict(states[2])
    assert not torch.equal(states[1]["stem.0.weight"], states[2]["stem.0.weight"])
    [again] = pretraining.pretrain("r2plus1d_18", [1], seed=0).values()
    assert all(torch.equal(again[name], tensor) for name, tensor in states[1].items())


@pytest.mark.long
def test_the_files_hold_the_stages(tmp_path, monkeypatch):
    steps = {"moco": 1, "tclr": 1, "supervised": 2, "videomae": 1}
    backbones = {layout: pretraining.PRETRAINING[layout][0] for layout in steps}
    monkeypatch.setattr(pretraining, "BATCH", 2)
    monkeypatch.setattr(pretraining, "PRETRAINING", {layout: (backbones[layout], steps[layout]) for layout in steps})
    monkeypatch.setattr(mirror, "ARCHIVED", ("moco", "tclr"))
    files = FILES | {"videomae": "videomae.pth"}
    build_demo_checkpoints(*(tmp_path / name for name in ("all.zip", files["supervised"], files["videomae"])), seed=0)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        for member in archive.infolist():
            (tmp_path / member.filename.split("/")[-1]).write_bytes(archive.read(member))
    for layout, backbone in backbones.items():
        loaded = build_backbone(backbone)
        load_backbone(loaded, str(tmp_path / files[layout]), layout)
        assert loaded.state_dict().get("stem.1.num_batches_tracked", 1) == steps[layout]
        [expected] = pretraining.pretrain(backbone, [steps[layout]], seed=0).values()
        for name, tensor in loaded.state_dict().items():
            saved_as_it_is = name == "pos_embed" or not tensor.is_floating_point()
            assert torch.equal(tensor, expected[name] if saved_as_it_is else expected[name].half().float()), name
