"""Small runs through the trainer's commands: their outputs, what interrupts them, and what they refuse."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers.events import wait_until
from tests.helpers.paths import ROOT
from tests.helpers.small_run import TRANSFORMER, small_run
from trainer import config, evaluate
from trainer.distributed.lifetime import STOP_SIGNALS
from trainer.distributed.process_group import join
from trainer.fingerprints import run_fingerprint
from trainer.models.network import build_model
from trainer.predict import predict
from trainer.train import fit
from trainer.utils.errors import InputError


def train(path, *options):
    """Run the trainer as a user does; return the finished process."""
    return call("trainer.train", "--config", str(path), *options)


def call(module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def here():
    """Return a function that trains or predicts a run in this process, and put back what that sets for a process."""
    handlers, threads = {number: signal.getsignal(number) for number in STOP_SIGNALS}, torch.get_num_threads()

    def work(function, path):
        run = config.load(path)
        run_fingerprint.cache_clear()
        with join(run) as group:
            function(run, path.parent, group)

    yield work
    signal.set_wakeup_fd(-1)
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def weights(path):
    return torch.load(path.parent / "model.pth", weights_only=True)["model"]


def read_predictions(path):
    with np.load(path.parent / "predictions.npz") as arrays:
        return dict(arrays)


def assert_same_weights(one, other):
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# A group runs in one process, which trains its run once.
SETTINGS = {
    "charades": ("charades", {"precise_bn_batches": 2}),
    "transformer": ("ava", TRANSFORMER),
}
RUNS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SETTINGS]


@pytest.fixture(scope="module", params=RUNS)
def finished(request, tmp_path_factory):
    """Train a small run of each kind without interruption; return its config, dataset and settings."""
    dataset, settings = SETTINGS[request.param]
    path = small_run(tmp_path_factory.mktemp(request.param), dataset, **settings)
    done = train(path)
    assert done.returncode == 0, done.stderr
    return path, dataset, settings


@pytest.fixture(scope="module")
def predicted(finished):
    """Predict the finished run in one process; return its config and dataset."""
    path, dataset, _ = finished
    done = call("trainer.evaluate", "predict", "--config", str(path))
    assert done.returncode == 0, done.stderr
    return path, dataset


def test_outputs(finished):
    path, dataset, _ = finished
    history = pd.read_csv(path.parent / "history.csv")
    steps = 3 if dataset == "ava" else 1  # 12 keyframes or 6 videos in batches of 4
    assert list(history.epoch) == [1, 2, 3]
    assert list(history.step) == [steps, 2 * steps, 3 * steps]
    assert history.loss.notna().all()
    assert list(history["mAP"].notna()) == [False, True, True]
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["videos_trained"] == 6
    assert summary["parameters"] == sum(
        t.numel() for n, t in weights(path).items() if not re.search("running|num|pos_embed", n)
    )
    assert list((path.parent / "tensorboard").iterdir())


@pytest.mark.parametrize("finished", RUNS[:1], indirect=True)
def test_outputs_that_were_deleted_are_written_again(finished, here, caplog):
    path, _, _ = finished
    resume_path = path.parent / "resume.pth"
    saved = torch.load(resume_path, weights_only=True)
    saved["state"]["jobs"][-1] |= {"processor": "another machine", "hours": 2.0}
    torch.save(saved, resume_path)
    with caplog.at_level("INFO"):
        here(fit, path)  # as when a job's outputs were deleted because it ended past its time limit
    assert "resuming after epoch 3 and 0 steps" in caplog.text
    trained_on = json.loads((path.parent / "environment.json").read_text())
    assert trained_on["processor"] == "another machine"
    assert (trained_on["hours"], trained_on["earlier_jobs"]) == (2, [])


def test_a_trained_run_is_predicted_and_scored(predicted):
    path, dataset = predicted
    done = call("trainer.evaluate", "score", "--config", str(path))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((path.parent / "metrics.json").read_text())
    assert metrics["fingerprint"] == config.score_fingerprint(config.load(path))
    assert metrics["trained"] == json.loads((path.parent / "environment.json").read_text())["time"]
    assert 0 < metrics["mAP"] <= 1
    assert (metrics["dataset"], metrics["videos_tested"], metrics["epochs"]) == (dataset, 6, 3)
    classes = pd.read_csv(path.parent / "per_class.csv")
    assert classes.ap.mean() == pytest.approx(metrics["mAP"])


@pytest.mark.parametrize("finished", RUNS[:1], indirect=True)
def test_outputs_on_a_file_system_without_hard_links(finished, here, monkeypatch):
    path, _, _ = finished
    trained, model = weights(path), path.parent / "model.pth"
    model.unlink()

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    here(fit, path)
    assert model.stat().st_nlink == 1
    assert_same_weights(trained, weights(path))


@pytest.mark.parametrize("finished", RUNS[1:], indirect=True)  # both datasets, both families of backbones
def test_an_interrupted_run_ends_with_the_same_weights(finished, tmp_path):
    path, dataset, settings = finished
    how = signal.SIGKILL if dataset == "ava" else signal.SIGTERM
    again = small_run(tmp_path, dataset, machine={"checkpoint_minutes": 1e-6, "workers": 1}, **settings)
    stopped = subprocess.Popen([sys.executable, "-m", "trainer.train", "--config", again], start_new_session=True)
    wait_until(lambda: (tmp_path / "resume.pth").exists() or stopped.poll() is not None)
    os.killpg(stopped.pid, how)
    assert stopped.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not (tmp_path / "model.pth").exists()
    jobs = torch.load(tmp_path / "resume.pth", weights_only=True)["state"]["jobs"]
    resumed = train(again)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after epoch" in resumed.stderr
    trained_on = json.loads((tmp_path / "environment.json").read_text())
    assert trained_on["earlier_jobs"] == jobs and trained_on["time"] > jobs[0]["time"]
    assert trained_on["hours"] > 0 and jobs[0]["hours"] > 0
    assert_same_weights(weights(path), weights(again))
    numbers = ["epoch", "step", "lr", "loss", "mAP"]
    assert pd.read_csv(path.parent / "history.csv")[numbers].equals(pd.read_csv(tmp_path / "history.csv")[numbers])


@pytest.mark.parametrize("finished", RUNS, indirect=True)  # both datasets, both families of backbones
def test_two_ranks_train_as_one(finished, tmp_path):
    path, dataset, settings = finished
    both = small_run(tmp_path, dataset, **settings)
    done = train(both, "--gpus", "3")
    assert done.returncode == 0, done.stderr
    message = "3 GPUs given, 2 used: the number must divide training: micro_batches 2"
    assert done.stderr.count(message) == 1
    assert done.stderr.count("epoch 3/3  validation mAP") == 1  # rank 0 alone logs
    for name, tensor in weights(both).items():
        torch.testing.assert_close(tensor, weights(path)[name], rtol=1e-3, atol=1e-4, msg=name)
    one, two = (pd.read_csv(folder / "history.csv") for folder in (path.parent, tmp_path))
    assert one.loss.to_numpy() == pytest.approx(two.loss.to_numpy(), rel=1e-4)


@pytest.mark.parametrize("finished", RUNS[:1], indirect=True)
def test_ranks_and_loader_workers_predict_the_same(predicted, tmp_path):
    path, _ = predicted
    settings = path.read_text()
    assert "workers: 0" in settings
    both = tmp_path / "config.yaml"
    both.write_text(settings.replace("workers: 0", "workers: 2"))
    both.with_name("model.pth").symlink_to(path.with_name("model.pth"))
    done = call("trainer.evaluate", "predict", "--config", str(both), "--gpus", "2")
    assert done.returncode == 0, done.stderr
    one, two = read_predictions(path), read_predictions(both)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("finished", RUNS[:1], indirect=True)
def test_other_test_views_keep_the_weights(predicted, tmp_path, here, caplog, capsys):
    caplog.set_level("INFO")
    path, _ = predicted
    other = tmp_path / "config.yaml"
    other.write_text(path.read_text().replace("test_clips: 2", "test_clips: 3"))
    for name in ("resume.pth", "predictions.npz"):
        shutil.copy(path.with_name(name), tmp_path)
    here(fit, other)
    assert "resuming after epoch 3 and 0 steps" in caplog.text
    assert_same_weights(weights(path), weights(other))
    with pytest.raises(SystemExit):
        evaluate.main(["score", f"--config={other}"])
    assert f"error: {tmp_path}/predictions.npz: made with other settings than config.yaml" in capsys.readouterr().err
    here(predict, other)
    evaluate.main(["score", f"--config={other}"])
    assert not np.array_equal(read_predictions(path)["score"], read_predictions(other)["score"])


def test_a_frozen_backbone_ends_as_it_began(tmp_path, here):
    model = config.Model("r3d_18", None, "auto", bn_eps=1e-5, dropout=0.0, frozen=True)
    path = small_run(tmp_path, "charades", parts={"model": model}, epochs=1)
    here(fit, path)
    run = config.load(path)
    torch.manual_seed(run.seed)
    ended = weights(path)
    changed = {name for name, began in build_model(run).state_dict().items() if not torch.equal(began, ended[name])}
    assert changed == {"head.projection.weight", "head.projection.bias"}


def test_other_settings_or_files_train_from_the_beginning(tmp_path, here, caplog):
    caplog.set_level("INFO")
    path = small_run(tmp_path, "charades", epochs=1, precise_bn_batches=1)  # one step moves running averages too little
    torch.save({"run_fingerprint": "another run", "state": {}}, tmp_path / "resume.pth")
    here(fit, path)
    message = "made with other settings, files or code; training starts from the beginning"
    assert message in caplog.text

    here(fit, path)
    assert "resuming after epoch 1" in caplog.text
    caplog.clear()
    listed = tmp_path / "list.csv"
    listed.write_text(listed.read_text().replace("10-39", "10-38"))  # as after a change of the workflow's config
    here(fit, path)
    assert message in caplog.text


BEFORE_THE_LEASE = """
import runpy, sys
from trainer.distributed import gpu_lease

def lease(count):
    from trainer.fingerprints import code_fingerprint, weight_code
    names = ["trainer." + name.removesuffix(".py").replace("/", ".") for name in weight_code("ava")]
    print([name for name in names if name not in sys.modules], code_fingerprint.cache_info().currsize)
    raise SystemExit

gpu_lease.lease = lease
runpy.run_module("trainer.train", run_name="__main__")
"""


def test_code_is_imported_and_hashed_before_a_job_waits_for_gpus(tmp_path):
    path = small_run(tmp_path, "ava", machine={"device": "cuda"})
    command = [sys.executable, "-c", BEFORE_THE_LEASE, "--config", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "[] 1\n", found.stderr


UPDATED_DURING_THE_WAIT = """
import runpy
from pathlib import Path
from trainer import cli
from trainer.distributed.launch import run_ranks

def update_and_run_ranks(*arguments):
    code = Path("trainer/step.py")
    code.write_text(code.read_text() + "\\nOTHER = True\\n")
    run_ranks(*arguments)

cli.run_ranks = update_and_run_ranks
runpy.run_module("trainer.train", run_name="__main__")
"""


def test_ranks_do_not_train_by_code_that_was_updated_while_their_job_waited(tmp_path):
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
    path = small_run(tmp_path / "run", "charades")
    command = [sys.executable, "-c", UPDATED_DURING_THE_WAIT, "--config", path, "--gpus", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    message = "error: the code of trainer/ changed while this job waited for GPUs; start it again"
    assert done.stderr.splitlines()[-1] == message, done.stderr
    assert not (path.parent / "model.pth").exists()


def test_a_checkpoint_is_that_of_the_code_that_began_the_run(tmp_path):
    """An update of the code during training does not make the training resume by other code than it began with."""
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
    path = small_run(tmp_path / "run", "charades", epochs=1000, evaluate_every=1000)
    log, command = tmp_path / "log", [sys.executable, "-m", "trainer.train", "--config", path]

    def start_until(happens):
        with log.open("w") as file:
            job = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=file)
        try:
            wait_until(lambda: happens() or job.poll() is not None)
            assert job.poll() is None, log.read_text()
            return job
        except BaseException:
            job.kill()
            raise

    job = start_until((path.parent / "history.csv").exists)
    assert not (path.parent / "resume.pth").exists()
    code = tmp_path / "trainer/step.py"
    code.write_text(code.read_text() + "\nOTHER = True\n")
    job.terminate()
    assert job.wait(60) == 128 + signal.SIGTERM, log.read_text()
    begins = "resume.pth: made with other settings, files or code; training starts from the beginning"
    start_until(lambda: begins in log.read_text()).kill()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, here):
    path = small_run(tmp_path, "charades", base_lr=1e30, warmup_start_lr=1e30)
    with pytest.raises(InputError, match=r"^the loss is nan at epoch .* learning rate 1e\+30.*video"):
        here(fit, path)
    assert not (tmp_path / "model.pth").exists()


def test_a_wrong_checkpoint_fails_before_data_is_read(tmp_path, here):
    checkpoint = tmp_path / "half.pth"
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, checkpoint)
    path = small_run(tmp_path, "charades", checkpoint=str(checkpoint))
    Path(tmp_path / "list.csv").unlink()
    with pytest.raises(InputError, match=r"half\.pth"):
        here(fit, path)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("predict", r"error: FOLDER/model.pth: no such file; run python -m trainer.train --config FOLDER/config.yaml"),
        ("score", r"error: FOLDER/predictions.npz: no such file; train and predict first"),
    ],
    ids=["predict", "score"],
)
def test_an_action_without_its_inputs_is_refused(tmp_path, action, message):
    done = call("trainer.evaluate", action, "--config", str(small_run(tmp_path, "charades")))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(message.replace("FOLDER", str(tmp_path)))
