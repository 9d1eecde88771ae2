"""The layout: who may import whom, and what is known where. The README says where an addition belongs."""

import ast
import re
import sys
from functools import cache

import pytest

from tests.helpers.paths import ROOT
from trainer.datasets import DATASETS
from workflow.lib.report.figures import FIGURES

PRODUCT = ("trainer", "workflow", "benchmarks")
OURS = (*PRODUCT, "tests")
LONGEST = 45  # lines of a function, without its docstring
COMMON_LINES = 130


def python_files(*folders):
    """Return the Python files below folders, relative to the checkout."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parse(path):
    return ast.parse((ROOT / path).read_text())


def imports(path):
    """Yield (line, dotted name) of all that a file imports; a name imported from a module comes with the module."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}, line {node.lineno}: relative import; name the package"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_in(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def assert_imports(folder, allowed, exceptions=None):
    """Fail if a file of ``folder`` imports more of ours than ``allowed`` and its ``exceptions`` (by file name)."""
    for path in python_files(folder):
        may = (*allowed, *(exceptions or {}).get(path.name, ()))
        wrong = [(line, name) for line, name in imports(path) if is_in(name, OURS) and not is_in(name, may)]
        assert not wrong, f"{path} imports {wrong}; it may import {', '.join(may)}"


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("trainer", ["trainer"]),
        ("trainer/metrics", ["trainer.metrics", "trainer.utils"]),
        ("trainer/utils", ["trainer.utils"]),
        ("workflow/lib", ["trainer", "workflow.lib"]),
        ("workflow/demo", ["trainer", "workflow.lib", "workflow.demo"]),
        ("benchmarks", ["trainer", "workflow", "benchmarks"]),
    ],
)
def test_packages_import_only_what_is_below_them(folder, allowed):
    assert_imports(folder, allowed)


def test_scripts_import_no_other_script():
    assert_imports(
        "workflow/scripts",
        ["trainer", "workflow.lib"],
        {f"build_demo_{part}.py": ["workflow.demo"] for part in ("mirror", "checkpoints")},
    )


def test_no_test_imports_another():
    attack = {path.name: ["tests.attack"] for path in python_files("tests/attack")}  # a command, no test
    assert_imports("tests", [*PRODUCT, "tests.helpers"], attack)


def test_metrics_need_only_numpy_and_pandas():
    for path in python_files("trainer/metrics"):
        others = {name.split(".")[0] for _, name in imports(path)} - set(sys.stdlib_module_names)
        assert others <= {"numpy", "pandas", "trainer"}, path


# --- Rules -----------------------------------------------------------------------------------------------------------

RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


@pytest.mark.parametrize("path", [ROOT / "workflow/Snakefile", *RULES], ids=lambda path: path.name)
def test_rules_hold_no_functions(path):
    """Functions of the experiment's questions stand in common.smk, and the answers in workflow/lib/experiment.py."""
    text = path.read_text()
    assert not re.search(r"\blambda\b", text)
    if path.name == "common.smk":
        assert len(text.splitlines()) <= COMMON_LINES
    else:
        assert not re.search(r"^\s*def ", text, re.MULTILINE)


def rules():
    """Yield (file, name, text) of each rule; the rule of all figures is plot_{figure}."""
    for path in RULES:
        text = re.sub(r"{(figure\.name|params\.figure)}", "{figure}", path.read_text())
        for block in re.split(r"^ *(?=rule\b)", text, flags=re.MULTILINE)[1:]:
            name = re.match(r'rule (\w+):|rule:\s+""".*"""\s+name:\s+f"(.+)"', block)
            yield path.name, name[1] or name[2], block


def test_a_rule_its_script_and_its_log_have_one_name():
    names = []
    for path, name, block in rules():
        assert re.search(r'message:\s+"', block), f"{path}: rule {name} has no message, the line that users see"
        script = re.search(r'script:\s+f?"\.\./scripts/(.+)\.py"', block)
        log = re.search(r'log:\s+f?"<logs>/(.+?)(/.*)?(\.log)?",', block)
        assert script is None or script[1] == name, f"{path}: rule {name} runs {script[1]}.py"
        assert log is None or log[1] == name, f"{path}: rule {name} logs to {log[1]}"
        names.append(name)
    assert len(names) == len(set(names))
    figures = [f"plot_{figure.name}" for figure in FIGURES]
    scripts = {path.stem for path in python_files("workflow/scripts")}
    assert scripts <= {*names, *figures}, "each script is that of a rule"
    assert scripts >= set(figures)
    assert {path.stem for path in (ROOT / "workflow/report").glob("*.rst")} >= {figure.name for figure in FIGURES}


def test_rules_say_what_they_need_of_a_cluster():
    """Not the profile's default-resources, which would replace those of a user's site: account and partition."""
    for path, name, block in rules():
        if "localrule: True" not in block:
            assert re.search(r"mem_mb=.*\n\s+runtime=", block), f"{path}: rule {name}: no mem_mb and runtime"
        assert ("gpu=" in block) == (name in ("finetune", "predict")), f"{path}: rule {name}: scores need no GPU"
    assert not re.search(
        r"^default-resources", (ROOT / "workflow/profiles/slurm/profile.yaml").read_text(), re.MULTILINE
    )


# --- What is known where ---------------------------------------------------------------------------------------------

KNOW_THE_DEMO = {
    "config/demo.yaml",
    "config/demo_methods.tsv",
    "config/demo_sources.tsv",
    "envs/demo.yaml",
    "workflow/rules/demo.smk",
    "workflow/scripts/build_demo_checkpoints.py",
    "workflow/scripts/build_demo_mirror.py",
}


def test_only_its_own_files_know_the_demo():
    files = [path for folder in ("trainer", "workflow", "config", "envs") for path in (ROOT / folder).rglob("*")]
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if not path.is_file() or path.suffix in (".pyc", ".md"):
            continue
        if name in KNOW_THE_DEMO or name.startswith(("workflow/demo/", "config/local")):
            continue
        lines = [line for line in path.read_text().splitlines() if "demo" in line.lower()]
        assert not [line for line in lines if line != 'include: "rules/demo.smk"'], name


# Where data is prepared, datasets differ in kind: films and boxes, a tar and frame lists.
KNOW_DATASETS = {
    "trainer/datasets.py",
    *(f"trainer/tasks/{dataset}.py" for dataset in DATASETS),
    *(f"trainer/data/{dataset}_lists.py" for dataset in DATASETS),
    *(f"workflow/scripts/list_{dataset}.py" for dataset in DATASETS),
    "workflow/scripts/download_film.py",
    "workflow/lib/experiment.py",
    "workflow/lib/remaining.py",
    "workflow/lib/training_hours.py",
}


def test_only_their_own_modules_know_datasets():
    for path in python_files("trainer", "workflow/lib", "workflow/scripts"):
        if path.as_posix() in KNOW_DATASETS:
            continue
        strings = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Constant))
        found = [f"line {node.lineno}" for node in strings if node.value in DATASETS]
        assert not found, f"{path}, {', '.join(found)}: ask trainer.datasets instead of naming a dataset"


# --- Size ------------------------------------------------------------------------------------------------------------


def functions(path):
    """Yield (name, number of lines without docstring) of each function of a file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            words = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            yield node.name, node.end_lineno - node.lineno + 1 - words


def test_functions_fit_a_screen():
    lengths = [(length, path, name) for path in python_files(*PRODUCT) for name, length in functions(path)]
    assert not [entry for entry in lengths if entry[0] > LONGEST], "split them"


def test_modules_begin_with_a_docstring():
    for path in python_files(*PRODUCT):
        if path.name != "__init__.py":
            assert ast.get_docstring(parse(path)), f"{path}: say in one line what it does"
