"""One dataset's table: a row per method, its mAP beside the published one."""

import json
from pathlib import Path

import pandas as pd

from trainer.files import whole_file
from workflow.scripts.job import job

# The same for every seed of a method; in the order of the table's columns.
PROPERTIES = ["parameters", "gflops", "epochs", "videos_trained", "videos_tested"]


def table(runs, methods, dataset, published):
    """The table of a dataset as a frame, mAP in percent.

    ``runs``: paths of metrics.json, any order; ``methods``: label by method, in the order of the rows; ``published``:
    published mAP by method in percent, or None for a table without published columns.
    """
    scores = pd.DataFrame([json.loads(Path(run).read_text()) for run in runs]).groupby("method", sort=False)
    columns = {
        "method": pd.Series(methods),
        "mAP": 100 * scores["mAP"].mean(),
        "mAP_std": 100 * scores["mAP"].std(),  # over seeds; empty for one
        "seeds": scores["seed"].nunique(),
    }
    if dataset == "ava":
        columns["official_mAP"] = 100 * scores["official_mAP"].mean()
    if published is not None:
        columns["published_mAP"] = pd.Series(published, dtype=float)
        columns["difference"] = columns["mAP"] - columns["published_mAP"]
    columns |= {name: scores[name].first() for name in PROPERTIES}
    return pd.DataFrame(columns).reindex(list(methods))


def read_published(path, dataset):
    """Published mAP in percent by method, or None without a table."""
    if path is None:
        return None
    rows = pd.read_csv(path, sep="\t")
    return rows[rows.dataset == dataset].set_index("method")["mAP"].to_dict()


if __name__ == "__main__":
    with job(snakemake):
        dataset = snakemake.wildcards.dataset
        published = read_published(snakemake.params.published, dataset)
        rows = table(snakemake.input.runs, snakemake.params.methods, dataset, published)
        with whole_file(snakemake.output.csv) as partial:
            rows.to_csv(partial, index=False, float_format="%.2f")
