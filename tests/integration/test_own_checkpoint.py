"""Checkpoints are checked before training: the report on one that fits, the error of one that does not."""

import subprocess

import torch

from tests.helpers.methods import own_row, write_methods
from tests.helpers.paths import ROOT, SNAKEMAKE
from tests.helpers.plan import elsewhere, jobs, plan
from trainer.models.backbones import build_backbone

ROW = {
    "recipe": "r2plus1d_frozen",
    "layout": "auto",
    "channel_order": "bgr",
    "mean": "0.4,0.5,0.6",
    "std": "0.2,0.25,0.3",
}


def test_a_checkpoint_that_does_not_fit_fails_only_its_method(tmp_path):
    good, bad = tmp_path / "my good.pth", tmp_path / "my bad.pth"
    with torch.device("meta"):
        shapes = build_backbone("r2plus1d_18").state_dict()
    torch.save({name: torch.tensor(0.5).expand(tensor.shape) for name, tensor in shapes.items()}, good)
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, bad)
    table = write_methods(tmp_path / "methods.tsv", own_row("good", good, **ROW), own_row("bad", bad))
    settings = elsewhere(tmp_path, methods=["good", "bad"], methods_table=str(table), ava={"films": ["a.mkv"]})
    command = [SNAKEMAKE, "--nolock", "--cores", "2", "--retries", "2", "--until", "check_checkpoint", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    reports = tmp_path / "results/checkpoints"
    assert done.returncode == 1
    report = (reports / "good.txt").read_text()
    assert "fits r2plus1d_18 whole: 222 tensors" in report
    assert "  row: backbone r2plus1d_18, " + ", ".join(f"{column} {value}" for column, value in ROW.items()) in report
    assert not (reports / "bad.txt").exists()
    assert f"error: {bad}: does not look like r2plus1d_18 by layout auto" in done.stdout + done.stderr
    assert "Trying to restart" not in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()


def test_a_wrong_published_checkpoint_fails_once_and_is_not_trained(tmp_path):
    """Everything else is there, so a training would start next."""
    wrong, sources = tmp_path / "wrong.pth", tmp_path / "sources.tsv"
    torch.save({"stem.0.weight": torch.zeros(45, 3, 1, 7, 7)}, wrong)
    rows = (ROOT / "config/sources.tsv").read_text().splitlines()
    own = f"supervised\t{wrong}\twrong.pth\t\t\tthis test's"
    sources.write_text("\n".join([*(row for row in rows if not row.startswith("supervised")), own]) + "\n")
    table = write_methods(
        tmp_path / "methods.tsv", own_row("supervised", "wrong.pth", source="supervised", layout="supervised")
    )
    run = "results/runs/ava/supervised/seed0"
    for name in ("ava_frames", "ava_train", "ava_val"):
        (tmp_path / f"results/lists/{name}.csv").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"results/lists/{name}.csv").touch()
    settings = elsewhere(
        tmp_path,
        datasets=["ava"],
        methods=["supervised"],
        methods_table=str(table),
        sources_table=str(sources),
        ava={"films": ["a.mkv"]},
        machine={"device": "cpu"},
    )
    command = [SNAKEMAKE, "--nolock", "--cores", "2", "--retries", "2", f"{tmp_path}/{run}/model.pth", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"error: {tmp_path}/data/downloads/wrong.pth: " in output
    assert "Trying to restart" not in output
    assert not (tmp_path / "results/logs/finetune").exists()


def test_a_replaced_checkpoint_is_trained_again(tmp_path):
    own, run = tmp_path / "mine.pth", tmp_path / "results/runs/charades/mine/seed1"
    lists = [tmp_path / f"results/lists/charades_{name}.csv" for name in ("frames", "train", "val")]
    outputs = [run / name for name in ("model.pth", "history.csv", "summary.json", "environment.json")]
    made = [own, tmp_path / "results/checkpoints/mine.txt", run / "config.yaml", *lists, *outputs]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    table = write_methods(tmp_path / "methods.tsv", own_row("mine", own))
    settings = elsewhere(tmp_path, datasets=["charades"], methods=["mine"], methods_table=str(table))
    output, status = plan(str(run / "model.pth"), *settings)
    assert status == 0 and "Nothing to be done" in output
    own.touch()
    output, status = plan(str(run / "model.pth"), *settings)
    assert status == 0
    assert jobs(output) == {"check_checkpoint": 1, "finetune": 1, "total": 2}
