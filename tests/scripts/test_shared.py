"""Files of a shared folder are made once, by real processes at the same time, and used by all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.errors import InputError
from workflow.scripts.shared import make_once

ROOT = Path(__file__).parents[2]

# A workflow's job: <checkout> <shared> <seconds it takes>. Says when it makes the file.
JOB = """
import logging, sys, time
from pathlib import Path
from trainer.errors import told_plainly
from workflow.scripts.shared import make_once
logging.basicConfig(level=logging.INFO)
checkout, shared, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def make(path):
    print("makes", flush=True)
    time.sleep(seconds)
    path.write_text("content")

with told_plainly():
    make_once(make, [checkout / "data/deep/file"], {"data": str(checkout / "data"), "shared": shared, "have": {}})
"""

# Root writes where it may not; so it does without the capability.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []


def start(checkout, shared, seconds=0.0, before=()):
    command = [*before, sys.executable, "-c", JOB, checkout, shared, str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2775)
    return folder


def test_of_two_at_once_one_makes_and_the_other_waits(tmp_path, shared):
    jobs = [start(tmp_path / name, shared, 1.5) for name in "ab"]
    outputs = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert sorted(out for out, _ in outputs) == ["", "makes\n"]
    waited = next(log for out, log in outputs if not out)
    assert f"waiting for another workflow, which is making {shared}/deep/file" in waited
    for name in "ab":
        link = tmp_path / name / "data/deep/file"
        assert link.is_symlink()
        assert link.read_text() == "content"


def test_a_killed_maker_leaves_it_to_the_next(tmp_path, shared):
    killed = start(tmp_path / "a", shared, 60)
    assert killed.stdout.readline() == "makes\n"
    waiting = start(tmp_path / "b", shared)
    time.sleep(0.5)
    killed.send_signal(signal.SIGKILL)
    assert waiting.communicate()[0] == "makes\n"
    assert (tmp_path / "b/data/deep/file").read_text() == "content"
    killed.communicate()


def test_what_is_finished_is_used_though_read_only_and_never_touched(tmp_path, shared):
    start(tmp_path / "a", shared).communicate()
    file = shared / "deep/file"
    before = file.stat()
    for path in (shared / ".lock", file, shared / "deep", shared):
        path.chmod(path.stat().st_mode & ~0o222)
    job = start(tmp_path / "b", shared, before=UNPRIVILEGED)
    out, log = job.communicate()
    assert (job.returncode, out) == (0, ""), log
    assert (tmp_path / "b/data/deep/file").resolve() == file
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_a_read_only_folder_lacks_is_named(tmp_path, shared):
    shared.chmod(0o555)
    job = start(tmp_path / "a", shared, before=UNPRIVILEGED)
    out, log = job.communicate()
    assert (job.returncode, out) == (1, "")
    assert log.splitlines()[-1].startswith(f"error: {shared}: lacks deep/file and cannot be written to")


def test_folders_within_have_the_permissions_of_the_shared_one(tmp_path, shared):
    start(tmp_path / "a", shared).communicate()
    assert (shared / "deep").stat().st_mode == shared.stat().st_mode
    assert (shared / ".lock").stat().st_mode & 0o666 == 0o666


def test_what_is_made_of_a_users_own_files_stays_with_the_user(tmp_path, shared):
    config = {"data": str(tmp_path / "data"), "shared": str(shared), "have": {"ava_films": "/films", "ava_cuts": None}}
    output = tmp_path / "data/cut"
    output.parent.mkdir()
    make_once(lambda path: path.write_text("own"), [output], config, made_of=["ava_films"])
    assert output.read_text() == "own"
    assert not output.is_symlink()
    assert list(shared.iterdir()) == []
    make_once(lambda path: path.write_text("common"), [tmp_path / "data/other"], config, made_of=["ava_cuts"])
    assert (tmp_path / "data/other").is_symlink()


def test_a_shared_folder_that_is_none_is_named(tmp_path):
    config = {"data": str(tmp_path), "shared": str(tmp_path / "nowhere"), "have": {}}
    with pytest.raises(InputError, match="nowhere: no such folder"):
        make_once(lambda path: path.touch(), [tmp_path / "file"], config)
