import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from tests import formulas
from tests.full_disk import full_disk
from tests.models.test_heads import CLIP, EXPECTED, assert_close, described, load_formula_weights, settings
from tests.small_run import small_run, training
from trainer import config, resume
from trainer.errors import InputError
from trainer.models.network import build_model
from trainer.optimiser import build_optimiser, set_learning_rate

DECAY = {"ava": 1e-7, "charades": 1e-4}


@pytest.mark.long
@pytest.mark.xdist_group("published")  # one after the other, as each takes 6 GB
@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_two_published_steps(dataset):
    expected = json.loads((EXPECTED / f"{dataset}.json").read_text())["two_training_steps"]
    model = build_model(settings(), dataset, CLIP).double()
    load_formula_weights(model)
    model.head.dropout.p = 0
    optimiser = build_optimiser(model, training(weight_decay=DECAY[dataset]))
    set_learning_rate(optimiser, 0.05)
    clips = formulas.clips(expected["input_shape"])
    boxes = torch.tensor(expected["boxes"]).double() if dataset == "ava" else None
    for factor, loss_expected in zip((1, 1.5), expected["losses"], strict=True):
        logits = model(factor * clips, boxes)
        targets = formulas.labels(*logits.shape)
        loss = binary_cross_entropy_with_logits(logits, targets)
        if dataset == "ava":
            # The published loss is of probabilities: the same number, but where a probability rounds to 0 or 1 it has
            # no gradient, and these weights make such. Ours has, so the steps are taken with the published one here.
            published = binary_cross_entropy(logits.sigmoid(), targets)
            torch.testing.assert_close(loss, published, rtol=1e-4, atol=0)
            loss = published
        assert loss.item() == pytest.approx(loss_expected, rel=1e-4)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    state = {name.removeprefix("backbone.").removeprefix("head."): t for name, t in model.state_dict().items()}
    for name, after in expected["after"].items():
        numbers = [after["mean"], after["std"], after["absmax"], *after["values_at_floor(i*numel/8)"]]
        # Looser than an output: of gradients' many maxima and ReLUs, rounding flips some.
        assert_close(described(state[name], 8), numbers, tolerance=5e-4)


def train(path, *options, **kwargs):
    """Run the trainer as a user does; returns the finished process."""
    command = [sys.executable, "-m", "trainer.train", "--config", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


def weights(path):
    return torch.load(path.parent / "model.pth", weights_only=True)["model"]


def assert_same_weights(one, other):
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# A group runs in one process, which trains its run once.
RUNS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("ava", "charades")]


@pytest.fixture(scope="module", params=RUNS)
def finished(request, tmp_path_factory):
    """A small run of each dataset, trained without a stop."""
    precise = {"precise_bn_batches": 2} if request.param == "charades" else {}
    path = small_run(tmp_path_factory.mktemp(request.param), request.param, **precise)
    done = train(path)
    assert done.returncode == 0, done.stderr
    return path, request.param, precise


def test_outputs(finished):
    path, dataset, _ = finished
    history = pd.read_csv(path.parent / "history.csv")
    steps = 3 if dataset == "ava" else 1  # 12 key frames or 6 videos in batches of 4
    assert list(history.epoch) == [1, 2, 3]
    assert list(history.step) == [steps, 2 * steps, 3 * steps]
    assert history.loss.notna().all()
    assert list(history["mAP"].notna()) == [False, True, True]
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["videos_trained"] == 6
    assert summary["parameters"] == sum(
        t.numel() for n, t in weights(path).items() if "running" not in n and "num" not in n
    )
    assert list((path.parent / "tensorboard").iterdir())
    resume_path = path.parent / "resume.pth"
    saved = torch.load(resume_path, weights_only=True)
    saved["progress"]["environment"]["processor"] = "another machine"
    torch.save(saved, resume_path)
    again = train(path)  # as when a job's outputs were deleted because it ended past its time limit
    assert "going on after epoch 3 and 0 steps" in again.stderr
    assert json.loads((path.parent / "environment.json").read_text())["processor"] == "another machine"


NO_HARD_LINKS = """
import errno, os, runpy
def refuse(*_):
    raise OSError(errno.EPERM, "Operation not permitted")
os.link = refuse
runpy.run_module("trainer.train", run_name="__main__")
"""


@pytest.mark.parametrize("finished", RUNS[1:], indirect=True)
def test_outputs_on_a_file_system_without_hard_links(finished):
    path, _, _ = finished
    trained, model = weights(path), path.parent / "model.pth"
    model.unlink()
    command = [sys.executable, "-c", NO_HARD_LINKS, "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert model.stat().st_nlink == 1
    assert_same_weights(trained, weights(path))


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path):
    run, model, saved = config.load(small_run(tmp_path, "charades")), nn.Linear(100, 100), tmp_path / "resume.pth"
    resume.save(saved, run, model, resume.Progress())
    before = saved.read_bytes()
    with full_disk(at=10_000), pytest.raises(InputError, match=r"resume\.pth: the disk is full .*make room"):
        resume.save(saved, run, model, resume.Progress())
    assert saved.read_bytes() == before


def test_stopped_run_ends_with_the_same_weights(finished, tmp_path):
    path, dataset, precise = finished
    how = signal.SIGKILL if dataset == "ava" else signal.SIGTERM
    again = small_run(tmp_path, dataset, machine={"save_minutes": 1e-6, "workers": 1}, **precise)
    stopped = subprocess.Popen([sys.executable, "-m", "trainer.train", "--config", again], start_new_session=True)
    while not (tmp_path / "resume.pth").exists():
        assert stopped.poll() is None
        time.sleep(0.001)
    os.killpg(stopped.pid, how)
    assert stopped.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not (tmp_path / "model.pth").exists()
    resumed = train(again)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after epoch" in resumed.stderr
    assert_same_weights(weights(path), weights(again))
    numbers = ["epoch", "step", "rate", "loss", "mAP"]
    assert pd.read_csv(path.parent / "history.csv")[numbers].equals(pd.read_csv(tmp_path / "history.csv")[numbers])


def test_two_ranks_train_as_one(finished, tmp_path):
    path, dataset, precise = finished
    both = small_run(tmp_path, dataset, **precise)
    done = train(both, "--gpus", "3")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("3 GPUs given, 2 used: they must divide training: shares 2") == 1
    for name, tensor in weights(both).items():
        torch.testing.assert_close(tensor, weights(path)[name], rtol=1e-3, atol=1e-4, msg=name)
    one, two = (pd.read_csv(folder / "history.csv") for folder in (path.parent, tmp_path))
    assert one.loss.to_numpy() == pytest.approx(two.loss.to_numpy(), rel=1e-4)


def test_what_took_gpu_hours_is_not_thrown_away(tmp_path):
    path, model = small_run(tmp_path, "charades"), nn.Linear(2, 2)
    run, saved = config.load(path), tmp_path / "resume.pth"
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    begun = resume.Progress(epoch=1, environment={"gpus": ["a GPU"]})
    resume.save(saved, run, model, begun, optimiser)

    def load(run):
        return resume.load(saved, run, model, optimiser, "cpu")

    assert load(run) == begun
    shutil.copytree(tmp_path, tmp_path / "elsewhere")
    moved = {
        key: value and value.replace(str(tmp_path), f"{tmp_path}/elsewhere") for key, value in asdict(run.data).items()
    }
    moved_frames = Path(moved["frames"])
    moved_frames.write_text(moved_frames.read_text().replace(str(tmp_path), f"{tmp_path}/elsewhere"))
    assert load(replace(run, data=config.Data(**moved), machine=replace(run.machine, workers=3))) == begun

    before = saved.read_bytes()
    other = replace(run, model=replace(run.model, dropout=0.25))
    with pytest.raises(
        InputError, match=r"resume\.pth: holds 1 epochs trained on GPUs with other settings, files or code"
    ):
        load(other)
    assert saved.read_bytes() == before
    resume.save(saved, run, model, replace(begun, environment={}), optimiser)
    assert load(other) == resume.Progress()


def test_other_code_goes_on_with_nothing_but_what_is_finished(tmp_path, monkeypatch):
    run, model = config.load(small_run(tmp_path, "charades")), nn.Linear(2, 2)
    finished, begun = (resume.Progress(epoch=epoch) for epoch in (run.training.epochs, 1))
    for progress in finished, begun:
        resume.save(tmp_path / "resume.pth", run, model, progress)
        with monkeypatch.context() as patch:
            patch.setattr(resume, "code", lambda: "other code")
            found = resume.load(tmp_path / "resume.pth", run, model, None, "cpu")
        assert found == (finished if progress == finished else resume.Progress())


def test_other_settings_or_files_start_anew(tmp_path):
    path = small_run(tmp_path, "charades", epochs=1, precise_bn_batches=1)  # one step moves running averages too little
    (tmp_path / "resume.pth").write_bytes(b"")
    torch.save({"identity": "another run", "progress": {}}, tmp_path / "resume.pth")
    done = train(path)
    assert done.returncode == 0, done.stderr
    assert "of a run with other settings" in done.stderr

    assert "going on after epoch 1" in train(path).stderr
    listed = tmp_path / "list.csv"
    listed.write_text(listed.read_text().replace("10-39", "10-38"))  # as after a change of the workflow's config
    assert "of a run with other settings, files or code" in train(path).stderr


def test_loss_that_is_no_number_stops_the_run(tmp_path):
    path = small_run(tmp_path, "charades", base_lr=1e30, warmup_start_lr=1e30)
    done = train(path)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("error: the loss is nan at epoch")
    assert "rate 1e+30" in message
    assert "video" in message
    assert not (tmp_path / "model.pth").exists()


def test_wrong_checkpoint_fails_before_data_is_read(tmp_path):
    checkpoint = tmp_path / "half.pth"
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, checkpoint)
    path = small_run(tmp_path, "charades", checkpoint=str(checkpoint))
    Path(tmp_path / "list.csv").unlink()
    done = train(path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error:")
    assert "half.pth" in done.stderr
