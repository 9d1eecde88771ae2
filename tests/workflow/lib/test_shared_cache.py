"""Real processes at the same time create each file of the shared cache once, and all use it."""

import errno
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.users import UNPRIVILEGED
from trainer.utils.errors import InputError
from workflow.lib import shared_cache
from workflow.lib.shared_cache import build_in_shared_cache

# A workflow's job: <checkout> <shared> <seconds it takes> <umask>. Prints a line when it starts to create the file.
JOB = """
import logging, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from trainer.utils.errors import exit_on_input_error
from workflow.lib.shared_cache import build_in_shared_cache
logging.basicConfig(level=logging.INFO)
checkout, shared, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
os.umask(int(sys.argv[4], 8))

def make(path):
    print("makes", flush=True)
    time.sleep(seconds)
    path.write_text("content")

with exit_on_input_error():
    config = {"data": str(checkout / "data"), "shared_cache": shared}
    job = SimpleNamespace(input=[], output=[checkout / "data/deep/file"], config=config)
    build_in_shared_cache(make, job)
"""


def build(function, inputs, outputs, config, size=None):
    build_in_shared_cache(function, SimpleNamespace(input=inputs, output=outputs, config=config), size)


def start(checkout, shared, seconds=0.0, umask="022", before=()):
    command = [*before, sys.executable, "-c", JOB, checkout, shared, str(seconds), umask]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o2775)
    return folder


def test_of_two_at_once_one_makes_and_the_other_waits(tmp_path, shared):
    first = start(tmp_path / "a", shared, 4)
    assert first.stdout.readline() == "makes\n"
    second = start(tmp_path / "b", shared)
    out, log = second.communicate()
    assert (second.returncode, out) == (0, "")
    assert f"waiting for another workflow, which is creating {shared}/deep/file" in log
    first.communicate()
    assert first.returncode == 0
    for name in "ab":
        link = tmp_path / name / "data/deep/file"
        assert link.is_symlink()
        assert link.read_text() == "content"


def test_a_killed_maker_leaves_it_to_the_next(tmp_path, shared):
    killed = start(tmp_path / "a", shared, 60)
    assert killed.stdout.readline() == "makes\n"
    waiting = start(tmp_path / "b", shared)
    assert "waiting for another workflow" in waiting.stderr.readline()
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


def test_what_another_made_of_other_sources_is_refused(tmp_path, shared):
    start(tmp_path / "a", shared).communicate()
    config, output = {"data": str(tmp_path / "b"), "shared_cache": str(shared)}, tmp_path / "b/deep/file"
    with pytest.raises(InputError, match=rf"{shared}/deep/file: has 7 bytes, expected 8: .*delete it to"):
        build(Path.touch, [], [output], config, size=8)
    assert not output.exists()
    build(Path.touch, [], [output], config, size=7)
    assert output.read_text() == "content"


@pytest.mark.parametrize("used", [False, True])
def test_what_a_read_only_folder_lacks_is_named(tmp_path, shared, used):
    if used:
        start(tmp_path / "a", shared).communicate()
        (shared / "deep/file").unlink()
        (shared / "deep").chmod(0o555)
    shared.chmod(0o555)
    job = start(tmp_path / "b", shared, before=UNPRIVILEGED)
    out, log = job.communicate()
    assert (job.returncode, out) == (1, "")
    assert log.startswith(f"error: {shared}/deep/file: does not exist yet, and you cannot create it")
    assert len(log.splitlines()) == 1


def test_what_is_made_has_the_permissions_of_the_folder(tmp_path, shared):
    start(tmp_path / "a", shared, umask="077").communicate()
    assert stat.filemode((shared / "deep").stat().st_mode) == "drwxrwsr-x"
    assert stat.filemode((shared / "deep/file").stat().st_mode) == "-rw-rw-r--"
    assert stat.filemode((shared / ".lock").stat().st_mode) == "-rw-rw-rw-"


def test_what_is_made_of_a_users_own_files_stays_with_the_user(tmp_path, shared):
    config = {"data": str(tmp_path / "data"), "shared_cache": str(shared)}
    (tmp_path / "data").mkdir()
    own, output = tmp_path / "own.mkv", tmp_path / "data/own.cut"
    own.touch()
    build(lambda path: path.write_text("own"), [own], [output], config)
    assert not output.is_symlink()
    assert list(shared.iterdir()) == []

    film, output = tmp_path / "data/film.mkv", tmp_path / "data/film.cut"
    build(lambda path: path.write_text("film"), [], [film], config)
    build(lambda path: path.write_text("cut"), [film], [output], config)
    assert output.resolve() == shared / "film.cut"


def test_a_shared_folder_that_is_none_is_named(tmp_path):
    config = {"data": str(tmp_path), "shared_cache": str(tmp_path / "nowhere")}
    with pytest.raises(InputError, match="nowhere: no such folder"):
        build(lambda path: path.touch(), [], [tmp_path / "file"], config)


def test_a_file_system_without_locks_is_told(tmp_path, shared, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(shared_cache.fcntl, "lockf", no_locks)
    config = {"data": str(tmp_path), "shared_cache": str(shared)}
    with pytest.raises(InputError, match=r"supports no POSIX locks \(No locks available\)"):
        build(lambda path: path.touch(), [], [tmp_path / "file"], config)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", ["nowhere", ".lock"])
def test_a_lock_that_is_a_link_to_nothing_is_named(tmp_path, shared, target):
    (shared / ".lock").symlink_to(target)
    config = {"data": str(tmp_path), "shared_cache": str(shared)}
    with pytest.raises(InputError, match=rf"{shared}/file: does not exist yet, and you cannot create it"):
        build(lambda path: path.touch(), [], [tmp_path / "file"], config)


@pytest.mark.parametrize("target", ["nowhere", "file"])
def test_a_cached_link_to_nothing_is_named(tmp_path, shared, target):
    (shared / "file").symlink_to(target)
    config = {"data": str(tmp_path), "shared_cache": str(shared)}
    with pytest.raises(InputError, match=rf"{shared}/file: cannot be read .*; delete it to create it again"):
        build(lambda path: path.touch(), [], [tmp_path / "file"], config)
