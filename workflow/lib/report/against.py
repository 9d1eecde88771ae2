"""Two experiments on the same test sets: per method and class, the difference with its interval."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainer.config import Run, load, result_config
from trainer.metrics.bootstrap import LEVEL, bootstrap_p_value, holm, interval
from trainer.utils.errors import InputError
from workflow.lib.changed_settings import compare
from workflow.lib.report.comparisons import difference_cells, joined, p_value_cells
from workflow.lib.report.results import Results, read_per_class, read_results, scored
from workflow.lib.report.text_table import TextTable, cells
from workflow.lib.report.uncertainty import (
    bootstrapped_runs,
    class_names,
    resampled_classes,
    resampled_mean_ap,
    seeds_note,
)

OTHER = "against "  # begins the other experiment's names, so that its seeds are drawn on their own


def read_other(results: Results, folder) -> Results:
    """Return the other experiment's runs, below ``folder``/runs, of the methods in ``results``.

    Raises InputError if there are none, if one is not bootstrapped as those of ``results``, if those of a method
    differ in more than seeds, or if test sets or the protocols of mAP differ.
    """
    runs = {method: found_runs(folder, results.dataset, method) for method in results.methods.index}
    if not any(runs.values()):
        raise InputError(
            f"{folder}: expected scored runs of {results.title} in runs/{results.dataset}/<method>/seed<n>/, of a "
            f"method of this experiment: {', '.join(results.methods.index)}"
        )
    methods = {method: results.methods.loc[method, ["label", "pretraining"]].to_dict() for method in runs}
    scores = {method: {folder: scored(run) for folder, run in found.items()} for method, found in runs.items()}
    other = read_results(results.dataset, methods, scores)
    if other.runs.empty:
        one = next(run for found in runs.values() for run in found)
        raise InputError(
            f"{one}/metrics.json: not of the config.yaml and environment.json beside it, like all others of "
            f"{results.title} in {folder}; score them again where that experiment ran"
        )
    check_same_settings(other, runs)
    check_bootstrapped(other)
    check_same_protocols(results, other)
    check_same_test_set(results, other)
    check_same_resamples(results, other)
    return other


def found_runs(folder, dataset, method) -> dict[str, Run]:
    """Return the scored runs of a method, by their folders."""
    paths = sorted(Path(folder, "runs", dataset, method).glob("seed*/config.yaml"))
    return {str(path.parent): load(path) for path in paths if (path.parent / "metrics.json").exists()}


def check_same_settings(other: Results, runs):
    """Raise InputError if scored runs of a method differ in more than their seed: one is left of other settings."""
    for method, folders in other.runs.groupby("method").folder:
        first, *others = folders
        wanted = result_config(runs[method][first])
        for folder in others:
            for setting, expected, got in compare(result_config(runs[method][folder]), wanted):
                if setting != "seed":
                    raise InputError(
                        f"{folder}: expected {setting} {expected}, as {first} has it, got {got}; delete the run that "
                        "is not of that experiment"
                    )


def check_bootstrapped(other: Results):
    """Raise InputError if a scored run has no bootstrap.npz."""
    for folder in other.runs.folder:
        if folder not in other.bootstraps:
            raise InputError(f"{folder}/bootstrap.npz: no such file; run snakemake where that experiment ran")


def check_same_protocols(results: Results, other: Results):
    """Raise InputError naming both protocols if mAP of a method's runs was not counted by the same one."""
    first = results.runs.drop_duplicates("method")  # the others have its settings
    pairs = first.merge(other.runs, on="method", suffixes=("_ours", "_theirs"))
    for _, run in pairs[pairs.protocol_theirs != pairs.protocol_ours].iterrows():
        raise InputError(
            f"{run.folder_theirs}: expected mAP by protocol {run.protocol_ours}, as {run.folder_ours} has it, got "
            f"{run.protocol_theirs}; set the same `protocol` in the recipe of both experiments"
        )


def check_same_test_set(results: Results, other: Results):
    """Raise InputError naming the difference if videos, classes or annotations of the tests are not the same."""
    bootstraps = results.bootstraps | other.bootstraps
    first, *others = [*results.runs.folder, *other.runs.folder]
    for folder in others:
        _check_same_test(first, folder, [set(bootstraps[run]["video"].tolist()) for run in (first, folder)])


def _check_same_test(ours, theirs, videos):
    for extra, folder, lacking in ((videos[0] - videos[1], theirs, ours), (videos[1] - videos[0], ours, theirs)):
        if extra:
            some = ", ".join(sorted(extra)[:3]) + (", ..." if len(extra) > 3 else "")
            raise InputError(f"{folder}: lacks {len(extra)} test videos that {lacking} has: {some}; expected the same")
    positives = [read_per_class(folder).set_index("name").positives for folder in (ours, theirs)]
    if set(positives[0].index) == set(positives[1].index) and [*positives[0].index] != [*positives[1].index]:
        raise InputError(f"{theirs}: has its classes in another order than {ours}; score both with one label map")
    table = pd.concat(positives, axis=1, keys=["ours", "theirs"])
    for name, row in table[table.ours.ne(table.theirs)].iterrows():
        raise InputError(
            f"{theirs}: expected {row.ours:.0f} annotated examples of {name!r}, as {ours} was tested on, got "
            f"{row.theirs:.0f}; the annotations differ"
        )


def check_same_resamples(results: Results, other: Results):
    """Raise InputError if the runs of the other experiment were not scored on the same resamples."""
    ours = next(iter(results.bootstraps.values()))
    for folder, theirs in other.bootstraps.items():
        if str(theirs["digest"]) != str(ours["digest"]):
            made = f"{{resamples: {theirs['mAP'].shape[1]}, seed: {int(theirs['seed'])}}}"
            raise InputError(
                f"{folder}/bootstrap.npz: made with other resamples; set bootstrap: {made} in the config of this "
                "experiment or, if they are too few for its methods, those of this one there"
            )


def method_differences(results: Results, other: Results) -> pd.DataFrame:
    """Return a row per method that both have.

    Columns: method, here, there (mAP in percent), difference, low, high, p, p_holm, seeds_here, seeds_there.
    """
    ours, theirs = in_common(results, other, resampled_mean_ap)
    difference, values = ours.points - theirs.points, ours.values - theirs.values
    low, high = interval(difference, values).reshape(-1, 2).T
    p = bootstrap_p_value(difference, values)
    columns = {"here": ours.points, "there": theirs.points, "difference": difference, "low": low, "high": high}
    columns |= {"p": p, "p_holm": holm(p)}
    for where, found in (("here", results), ("there", other)):
        columns[f"seeds_{where}"] = found.runs.groupby("method").size()[ours.methods].to_numpy()
    return pd.DataFrame({"method": ours.methods} | columns)


def class_differences(results: Results, other: Results) -> pd.DataFrame:
    """Return a row per common method and class: average precision in percent here and there, difference, low, high."""
    ours, theirs = in_common(results, other, resampled_classes)
    difference = ours.points - theirs.points
    low, high = np.moveaxis(interval(difference, ours.values - theirs.values), -1, 0)
    index = pd.MultiIndex.from_product([ours.methods, class_names(results)], names=["method", "class"])
    columns = {"here": ours.points, "there": theirs.points, "difference": difference, "low": low, "high": high}
    rows = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index)
    return rows.dropna(subset="difference").reset_index()


def in_common(results, other, resampled):
    """Return the scores of the methods that both experiments have."""
    theirs = bootstrapped_runs(other)
    methods = [method for method in bootstrapped_runs(results) if method in theirs]
    both = []
    for found, name in ((results, ""), (other, OTHER)):
        scores = resampled(found, experiment=name)
        places = scores.methods.get_indexer(methods)
        both.append(
            replace(scores, methods=pd.Index(methods), points=scores.points[places], values=scores.values[places])
        )
    return both


def text_table(results: Results, other: Results) -> TextTable:
    """Return the differences of methods as text."""
    rows = method_differences(results, other)
    columns = {
        "Method": cells(rows.method.map(results.methods.label)),
        "mAP here": cells(rows.here, "{:.1f}".format),
        "mAP there": cells(rows.there, "{:.1f}".format),
        "Difference": difference_cells(rows),
        **p_value_cells(rows),
        "Seeds here": cells(rows.seeds_here),
        "Seeds there": cells(rows.seeds_there),
    }
    note = (
        "Difference: here - there, with its interval of 95 % over the same resamples of the test videos. p (Holm) is "
    )
    note += f"corrected for the number of methods; at most {LEVEL} is bold."
    note = " ".join([note, *seeds_note(results, other)])
    return TextTable(f"{results.title}: mAP in percent", columns, note)


def class_text_table(results: Results, other: Results, count=10) -> TextTable:
    """Return the ``count`` classes with the largest differences, of any method, as text."""
    rows = class_differences(results, other)
    rows = rows.reindex(rows.difference.abs().sort_values(ascending=False, kind="stable").index).head(count)
    columns = {
        "Class": cells(rows["class"]),
        "Method": cells(rows.method.map(results.methods.label)),
        "AP here": cells(rows.here, "{:.1f}".format),
        "AP there": cells(rows.there, "{:.1f}".format),
        "Difference": difference_cells(rows),
    }
    return TextTable(f"{results.title}: classes that differ most", columns, "Of many classes some differ by chance.")


def statement(results: Results, other: Results) -> str:
    """Return the sentences that say which methods differ between the experiments, and which only one has."""
    rows = method_differences(results, other)
    changed = rows[rows.p_holm <= LEVEL].method.map(results.methods.label).tolist()
    said = f"On {results.title}, {len(changed)} of {len(rows)} methods differ by more than chance"
    said += f": {joined(changed)}." if changed else "."
    missing = results.methods.label[[method for method in results.methods.index if method not in set(rows.method)]]
    said += f" Not in both experiments: {joined(missing.tolist())}." if len(missing) else ""
    return " ".join([said, *seeds_note(results, other)])
