"""A run that trains in seconds: a few videos of noise in real archives, and its config.yaml."""

import io
import tarfile
from dataclasses import replace

import numpy as np
import simplejpeg

from tests.helpers.paths import ROOT
from trainer import config
from trainer.data import frame_archive

VIDEOS = 6
FRAMES = 40  # of each video


def training(**changes):
    """Return training settings for a small run."""
    settings = {
        "batch_size": 4,
        "micro_batches": 2,
        "epochs": 3,
        "base_lr": 0.01,
        "lr_milestones": (0, min(2, changes.get("epochs", 3))),
        "lr_factors": (1, 0.1),
        "warmup_epochs": 1,
        "warmup_start_lr": 0.001,
        "weight_decay": 1e-4,
        "momentum": 0.9,
        "precise_bn_batches": 0,
        "evaluate_every": 2,
        "precision": "float32",
    }
    return config.Training(**settings | changes)


# Of a run on AVA by the recipe of transformers, in the arguments of small_run.
TRANSFORMER = {
    "parts": {
        "model": config.Model("vit_s_16", None, "auto", bn_eps=1e-5, dropout=0.0, drop_path=0.2, head_scale=0.001),
        "clip": config.Clip(16, 1.2, 32, (34, 34), 1, 1, test_short_side=34, lead=9.3, hsv_jitter=(20, 0.1, 0.1)),
        "boxes": config.Boxes(True, 0.8, "alphaction", (0.2, 0.1, 0.1, 0.05), (0.1, 0.05), weight_by_score=True),
    },
    "optimizer": "adamw",
    "lr_schedule": "cosine",
    "base_lr": 1e-4,
    "warmup_start_lr": 0.0,
    "weight_decay": 0.05,
    "layer_decay": 0.75,
    "loss": "sum",
}


def small_run(folder, dataset, checkpoint=None, machine=None, parts=None, **changes):
    """Write frames, lists and config.yaml of a run into ``folder``; return the path of the config.

    ``changes`` are of the training settings, ``machine`` of the machine's; ``parts`` replace others of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = write_frames(folder)
    write_lists(folder, dataset, listed)
    ava_files = {"ground_truth": str(folder / "ground_truth.csv"), "excluded": str(folder / "excluded.csv")}
    own_machine = {"device": "cpu", "workers": 0, "threads": 1, "checkpoint_minutes": 1000.0}
    run = config.Run(
        dataset=dataset,
        method="small",
        seed=3,
        model=config.Model("r2plus1d_18", checkpoint, "auto", bn_eps=1e-5, dropout=0.5),
        clip=config.Clip(8, 2, 16, (18, 24), 2, 3 if dataset == "charades" else 1),
        normalization=config.Normalization("rgb", 0.45, 0.225),
        data=config.Data(
            frames=str(folder / "frames.csv"),
            train=str(folder / "list.csv"),
            test=str(folder / "list.csv"),
            label_map=str(folder / "labels.pbtxt" if dataset == "ava" else ROOT / "config/charades_classes.tsv"),
            **(ava_files if dataset == "ava" else {}),
        ),
        training=training(**changes),
        machine=config.RunMachine(**own_machine | (machine or {})),
    )
    path = folder / "config.yaml"
    path.write_text(config.dump(replace(run, **parts or {})))
    return path


def write_frames(folder):
    """Write frames.csv, one tar and its index; return the names of the videos."""
    rng = np.random.default_rng(0)
    names = [f"video{number}" for number in range(VIDEOS)]
    with tarfile.open(folder / "frames.tar", "w") as tar:
        for name in names:
            for number in range(1, FRAMES + 1):
                jpeg = simplejpeg.encode_jpeg(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
                member = tarfile.TarInfo(f"{name}/{name}_{number:06d}.jpg")
                member.size = len(jpeg)
                tar.addfile(member, io.BytesIO(jpeg))
    with tarfile.open(folder / "frames.tar") as tar:
        places = [(member.offset_data, member.size) for member in tar]
    frame_archive.write_index(folder / "frames.npy", places)
    rows = [f"{name},{FRAMES},{folder}/frames.tar,{folder}/frames.npy,{i * FRAMES}" for i, name in enumerate(names)]
    (folder / "frames.csv").write_text("\n".join(["video,frames,archive,index,first", *rows]) + "\n")
    return names


def write_lists(folder, dataset, names):
    """Write list.csv, for training and test, and AVA's files for the score."""
    if dataset == "charades":
        rows = [f"{name},{FRAMES},{number}:0-20 {number + 1}:10-39" for number, name in enumerate(names)]
        (folder / "list.csv").write_text("\n".join(["video,frames,labels", *rows]) + "\n")
        return
    key_frames = [(name, second) for name in names for second in (904, 905)]
    rows = [f"{name},{second},20,0.1,0.1,0.6,0.9,{12 + second % 2},0.95" for name, second in key_frames]
    (folder / "list.csv").write_text("\n".join(["video,second,center,x1,y1,x2,y2,labels,score", *rows]) + "\n")
    truth = [f"{name},{second:04d},0.1,0.1,0.6,0.9,{12 + second % 2},0" for name, second in key_frames]
    (folder / "ground_truth.csv").write_text("\n".join(truth) + "\n")
    (folder / "excluded.csv").write_text("")
    items = "".join(f'item {{\n  name: "action {i}"\n  id: {i}\n}}\n' for i in (12, 13, 14))
    (folder / "labels.pbtxt").write_text(items)
