"""One dataset's table: a row per method, its mAP beside the published one."""

import pandas as pd

from trainer.files import whole_file
from workflow.scripts.grid import Cell, Grid, cells, latex, markdown, ranked, signed
from workflow.scripts.job import job
from workflow.scripts.results import Results, mean_map, read_all

# The same for every seed of a method; in the order of the table's columns.
PROPERTIES = ["parameters", "gflops", "epochs", "videos_trained", "videos_tested"]
COUNTS = ["seeds", "parameters", "epochs", "videos_trained", "videos_tested"]


def table(results: Results) -> pd.DataFrame:
    """The table as numbers, mAP in percent; ``status`` is there while runs are pending."""
    runs = results.runs.groupby("method")
    columns = {
        "label": results.methods.label,
        "mAP": mean_map(results),
        "mAP_std": 100 * runs["mAP"].std(),  # over seeds; empty for one
        "seeds": runs.size().reindex(results.methods.index, fill_value=0),
    }
    if "official_mAP" in results.runs:
        columns["official_mAP"] = 100 * runs["official_mAP"].mean()
    if results.published is not None:
        columns["published_mAP"] = results.published
        columns["difference"] = columns["mAP"] - results.published
    columns |= {name: runs[name].first() for name in PROPERTIES if name in results.runs}
    if results.pending:
        columns["status"] = columns["seeds"].combine(results.methods.wanted, status)
    rows = pd.DataFrame(columns).reindex(results.methods.index).rename_axis("method").reset_index()
    return rows.astype({name: "Int64" for name in COUNTS if name in rows})  # whole numbers beside empty cells


def status(finished, wanted):
    """What to say of a method's runs."""
    if finished == wanted:
        return "finished"
    return f"{finished} of {wanted} runs" if finished else "pending"


def table_grid(results: Results) -> Grid:
    """The table as people read it."""
    rows = table(results).set_index("method")
    self_supervised = results.of("self-supervised")
    columns = {"Method": cells(rows.label), "mAP": map_cells(results)}
    if "official_mAP" in rows:
        columns["Official"] = ranked(rows.official_mAP, self_supervised)
    if "published_mAP" in rows:
        columns["Published"] = ranked(rows.published_mAP, self_supervised)
        columns["Difference"] = cells(rows.difference, signed)
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
    return Grid(f"{results.title}: {METRICS[results.dataset]}", columns, note(results))


METRICS = {"ava": "frame mAP at IoU 0.5, in percent", "charades": "mAP, in percent"}


def map_cells(results: Results) -> list[Cell]:
    """mAP of each method, with its spread over seeds where there are several."""
    rows = table(results).set_index("method")
    shown = ranked(rows.mAP, results.of("self-supervised"))
    return [
        cell if pd.isna(std) else Cell(f"{cell.text} ± {std:.1f}", cell.value, cell.best, cell.best_self_supervised)
        for cell, std in zip(shown, rows.mAP_std, strict=True)
    ]


def note(results: Results) -> str:
    """What the reader must know to read the table."""
    sentences = []
    if "official_mAP" in results.runs:
        sentences.append("mAP is by the published protocol, Official by ActivityNet's script.")
    if results.runs["seed"].nunique() > 1:
        sentences.append("mAP is the mean over seeds ± one standard deviation.")
    if "gflops" in results.runs:
        sentences.append("GFLOPs of one clip; Trained and Tested on: videos.")
    if results.pending:
        sentences.append(f"{results.pending} of {results.methods.wanted.sum()} runs are pending.")
    return " ".join(sentences)


def write_table(rows: pd.DataFrame, grid: Grid, output):
    """Write one table as ``output.csv`` (numbers), ``output.markdown`` and ``output.latex`` (for people)."""
    with whole_file(output.csv) as partial:
        rows.to_csv(partial, index=False, float_format="%.2f")
    for path, write in ((output.markdown, markdown), (output.latex, latex)):
        with whole_file(path) as partial:
            partial.write_text(write(grid))


if __name__ == "__main__":
    with job(snakemake):
        [results] = read_all(snakemake.params.results)
        write_table(table(results), table_grid(results), snakemake.output)
