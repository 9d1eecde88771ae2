"""The READMEs: their links lead somewhere, their paths exist, and their commands are accepted."""

import json
import re
import shutil
import subprocess
from importlib.util import find_spec

import pytest
import torch

from tests.helpers.paths import DEMO_RESULTS, ROOT
from trainer.models.backbones import build_backbone

READMES = [path for path in ROOT.glob("**/README.md") if ".venv" not in path.parts] + [ROOT / "CHANGELOG.md"]
FOLDERS = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("data", "results")]
# Commands that need another machine, the network or finished runs.
NOT_PLANNED = ("make ", "grep ", "torchrun ", "python -m trainer.train", "python -m trainer.evaluate")
USERS = ("config/local", "workflow/profiles/local")  # files that users write

of_each = pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(readme):
    """Yield the commands of each code block without a language; a line that ends with a backslash goes on."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL):
        if not language:
            yield [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def anchors(path):
    """Return the headings of a file as GitHub's anchors."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@of_each
def test_links(readme):
    for link in re.findall(r"\]\(([^)]+)\)", readme.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = readme.parent / file if file else readme
        assert target.exists(), f"{readme}: {link}"
        assert not anchor or anchor in anchors(target), f"{readme}: {link}"


@of_each
def test_paths_and_modules(readme):
    if readme.name == "CHANGELOG.md":
        return  # it names former ones, too
    text = readme.read_text()
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", text):
        if path.split("/")[0] in FOLDERS and not path.startswith(USERS):
            assert (ROOT / path).exists() or (readme.parent / path).exists(), f"{readme}: {path}"
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert find_spec(module), f"{readme}: {module}"


def test_make_targets():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for readme in READMES:
        assert set(re.findall(r"\bmake (\w+)`", readme.read_text())) <= targets, readme


def test_make_gpu_measures_also_if_a_check_fails(tmp_path):
    """A stand-in for pytest fails where it is not to measure speed."""
    pytest_here = tmp_path / ".venv/bin/pytest"
    pytest_here.parent.mkdir(parents=True)
    pytest_here.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> calls\ncase "$*" in *"not speed"*) exit 1; esac\n')
    pytest_here.chmod(0o755)
    command = ["make", f"--file={ROOT}/Makefile", "--old-file=.venv/done", "gpu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr  # make's own
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.rpartition("-k ")[2] for call in calls] == ["not speed", "speed"]


@of_each
def test_no_place_is_left_to_fill(readme):
    assert not re.findall(r"@[A-Z_]+@|TODO", readme.read_text())


@pytest.fixture(scope="module")
def checkout_copy(tmp_path_factory):
    """Copy what commands need into a folder, with checkpoints and settings of a user; return the folder."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("config", "trainer", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", "local*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "config/ava_videos.txt").write_text("-5KQ66BBWC4.mkv\n")  # plans of all 299 films take longer
    (folder / "my.yaml").write_text("charades: {seeds: [1, 2, 3]}\n")
    (folder / "mine.yaml").write_text("results: results/mine\n")
    torch.save(build_backbone("r2plus1d_18").state_dict(), folder / "my.pth")
    (folder / "my_checkpoints").mkdir()
    torch.save(build_backbone("vit_b_16").state_dict(), folder / "my_checkpoints/videomae_vit_b_k400.pth")
    return folder


SHELL = 'set -e; snakemake() { command snakemake --dry-run "$@"; }\n'  # plans instead of running


def run_script(script, folder):
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ["README.md", "config/README.md", "workflow/profiles/README.md"])
def test_commands_are_accepted(checkout_copy, name):
    planned = 0
    for block in blocks(ROOT / name):
        commands = [line for line in block if not line.startswith(NOT_PLANNED) and re.match(r"\w+[ =]", line)]
        planned += sum("snakemake " in command for command in commands)
        if any("snakemake " in command for command in commands):
            script = SHELL + "\n".join(commands)
            run_script(script, checkout_copy)
    assert planned, name


@pytest.mark.demo
@pytest.mark.long
@pytest.mark.skipif(not (DEMO_RESULTS / "report.html").exists(), reason="no demo; run `make demo` first")
def test_a_run_is_repeated_from_its_config(tmp_path):
    [block] = [block for block in blocks(ROOT / "trainer/README.md") if any("/tmp/again" in line for line in block)]
    script = "set -e\n" + "\n".join(block).replace("/tmp/again", f"{tmp_path}/again")
    run_script(script, ROOT)
    again = json.loads((tmp_path / "again/metrics.json").read_text())
    [original] = re.findall(r"(results/demo/runs/\S+)/config.yaml", script)
    assert again["mAP"] == json.loads((ROOT / original / "metrics.json").read_text())["mAP"]
