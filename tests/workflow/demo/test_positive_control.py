"""The demo's positive control notices results that do not follow the pre-training."""

import numpy as np
import pytest

from tests.helpers.positive_control import METHODS, steps_of, tau_with_pretraining
from trainer.datasets import DATASETS


def write_bootstraps(folder, gain, seed):
    """Write runs whose mAP rises by ``gain`` with the rank of their pre-training; resampling moves each by 0.03."""
    rng = np.random.default_rng(seed)
    ranks = np.argsort(np.argsort(steps_of(METHODS)))
    for dataset in DATASETS:
        points = 0.4 + gain * ranks + rng.normal(0, 0.02, len(METHODS))  # fine-tuning differs from run to run
        for method, point in zip(METHODS, points, strict=True):
            run = folder / f"runs/{dataset}/{method}/seed0"
            run.mkdir(parents=True)
            np.savez(run / "bootstrap.npz", point=[point], mAP=[point + rng.normal(0, 0.03, 500)])
    return folder


def test_results_in_the_order_of_the_pretraining_pass(tmp_path):
    tau, low, _ = tau_with_pretraining(write_bootstraps(tmp_path, gain=0.04, seed=0))
    assert tau > low > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_results_of_random_weights_fail(tmp_path, seed):
    """What loading random weights by mistake gives: methods differ by chance."""
    _, low, _ = tau_with_pretraining(write_bootstraps(tmp_path, gain=0, seed=seed))
    assert low <= 0
