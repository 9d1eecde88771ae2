"""Does a folder of results recover the known order of the demo's checkpoints?"""

import numpy as np
import pandas as pd

from trainer.datasets import DATASETS
from trainer.metrics.bootstrap import centered, kendall_tau, percentile_interval
from workflow.demo.pretraining import PRETRAINING

# Of one recipe, which compare.
METHODS = ["scratch", *(method for method, (backbone, _) in PRETRAINING.items() if backbone.startswith("r2plus1d"))]


def mean_ap_intervals(results, dataset, method) -> tuple[float, float]:
    """Return the interval of a method's mAP in percent, as the table has it."""
    row = pd.read_csv(results / f"{dataset}_table.csv").set_index("method").loc[method]
    return row.mAP_low, row.mAP_high


def steps_of(methods) -> list[int]:
    """Return the steps of pre-training of methods of the methods table; 0 without."""
    return [PRETRAINING[method][1] if method in PRETRAINING else 0 for method in methods]


def tau_with_pretraining(results) -> tuple[float, float, float]:
    """Return Kendall's tau between steps of pre-training and mAP, mean of the datasets, and its 95 % interval."""
    taus, resampled = [], []
    for dataset in DATASETS:
        paths = sorted(results.glob(f"runs/{dataset}/*/seed*/bootstrap.npz"))
        paths = [path for path in paths if path.parents[1].name in METHODS]
        runs = [np.load(path) for path in paths]
        points, values = np.array([run["point"][0] for run in runs]), np.array([run["mAP"][0] for run in runs])
        steps = steps_of(path.parents[1].name for path in paths)
        taus.append(kendall_tau(points, steps))
        resampled.append(kendall_tau(centered(points, values), steps))
    return float(np.mean(taus)), *percentile_interval(np.mean(resampled, axis=0)).tolist()
