"""How uncertain scores are: the runs of each method under the same resamples of the test videos, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainer.metrics.bootstrap import interval, over_runs, rank_intervals
from workflow.lib.report.results import Results


@dataclass(frozen=True)
class Resampled:
    """Scores of methods in percent, mean over seeds, on the test set and on its resamples; paired over methods.

    With several seeds, the values vary with the seeds drawn, too.
    """

    methods: pd.Index  # those whose finished runs are all bootstrapped, in the order of the tables
    points: np.ndarray  # (M, ...)
    values: np.ndarray  # (M, ..., R)

    @property
    def intervals(self) -> np.ndarray:
        """95 % intervals: (M, ..., 2)."""
        return interval(self.points, self.values).clip(0, 100) if len(self.methods) else np.empty((0, 2))


def resampled_mean_ap(results: Results, metric="mAP", experiment="") -> Resampled:
    """Return mAP (M,) and its resampled values (M, R); ``metric``: a score of metrics.json.

    Methods whose runs have no resamples of that score are left out. Seeds are drawn independently for each method and
    each name of an ``experiment``.
    """
    return _resampled(results, metric, "point", "mAP", experiment)


def resampled_classes(results: Results, experiment="") -> Resampled:
    """Return average precision by class (M, C) and its resampled values (M, C, R), see ``class_names``."""
    return _resampled(results, "mAP", "class_point", "class_ap", experiment)


def class_names(results: Results) -> list[str]:
    """Return the names of the classes of ``resampled_classes``."""
    return next((arrays["class_name"].tolist() for arrays in results.bootstraps.values()), [])


def mean_ap_intervals(results: Results, metric="mAP") -> pd.DataFrame:
    """Return the 95 % interval of each method's mAP in percent: columns low and high, NaN where it is not known."""
    resampled = resampled_mean_ap(results, metric)
    found = pd.DataFrame(resampled.intervals, resampled.methods, ["low", "high"])
    return found.reindex(results.methods.index)


def mean_ap_ranks(results: Results) -> pd.DataFrame:
    """Return the 95 % interval of each method's rank by mAP among those of its group.

    Columns best and worst, NaN where it is not known.
    """
    found = [pd.DataFrame(columns=["best", "worst"], dtype=float)]
    for group in results.comparable():
        resampled = resampled_mean_ap(group)
        if len(resampled.methods):
            ranks = rank_intervals(resampled.points, resampled.values)
            found.append(pd.DataFrame(ranks, resampled.methods, ["best", "worst"]))
    return pd.concat(found).reindex(results.methods.index)


def class_intervals(results: Results) -> pd.DataFrame:
    """Return the 95 % interval of each average precision in percent: columns low and high, by method and class."""
    resampled = resampled_classes(results)
    index = pd.MultiIndex.from_product([resampled.methods, class_names(results)], names=["method", "class"])
    return pd.DataFrame(resampled.intervals.reshape(-1, 2), index, ["ap_low", "ap_high"])


def seeds_note(*experiments: Results) -> list[str]:
    """Return sentences that say what intervals and p-values leave out if methods have few seeds."""
    counts = [(results.dataset, len(runs)) for results in experiments for runs in bootstrapped_runs(results).values()]
    sentences = []
    if of_one := dict.fromkeys(f"{dataset}: seeds" for dataset, count in counts if count == 1):
        sentences.append(
            "Differences between trainings (seeds) are not covered for methods with one seed; to cover them, add seeds "
            f"to {' and '.join(of_one)}."
        )
    if any(count in (2, 3) for _, count in counts):
        sentences.append(
            "Two or three seeds say little of their spread: if seeds vary more than test videos, intervals are too "
            "narrow and p-values too small."
        )
    return sentences


def _resampled(results, metric, point, values, experiment) -> Resampled:
    methods, points, resampled = [], [], []
    for method, runs in bootstrapped_runs(results).items():
        if not all(metric in run["metric"] for run in runs):
            continue
        places = [(run, run["metric"].tolist().index(metric)) for run in runs]
        methods.append(method)
        points.append(np.mean([run[point][place] for run, place in places], axis=0))
        of_runs = np.stack([run[values][place] for run, place in places])
        resampled.append(over_runs(of_runs, experiment + method, int(runs[0]["seed"])))
    if not methods:
        return Resampled(pd.Index([]), np.empty(0), np.empty((0, 1)))
    return Resampled(pd.Index(methods), 100 * np.stack(points), 100 * np.stack(resampled))


def bootstrapped_runs(results: Results) -> dict[str, list[dict]]:
    """Return the bootstraps of each method whose finished runs all have one, in the order of the tables."""
    if not results.bootstraps:
        return {}
    folders = results.runs.groupby("method")["folder"].agg(list).to_dict()
    complete = [method for method in results.methods.index if method in folders]
    complete = [method for method in complete if set(folders[method]) <= set(results.bootstraps)]
    return {method: [results.bootstraps[folder] for folder in folders[method]] for method in complete}
