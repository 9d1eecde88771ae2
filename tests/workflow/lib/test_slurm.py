"""What jobs are granted, which partitions are refused, and how finished jobs are looked up: without a SLURM."""

import os

import pytest
import yte
from snakemake.resources import Resource

from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.lib.granted import granted_gpus
from workflow.lib.slurm import check_preemption, job_gpus


def written(**resources):
    """Return resources as a profile gives them."""
    return {name: Resource.from_cli_expression(name, str(value)) for name, value in resources.items()}


@pytest.mark.parametrize(
    ("own", "limits", "granted"),
    [
        ({}, {}, 4),
        ({"gpu": 2}, {}, 2),
        ({}, {"gpu": 1}, 1),
        ({"gpu": 2}, {"gpu": 8}, 2),
        ({"gpu": 0, "gres": "gpu:3"}, {}, 3),
        ({"gpu": 0, "gres": "gpu:a100:2"}, {}, 2),
        ({"gpu": 0, "gres": "gpu"}, {}, 1),
        ({"gres": "nvme:1"}, {}, 4),
    ],
)
def test_granted_gpus(own, limits, granted):
    computed = {"gpu": Resource("gpu", lambda wildcards: 4)}
    assert granted_gpus(4, computed | written(**own), limits) == granted


def test_gpus_of_a_job(monkeypatch):
    for value, gpus in {"4": 4, "": None}.items():
        monkeypatch.setenv("SLURM_GPUS_ON_NODE", value)
        assert job_gpus() == gpus


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for scontrol on the path, with its answer."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def answer(text):
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        (tmp_path / "scontrol").chmod(0o755)

    return answer


def test_partitions_that_cancel_preempted_jobs(scontrol):
    scontrol(
        "PartitionName=scavenge Default=YES PriorityTier=1 PreemptMode=CANCEL\n"
        "PartitionName=normal Default=NO PriorityTier=1 PreemptMode=REQUEUE\n"
        "PartitionName=top Default=NO PriorityTier=10 PreemptMode=CANCEL"
    )
    with pytest.raises(InputError, match=r"^partition scavenge: SLURM cancels its preempted jobs"):
        check_preemption([None, None])
    for given in ("scavenge", "normal,scavenge"):
        with pytest.raises(InputError, match=r"^partition scavenge: "):
            check_preemption(written(slurm_partition=given).values())
    for partition in ("normal", "top"):  # nothing preempts the jobs of the highest tier
        check_preemption(written(slurm_partition=partition).values())


@pytest.mark.parametrize(("storage", "command"), [("slurmdbd", "sacct"), ("none", "squeue")])
def test_finished_jobs_are_looked_up_in_accounting_where_it_exists(scontrol, storage, command):
    scontrol(f"AccountingStorageType   = accounting_storage/{storage}\nMinJobAge   = 300 sec")
    with (ROOT / "workflow/profiles/slurm/profile.yaml").open() as profile:
        assert yte.process_yaml(profile, require_use_yte=True)["slurm-status-command"] == command
