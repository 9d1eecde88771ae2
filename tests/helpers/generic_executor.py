"""Run the workflow with the profile for other schedulers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.paths import ROOT, SNAKEMAKE

UV = str(Path(sys.executable).with_name("uv"))
PROFILE = ROOT / "workflow/profiles/generic/profile.yaml"


def profile_of(scheduler):
    """Return the text of the profile with the commands of a scheduler."""
    text = PROFILE.read_text()
    if scheduler != "PBS":  # of equal keys, the last one counts
        [block] = re.findall(rf"^# {scheduler}\b.*:\n((?:# .*\n)+)", text, re.MULTILINE)
        text += re.sub("^# ", "", block, flags=re.MULTILINE)
    return text


def command(folder, scheduler, name, argument):
    """Run a command of the profile as the executor does; return its exit status and what it prints."""
    text = yaml.safe_load(profile_of(scheduler))[f"cluster-generic-{name}-cmd"]
    if name == "submit":
        text = re.sub(r"\{[a-z_.]+\}", "1", text)
    found = {"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}"}
    shell = ["sh", "-c", f"{text} '{argument}'"]
    done = subprocess.run(shell, cwd=folder, env=os.environ | found, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.strip()


def train(folder, scheduler, target, **replaced):
    """Make a target in ``folder`` with the commands of a scheduler, and texts of the profile replaced; return output.

    Programs in ``folder``/bin are found first. Skips the test where Snakemake's generic executor cannot be installed.
    """
    install = [UV, "pip", "install", "-q", "--no-deps", "--target", folder / "packages"]
    if subprocess.run([*install, "snakemake-executor-plugin-cluster-generic"], check=False).returncode:
        pytest.skip("no package index with Snakemake's generic executor")
    text = profile_of(scheduler).replace("latency-wait: 60", "latency-wait: 5")
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "profile").mkdir()
    (folder / "profile/profile.yaml").write_text(text)
    found = {"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{folder}/packages"}
    command = [SNAKEMAKE, target, "-s", ROOT / "workflow/Snakefile", "--configfile", "settings.yaml"]
    command += ["--workflow-profile", "profile", "--seconds-between-status-checks", "1"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | found, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
