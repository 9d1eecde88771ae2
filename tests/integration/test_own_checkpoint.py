"""A user's own checkpoints: the report on one that fits, the error of one that does not."""

import subprocess

import torch

from tests.helpers.methods import own_row, write_methods
from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.plan import elsewhere
from trainer.models.backbones import build_backbone


def test_a_checkpoint_that_does_not_fit_fails_only_its_method(tmp_path):
    good, bad = tmp_path / "my good.pth", tmp_path / "my bad.pth"
    with torch.device("meta"):
        shapes = build_backbone("r2plus1d_18").state_dict()
    torch.save({name: torch.tensor(0.5).expand(tensor.shape) for name, tensor in shapes.items()}, good)
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, bad)
    table = write_methods(tmp_path / "methods.tsv", own_row("good", good), own_row("bad", bad))
    settings = elsewhere(tmp_path, methods=["good", "bad"], methods_table=str(table))
    command = [SNAKEMAKE, "--nolock", "--cores", "2", "--until", "check_checkpoint", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    reports = tmp_path / "results/checkpoints"
    assert done.returncode == 1
    assert "fits r2plus1d_18 whole: 222 tensors" in (reports / "good.txt").read_text()
    assert not (reports / "bad.txt").exists()
    assert f"error: {bad}: does not look like r2plus1d_18 by layout auto" in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()
