"""Time the bootstrap and its peak memory on one core, at the size of a full AVA validation and of Charades.

    python -m benchmarks.bootstrap                         # 10,000 resamples
    python -m benchmarks.bootstrap --resamples 100         # a first try
    python -m benchmarks.bootstrap --bfloat16              # AVA's scores rounded as in that precision: many ties

Predictions are made up and written to files, as those of runs are. A process of its own reads and bootstraps them, as
``python -m trainer.evaluate bootstrap`` does. For comparison it scores the test set once, as usual: a bootstrap that
scores each resampled data set from scratch takes as many times as long as there are resamples.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from benchmarks.score_ava import BOXES, CLASSES, SECONDS, VIDEOS, timed
from trainer.cli import command_parser
from trainer.datasets import DATASETS
from trainer.metrics.ava_csv import GroundTruth, write_all_digits
from trainer.metrics.bootstrap import interval, mean_ap


def main():
    parser = command_parser("benchmarks.bootstrap", __doc__)
    parser.add_argument("--resamples", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--boxes", type=int, default=BOXES, help=f"person boxes of AVA (default: {BOXES})")
    parser.add_argument("--bfloat16", action="store_true", help="round AVA's scores")
    parser.add_argument("--measure", nargs=2, metavar=("DATASET", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], Path(args.measure[1]), args.resamples)
        return
    one_core = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        generate_ava(Path(folder), args.boxes, args.bfloat16)
        generate_charades(Path(folder))
        for dataset in DATASETS:
            command = ["-m", "benchmarks.bootstrap", "--resamples", str(args.resamples), "--measure", dataset, folder]
            subprocess.run([sys.executable, *command], env=one_core, check=True)


def measure(dataset, folder, resamples):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    files = {"ground_truth": "truth.csv", "excluded": "excluded.csv", "test": "test.csv"}
    data = SimpleNamespace(
        label_map=folder / f"{dataset}_labels",
        protocol="published",
        **{key: folder / name for key, name in files.items()},
    )
    with timed(f"{dataset}: bootstrap, {resamples:,} resamples"):
        with np.load(folder / f"{dataset}.npz") as arrays:
            predictions = dict(arrays)
        drawn, classes, aps = DATASETS[dataset].resampled_aps(data, predictions, resamples, seed=0)
    examples = len(predictions["score"])
    print(f"{len(drawn.videos):,} videos, {examples:,} x {len(classes)} = {examples * len(classes):,} scores")
    for name, values in aps.items():
        means = mean_ap(values)
        low, high = interval(means[0], means[1:])
        print(f"{name} {means[0]:.4f} [{low:.4f}, {high:.4f}]")
    with timed(f"{dataset}: score once"):
        DATASETS[dataset].metric.score_test(data, predictions)


def generate_ava(folder, number, bfloat16):
    """Write predictions of ``number`` boxes, and the files by which they are scored."""
    rng = np.random.default_rng(0)
    image = np.sort(rng.integers(0, VIDEOS * SECONDS, number))
    names, second = np.array([f"video{at:06d}" for at in range(VIDEOS)]), 902 + image % SECONDS
    corner = rng.uniform(0, 0.5, (number, 2))
    box = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, (number, 2))], axis=1).astype(np.float32)

    # Each box has about 2.7 of the classes, few of them often, as on AVA; scores know something of them.
    labels = rng.random((number, 80)) < 1 / (1 + np.arange(80)) * 0.7
    score = 1 / (1 + np.exp(-rng.normal(-3 + 2 * labels, 1))).astype(np.float32)
    if bfloat16:
        score = (score.view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)
    at, column = np.nonzero(labels)
    moved = box[at] + rng.normal(0, 0.02, (len(at), 4)).clip(-0.04, 0.04)
    truth = GroundTruth(names, image[at] // SECONDS, second[at], moved, column + 1, person=np.ones(len(at)))
    write_all_digits(folder / "truth.csv", truth)
    np.savez(folder / "ava.npz", video=names[image // SECONDS], second=second, box=box, score=score)
    pd.DataFrame({"video": names}).to_csv(folder / "test.csv", index=False)
    (folder / "ava_labels").write_text("".join(f'name: "action {key}"\nid: {key}\n' for key in CLASSES))
    (folder / "excluded.csv").write_text("")


def generate_charades(folder):
    """Write predictions of 1,814 videos with about 7 of 157 classes each, and the table of class names."""
    rng = np.random.default_rng(0)
    target = rng.random((1814, 157)) < np.geomspace(0.006, 0.15, 157)
    score = 1 / (1 + np.exp(-rng.normal(-3 + target, 1))).astype(np.float32)
    names = np.array([f"V{number:04d}" for number in range(len(target))])
    np.savez(folder / "charades.npz", video=names, target=target, score=score)
    lines = [f"{number}\taction {number}\n" for number in range(target.shape[1])]
    (folder / "charades_labels").write_text("".join(["action\tname\n", *lines]))


if __name__ == "__main__":
    main()
