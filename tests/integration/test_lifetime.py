"""Whatever ends a run, all its processes are gone within 15 s, its log ends with the reason, and it resumes.

One run is disturbed again and again, and resumed each time. ``python -m tests.attack --only lifetime`` tries all ways.
"""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.run_processes import DISTURBANCES, RunProcesses, disturb, finish, tiny_run
from tests.helpers.small_run import FRAMES, small_run
from trainer import checkpointing, config, train
from trainer.checkpointing import TrainingState
from trainer.data.loaders import check_shared_memory
from trainer.distributed.process_group import ProcessGroup
from trainer.predict import predict
from trainer.utils.errors import InputError

EPOCHS = 100  # of one step each
TRIED = {  # by number of ranks
    1: "out_of_memory worker_killed worker_stopped results_read_only lock_deleted main_killed SIGINT"
    " SIGTERM_while_waiting",
    2: "rank_1_killed main_killed SIGTERM_to_all stall",
}

# --- Runs ------------------------------------------------------------------------------------------------------------


def weights(path):
    return torch.load(path.with_name("model.pth"), weights_only=True)["model"]


def expect_video_3_is_named(path, *command, gpus):
    """Run a command while the frames of a video are no JPEGs; check the last line of its log."""
    archive = path.with_name("frames.tar")
    whole = archive.read_bytes()
    damaged = bytearray(whole)
    for offset, size in np.load(path.with_name("frames.npy"))[3 * FRAMES : 4 * FRAMES].tolist():
        damaged[offset : offset + size] = b"x" * size
    archive.write_bytes(damaged)
    run = RunProcesses(path, *command, gpus=gpus)
    try:
        assert run.end() == 1, run.log
    finally:
        run.kill()
        archive.write_bytes(whole)
    assert "Traceback" not in run.log, run.log
    message = rf"error: {archive}: frame \d+ of video video3: not a JPEG"
    assert re.match(message, run.log.splitlines()[-1]), run.log


@pytest.mark.long
@pytest.mark.parametrize("gpus", TRIED)
def test_a_disturbed_run_ends_and_resumes(gpus, tmp_path, subtests):
    path = tiny_run(tmp_path / "disturbed", EPOCHS)
    for disturbance in DISTURBANCES:
        if disturbance.name in TRIED[gpus].split():
            with subtests.test(disturbance.name):
                disturb(path, disturbance, gpus)
    if gpus == 1:
        with subtests.test("damaged frame in training"):
            expect_video_3_is_named(path, gpus=1)
    undisturbed = tiny_run(tmp_path / "undisturbed", EPOCHS, checkpoint_minutes=1000.0)
    for each in path, undisturbed:
        finish(each, gpus)
    expected, found = weights(undisturbed), weights(path)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    if gpus == 2:
        with subtests.test("damaged frame in prediction"):
            expect_video_3_is_named(path, "trainer.evaluate", "predict", gpus=2)


@pytest.mark.long
@pytest.mark.parametrize("gpus", TRIED)
def test_a_run_whose_log_is_full_ends_and_reports_to_stderr(gpus, tmp_path):
    as_in_rules = ["bash", "-c", 'VSSL_STDERR=3 exec "$@" 3>&2 > /dev/full 2>&1', "bash"]
    run = RunProcesses(tiny_run(tmp_path, EPOCHS), gpus=gpus, fault="1 / 0", before=as_in_rules)
    try:
        assert run.end() == 1
    finally:
        run.kill()
    assert run.log == "error: ZeroDivisionError: division by zero\n"


# --- Shared memory, the run's lock, checkpoints ----------------------------------------------------------------------


def test_too_little_shared_memory_is_refused():
    free = 64e6
    message = r"/dev/shm: expected [1-9]\d+ MB for the batches of loader workers, got \d+ MB free; .*--shm-size"
    with pytest.raises(InputError, match=message):
        check_shared_memory(1e15)
    check_shared_memory(free)
    check_shared_memory(1e15, "/nowhere")  # a system that has none


HOLDER = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(lock, fcntl.LOCK_EX)
os.write(lock, b"process 7 on node")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_run_folder_has_one_trainer(tmp_path, monkeypatch):
    run = config.load(small_run(tmp_path, "charades"))
    monkeypatch.setattr(checkpointing, "LOCK_SECONDS", 0.1)
    command = [sys.executable, "-c", HOLDER, tmp_path / ".lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"^{tmp_path}: process 7 on node trains in it; end that one or wait"):
            train.fit(run, tmp_path, ProcessGroup(0, 1, torch.device("cpu")))
        monkeypatch.setattr(checkpointing, "LOCK_SECONDS", 60)
        holder.kill()
        with checkpointing.exclusive_run(tmp_path):  # waits until the kernel has ended it
            pass


@pytest.mark.parametrize("is_main", [True, False])
def test_ranks_begin_when_the_main_one_has_the_lock(tmp_path, monkeypatch, is_main):
    calls = []
    locked = tmp_path / ".lock"
    group = SimpleNamespace(is_main=is_main, gather=lambda _: calls.append(("met", locked.exists())))
    monkeypatch.setattr(train, "_fit", lambda *_: calls.append("fit"))
    train.fit(config.load(small_run(tmp_path, "charades")), tmp_path, group)
    assert calls == [("met", is_main), "fit"]


def test_prediction_refuses_the_model_of_other_settings_and_a_damaged_one(tmp_path):
    path = small_run(tmp_path, "charades")
    run = config.load(path)
    checkpointing.save(tmp_path / "model.pth", run, nn.Linear(2, 2), TrainingState(epoch=3))
    (tmp_path / "list.csv").write_text((tmp_path / "list.csv").read_text().replace("10-39", "10-38"))
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    message = rf"^{tmp_path}/model\.pth: trained with other settings than config\.yaml beside it; delete it"
    one_process = ProcessGroup(0, 1, torch.device("cpu"))
    with pytest.raises(InputError, match=message):
        predict(config.load(path), tmp_path, one_process)
    truncate(tmp_path / "model.pth")
    with pytest.raises(InputError, match=rf"^{tmp_path}/model\.pth: damaged .*; delete it; the training job writes it"):
        predict(config.load(path), tmp_path, one_process)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    run, model, path = config.load(small_run(tmp_path, "charades")), nn.Linear(2, 2), tmp_path / "resume.pth"
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def load():
        return checkpointing.load(path, run, model, optimizer)

    for epoch in 1, 2:
        checkpointing.save(path, run, model, TrainingState(epoch=epoch), optimizer)
    assert load().epoch == 2
    truncate(path)
    with caplog.at_level("INFO"):
        assert load().epoch == 1
    assert f"{path}: damaged" in caplog.text
    truncate(checkpointing.previous(path))
    message = rf"^{path} and {tmp_path}/resume\.previous\.pth: damaged; delete"
    with pytest.raises(InputError, match=message):
        load()


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"\x80\x04N."], ids=["empty", "page", "pickle"])
def test_other_files_in_the_place_of_a_checkpoint_are_refused(tmp_path, content):
    run, path = config.load(small_run(tmp_path, "charades")), tmp_path / "resume.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: damaged; delete the file to train from the start"):
        checkpointing.load(path, run, nn.Linear(2, 2), None)
