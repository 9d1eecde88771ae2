"""The trainer on a GPU: published outputs, agreement with the CPU, interruptions, memory, leases, the demo, speed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tests.helpers import formulas
from tests.helpers.events import wait_until
from tests.helpers.paths import GPU_SUMMARY, ROOT, SNAKEMAKE
from tests.helpers.published_model import EXPECTED, load_formula_weights, run_of
from tests.helpers.small_run import TRANSFORMER, small_run
from trainer import config
from trainer.checkpointing import TrainingState
from trainer.data.loaders import read_on_device, training_loader
from trainer.datasets import task
from trainer.distributed import gpu_lease
from trainer.distributed.process_group import ProcessGroup, set_precision
from trainer.models.backbones import BACKBONES
from trainer.models.cuda_graph import capture
from trainer.models.network import build_model
from trainer.optim import build_optimizer, set_learning_rate
from trainer.step import MicroBatchLoss, train_step
from trainer.train import update_precise_bn
from trainer.utils.errors import InputError

GPU = {"device": "cuda", "workers": 2}
# Relative to the largest score. On a CPU float32 is off by 1e-6, bfloat16 by 5e-3; TF32 has three bits more.
TOLERANCE = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 3e-2}


def call(*command, stdout=subprocess.PIPE):
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


def small_network(dropout):
    """Return the settings of a network for runs whose losses are compared.

    Its last BatchNorm layers normalize over two values, which amplifies rounding: between one and two threads of a CPU,
    losses differ by up to 3.7 % at the usual epsilon of 1e-5, and by 0.2 % at 0.1.
    """
    return config.Model("r2plus1d_18", None, "auto", bn_eps=0.1, dropout=dropout)


def train(path):
    """Train as a user does; return the log."""
    done = call("-m", "trainer.train", "--config", path)
    assert done.returncode == 0, done.stderr
    return done.stderr


def history(path):
    return pd.read_csv(path.parent / "history.csv")


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_published_outputs(dataset, precision, summary):
    case = json.loads((EXPECTED / f"{dataset}.json").read_text())["cases"][0]
    model = build_model(run_of(dataset)).eval()
    load_formula_weights(model)
    model.cuda()
    boxes = torch.tensor(case["boxes_batchidx_x1y1x2y2"]).cuda() if dataset == "ava" else None
    set_precision(precision)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
        scores = model(formulas.clips(case["input_shape"]).float().cuda(), boxes)
    assert scores.dtype == torch.float32
    expected = np.array(case["output_float64"])
    error = np.abs(scores.cpu().numpy() - expected).max() / np.abs(expected).max()
    summary(f"published outputs, {dataset}, {precision}", f"largest error {error:.1e}, allowed {TOLERANCE[precision]}")
    assert error < TOLERANCE[precision]


@pytest.mark.parametrize("dataset", ["ava", "charades"])
def test_cpu_and_gpu_agree(dataset, tmp_path, summary):
    parts = {"model": small_network(dropout=0.0)}  # each device drops other features
    paths = [
        small_run(tmp_path / device, dataset, machine={"device": device}, parts=parts, base_lr=0.001)
        for device in ("cpu", "cuda")
    ]
    for path in paths:
        train(path)
    cpu, gpu = (history(path) for path in paths)
    summary(f"a short run of {dataset}", f"losses on the CPU {list(cpu.loss)}, on the GPU {list(gpu.loss)}")
    assert gpu.loss.to_numpy() == pytest.approx(cpu.loss.to_numpy(), rel=1e-2)


# Clips from which on layers are 2D ones, with widths of multiples of 8.
LARGE = {"parts": {"clip": config.Clip(16, 2, 112, (112, 112), 1, 1)}}


@pytest.mark.parametrize("kind", [LARGE, TRANSFORMER], ids=["ResNet", "transformer"])
def test_captured_passes_train_the_same(kind, tmp_path, monkeypatch):
    """Eagerly and by CUDA graphs: the same weights and running statistics, random numbers and precise BN included."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    path = small_run(tmp_path, "ava", machine={"device": "cuda"}, precision="bfloat16", precise_bn_batches=1, **kind)
    run, device = config.load(path), torch.device("cuda")
    group, trained = ProcessGroup(0, 1, device), []
    for captures in (False, True):
        torch.manual_seed(0)
        model = build_model(run).to(device)
        loss = MicroBatchLoss(model, run, capture(model, run, device) if captures else None).to(device)
        optimizer, state = build_optimizer(model, run.training, BACKBONES[run.model.backbone].depth), TrainingState()
        set_learning_rate(optimizer, run.training.base_lr)
        loader = training_loader(task(run.dataset).training_set(run), run)
        for state.epoch in range(3):
            loader.batch_sampler.start(state.epoch)
            train_step(loss, optimizer, read_on_device(loader, device), run, group, state)
            update_precise_bn(model, loader, run, group, state)
            model.eval().train()
        trained.append(model.state_dict())
    eager, replayed = trained
    for name, expected in eager.items():
        torch.testing.assert_close(
            replayed[name], expected, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_killed_run_resumes(tmp_path):
    # at higher rates rounding decides what so small a run does
    gentle = {"precision": "bfloat16", "base_lr": 0.001, "parts": {"model": small_network(dropout=0.5)}}
    whole = small_run(tmp_path / "whole", "ava", machine=GPU, **gentle)
    train(whole)
    path = small_run(tmp_path / "killed", "ava", machine=GPU | {"checkpoint_minutes": 1e-6}, **gentle)
    killed = subprocess.Popen([sys.executable, "-m", "trainer.train", "--config", path], start_new_session=True)
    try:
        wait_until(lambda: (path.parent / "resume.pth").exists() or killed.poll() is not None, seconds=300)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(60)
    assert "resuming after epoch" in train(path)
    # cuDNN may choose other kernels and add in another order in the second process
    assert history(path).loss.to_numpy() == pytest.approx(history(whole).loss.to_numpy(), rel=5e-2)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    path = small_run(tmp_path, "charades", machine=GPU, base_lr=1e30, warmup_start_lr=1e30)
    done = call("-m", "trainer.train", "--config", path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the loss is nan at epoch")
    assert not (tmp_path / "model.pth").exists()


LITTLE_MEMORY = """
import runpy, torch
torch.cuda.set_per_process_memory_fraction(2e8 / torch.cuda.get_device_properties(0).total_memory)
runpy.run_module("trainer.train", run_name="__main__")
"""


def test_a_run_out_of_memory_says_so(tmp_path):
    done = call("-c", LITTLE_MEMORY, "--config", small_run(tmp_path, "ava", machine=GPU))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: out of memory")


def test_real_gpus_are_leased():
    found = gpu_lease.visible()
    assert len(found) == torch.cuda.device_count()
    with mock.patch.dict(os.environ), gpu_lease.lease(1) as mine:  # it sets variables and leaves them
        assert set(mine) <= set(found)
    with pytest.raises(InputError, match="can be used"), gpu_lease.lease(len(found) + 1):
        pass


@pytest.mark.skipif(not Path(SNAKEMAKE).is_file(), reason="no Snakemake beside this Python")
def test_two_methods_of_the_demo(tmp_path, summary):
    settings = tmp_path / "gpu.yaml"
    changes = {"methods": ["scratch", "moco"], "results": str(tmp_path / "results"), "machine": {"device": "cuda"}}
    settings.write_text(yaml.safe_dump(changes))
    tables = [tmp_path / f"results/{dataset}_table.md" for dataset in ("ava", "charades")]
    command = [SNAKEMAKE, "--nolock", "--cores", str(os.cpu_count()), "--resources", "gpu=1", *map(str, tables)]
    command += ["--configfile", "config/demo.yaml", str(settings)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = "\n".join(table.read_text() for table in tables)
    summary("two methods of the demo", f"{time.monotonic() - began:.0f} s\n{text}")


@pytest.mark.parametrize("benchmark", ["train_step", "feed_gpu --steps 10 --loaders 4 8"])
def test_speed(benchmark, summary):
    name, *options = benchmark.split()
    summary(benchmark, "")
    with GPU_SUMMARY.open("a") as file:  # line by line: a job that is cut off leaves what it has measured
        done = call("-u", "-m", f"benchmarks.{name}", *options, stdout=file)
    assert done.returncode == 0, done.stderr
