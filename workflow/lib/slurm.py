"""What a SLURM cluster does with the jobs of this workflow."""

import os
import re
import subprocess

from trainer.utils.errors import InputError


def check_preemption(partitions):
    """Raise InputError if jobs of a partition are canceled when they are preempted.

    Snakemake's SLURM executor (2.8) waits forever for a preempted job: it expects SLURM to requeue it. ``partitions``:
    the `slurm_partition` resource of each rule, one or several by commas, None for the cluster's default. Partitions of
    the highest tier are not preempted.
    """
    names = {name for given in partitions for name in (str(given.raw).split(",") if given else [""])}
    found = [_fields(line) for line in _scontrol("show", "partition", "--oneliner").splitlines() if line.strip()]
    highest = max((int(fields.get("PriorityTier", 0)) for fields in found), default=0)
    for fields in found:
        name = fields["PartitionName"]
        used = name in names or ("" in names and fields.get("Default") == "YES")
        canceled = fields.get("PreemptMode", "").split(",")[0] == "CANCEL"
        if used and canceled and int(fields.get("PriorityTier", 0)) < highest:
            raise InputError(
                f"partition {name}: SLURM cancels its preempted jobs (PreemptMode=CANCEL), and Snakemake would wait "
                "for them forever; name another `slurm_partition` in the profile, ask for PreemptMode=REQUEUE, or use "
                "workflow/profiles/generic"
            )


def job_gpus() -> int | None:
    """Return the number of GPUs of the SLURM job or step in which this process runs; None if it has none."""
    given = os.environ.get("SLURM_GPUS_ON_NODE", "")
    return int(given) if given.isdigit() else None


def _scontrol(*words):
    try:
        return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):  # the executor says what is wrong with SLURM
        return ""


def _fields(line):
    return dict(re.findall(r"(\w+)=(\S*)", line))
