"""The container's recipes: their steps run as a script in a bare folder. The image itself is not built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.long
def test_the_steps_of_the_image_give_a_workflow_that_plans(tmp_path):
    recipe = (ROOT / "envs/Dockerfile").read_text()
    steps = re.findall(r"^(COPY|RUN|WORKDIR) (.*)$", recipe, re.MULTILINE)
    checkout = environment = None
    for step, words in steps:
        if step == "WORKDIR":
            folder = tmp_path / words.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif step == "COPY":
            *sources, target = words.split()
            for source in sources:
                copy(ROOT / source, folder / target, into=target.endswith("/"))
        else:
            checkout, environment = (
                tmp_path / path.lstrip("/") for path in re.findall(r"install\.sh (\S+) (\S+)", words)[0]
            )
            clean = {
                "PATH": f"{Path(sys._base_executable).parent}:/usr/bin:/bin",
                "HOME": str(Path.home()),
            }  # for uv's cache
            script = ["sh", "envs/install.sh", str(checkout), str(environment)]
            subprocess.run(script, cwd=folder, env=clean, check=True)
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", recipe, re.MULTILINE)
    command = [word.replace("/opt/", f"{tmp_path}/opt/") for word in re.findall(r'"(.*?)"', entry)]
    variables = {"PATH": f"{environment}/bin:/usr/bin:/bin", "PYTHONPATH": str(checkout), "HOME": str(tmp_path)}
    done = subprocess.run(
        [environment / "bin" / command[0], *command[1:], "--dry-run", "results/charades_table.csv"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^finetune +11$", done.stdout, re.MULTILINE), done.stdout


def copy(source, target, into):
    """Copy a file or folder to ``target``, or into the folder ``target``, without caches and local settings."""
    target = target / source.name if into else target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "local*"))
    else:
        shutil.copy(source, target)


def test_both_recipes_have_the_same_steps():
    docker, apptainer = ((ROOT / f"envs/{name}").read_text() for name in ("Dockerfile", "apptainer.def"))
    for pattern in (r"(?:FROM|From:) (\S+)", r"install\.sh (\S+ \S+)", r"PATH=(\S+)", r"--snakefile\W+(/[\w./-]+)"):
        assert re.findall(pattern, docker) == re.findall(pattern, apptainer), pattern
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", docker, re.MULTILINE) for name in line.split()}
    listed = set(re.findall(r"^    (\S+) /opt/vssl-transfer/\S+$", apptainer, re.MULTILINE))
    assert {name.split("/")[0] for name in copied} == listed


def test_the_makefile_installs_with_the_same_uv():
    pins = {re.search(r"uv==(\S+)", (ROOT / name).read_text())[1] for name in ("Makefile", "envs/install.sh")}
    assert len(pins) == 1
