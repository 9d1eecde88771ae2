"""Resume checkpoints: whose they are, what invalidates them, and what a full disk does to them."""

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
from trainer.checkpointing import PreemptionHandler, TrainingState, code_fingerprint, run_fingerprint
from trainer.utils.errors import InputError

TRAINER = Path(checkpointing.__file__).parent


def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(tmp_path):
    run, model, saved = config.load(small_run(tmp_path, "charades")), nn.Linear(100, 100), tmp_path / "resume.pth"
    checkpointing.save(saved, run, model, TrainingState())
    before = saved.read_bytes()
    with full_disk(at=10_000), pytest.raises(InputError, match=r"resume\.pth: the disk is full .*make room"):
        checkpointing.save(saved, run, model, TrainingState())
    assert saved.read_bytes() == before


def test_epochs_trained_on_gpus_are_not_discarded(tmp_path):
    path, model = small_run(tmp_path, "charades"), nn.Linear(2, 2)
    run, saved = config.load(path), tmp_path / "resume.pth"
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    begun = TrainingState(epoch=1, environment={"gpus": ["a GPU"]})
    checkpointing.save(saved, run, model, begun, optimizer)

    def load(run):
        return checkpointing.load(saved, run, model, optimizer, "cpu")

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
    message = r"resume\.pth: holds 1 epochs trained on GPUs with other settings, files or code; delete it"
    with pytest.raises(InputError, match=message):
        load(other)
    assert saved.read_bytes() == before
    checkpointing.save(saved, run, model, replace(begun, environment={}), optimizer)
    assert load(other) == TrainingState()


def test_other_code_resumes_only_finished_runs(tmp_path, monkeypatch):
    run, model = config.load(small_run(tmp_path, "charades")), nn.Linear(2, 2)
    finished, begun = (TrainingState(epoch=epoch) for epoch in (run.training.epochs, 1))
    for state in finished, begun:
        checkpointing.save(tmp_path / "resume.pth", run, model, state)
        with monkeypatch.context() as patch:
            patch.setattr(checkpointing, "code_fingerprint", lambda dataset: "other code")
            found = checkpointing.load(tmp_path / "resume.pth", run, model, None, "cpu")
        assert found == (finished if state == finished else TrainingState())


def test_files_of_a_run_belong_to_its_fingerprint(tmp_path):
    run = config.load(small_run(tmp_path, "charades"))
    before = run_fingerprint(run)
    for name in ("list.csv", "frames.npy"):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-2] + b"7" + content[-1:])
        run_fingerprint.cache_clear()
        assert run_fingerprint(run) != before, name
        path.write_bytes(content)
    run_fingerprint.cache_clear()
    assert run_fingerprint(run) == before


@pytest.fixture
def code(tmp_path):
    """Return a function: the fingerprint of a copy of the trainer after a replacement in one of its files."""
    shutil.copytree(TRAINER, tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__"))

    def fingerprint(name, old, new, dataset="ava"):
        path = tmp_path / "trainer" / name
        text = path.read_text()
        assert old in text, f"{name}: {old!r} is not in it any more; name another text of the file"
        path.write_text(text.replace(old, new))
        changed = code_fingerprint.__wrapped__(dataset, tmp_path / "trainer")
        path.write_text(text)
        return changed

    return fingerprint


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("optim.py", '"""SGD and', '"""Another word about SGD and'),  # of a module
        ("optim.py", '    """Set the learning rate', '    """Set the rate'),  # of a function
        ("optim.py", "fused=True,  #", "fused=True,  # really:"),
        ("optim.py", "    for group in", "\n    for group in"),
        ("train.py", '"epoch %d/%d  validation mAP', '"epoch %d of %d  validation mAP'),
        ("train.py", "look at their ", "see their "),  # of an error
        ("models/backbones.py", '"unknown backbone', '"no such backbone'),
    ],
)
def test_words_are_not_in_the_code_fingerprint(code, name, old, new):
    assert code(name, old, new) == code_fingerprint("ava")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("optim.py", "nesterov=training.momentum > 0", "nesterov=False"),
        ("train.py", "optimizer.zero_grad()", "pass"),
        ("train.py", "if part == 0 else", "if part == 1 else"),
        ("tasks/ava.py", "resolution = 7", "resolution = 14"),
        ("data/ava_lists.py", "int(action) - 1", "int(action) - 2"),
        ("data/transforms.py", "< 0.5", "< 0.4"),
        ("data/loaders.py", "div(255)", "div(256)"),
        ("models/backbones.py", "module.eps = bn_eps", "pass"),
    ],
)
def test_statements_are_in_the_code_fingerprint(code, name, old, new):
    assert code(name, old, new) != code_fingerprint("ava")


def test_the_code_fingerprint_is_that_of_a_dataset(code):
    change = ("tasks/charades.py", "room = available - span", "room = available")
    assert code(*change, dataset="charades") != code_fingerprint("charades")
    assert code(*change, dataset="ava") == code_fingerprint("ava")


def test_new_files_and_other_modules_are_not_in_the_code_fingerprint(code, tmp_path):
    (tmp_path / "trainer/tasks/kinetics.py").write_text("classes = 400\n")
    (tmp_path / "trainer/new.py").write_text("x = 1\n")
    assert code("distributed/gpu_lease.py", "POLL_SECONDS = 0.5", "POLL_SECONDS = 5") == code_fingerprint("ava")


def test_sigterm_saves_and_ends_the_process_between_steps():
    saves = []
    before = signal.getsignal(signal.SIGTERM)
    try:
        handler = PreemptionHandler(1000, lambda: saves.append("saved"), is_main=True)
        handler.checkpoint_if_due()
        assert not saves
        signal.raise_signal(signal.SIGTERM)
        assert not saves
        with pytest.raises(SystemExit) as ended:
            handler.checkpoint_if_due()
        assert (saves, ended.value.code) == (["saved"], 128 + signal.SIGTERM)
        PreemptionHandler(0, lambda: saves.append("in time"), is_main=False).checkpoint_if_due()
        signal.raise_signal(signal.SIGTERM)  # is ignored
        assert saves == ["saved", "in time"]
    finally:
        signal.signal(signal.SIGTERM, before)
