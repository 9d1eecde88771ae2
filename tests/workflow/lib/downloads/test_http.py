"""A server with every fault: the transfer resumes or fails with a clear message, and never leaves a damaged file."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers.files import CONTENT, hidden, visible
from tests.helpers.full_disk import full_disk
from tests.helpers.paths import ROOT
from trainer.utils.errors import InputError
from workflow.lib.downloads import http
from workflow.lib.downloads.sources import download


def test_503_then_success_with_growing_pauses(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, 503, 503, 429, 500)
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert pauses == [2, 5, 15, 30]


def test_time_outs_then_success(web, tmp_path):
    url = web.put("/a.bin", CONTENT, "stall", ("stall", 400_000), "stall")
    download([url], tmp_path / "a.bin", backoff=(0.01, 0.01), timeouts=(5, 0.3))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) > 300_000  # the bytes before the stall are kept


def test_a_cut_connection_is_resumed_by_range(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), ("cut", 300_000))
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    offsets = [int(asked[6:-1]) for _, asked in web.requests[1:]]
    assert 300_000 < offsets[0] <= 400_000
    assert 600_000 < offsets[1] <= 700_000
    assert pauses == [2, 2]  # each attempt brought bytes


def test_a_server_that_ignores_range_starts_again(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), "no range")
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(web.requests) == 2


def test_a_file_that_is_always_short_is_given_up(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), *[("cut", 0)] * 9)
    with pytest.raises(InputError, match=r"a\.bin: no source has it.*/a\.bin: gave up after 7 attempts"):
        download([url], tmp_path / "a.bin")
    assert pauses == [2, 5, 15, 30, 60, 120]
    assert visible(tmp_path) == []


def test_the_next_run_resumes_where_this_one_stopped(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 700_000), *[503] * 2)
    with pytest.raises(InputError, match="HTTP status 503"):
        download([url], tmp_path / "a.bin", backoff=(1,))
    assert visible(tmp_path) == [] and len(hidden(tmp_path)) == 1
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) > 600_000
    assert hidden(tmp_path) == []


def test_two_versions_are_never_joined(web, tmp_path, pauses):
    """The file changes at the source between two runs; the new one is longer, then shorter than the partial file."""
    for size in (1_500_000, 100_000):
        url = web.put("/a.bin", CONTENT, ("cut", 700_000), 503)
        with pytest.raises(InputError):
            download([url], tmp_path / "a.bin", backoff=(1,))
        other = np.random.default_rng(1).bytes(size)
        web.put("/a.bin", other, etag="two")
        download([url], tmp_path / "a.bin")
        assert (tmp_path / "a.bin").read_bytes() == other
        (tmp_path / "a.bin").unlink()


def test_an_unreachable_server_is_given_up(tmp_path, pauses):
    with pytest.raises(InputError, match=r"gave up after 3 attempts without progress.*refused"):
        download(["http://127.0.0.1:9/a.bin"], tmp_path / "a.bin", backoff=(1, 2))
    assert pauses == [1, 2]


def test_a_full_disk_is_told_before_the_transfer(web, tmp_path, monkeypatch):
    url = web.put("/a.bin", CONTENT)
    monkeypatch.setattr(http.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 600_000))
    with pytest.raises(InputError, match=r"a\.bin: the disk is full \(1 MB to come, 600 kB free\)"):
        download([url], tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_keeps_what_has_arrived(web, tmp_path):
    url = web.put("/a.bin", CONTENT)
    with full_disk(at=500_000), pytest.raises(InputError, match=r"the disk is full.*the download resumes"):
        download([url], tmp_path / "a.bin")
    assert visible(tmp_path) == []
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert web.requests[-1][1] == "bytes=500000-"


def test_kill_9_in_the_middle_leaves_no_file_and_is_resumed(web, tmp_path):
    url = web.put("/a.bin", CONTENT, "slow")
    code = "import sys; from workflow.lib.downloads.sources import download; download([sys.argv[1]], sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-c", code, url, tmp_path / "a.bin"], cwd=ROOT)
    deadline = time.monotonic() + 30
    while sum(p.stat().st_size for p in hidden(tmp_path)) < 200_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert visible(tmp_path) == []
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) >= 200_000


def test_a_name_of_odd_characters(web, tmp_path):
    url = web.put("/odd", CONTENT, ("cut", 500_000))
    download([url], tmp_path / "-a [1]*.bin", backoff=(0,))
    assert visible(tmp_path) == ["-a [1]*.bin"]
    assert hidden(tmp_path) == []
