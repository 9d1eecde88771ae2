"""The cost of each step of the workflow, from the benchmark file that Snakemake writes for every job."""

import logging
import math
from pathlib import Path

import pandas as pd

from trainer.run_files import DamagedFile, explain_damage
from trainer.utils.files import check_last_line

log = logging.getLogger(__name__)

HOUR = 3600
GPU_STEPS = ("finetune", "predict")  # they use the GPUs of the training
NO_TRAINING = [{"gpus": [], "hours": 0.0}]
UNMEASURED = ("-", "NA")  # the memory of a job that was too short


def step_costs(folder, jobs_of_runs: dict[str, list[dict]], partial=False) -> pd.DataFrame:
    """Return the cost of each step and dataset, a row each, in the order in which the steps' first jobs ended.

    ``folder`` holds <step>.tsv or <step>/**/*.tsv. ``jobs_of_runs``: the jobs that trained each finished run, by
    "dataset/method/seed0", see `training_jobs`; other runs do not count. Raises DamagedFile if a benchmark file is
    damaged; with ``partial``, its job does not count, as Snakemake may be writing it.
    Columns: step, dataset, jobs, hours (sum of the jobs' wall time), longest (h, longest job), gpu_hours, memory (GB,
    largest job).
    """
    jobs = []
    files = [path for path in Path(folder).rglob("*.tsv") if path.exists()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime):
        step, _, name = path.relative_to(folder).with_suffix("").as_posix().partition("/")
        dataset = name.partition("/")[0] if name.count("/") == 2 else ""
        if dataset and name not in jobs_of_runs:
            continue
        try:
            hours, memory = _measured(path)
        except DamagedFile as error:
            if not partial:
                raise
            log.warning("%s", error)
            continue
        *earlier, last = jobs_of_runs.get(name, NO_TRAINING)
        if step == "finetune":  # Snakemake measured the last job alone; one that found the run finished trained nothing
            jobs += [_cost(step, dataset, job["hours"], job, math.nan) for job in earlier]
            hours = max(hours, last["hours"])
        used = last if step in GPU_STEPS else NO_TRAINING[0]
        jobs.append(_cost(step, dataset, hours, used, memory))
    return (
        pd.DataFrame(jobs, columns=["step", "dataset", "hours", "gpu_hours", "memory"])
        .groupby(["step", "dataset"], sort=False)
        .agg(
            jobs=("hours", "size"),
            hours=("hours", "sum"),
            longest=("hours", "max"),
            gpu_hours=("gpu_hours", "sum"),
            memory=("memory", "max"),
        )
        .reset_index()
    )


def _cost(step, dataset, hours, job, memory):
    gpu_hours = hours * len(job["gpus"])
    return {"step": step, "dataset": dataset, "hours": hours, "gpu_hours": gpu_hours, "memory": memory}


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
