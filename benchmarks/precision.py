"""What bfloat16 changes in mAP: the demo's runs of one method, trained with several seeds in float32 and in bfloat16.

    make demo && python -m benchmarks.precision

Prints the mean mAP of each precision over seeds, and the mean of the seeds' differences, with 95 % confidence intervals
by Student's t.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainer import config
from trainer.cli import command_parser
from trainer.datasets import DATASETS
from trainer.utils.environment import processor

PRECISIONS = ("float32", "bfloat16")
# 97.5 % quantiles of Student's t by degrees of freedom
T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def main():
    parser = command_parser("benchmarks.precision", __doc__)
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("results/demo/runs"),
        help="folder of the runs to repeat (default: %(default)s)",
    )
    parser.add_argument("--method", default="moco", help="default: %(default)s")
    parser.add_argument(
        "--seeds", type=int, default=5, choices=range(3, 11), help="number of seeds (default: %(default)s)"
    )
    options = parser.parse_args()
    print(f"{processor()}; {options.method} of {options.runs}, {options.seeds} seeds")
    for dataset in DATASETS:
        found = sorted(options.runs.glob(f"{dataset}/{options.method}/seed*/config.yaml"))
        if not found:
            raise SystemExit(f"{options.runs}: no run of {options.method} on {dataset}; run `make demo` first")
        run = config.load(found[0])
        scores = {name: np.array([score(run, seed, name) for seed in range(options.seeds)]) for name in PRECISIONS}
        for name, values in scores.items():
            print(f"{dataset:9} {name:9} mAP {interval(values)}", flush=True)
        print(f"{dataset:9} difference    {interval(scores['bfloat16'] - scores['float32'])}", flush=True)


def score(run, seed, precision) -> float:
    """Train, predict and score in a folder of its own; return the mAP in percent."""
    changed = replace(run, seed=seed, training=replace(run.training, precision=precision))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(config.dump(changed))
        for command in (["trainer.train"], ["trainer.evaluate", "predict"], ["trainer.evaluate", "score"]):
            done = subprocess.run(
                [sys.executable, "-m", *command, "--config", str(path)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
        return 100 * json.loads(Path(folder, "metrics.json").read_text())["mAP"]


def interval(values):
    half = T[len(values) - 1] * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():6.2f} ± {half:.2f}"


if __name__ == "__main__":
    main()
