"""What the runs of a dataset gave: read once, for tables, figures and the report."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trainer.config import build, fingerprint
from workflow.scripts.checks import read_table


@dataclass(frozen=True)
class Results:
    """The runs of one dataset that are finished, among those that are wanted."""

    dataset: str
    methods: pd.DataFrame  # by method, in the order of the tables: label, pretraining, wanted (number of runs)
    runs: pd.DataFrame  # a row per finished run: folder, and what its metrics.json holds; mAP as a fraction
    published: pd.Series | None  # mAP in percent by method; None: nothing to compare with

    @property
    def title(self):
        return TITLES[self.dataset]

    @property
    def pending(self):
        """How many runs are not finished."""
        return int(self.methods.wanted.sum()) - len(self.runs)

    def of(self, *pretraining):
        """The methods that were pre-trained so."""
        return self.methods.index[self.methods.pretraining.isin(pretraining)]


TITLES = {"ava": "AVA", "charades": "Charades"}


def read_all(datasets) -> list[Results]:
    """Read what `get_results` of the workflow names: the arguments of ``read_results``, for each dataset."""
    return [read_results(**dataset) for dataset in datasets]


def read_results(dataset, methods, runs, published=None) -> Results:
    """Read the metrics.json of those ``runs`` that are finished.

    ``methods``: {method: {"label": ..., "pretraining": ...}} in the order of the tables; ``runs``: all that are wanted,
    {method: {folder: what decides it, in the shape of trainer.config.Run}}; ``published``: path of a table of published
    mAP, or None.
    """
    wanted = [len(runs[method]) for method in methods]
    finished = [folder for method in methods for folder, run in runs[method].items() if is_finished(folder, run)]
    rows = [{"folder": folder, **json.loads((Path(folder) / "metrics.json").read_text())} for folder in finished]
    return Results(
        dataset,
        pd.DataFrame.from_dict(methods, orient="index").assign(wanted=wanted),
        pd.DataFrame(rows, columns=None if rows else ["folder", "method", "seed", "mAP"]),
        read_published(published, dataset) if published else None,
    )


def is_finished(folder, run) -> bool:
    """Whether ``folder`` has the metrics of this run's last training, and not of one with other settings."""
    metrics, environment = Path(folder) / "metrics.json", Path(folder) / "environment.json"
    if not (metrics.is_file() and environment.is_file()):
        return False
    scored, trained = (json.loads(path.read_text()) for path in (metrics, environment))
    return (scored.get("settings"), scored.get("trained")) == (fingerprint(build(run)), trained.get("time"))


def read_published(path, dataset):
    """Published mAP in percent, by method."""
    table = read_table(path, "published")
    return table[table.dataset == dataset].set_index("method")["mAP"].astype(float)


def mean_map(results: Results) -> pd.Series:
    """mAP in percent by method, mean over seeds; NaN where no run is finished."""
    return 100 * results.runs.groupby("method")["mAP"].mean().reindex(results.methods.index).astype(float)


def average_precisions(results: Results) -> pd.DataFrame:
    """Average precision in percent: rows (method, seed) of finished runs, columns the classes that have a positive."""
    runs = {
        (run.method, run.seed): 100 * pd.read_csv(f"{run.folder}/per_class.csv").set_index("name")["ap"]
        for run in results.runs.itertuples()
    }
    table = pd.DataFrame(runs, dtype=float).T
    table.index = pd.MultiIndex.from_tuples(table.index, names=["method", "seed"])
    return table.dropna(axis="columns", how="all")


def class_means(results: Results) -> pd.DataFrame:
    """Average precision in percent, mean over seeds: rows the finished methods in order, columns the classes."""
    means = average_precisions(results).groupby("method").mean()
    return means.reindex([method for method in results.methods.index if method in means.index])


def histories(results: Results) -> dict[str, list[pd.DataFrame]]:
    """history.csv of every finished run, by method."""
    curves = {method: [] for method in results.methods.index}
    for run in results.runs.itertuples():
        curves[run.method].append(pd.read_csv(f"{run.folder}/history.csv"))
    return curves
