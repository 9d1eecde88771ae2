"""The jobs that trained a run, from its environment.json: more than one if it was interrupted."""

import math
from datetime import datetime

from trainer.run_files import explain_damage, read_json
from trainer.utils.text import quoted

KINDS = {"time": str, "code": str, "processor": str, "packages": dict, "gpus": list, "hours": float}


def read_jobs(folder) -> list[dict]:
    """Return when, by which code, on what and for how many hours (0: not known) each job trained a run.

    Each has the keys of ``KINDS``. Raises DamagedFile if environment.json is not as the trainer writes it.
    """
    path = f"{folder}/environment.json"
    last = read_json(path, time=str)
    with explain_damage(path):
        earlier = last.pop("earlier_jobs", [])
        if not (isinstance(earlier, list) and all(isinstance(job, dict) for job in earlier)):
            raise ValueError(f"earlier_jobs: expected a list of mappings, got {quoted(str(earlier))}")
        return [_job(content) for content in (*earlier, last)]


def _job(content):
    """Return what is known of a job; raise LookupError or ValueError if a key is missing or of another kind."""
    job = {"gpus": [], "hours": 0.0} | content
    if wrong := [name for name, kind in KINDS.items() if not isinstance(job[name], kind)]:
        raise ValueError(f"{wrong[0]}: expected {KINDS[wrong[0]].__name__}, got {quoted(str(job[wrong[0]]))}")
    datetime.fromisoformat(job["time"])
    if not isinstance(job["packages"]["torch"], str):
        raise ValueError("packages: torch: expected text")
    if not 0 <= job["hours"] < math.inf:
        raise ValueError(f"hours: expected a number, got {job['hours']}")
    return job
