"""A file is complete or absent, however its writer ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def partials(path):
    """Return the temporary files of processes: this one, its parent, one that is gone, those of other machines."""
    with atomic_write(path) as partial:
        partial.touch()
    path.unlink()
    host, namespace, process = os.uname().nodename, Path("/proc/self/ns/pid").stat().st_ino, os.getpid()
    assert partial.name == f".a.{host}-{namespace}-{process}.part.csv"
    gone = subprocess.Popen(["true"])
    gone.wait()
    writers = {
        "this": f"{host}-{namespace}-{process}",
        "parent": f"{host}-{namespace}-{os.getppid()}",
        "gone": f"{host}-{namespace}-{gone.pid}",
        "elsewhere": f"elsewhere-{namespace}-{gone.pid}",
        "container": f"{host}-1-{gone.pid}",
        "earlier version": f"{host}-{gone.pid}",
        "odd number": f"{host}-{namespace}-{'9' * 40}",
        "of a.b.csv": f"b.{host}-{namespace}-{gone.pid}",
    }
    return {writer: path.with_name(f".a.{name}.part.csv") for writer, name in writers.items()}


def test_what_others_are_writing_stays(tmp_path):
    files = partials(tmp_path / "a.csv")
    for file in files.values():
        file.touch()
    with atomic_write(tmp_path / "a.csv") as partial:
        assert partial == files["this"] and not partial.exists()  # of an earlier process with this one's number
        partial.write_text("whole")
    assert sorted(hidden(tmp_path)) == sorted(files[name].name for name in files if name not in ("this", "gone"))


def test_what_nobody_has_written_to_for_a_day_is_swept(tmp_path):
    files = partials(tmp_path / "a.csv")
    young, old = time.time() - 23 * 3600, time.time() - 25 * 3600
    for when, count in ((young, len(files) - 2), (old, 0)):
        for file in files.values():
            file.unlink(missing_ok=True)
            file.symlink_to("nowhere")  # as the cache writes links; it is their own age that counts
            os.utime(file, (when, when), follow_symlinks=False)
        with atomic_write(tmp_path / "a.csv") as partial:
            partial.write_text("whole")
        assert len(hidden(tmp_path)) == count


def test_a_sole_writer_sweeps_what_any_process_left(tmp_path):
    for file in partials(tmp_path / "a.csv").values():
        file.touch()
    with atomic_write(tmp_path / "a.csv", sole_writer=True) as partial:
        partial.write_text("whole")
    assert hidden(tmp_path) == []


def test_a_folder_in_the_place_of_a_temporary_file_stays(tmp_path):
    folder = partials(tmp_path / "a.csv")["gone"]
    folder.mkdir()
    with atomic_write(tmp_path / "a.csv") as partial:
        partial.write_text("whole")
    assert folder.is_dir()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with (
        full_disk(at=1000),
        pytest.raises(InputError, match=r"a\.csv: the disk is full .*make room"),
        atomic_write(tmp_path / "a.csv") as partial,
    ):
        partial.write_bytes(bytes(2000))
    assert list(tmp_path.iterdir()) == []
