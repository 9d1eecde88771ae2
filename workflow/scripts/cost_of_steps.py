"""What each step of the workflow took, from the benchmark files that Snakemake writes beside every job."""

from pathlib import Path

import pandas as pd

HOUR = 3600


def cost_of_steps(folder, gpus) -> pd.DataFrame:
    """A row per step and dataset, in the order in which steps first ended.

    ``folder`` holds <step>.tsv or <step>/**/*.tsv; ``gpus``: on how many each run was trained, by
    "dataset/method/seed0"; jobs of other runs do not count.
    Columns: step, dataset, jobs, hours (of all jobs, as if one ran after the other), longest (h), gpu_hours, memory
    (GB, of the largest job).
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
