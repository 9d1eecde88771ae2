"""Print what this machine has, what an experiment needs, and how long it will take: a page to paste into a question.

    python -m workflow.doctor                          # the experiment of config/ and config/local.yaml
    python -m workflow.doctor --configfile mine.yaml   # another one; settings of --config must stand in the file

If the experiment is wrong, it prints the machine, then the error; the exit status is 1.
"""

import argparse
import os
from pathlib import Path

from trainer.datasets import DATASETS
from trainer.utils.environment import environment
from trainer.utils.errors import exit_on_input_error
from workflow.lib import machine
from workflow.lib.config_files import merge, read_file, read_settings
from workflow.lib.experiment import Experiment
from workflow.lib.machine_warnings import machine_warnings, source_warnings
from workflow.lib.remaining import GB, Remaining, remaining
from workflow.lib.training_hours import Trainings, hours_at_once, trainings


def show(rows: dict[str, list[str]]):
    """Print a part of the page at once: lines by heading."""
    for heading, lines in rows.items():
        for number, line in enumerate(lines):
            print(f"{heading if number == 0 else '':<12}{line}", flush=True)


def machine_rows(gpus) -> dict[str, list[str]]:
    """Return lines about this machine, its visible ``gpus`` and its programs, by heading."""
    here, cuda = environment(), machine.torch_cuda()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    none = "none visible" + (f" (CUDA_VISIBLE_DEVICES={hidden})" if hidden is not None else "")
    return {
        "code": [here["code"]],
        "machine": ["{processor}, {cores} cores, {memory_gb} GB, {system}".format(**here)],
        "GPUs": [f"{gpu.name}, {gpu.memory_gb} GB" for gpu in gpus] or [none],
        "driver": [gpus[0].driver if gpus else "none found"],
        "PyTorch": [f"built for {f'CUDA {cuda}' if cuda else 'CPUs'}"],
        "packages": [", ".join(f"{name} {number}" for name, number in here["packages"].items())],
    }


def experiment_rows(experiment: Experiment, left: Remaining, gpus: list[machine.Gpu]) -> dict[str, list[str]]:
    """Return lines about the experiment, what is still to be made and how long it takes, by heading.

    ``gpus``: those visible to its jobs; none: not known.
    """
    config = experiment.config
    disk = [
        f"{folder}: up to {needed / GB:,.1f} GB still to be made, {machine.free_bytes(folder) / GB:,.1f} GB free"
        for folder, needed in left.disk.items()
    ]
    return {
        "experiment": [
            f"{', '.join(config.datasets)}; {len(experiment.methods)} methods; device {config.machine.device}"
        ],
        "disk": disk,
        "runs": run_lines(trainings(experiment, gpus), len(gpus)),
        "step times": measured_hours(Path("results/gpu/summary.txt")),
    }


def warning_rows(experiment: Experiment, left: Remaining, jobs_run_here: bool, ask_sources: bool):
    """Return lines about what is missing, by heading.

    ``jobs_run_here``: whether training runs on this machine, and not on the nodes of a cluster; ``ask_sources``: send a
    HEAD request to each web address of the sources table.
    """
    warnings = machine_warnings(experiment, left, jobs_run_here)
    if not ask_sources:
        unasked = ["not asked; --sources asks each web address for its first file"]
        return {"warnings": warnings or ["none"], "sources": unasked}
    return {"warnings": [*warnings, *source_warnings(experiment)] or ["none"]}


def run_lines(found: list[Trainings], gpus: int) -> list[str]:
    """Return a line for the runs of each dataset and recipe, and one for all of them."""
    lines = []
    for one in found:
        devices = f"{one.gpus} GPUs" if one.gpus > 1 else "one GPU" if one.gpus else "the CPU"
        hours = f"{one.hours:,.1f} h each ({one.source})" if one.hours else "hours not known before one is finished"
        details = f" on {devices}, {hours}" if one.left else ""
        lines.append(f"{DATASETS[one.dataset].title}, {one.recipe}: {one.left} to train{details}")
    left = [one for one in found if one.left]
    if not left or any(one.hours is None for one in left):
        return lines
    if gpus or not any(one.gpus for one in left):
        return [*lines, f"all: {hours_at_once(left, gpus):,.0f} h of training on this machine"]
    return [*lines, f"all: {sum(one.left * one.hours * one.gpus for one in left):,.0f} GPU hours of training"]


def measured_hours(summary: Path) -> list[str]:
    """Return the hours of runs that the benchmark of training steps predicts, if `make gpu` ran here."""
    if not summary.is_file():
        return ["not measured; `make gpu` measures training steps of GPUs and predicts the hours of runs"]
    lines = summary.read_text().splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("hours on this device")), len(lines))
    table = lines[begin:]
    return table[: table.index("")] if "" in table else table


def main():
    parser = argparse.ArgumentParser(
        prog="python -m workflow.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --config would be read as --configfile
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], metavar="FILE", help="as for snakemake")
    parser.add_argument("--cluster", action="store_true", help="the jobs run on a cluster's nodes, not on this machine")
    parser.add_argument("--sources", action="store_true", help="ask each web address whether it has its file")
    arguments = parser.parse_args()
    gpus, given = machine.visible_gpus(), {}
    show(machine_rows(gpus))  # also if the experiment is wrong
    with exit_on_input_error():
        for path in arguments.configfile:
            given = merge(given, read_file(path))
        experiment = Experiment(read_settings(given))
        left = remaining(experiment)
        show(experiment_rows(experiment, left, [] if arguments.cluster else gpus))
        show(warning_rows(experiment, left, not arguments.cluster, arguments.sources))


if __name__ == "__main__":
    main()
