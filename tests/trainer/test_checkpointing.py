"""Resume checkpoints: which runs resume from them, and what full disks and SIGTERM do."""

import errno
import fcntl
import os
import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.full_disk import full_disk
from tests.helpers.small_run import small_run
from trainer import checkpointing, config
from trainer.checkpointing import PreemptionHandler, TrainingState
from trainer.distributed.lifetime import STOP_SIGNALS, Stopped, handle_signals
from trainer.utils.errors import InputError


def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(tmp_path):
    run, model, saved = config.load(small_run(tmp_path, "charades")), nn.Linear(100, 100), tmp_path / "resume.pth"
    checkpointing.save(saved, run, model, TrainingState())
    before = saved.read_bytes()
    with full_disk(at=10_000), pytest.raises(InputError, match=r"resume\.pth: the disk is full .*make room"):
        checkpointing.save(saved, run, model, TrainingState())
    assert saved.read_bytes() == before


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    message = rf"^{tmp_path}: its file system supports no POSIX locks \(Function not implemented\); write results to "
    with pytest.raises(InputError, match=message), checkpointing.exclusive_run(tmp_path):
        pass


def test_epochs_trained_on_gpus_are_not_discarded(tmp_path):
    path, model = small_run(tmp_path, "charades"), nn.Linear(2, 2)
    run, saved = config.load(path), tmp_path / "resume.pth"
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    begun = TrainingState(epoch=1, jobs=[{"gpus": ["a GPU"]}])
    checkpointing.save(saved, run, model, begun, optimizer)

    def load(run):
        return checkpointing.load(saved, run, model, optimizer)

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
    message = r"resume\.pth: holds 1 epochs trained on GPUs with other settings, .*\. Restore these to resume it;"
    with pytest.raises(InputError, match=message):
        load(other)
    assert saved.read_bytes() == before
    checkpointing.save(saved, run, model, replace(begun, jobs=[]), optimizer)
    assert load(other) == TrainingState()


def test_other_code_resumes_only_finished_runs(tmp_path, monkeypatch):
    run, model = config.load(small_run(tmp_path, "charades")), nn.Linear(2, 2)
    finished, begun = (TrainingState(epoch=epoch) for epoch in (run.training.epochs, 1))
    for state in finished, begun:
        checkpointing.save(tmp_path / "resume.pth", run, model, state)
        with monkeypatch.context() as patch:
            patch.setattr(checkpointing, "code_fingerprint", lambda dataset: "other code")
            found = checkpointing.load(tmp_path / "resume.pth", run, model, None)
        assert found == (finished if state == finished else TrainingState())


@pytest.fixture
def signal_handlers():
    """Restore the handlers of signals after a test."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_saves_and_ends_the_run_between_steps(signal_handlers, number):
    saves = []
    handler = PreemptionHandler(1000, lambda: None, lambda: saves.append("saved"), is_main=True)
    handler.checkpoint_if_due()
    assert not saves
    signal.raise_signal(number)
    assert not saves  # the step under way goes on
    with pytest.raises(Stopped) as stopped:
        handler.checkpoint_if_due()
    assert (saves, stopped.value.number, stopped.value.saved) == (["saved"], number, True)


def test_a_signal_that_nohup_ignores_stays_ignored(signal_handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handle_signals(signal.default_int_handler)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler


def test_checkpoints_are_saved_in_intervals():
    saves = []
    PreemptionHandler(1000, lambda: None, lambda: saves.append("saved"), is_main=False).checkpoint_if_due()
    assert not saves
    handler = PreemptionHandler(0, lambda: None, lambda: saves.append("saved"), is_main=False)
    handler.checkpoint_if_due()
    handler.checkpoint_if_due()
    assert saves == ["saved", "saved"]


def test_a_failed_step_is_not_saved(signal_handlers):
    """Steps that the device still computes are waited for before a save, also upon a signal."""

    def fail():
        raise InputError("the loss is nan")

    saves = []
    for minutes, stop in (0, False), (1000, True):
        handler = PreemptionHandler(minutes, fail, lambda: saves.append("saved"), is_main=True)
        if stop:
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(InputError, match="the loss is nan"):
            handler.checkpoint_if_due()
    assert not saves


def save_changed(path, run, change):
    """Save a checkpoint of ``run``, changed."""
    model = nn.Linear(2, 2)
    checkpointing.save(path, run, model, TrainingState(epoch=1), torch.optim.SGD(model.parameters(), 0.1))
    checkpointing.previous(path).unlink(missing_ok=True)
    torch.save(change(torch.load(path)), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: [saved],
        lambda saved: saved | {"state": {"other": 1}},
        lambda saved: saved | {"state": {"epoch": "x"}},
        lambda saved: saved | {"state": {"epoch": -1}},
    ],
)
def test_a_checkpoint_of_another_content_is_damaged(tmp_path, change):
    run, path, model = config.load(small_run(tmp_path, "charades")), tmp_path / "resume.pth", nn.Linear(2, 2)
    save_changed(path, run, change)
    with pytest.raises(InputError, match=f"^{path}: damaged; delete the file to train from the start"):
        checkpointing.load(path, run, model, torch.optim.SGD(model.parameters(), 0.1))


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: {key: value for key, value in saved.items() if key != "model"},
        lambda saved: saved | {"model": {"weight": torch.zeros(2, 2)}},
        lambda saved: saved | {"model": nn.Linear(2, 3).state_dict()},
        lambda saved: saved | {"optimizer": torch.optim.SGD(nn.PReLU().parameters(), 0.1).state_dict()},
    ],
)
def test_weights_of_another_network_are_named(tmp_path, change):
    run, path, model = config.load(small_run(tmp_path, "charades")), tmp_path / "resume.pth", nn.Linear(2, 2)
    save_changed(path, run, change)
    with pytest.raises(InputError, match=f"^{path}: not weights of this run's network .*; delete it to train again"):
        checkpointing.load(path, run, model, torch.optim.SGD(model.parameters(), 0.1))
