"""Dry runs of the workflow."""

import re
import subprocess

import yaml

from tests.helpers.paths import ROOT, SNAKEMAKE


def plan(*arguments, folder=ROOT):
    """Return output and exit status of a dry run in a checkout, by default this one."""
    command = [SNAKEMAKE, "-n", "--nolock", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, done.returncode


def jobs(output):
    """Return {rule: number of jobs} of a dry run's table."""
    table = output.split("Job stats:")[1].split("Reasons:")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def elsewhere(folder, **settings):
    """Return arguments that keep data and results out of this checkout, ignore local files and change settings."""
    path = folder / "changes.yaml"
    own = {"data": str(folder / "data"), "results": str(folder / "results")}
    path.write_text(yaml.safe_dump({**own, "local_config": None, "local_methods_table": None, **settings}))
    return ["--configfile", str(path)]
