"""The finished runs of a dataset, read once for tables, figures and the report page."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.config import Run, score_fingerprint
from trainer.datasets import DATASETS
from trainer.run_files import DamagedFile, explain_damage, read_csv, read_json
from trainer.utils.errors import InputError
from trainer.utils.text import check_label
from workflow.lib.report.bootstraps import check_paired, read_bootstrap
from workflow.lib.settings import PublishedRow
from workflow.lib.training_jobs import read_jobs
from workflow.lib.validation import read_table


@dataclass(frozen=True)
class Results:
    """The finished runs of one dataset, among those of the experiment."""

    dataset: str
    methods: pd.DataFrame  # by method, as in the tables: label, pretraining, recipe, group, backbone, wanted (runs)
    runs: pd.DataFrame  # a row per finished run: folder, protocol, and its metrics.json; mAP as a fraction
    published: pd.DataFrame | None  # by method: mAP in percent, source; None: no published numbers are compared
    damaged: dict[str, list[DamagedFile]] = field(default_factory=dict)  # by method: of runs that do not count
    bootstraps: dict[str, dict] = field(default_factory=dict)  # of runs that have one: arrays by folder
    show_intervals: bool = True  # in tables for readers
    part: str | None = None  # "recipe NAME" or "group NAME" of the methods, where others are apart

    @property
    def title(self) -> str:
        return DATASETS[self.dataset].title

    @property
    def suffix(self) -> str:
        """Words after a title: the part of the methods, where others are apart."""
        return f" ({self.part})" if self.part else ""

    @property
    def heading(self) -> str:
        """The dataset, and the part of its methods where others are apart."""
        return self.title + self.suffix

    @property
    def pending(self) -> int:
        """The number of runs that are not finished, or damaged."""
        return int(self.methods.wanted.sum()) - len(self.runs)

    def pretrained(self, kind) -> pd.Index:
        """Return the methods with this kind of pre-training."""
        return self.methods.index[self.methods.pretraining == kind]

    def baselines(self, method) -> pd.Index:
        """Return the finished methods without pre-training that show what a method of this group gains.

        They are those of the method's own recipe. If none of these is finished, all of the group count.
        """
        finished = self.methods[(self.methods.pretraining == "none") & self.methods.index.isin(self.runs.method)]
        own = finished[finished.recipe == self.methods.recipe[method]]
        return finished.index if own.empty else own.index

    def comparable(self) -> list["Results"]:
        """Return the results of each group of methods whose scores compare.

        While each has a recipe of its own, they are named recipes, as readers know these.
        """
        alike = (self.methods.group == self.methods.recipe).all()
        return self._split("recipe" if alike else "group")

    def by_recipe(self) -> list["Results"]:
        """Return the results of each recipe's methods, whose losses compare."""
        return self._split("recipe")

    def _split(self, column):
        if self.methods[column].nunique() == 1:
            return [self]
        return [self._of(f"{column} {name}", methods) for name, methods in self.methods.groupby(column, sort=False)]

    def _of(self, part, methods):
        damaged = {method: errors for method, errors in self.damaged.items() if method in methods.index}
        runs = self.runs[self.runs.method.isin(methods.index)]
        bootstraps = {folder: self.bootstraps[folder] for folder in runs.folder if folder in self.bootstraps}
        return replace(self, methods=methods, runs=runs, damaged=damaged, bootstraps=bootstraps, part=part)


def read_all(job) -> list[Results]:
    """Read the results that a rule's job names in its params; in results/partial/, damaged runs do not count."""
    return [read_results(**dataset, partial=bool(job.wildcards.partial)) for dataset in job.params.results]


def read_results(dataset, methods, runs, published=None, bootstrap=None, show_intervals=True, partial=False) -> Results:
    """Read the metrics.json and bootstrap.npz of the finished ones of ``runs``.

    ``methods``: {method: {"label": ..., "pretraining": ..., "recipe": ..., "group": ..., "backbone": ...}} in the order
    of the tables; ``runs``: all runs of the experiment, {method: {folder: see ``scored``}};
    ``published``: path of a table of published mAP, or None; ``bootstrap``: {"resamples": ..., "seed": ...} of those
    that count, None: any. Raises InputError if a file of a run is damaged, or its bootstrap.npz another one; with
    ``partial``, that run or bootstrap.npz does not count.
    """
    rows, damaged, bootstraps = [], {}, {}
    for method in methods:
        for folder, run in runs[method].items():
            try:
                if metrics := read_metrics(folder, run["fingerprint"]):
                    if arrays := read_bootstrap(folder, metrics, bootstrap):
                        bootstraps[folder] = arrays
                    elif not partial and (path := Path(folder, "bootstrap.npz")).exists():
                        of_config = ", or not made with config: bootstrap" if bootstrap else ""
                        raise InputError(f"{path}: of another training{of_config}; delete it to bootstrap again")
                    # the folder says which method it is: a renamed one is another
                    rows.append({"folder": folder, **metrics, **run, "method": method})
            except DamagedFile as error:
                if not partial:
                    raise
                damaged.setdefault(method, []).append(error)
    check_paired(bootstraps)
    return Results(
        dataset,
        pd.DataFrame.from_dict(methods, orient="index").assign(wanted=[len(runs[method]) for method in methods]),
        pd.DataFrame(rows, columns=None if rows else ["folder", "method", "seed", "mAP", "protocol"]),
        read_published(published, dataset) if published else None,
        damaged,
        bootstraps,
        show_intervals,
    )


def scored(run: Run) -> dict[str, str]:
    """Return the fingerprint by which the scores of a run are recognized, and the protocol of its mAP."""
    return {"fingerprint": score_fingerprint(run), "protocol": run.data.protocol}


def read_metrics(folder, fingerprint) -> dict | None:
    """Return the metrics of the last training in ``folder``; None if it is not scored, or has another ``fingerprint``.

    Raises DamagedFile if a file that tables and figures show is damaged.
    """
    if not (Path(folder, "metrics.json").exists() and Path(folder, "environment.json").exists()):
        return None
    metrics = read_json(f"{folder}/metrics.json")
    expected = fingerprint, read_json(f"{folder}/environment.json", time=str)["time"]
    if (metrics.get("fingerprint"), metrics.get("trained")) != expected:
        return None
    metrics = read_json(f"{folder}/metrics.json", mAP=float, method=str, seed=int, epochs=int)
    read_jobs(folder)
    classes, epochs = read_per_class(folder), read_history(folder).epoch
    if not np.isclose(classes.ap.mean(), metrics["mAP"], rtol=1e-9, equal_nan=True):
        raise DamagedFile(f"{folder}/per_class.csv", f"damaged (mean ap {classes.ap.mean()}, mAP {metrics['mAP']})")
    if epochs.tolist() != list(range(1, metrics["epochs"] + 1)):
        raise DamagedFile(f"{folder}/history.csv", f"damaged (lacks some of {metrics['epochs']} epochs)")
    return metrics


def read_per_class(folder) -> pd.DataFrame:
    """Return a run's average precision by class."""
    path = f"{folder}/per_class.csv"
    rows = read_csv(path, numbers=["ap"], text=["name"])
    with explain_damage(path):
        rows.name.map(check_label)
    if rows.name.duplicated().any():
        raise DamagedFile(path, "two rows of one class")
    return rows


def read_history(folder) -> pd.DataFrame:
    """Return a run's row per epoch."""
    return read_csv(f"{folder}/history.csv", numbers=["epoch", "loss", "mAP"])


def read_published(path, dataset) -> pd.DataFrame:
    """Read the published numbers of a dataset: mAP in percent and source, by method.

    Where several sources print a number for a method, the first row of the table counts.
    """
    rows = read_table(path, PublishedRow)
    rows = rows[rows.dataset == dataset].drop_duplicates("method").set_index("method")
    return rows[["mAP", "source"]]


def mean_map(results: Results, metric="mAP") -> pd.Series:
    """Return mAP in percent by method, mean over seeds; NaN where no run is finished."""
    return 100 * results.runs.groupby("method")[metric].mean().reindex(results.methods.index).astype(float)


def class_means(results: Results) -> pd.DataFrame:
    """Return average precision in percent, mean over seeds: a row per finished method, a column per class."""
    runs = {run.folder: 100 * read_per_class(run.folder).set_index("name")["ap"] for run in results.runs.itertuples()}
    table = pd.DataFrame(runs, dtype=float).T.dropna(axis="columns", how="all")
    means = table.groupby(results.runs.method.to_numpy()).mean()
    return means.reindex([method for method in results.methods.index if method in means.index])


def histories(results: Results) -> dict[str, list[pd.DataFrame]]:
    """Read history.csv of every finished run, by method."""
    curves = {method: [] for method in results.methods.index}
    for run in results.runs.itertuples():
        curves[run.method].append(read_history(run.folder))
    return curves
