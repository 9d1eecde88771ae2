"""The tables of mAP: one of each dataset, one of its classes, and one with the datasets side by side."""

from dataclasses import replace

import pandas as pd

from trainer.datasets import DATASETS
from trainer.utils.files import atomic_write
from workflow.lib.report.results import Results, class_means, mean_map
from workflow.lib.report.text_table import MISSING, Cell, TextTable, cells, highlight_best, latex, markdown, signed
from workflow.lib.report.uncertainty import class_intervals, mean_ap_intervals, mean_ap_ranks, seeds_note

# Equal for all seeds of a method; in the order of the table's columns.
PROPERTIES = ["parameters", "gflops", "epochs", "videos_trained", "videos_tested"]
COUNTS = ["rank_best", "rank_worst", "seeds", "parameters", "epochs", "videos_trained", "videos_tested"]
# Columns of a dataset's table that stand side by side with those of the others.
SHARED_COLUMNS = ["mAP", "mAP_low", "mAP_high", "mAP_std", "published_mAP", "published_source", "difference", "status"]


def table(results: Results) -> pd.DataFrame:
    """Return one dataset's table as numbers, a row per method, mAP in percent.

    The column ``status`` is there while runs are pending.
    """
    runs = results.runs.groupby("method")
    columns = {
        "label": results.methods.label,
        "recipe": results.methods.recipe,
        "group": results.methods.group,
        **with_interval(results, "mAP"),
        "mAP_std": 100 * runs["mAP"].std(),  # over seeds; empty for one
        **mean_ap_ranks(results).add_prefix("rank_"),
        "seeds": runs.size().reindex(results.methods.index, fill_value=0),
    }
    if "official_mAP" in results.runs:
        columns |= with_interval(results, "official_mAP")
    if results.published is not None:
        columns["published_mAP"] = results.published.mAP
        columns["published_source"] = results.published.source
        columns["difference"] = columns["mAP"] - results.published.mAP
    columns |= {name: runs[name].first() for name in PROPERTIES if name in results.runs}
    if results.pending:
        columns["status"] = pd.Series(
            {
                method: status(columns["seeds"][method], wanted, results.damaged.get(method, []))
                for method, wanted in results.methods.wanted.items()
            }
        )
    rows = pd.DataFrame(columns).reindex(results.methods.index).rename_axis("method").reset_index()
    return rows.astype({name: "Int64" for name in COUNTS if name in rows})  # whole numbers beside empty cells


def with_interval(results: Results, metric) -> dict[str, pd.Series]:
    """Return a mAP of metrics.json in percent, mean over seeds, and its 95 % interval, as columns."""
    return {metric: mean_map(results, metric), **mean_ap_intervals(results, metric).add_prefix(f"{metric}_")}


def class_table(results: Results) -> pd.DataFrame:
    """Return average precision in percent with its 95 % interval: a row per finished method and class."""
    means = class_means(results).rename_axis(index="method", columns="class").stack().rename("ap")
    return means.to_frame().join(class_intervals(results)).reset_index()


def status(finished, wanted, damaged) -> str:
    """Return the state of a method's runs for a reader; ``damaged``: the errors of those that do not count."""
    if finished == wanted:
        return "finished"
    parts = [f"{finished} of {wanted} runs"] if finished else []
    parts += [f"damaged: {error.path.parent.name}/{error.path.name}" for error in damaged]
    return ", ".join(parts) or "pending"


def text_table(results: Results) -> TextTable:
    """Return the table of methods that compare as text."""
    rows = table(results).set_index("method")
    columns = {"Method": cells(rows.label), "mAP": mean_ap_cells(rows, results)}
    if "official_mAP" in rows:
        columns["Official"] = mean_ap_cells(rows, results, "official_mAP")
    if "published_mAP" in rows:
        columns["Published"] = highlight_best(rows.published_mAP, results.pretrained("self-supervised"))
        columns["Difference"] = cells(rows.difference, signed)
    if results.bootstraps:
        columns["Rank"] = rank_cells(rows)
    columns["Seeds"] = cells(rows.seeds)
    for heading, name, form in (
        ("Params (M)", "parameters", lambda count: f"{count / 1e6:.1f}"),
        ("GFLOPs", "gflops", "{:.1f}".format),
        ("Epochs", "epochs", "{:.0f}".format),
        ("Trained on", "videos_trained", "{:,.0f}".format),
        ("Tested on", "videos_tested", "{:,.0f}".format),
    ):
        if name in rows:
            columns[heading] = cells(rows[name], form)
    if "status" in rows:
        columns["Status"] = cells(rows.status)
    title = f"{results.heading}: {DATASETS[results.dataset].metric_title}"
    return TextTable(title, columns, note(results))


def mean_ap_cells(rows: pd.DataFrame, results: Results, metric="mAP") -> list[Cell]:
    """Return the cells of a mAP with its interval, or else with the standard deviation over seeds if it is known."""
    low, high = rows[f"{metric}_low"], rows[f"{metric}_high"]
    deviation = rows.get(f"{metric}_std", pd.Series(index=rows.index, dtype=float))
    found = highlight_best(rows[metric], results.pretrained("self-supervised"))
    if results.show_intervals and results.bootstraps:
        extra = ["" if pd.isna(one) else f" [{one:.1f}, {other:.1f}]" for one, other in zip(low, high, strict=True)]
    else:
        extra = ["" if pd.isna(one) else f" ± {one:.1f}" for one in deviation]
    return [replace(cell, text=cell.text + words) for cell, words in zip(found, extra, strict=True)]


def rank_cells(rows: pd.DataFrame) -> list[Cell]:
    """Return the cells of rank intervals: "2–5", or "1" where the rank is certain."""
    texts = [
        MISSING if pd.isna(best) else f"{best}" if best == worst else f"{best}–{worst}"
        for best, worst in zip(rows.rank_best, rows.rank_worst, strict=True)
    ]
    middle = (rows.rank_best + rows.rank_worst) / 2
    return [Cell(text, None if pd.isna(key) else key) for text, key in zip(texts, middle, strict=True)]


def note(results: Results) -> str:
    """Return the sentences that explain one dataset's table."""
    sentences = []
    if "official_mAP" in results.runs and len(results.runs):
        [protocol] = results.runs.protocol.unique()  # a group is tested alike
        sentences.append(
            f'mAP is by the protocol "{protocol}", Official by ActivityNet\'s; both skip the excluded seconds. '
            "By how much the two differ depends on duplicate detections."
        )
    sentences += interval_sentences([results], ranks=True)
    if sources := published_sources(results):
        sentences.append(f"Published numbers are from {sources}.")
    sentences += recipes_and_backbones(results)
    if "gflops" in results.runs:
        sentences.append("GFLOPs of one clip; Trained and Tested on: videos.")
    if results.pending:
        sentences.append(f"{results.pending} of {results.methods.wanted.sum()} runs are pending.")
    sentences += damage(results)
    return " ".join(sentences)


def interval_sentences(datasets: list[Results], ranks: bool) -> list[str]:
    """Return the sentences that explain means, brackets and ± of a table of ``datasets``, with ``ranks`` or without."""
    sentences, resampled = [], []
    for results in datasets:
        of = f" of {results.title}" if len(datasets) > 1 else ""
        several = results.runs["seed"].nunique() > 1
        shown = ["brackets"] * results.show_intervals + ["ranks"] * ranks
        if several:
            sentences.append(f"mAP{of} is the mean over seeds.")
        if results.bootstraps and shown:
            over = "test videos and seeds" if several else "test videos"
            sentences.append(f"{' and '.join(shown).capitalize()}{of} are intervals of 95 % over {over}.")
            resampled.append(results)
        if several and not (results.bootstraps and results.show_intervals):
            sentences.append(f"±{of} is one standard deviation over seeds.")
    return sentences + seeds_note(*resampled)


def damage(results: Results) -> list[str]:
    """Return a sentence for each damaged run: the file and what to do about it."""
    return [f"Not counted: {error}." for errors in results.damaged.values() for error in errors]


def published_sources(results: Results) -> str:
    """Return the sources of the published numbers: the most frequent one, then the others with their methods."""
    if results.published is None:
        return ""
    labels = results.methods.label
    return most_frequent(results.published.source.reindex(labels.index).dropna(), labels, "from ")


def recipes_and_backbones(results: Results) -> list[str]:
    """Return a sentence that names the recipes if methods that are ranked together have several, and the backbones."""
    return [
        f"The {name} is {most_frequent(results.methods[name], results.methods.label)}."
        for name in ("recipe", "backbone")
        if results.methods[name].nunique() > 1
    ]


def most_frequent(values: pd.Series, labels: pd.Series, word="") -> str:
    """Return the most frequent value, then each other one with the labels of its methods: "a, for B, C from d"."""
    first, *others = values.value_counts().index if len(values) else [""]
    exceptions = [f"for {', '.join(labels[values.index[values == other]])} {word}{other}" for other in others]
    return ", ".join([first, *exceptions])


def side_by_side(datasets: list[Results]) -> pd.DataFrame:
    """Return the numbers of all datasets' tables in one; a column's name begins with its dataset's."""
    labels = datasets[0].methods[["label", "recipe", "group"]].rename_axis("method")
    parts = [
        table(results).set_index("method").filter(SHARED_COLUMNS).add_prefix(f"{results.dataset}_")
        for results in datasets
    ]
    return pd.concat([labels, *parts], axis="columns").reset_index()


def side_by_side_text_tables(datasets: list[Results]) -> list[TextTable]:
    """Return all datasets' tables in one, as text: one of each group of methods that compare."""
    groups = zip(*(results.comparable() for results in datasets), strict=True)
    return [_side_by_side_text_table(group) for group in groups]


def _side_by_side_text_table(datasets):
    columns = {"Method": cells(datasets[0].methods.label)}
    sentences = interval_sentences(datasets, ranks=False)
    for results in datasets:
        rows = table(results).set_index("method")
        columns[results.title] = mean_ap_cells(rows, results)
        if "published_mAP" in rows:
            published = highlight_best(rows.published_mAP, results.pretrained("self-supervised"))
            columns[f"{results.title} published"] = published
            columns[f"{results.title} difference"] = cells(rows.difference, signed)
        if "status" in rows:
            columns[f"{results.title} status"] = cells(rows.status)
        if sources := published_sources(results):
            sentences.append(f"Published numbers of {results.title} are from {sources}.")
    sentences += recipes_and_backbones(datasets[0])
    if pending := sum(results.pending for results in datasets):
        sentences.append(f"{pending} runs are pending.")
    sentences += [sentence for results in datasets for sentence in damage(results)]
    title = " and ".join(results.title for results in datasets) + datasets[0].suffix
    return TextTable(f"{title}: mAP in percent", columns, " ".join(sentences))


def write_table(rows: pd.DataFrame, texts: list[TextTable], output, digits=2):
    """Write ``output.csv`` (numbers), ``output.markdown`` and ``output.latex`` (text, one table after the other)."""
    write_csv(rows, output.csv, digits)
    for path, write in ((output.markdown, markdown), (output.latex, latex)):
        with atomic_write(path) as partial:
            partial.write_text("\n".join(map(write, texts)), encoding="utf-8")


def write_csv(rows: pd.DataFrame, path, digits=2):
    """Write a table of numbers with ``digits`` after the point."""
    with atomic_write(path) as partial:
        rows.to_csv(partial, index=False, float_format=f"%.{digits}f")
