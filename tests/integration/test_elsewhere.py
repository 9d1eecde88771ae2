"""The workflow as a part of others: imported as a module, deployed beside a copy of config/, in another directory."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.helpers.checkout import checkout
from tests.helpers.config import merged
from tests.helpers.methods import own_row, write_methods
from tests.helpers.paths import MIRROR, ROOT, SNAKEMAKE

UV = str(Path(sys.executable).with_name("uv"))
SNAKEFILE = ROOT / "workflow/Snakefile"

pytestmark = pytest.mark.skipif(
    not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror of the demo; run `make demo` first"
)


@pytest.fixture
def settings(tmp_path):
    """Return the settings of a small experiment with one method of a user."""
    sources = (ROOT / "config/demo_sources.tsv").read_text().replace("data/demo/mirror", str(MIRROR))
    (tmp_path / "sources.tsv").write_text(sources)
    checkpoint = MIRROR / "r2plus1d_18-91a641e6.pth"
    changes = {
        "datasets": ["charades"],
        "methods": ["mine"],
        "local_methods_table": str(write_methods(tmp_path / "mine.tsv", own_row("mine", checkpoint))),
        "sources_table": str(tmp_path / "sources.tsv"),
        "data": "files",
        "results": "out",
    }
    return merged(yaml.safe_load((ROOT / "config/demo.yaml").read_text()), changes)


def run(folder, *arguments, environment=None, status=0):
    """Run Snakemake in a folder, with changes of the environment, to an exit status; return what it printed."""
    command = [SNAKEMAKE, "--cores", "2", *map(str, arguments)]
    changed = os.environ | (environment or {})
    done = subprocess.run(command, cwd=folder, env=changed, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_workflow_imports_it_as_a_module_and_keeps_its_own_default_target(tmp_path, settings):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("samples: samples.tsv\nresults: theirs\n")
    (tmp_path / "Snakefile").write_text(
        "configfile: 'config/config.yaml'\n\nrule all:\n    input: 'copy.csv'\n\n"
        f"module vssl:\n    snakefile: {str(SNAKEFILE)!r}\n    config: {settings!r}\n\n"
        "use rule * from vssl as vssl_*\n\n"
        "rule copy:\n    input: rules.vssl_list_charades.output.train, 'out/checkpoints/mine.txt'\n"
        "    output: 'copy.csv'\n    shell: 'cp {input[0]} {output}'\n"
    )
    output = run(tmp_path, "--config", "samples=other.tsv", "results=theirs")
    assert len(pd.read_csv(tmp_path / "copy.csv")) == 40  # videos of the demo's training list
    assert f"Check that {MIRROR}/r2plus1d_18-91a641e6.pth fits its backbone" in output


def test_it_runs_in_another_directory(tmp_path, settings):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "work").mkdir()
    targets = ["out/checkpoints/mine.txt", "out/partial/charades_table.csv"]
    run(tmp_path, *targets, "-s", SNAKEFILE, "--directory", "work", "--configfile", "mine.yaml")
    assert all((tmp_path / "work" / target).is_file() for target in targets)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [".snakemake", "out"]


def test_it_is_deployed_from_an_address(tmp_path, settings):
    """The layout of snakedeploy: the user's copy of config/, and a Snakefile that declares the module."""
    repository = checkout(tmp_path / "repository")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        who = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
        subprocess.run(["git", *who, *words], cwd=repository, check=True)
    install = ["pip", "install", "-q", "--offline", "--no-deps", "--no-build-isolation", "--target", "packages"]
    subprocess.run([UV, *install, repository], cwd=tmp_path, check=True)

    folder = tmp_path / "deployed"
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("local*"))
    config, folders = folder / "config/config.yaml", {"data": "nowhere", "results": "nowhere"}
    del settings["local_config"]
    config.write_text(yaml.safe_dump(merged(yaml.safe_load(config.read_text()), settings | folders)))
    (folder / "config/local.yaml").write_text("{data: files, results: elsewhere}")
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(
        'configfile: "config/config.yaml"\n\n'
        'module vssl:\n    snakefile: github("me/vssl-transfer", path="workflow/Snakefile", branch="main")\n'
        "    config: config\n\nuse rule * from vssl\n"
    )
    redirected = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/me/vssl-transfer",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    output = run(folder, "-n", environment=redirected, status=1)
    assert output.splitlines()[-1].startswith(f"error: {sys.executable} has no package trainer; pip install git+")
    redirected["PYTHONPATH"] = str(tmp_path / "packages")
    output = run(folder, "-n", "--sdm", "conda", environment=redirected, status=1)
    assert output.splitlines()[-1].startswith("error: --sdm conda: ")
    written, list_ = "out/runs/charades/mine/seed1/config.yaml", "files/downloads/charades/train.csv"
    run(folder, written, list_, "out/partial/report.html", "--config", "results=out", environment=redirected)
    assert not (folder / "nowhere").exists()
    content = yaml.safe_load((folder / written).read_text())
    assert content["training"]["epochs"] == 2
    assert content["data"]["label_map"] == "config/charades_classes.tsv"
