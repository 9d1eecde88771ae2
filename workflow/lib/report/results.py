"""The finished runs of a dataset, read once for tables, figures and the report page."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trainer.config import Run, fingerprint
from trainer.datasets import DATASETS
from trainer.utils.settings import read
from workflow.lib.settings import PublishedRow
from workflow.lib.validation import read_table


@dataclass(frozen=True)
class Results:
    """The finished runs of one dataset, among those of the experiment."""

    dataset: str
    methods: pd.DataFrame  # by method, in the order of the tables: label, pretraining, wanted (number of runs)
    runs: pd.DataFrame  # a row per finished run: folder, and the content of its metrics.json; mAP as a fraction
    published: pd.DataFrame | None  # by method: mAP in percent, source; None: no published numbers are compared

    @property
    def title(self) -> str:
        return DATASETS[self.dataset].title

    @property
    def pending(self) -> int:
        """The number of runs that are not finished."""
        return int(self.methods.wanted.sum()) - len(self.runs)

    def pretrained(self, *kinds) -> pd.Index:
        """Return the methods with one of these kinds of pre-training."""
        return self.methods.index[self.methods.pretraining.isin(kinds)]


def read_all(datasets) -> list[Results]:
    """Read the results of several datasets; ``datasets``: the arguments of ``read_results`` for each."""
    return [read_results(**dataset) for dataset in datasets]


def read_results(dataset, methods, runs, published=None) -> Results:
    """Read the metrics.json of the finished ones of ``runs``.

    ``methods``: {method: {"label": ..., "pretraining": ...}} in the order of the tables; ``runs``: all runs of the
    experiment, {method: {folder: mapping in the shape of trainer.config.Run}}; ``published``: path of a table of
    published mAP, or None.
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
    """Return whether ``folder`` has the metrics of its last training, and that training had the settings of ``run``."""
    metrics, environment = Path(folder) / "metrics.json", Path(folder) / "environment.json"
    if not (metrics.is_file() and environment.is_file()):
        return False
    scored, trained = (json.loads(path.read_text()) for path in (metrics, environment))
    expected = fingerprint(read(Run, run, folder)), trained.get("time")
    return (scored.get("fingerprint"), scored.get("trained")) == expected


def read_published(path, dataset) -> pd.DataFrame:
    """Read the published numbers of a dataset: mAP in percent and source, by method.

    Where several sources print a number for a method, the first row of the table counts.
    """
    rows = read_table(path, PublishedRow)
    rows = rows[rows.dataset == dataset].drop_duplicates("method").set_index("method")
    return rows[["mAP", "source"]]


def mean_map(results: Results) -> pd.Series:
    """Return mAP in percent by method, mean over seeds; NaN where no run is finished."""
    return 100 * results.runs.groupby("method")["mAP"].mean().reindex(results.methods.index).astype(float)


def average_precisions(results: Results) -> pd.DataFrame:
    """Return average precision in percent: a row per finished run (method, seed), a column per class with positives."""
    runs = {
        (run.method, run.seed): 100 * pd.read_csv(f"{run.folder}/per_class.csv").set_index("name")["ap"]
        for run in results.runs.itertuples()
    }
    table = pd.DataFrame(runs, dtype=float).T
    table.index = pd.MultiIndex.from_tuples(table.index, names=["method", "seed"])
    return table.dropna(axis="columns", how="all")


def class_means(results: Results) -> pd.DataFrame:
    """Return average precision in percent, mean over seeds: a row per finished method in order, a column per class."""
    means = average_precisions(results).groupby("method").mean()
    return means.reindex([method for method in results.methods.index if method in means.index])


def histories(results: Results) -> dict[str, list[pd.DataFrame]]:
    """Read history.csv of every finished run, by method."""
    curves = {method: [] for method in results.methods.index}
    for run in results.runs.itertuples():
        curves[run.method].append(pd.read_csv(f"{run.folder}/history.csv"))
    return curves
