"""The cost of each step of the workflow, from the benchmark file that Snakemake writes for every job."""

import logging
import math
from pathlib import Path

import pandas as pd

from trainer.run_files import DamagedFile, explain_damage
from trainer.utils.files import check_last_line

log = logging.getLogger(__name__)

HOUR = 3600
UNMEASURED = ("-", "NA")  # the memory of a job that was too short


def step_costs(folder, gpus, partial=False) -> pd.DataFrame:
    """Return the cost of each step and dataset, a row each, in the order in which the steps' first jobs ended.

    ``folder`` holds <step>.tsv or <step>/**/*.tsv. ``gpus``: the number of GPUs that trained each run, by
    "dataset/method/seed0"; jobs of other runs do not count. Raises DamagedFile if a benchmark file is damaged; with
    ``partial``, its job does not count, as Snakemake may be writing it.
    Columns: step, dataset, jobs, hours (sum of the jobs' wall time), longest (h, longest job), gpu_hours, memory (GB,
    largest job).
    """
    jobs = []
    files = [path for path in Path(folder).rglob("*.tsv") if path.exists()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        step, _, name = path.relative_to(folder).with_suffix("").as_posix().partition("/")
        dataset = name.partition("/")[0] if name.count("/") == 2 else ""
        if dataset and name not in gpus:
            continue
        try:
            hours, memory = _measured(path)
        except DamagedFile as error:
            if not partial:
                raise
            log.warning("%s", error)
            continue
        gpu_hours = hours * gpus.get(name, 0)
        jobs.append({"step": step, "dataset": dataset, "hours": hours, "gpu_hours": gpu_hours, "memory": memory})
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


def _measured(path):
    """Return wall time (h) and memory (GB; NaN if not measured) of a job's last run."""
    with explain_damage(path, "delete it; its job is then not counted"):
        check_last_line(path)
        last = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).iloc[-1]
        memory = math.nan if last["max_rss"] in UNMEASURED else _number(last["max_rss"]) / 1024  # from MiB
        return _number(last["s"]) / HOUR, memory


def _number(text):
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(f"expected a number, got {text}")
    return number
