"""Conda environments of rules: they hold what the rules import, and jobs run in them.

No conda channel need be reached: a stand-in for conda answers Snakemake's questions, and builds an environment from the
pip section of its file with uv.
"""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from tests.helpers.methods import own_row, write_methods
from tests.helpers.paths import MIRROR, ROOT, SNAKEMAKE
from workflow.lib.report.figures import FIGURES

UV = Path(sys.executable).with_name("uv")
OURS = ("trainer", "workflow")


def pinned(environment):
    """Return the packages of an environment as "name==version"."""
    *_, pip = yaml.safe_load((ROOT / f"envs/{environment}.yaml").read_text())["dependencies"]
    return pip["pip"]


@pytest.mark.parametrize("environment", ["demo", "media", "trainer"])
def test_environments_have_the_locked_versions(environment):
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {f"{package['name']}=={package.get('version')}" for package in packages}
    assert set(pinned(environment)) <= locked


# --- Imports ---------------------------------------------------------------------------------------------------------


def programs():
    """Return (environment, Python file) of each rule's script or module."""
    found = set()
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^ *(?=rule\b)", path.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r'conda:\s+"../../envs/(\w+)\.yaml"', rule)
            for name in re.findall(r'script:\s+"\.\./(scripts/.+\.py)"', rule):
                names = [name.format(params=figure) for figure in Plot.each()] if "{" in name else [name]
                found |= {(environment[1], f"workflow/{name}") for name in names}
            found |= {(environment[1], f"{name.replace('.', '/')}.py") for name in re.findall(r"python -m (\S+)", rule)}
    return sorted(found)


class Plot:
    """The params of a figure's rule, as its script's name is formatted with."""

    def __init__(self, figure):
        self.figure = figure

    @classmethod
    def each(cls):
        return [cls(figure.name) for figure in FIGURES]


def third_party_imports(program):
    """Return {top-level name: file} of what a program and our modules below it import from other packages."""
    others, seen, left = {}, set(), [ROOT / program]
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                top, *_ = parts = name.split(".")
                if top in OURS:
                    places = [ROOT.joinpath(*parts[: number + 1]) for number in range(len(parts))]
                    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
                    left += filter(Path.is_file, files)
                elif top not in sys.stdlib_module_names:
                    others.setdefault(top, path)
    return others


@pytest.mark.parametrize(("environment", "program"), programs())
def test_environments_have_what_their_rules_import(environment, program):
    installed = {package.partition("==")[0] for package in pinned(environment)}
    distributions = packages_distributions()
    for name, path in third_party_imports(program).items():
        providers = {distribution.lower() for distribution in distributions.get(name, [name])}
        assert providers & installed, f"envs/{environment}.yaml: {path} imports {name}; add one of {providers}"


@pytest.mark.parametrize("environment", sorted({environment for environment, _ in programs()}))
def test_environments_have_nothing_else(environment):
    imported = {name for one, program in programs() if one == environment for name in third_party_imports(program)}
    distributions = packages_distributions()
    needed = {provider.lower() for name in imported for provider in distributions.get(name, [name])}
    assert {package.partition("==")[0] for package in pinned(environment)} <= needed | {"tensorboard"}  # for users


# --- Jobs ------------------------------------------------------------------------------------------------------------

CONDA = """#!/bin/bash
set -e
case "$*" in
    "info --json") echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
    --version) echo conda 25.5.1 ;;
    clean*) ;;
    "config --get channel_priority --json") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
    "env create"*)
        while [ $# -gt 1 ]; do
            [ "$1" = --file ] && file=$2
            [ "$1" = --prefix ] && prefix=$2
            shift
        done
        {uv} venv --quiet --python {python} "$prefix"
        sed -n 's/^      - //p' "$file" >"$prefix/packages.txt"
        {uv} pip install --quiet --dry-run --python "$prefix" --constraint {locked} --requirement "$prefix/packages.txt"
        echo {site} >"$(echo "$prefix"/lib/python*/site-packages)/installed.pth"
        ;;
    *) echo "conda $*: not known to this stand-in" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def conda(tmp_path):
    """Return the environment variables with which Snakemake finds the stand-in."""
    base = tmp_path / "conda"
    (base / "bin").mkdir(parents=True)
    (base / "bin/activate").write_text(f'export PATH="$1/bin:$PATH"; echo "$1" >>{base}/activated\n')
    locked = subprocess.run(
        [UV, "export", "-q", "--frozen", "--no-hashes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (base / "locked.txt").write_text(locked.stdout)
    program = base / "bin/conda"
    program.write_text(
        CONDA.format(
            base=base, uv=UV, site=sysconfig.get_path("purelib"), python=sys.executable, locked=base / "locked.txt"
        )
    )
    program.chmod(0o755)
    return os.environ | {"PATH": f"{base}/bin{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.long
@pytest.mark.skipif(
    not (MIRROR / "Charades_v1_rgb.tar").exists(), reason="no mirror of the demo; run `make demo` first"
)
def test_a_rule_of_both_environments_runs_in_it(tmp_path, conda):
    sources = (ROOT / "config/demo_sources.tsv").read_text().replace("data/demo/mirror", str(MIRROR))
    (tmp_path / "sources.tsv").write_text(sources)
    own = own_row("mine", MIRROR / "r2plus1d_18-91a641e6.pth")
    settings = {
        "methods": ["mine"],
        "local_methods_table": str(write_methods(tmp_path / "mine.tsv", own)),
        "sources_table": "sources.tsv",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    targets = ["data/demo/downloads/charades/train.csv", "results/demo/checkpoints/mine.txt"]
    configs = ["--configfile", ROOT / "config/demo.yaml", "mine.yaml", "-s", ROOT / "workflow/Snakefile"]
    command = [SNAKEMAKE, "--cores", "2", *targets, *configs, "--sdm", "conda"]
    done = subprocess.run(command, cwd=tmp_path, env=conda, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((tmp_path / target).is_file() for target in targets)
    activated = set((tmp_path / "conda/activated").read_text().split())
    assert len(activated) == 2  # media, trainer
