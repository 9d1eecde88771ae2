"""The error of a rule's script reaches its log, or Snakemake's stderr if the log cannot take it."""

import resource
import signal
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

# A rule's script: <log> <Python of its block>
SCRIPT = """
import logging, os, signal, sys, time
from types import SimpleNamespace
from trainer.utils.errors import InputError
from workflow.lib.rule_script import rule_script
with rule_script(SimpleNamespace(log=[sys.argv[1]])):
    exec(sys.argv[2])
"""
LOG_MUCH = "[logging.info('line') for _ in range(5000)]; "


def run_script(log, block, **options):
    command = [sys.executable, "-c", SCRIPT, log, block]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))


@pytest.fixture(params=["full", "half a line", "no folder"])
def unwritable(request, tmp_path):
    """Return a log that takes nothing or little, and the options of the process that finds it so."""
    if request.param == "full":
        return "/dev/full", {}
    if request.param == "half a line":
        return str(tmp_path / "log"), {"preexec_fn": limit_files}
    return str(tmp_path / "none/log"), {}


@pytest.mark.parametrize("before", ["", LOG_MUCH])
@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("raise InputError('a.csv: is missing')", "error: a.csv: is missing"),
        ("raise ValueError('a.csv\\udce9')", "error: ValueError: a.csv\\udce9"),
    ],
)
def test_an_error_that_the_log_cannot_take_reaches_stderr(unwritable, before, end, error):
    log, options = unwritable
    done = run_script(log, before + end, **options)
    assert done.returncode == 1
    if "none" in log:
        assert (
            done.stderr == f"error: {log}: cannot be written (No such file or directory); make it writable and re-run\n"
        )
    else:
        assert error in done.stderr.splitlines()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_script_succeeds_though_its_log_is_full(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    assert run_script("/dev/full", LOG_MUCH).returncode == 0


def test_an_error_goes_to_the_log_alone(tmp_path):
    done = run_script(tmp_path / "log", "logging.info('begins'); print('prints'); raise ValueError('odd')")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith("begins") and "prints" in lines[1]
    assert lines[2].startswith("Traceback") and lines[-1] == "error: ValueError: odd"


def test_sigterm_ends_a_script_though_its_log_is_full():
    done = run_script("/dev/full", "os.kill(os.getpid(), signal.SIGTERM)")
    assert done.returncode == 128 + signal.SIGTERM
