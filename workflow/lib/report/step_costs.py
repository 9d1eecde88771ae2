"""The cost of each step of the workflow, from the benchmark file that Snakemake writes for every job."""

from pathlib import Path

import pandas as pd

HOUR = 3600


def step_costs(folder, gpus) -> pd.DataFrame:
    """Return the cost of each step and dataset, a row each, in the order in which the steps' first jobs ended.

    ``folder`` holds <step>.tsv or <step>/**/*.tsv. ``gpus``: the number of GPUs that trained each run, by
    "dataset/method/seed0"; jobs of other runs do not count.
    Columns: step, dataset, jobs, hours (sum of the jobs' wall time), longest (h, longest job), gpu_hours, memory (GB,
    largest job).
    """
    jobs = []
    for path in sorted(Path(folder).rglob("*.tsv"), key=lambda path: path.stat().st_mtime):
        step, _, name = path.relative_to(folder).with_suffix("").as_posix().partition("/")
        dataset = name.partition("/")[0] if name.count("/") == 2 else ""
        if dataset and name not in gpus:
            continue
        measured = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        jobs.append(
            {
                "step": step,
                "dataset": dataset,
                "hours": measured["s"] / HOUR,
                "gpu_hours": measured["s"] / HOUR * gpus.get(name, 0),
                "memory": measured.get("max_rss") / 1024,  # Snakemake's MB are MiB
            }
        )
    columns = ["step", "dataset", "jobs", "hours", "longest", "gpu_hours", "memory"]
    if not jobs:
        return pd.DataFrame(columns=columns)
    return (
        pd.DataFrame(jobs)
        .groupby(["step", "dataset"], sort=False)
        .agg(
            jobs=("hours", "size"),
            hours=("hours", "sum"),
            longest=("hours", "max"),
            gpu_hours=("gpu_hours", "sum"),
            memory=("memory", "max"),
        )
        .reset_index()[columns]
    )
