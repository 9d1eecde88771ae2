"""A file is complete or absent, however its writer ends."""

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.full_disk import full_disk
from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write

# A job that stops in the middle of its file: <file>
WRITER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from trainer.utils.files import atomic_write
from workflow.lib.rule_script import rule_script
with rule_script(SimpleNamespace(log=[sys.argv[1] + ".log"])), atomic_write(sys.argv[1]) as partial:
    partial.write_text("half")
    Path(sys.argv[1] + ".ready").touch()
    time.sleep(60)
"""


def stop(path, how):
    """Start a writer and end it by a signal; its exit status."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], cwd=ROOT)
    while not path.with_name(f"{path.name}.ready").exists():
        assert writer.poll() is None
    writer.send_signal(how)
    return writer.wait()


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_sigterm_leaves_nothing_behind(tmp_path):
    assert stop(tmp_path / "a.csv", signal.SIGTERM) == 128 + signal.SIGTERM
    assert hidden(tmp_path) == []
    assert not (tmp_path / "a.csv").exists()


def test_what_kill_9_leaves_is_swept_by_the_next_writer_of_the_file(tmp_path):
    stop(tmp_path / "a.csv", signal.SIGKILL)
    assert len(hidden(tmp_path)) == 1
    with atomic_write(tmp_path / "b.csv") as partial:
        partial.write_text("another file")
    assert len(hidden(tmp_path)) == 1
    with atomic_write(tmp_path / "a.csv") as partial:
        partial.write_text("whole")
    assert hidden(tmp_path) == []
    assert (tmp_path / "a.csv").read_text() == "whole"


def test_what_others_are_writing_stays(tmp_path):
    others = [f".a.{os.uname().nodename}-{os.getppid()}.part.csv", ".a.elsewhere-1.part.csv"]
    for name in others:
        (tmp_path / name).touch()
    mine = f".a.{os.uname().nodename}-{os.getpid()}.part.csv"  # of an earlier process with this one's number
    (tmp_path / mine).touch()
    with atomic_write(tmp_path / "a.csv") as partial:
        assert not partial.exists()
        partial.write_text("whole")
    assert sorted(hidden(tmp_path)) == sorted(others)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with (
        full_disk(at=1000),
        pytest.raises(InputError, match=r"a\.csv: the disk is full .*make room"),
        atomic_write(tmp_path / "a.csv") as partial,
    ):
        partial.write_bytes(bytes(2000))
    assert list(tmp_path.iterdir()) == []
