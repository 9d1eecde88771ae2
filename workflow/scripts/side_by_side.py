"""Both datasets in one table: a row per method, each dataset's mAP beside the published one."""

import pandas as pd

from workflow.scripts.grid import Grid, cells, ranked, signed
from workflow.scripts.job import job
from workflow.scripts.results import Results, read_all
from workflow.scripts.table import map_cells, table, write_table

COLUMNS = ["mAP", "mAP_std", "published_mAP", "difference", "status"]


def side_by_side(datasets: list[Results]) -> pd.DataFrame:
    """The numbers of each dataset's table; a column's name begins with its dataset's."""
    labels = datasets[0].methods.label.rename_axis("method")
    parts = [
        table(results).set_index("method").filter(COLUMNS).add_prefix(f"{results.dataset}_") for results in datasets
    ]
    return pd.concat([labels, *parts], axis="columns").reset_index()


def side_by_side_grid(datasets: list[Results]) -> Grid:
    """The table as people read it."""
    columns = {"Method": cells(datasets[0].methods.label)}
    for results in datasets:
        rows = table(results).set_index("method")
        columns[results.title] = map_cells(results)
        if "published_mAP" in rows:
            columns[f"{results.title} published"] = ranked(rows.published_mAP, results.of("self-supervised"))
            columns[f"{results.title} difference"] = cells(rows.difference, signed)
        if "status" in rows:
            columns[f"{results.title} status"] = cells(rows.status)
    pending = sum(results.pending for results in datasets)
    note = f"{pending} runs are pending." if pending else ""
    return Grid(f"{' and '.join(results.title for results in datasets)}: mAP in percent", columns, note)


if __name__ == "__main__":
    with job(snakemake):
        datasets = read_all(snakemake.params.results)
        write_table(side_by_side(datasets), side_by_side_grid(datasets), snakemake.output)
