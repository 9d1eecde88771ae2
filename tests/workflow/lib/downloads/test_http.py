"""A server with every fault: the transfer resumes or fails with a clear message, and never leaves a damaged file."""

import gzip
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
from workflow.lib.downloads import http, progress
from workflow.lib.downloads.sources import download


def test_503_then_success_with_growing_pauses(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, 503, 503, 429, 500)
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert pauses == [2, 5, 15, 30]


def test_time_outs_then_success(web, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "BACKOFF_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(http, "TIMEOUTS", (5, 0.3))
    url = web.put("/a.bin", CONTENT, "stall", ("stall", 400_000), "stall")
    download([url], tmp_path / "a.bin")
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


def test_the_next_run_resumes_where_this_one_stopped(web, tmp_path, pauses, monkeypatch):
    monkeypatch.setattr(http, "BACKOFF_SECONDS", (1,))
    url = web.put("/a.bin", CONTENT, ("cut", 700_000), *[503] * 2)
    with pytest.raises(InputError, match="HTTP status 503"):
        download([url], tmp_path / "a.bin")
    assert visible(tmp_path) == [] and len(hidden(tmp_path)) == 1
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) > 600_000
    assert hidden(tmp_path) == []


def test_two_versions_are_never_joined(web, tmp_path, pauses, monkeypatch):
    """The file changes at the source between two runs; the new one is longer, then shorter than the partial file."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", (1,))
    for size in (1_500_000, 100_000):
        url = web.put("/a.bin", CONTENT, ("cut", 700_000), 503)
        with pytest.raises(InputError):
            download([url], tmp_path / "a.bin")
        other = np.random.default_rng(1).bytes(size)
        web.put("/a.bin", other, etag="two")
        download([url], tmp_path / "a.bin")
        assert (tmp_path / "a.bin").read_bytes() == other
        (tmp_path / "a.bin").unlink()


def test_an_unreachable_server_is_given_up(tmp_path, pauses, monkeypatch):
    monkeypatch.setattr(http, "BACKOFF_SECONDS", (1, 2))
    with pytest.raises(InputError, match=r"gave up after 3 attempts without progress.*refused"):
        download(["http://127.0.0.1:9/a.bin"], tmp_path / "a.bin")
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


def test_a_name_of_odd_characters(web, tmp_path, pauses):
    url = web.put("/odd", CONTENT, ("cut", 500_000))
    download([url], tmp_path / "-a [1]*.bin")
    assert visible(tmp_path) == ["-a [1]*.bin"]
    assert hidden(tmp_path) == []


def answer(status, body=b"", **headers):
    """Return an answer of the server, as it is sent; a header of length is not added."""
    lines = [f"HTTP/1.1 {status} -", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def redirect(place):
    return answer(302, Location=place, Content_Length=0, Connection="close")


ODD_ANSWERS = {
    "a 416 without a range": ((answer(416, Content_Length=0), b""), "HTTP status 416"),
    "a 206 nobody asked for": ((answer(206, CONTENT, Content_Range="bytes 0-999999/1000000"), b""), "HTTP status 206"),
    "a middle nobody asked for": ((answer(206, b"5678", Content_Range="bytes 5-8/10"), b""), "HTTP status 206"),
    "a length of letters": ((answer(200, b"123", Content_Length="abc"), b""), "Content-Length 'abc'"),
    "a negative length": ((answer(200, b"123", Content_Length="-5"), b""), "Content-Length '-5'"),
    "a length of 5,000 digits": ((answer(200, b"123", Content_Length="9" * 5000), b""), "Content-Length '9999"),
    "two lengths": ((answer(200, b"123", Content_Length="3, 4"), b""), "Content-Length"),
    "gzip": ((answer(200, gzip.compress(CONTENT), Content_Encoding="gzip"), b""), "Content-Encoding 'gzip'"),
    "a redirect to half an address": ((redirect("http://[::1"), b""), "IPv6"),
    "a redirect to no port": ((redirect("http://localhost:99999999/"), b""), "Port out of range"),
    "a redirect to no host": ((redirect("http://a..b/"), b""), "a..b"),
    "a redirect of other encoding": ((redirect("http://\xff\xfe/"), b""), "decode"),
    "a redirect to a file": ((redirect("file:///etc/passwd"), b""), "file:///etc/passwd"),
    "a redirect to itself": ((redirect("/odd.bin"), b""), "redirects"),
    "a wait of an hour": ((answer(503, Retry_After=3600, Content_Length=0), b""), "asks to wait 3,600 s"),
    "a wait for ever": ((answer(429, Retry_After="9" * 5000, Content_Length=0), b""), "HTTP status 429"),
    "a wait of words": ((answer(503, Retry_After="soon", Content_Length=0), b""), "HTTP status 503"),
    "no HTTP": ((b"\0\1\2\r\n\r\n", b""), "gave up after"),
    "headers without end": ((answer(200)[:-2], b"A: 1\r\n" * 200), "100 headers"),
}


@pytest.mark.parametrize(("fault", "problem"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_odd_answer_leads_to_the_next_source(web, tmp_path, pauses, caplog, fault, problem):
    urls = [web.put("/odd.bin", CONTENT, *[fault] * 40), web.put("/a.bin", CONTENT)]
    download(urls, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert hidden(tmp_path) == []
    assert problem in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1/a", "http://a..b/a", "http://.a/a", "http://a:b/a", "http:///a", "http://\0/a"),
        *("//a/b", "/" + "a" * 300, "file:///self", "\0", ""),
    ],
)
def test_a_bad_address_leads_to_the_next_source(web, tmp_path, pauses, url):
    (tmp_path / "self").symlink_to("self")
    download([url.replace("///self", f"//{tmp_path}/self"), web.put("/a.bin", CONTENT)], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_may_ask_to_wait_for_minutes_only(web, tmp_path, pauses):
    asked = [(answer(503, Retry_After=wait, Content_Length=0), b"") for wait in ("soon", 7, 600)]
    download([web.put("/a.bin", CONTENT, *asked)], tmp_path / "a.bin")
    assert pauses == [2, 7, 600]
    with pytest.raises(InputError, match=r"HTTP status 503: asks to wait 601 s, more than 600"):
        download([web.put("/a.bin", CONTENT, (answer(503, Retry_After=601), b""))], tmp_path / "b.bin")


@pytest.mark.parametrize("known", ["by its source", "by its headers"])
def test_more_than_the_known_size_stops_at_once(web, tmp_path, pauses, known):
    if known == "by its source":
        url, size = web.put("/a.bin", CONTENT, (answer(200), CONTENT)), len(CONTENT)
    else:
        more = answer(206, Content_Range="bytes 393216-999999/1000000", ETag='"one"')
        url, size = web.put("/a.bin", CONTENT, ("cut", 393_216), (more, CONTENT)), None
    with pytest.raises(InputError, match=r"sends more than the 1,000,000 bytes"):
        download([url], tmp_path / "a.bin", size=size)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_known_size_is_resumed_though_the_server_tells_none(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, (answer(200, CONTENT[:400_000], ETag='"one"'), b""))
    download([url], tmp_path / "a.bin", size=len(CONTENT))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert web.requests[-1][1] == "bytes=400000-"


def test_chunks_without_a_size_arrive_whole(web, tmp_path):
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (CONTENT[:300_000], CONTENT[300_000:], b"")]
    chunked = answer(200, b"".join(chunks), Transfer_Encoding="chunked")
    download([web.put("/a.bin", CONTENT, (chunked, b""))], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


SLOW_ANSWERS = {
    "content": (answer(200, Content_Length=len(CONTENT)), b"1"),
    "content of unknown size": (answer(200), b"1"),
    "headers": (b"HTTP/1.1 200 OK\r\nA: ", b"1"),
    "redirect": (answer(302, Location="/a.bin"), b"1"),
}


@pytest.mark.parametrize("fault", SLOW_ANSWERS.values(), ids=SLOW_ANSWERS)
def test_a_slow_source_is_given_up_though_a_byte_comes_now_and_then(web, tmp_path, pauses, monkeypatch, fault):
    monkeypatch.setattr(progress, "RATE_SECONDS", 0.2)
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(http, "BACKOFF_SECONDS", (1, 2))
    slow = web.put("/slow.bin", CONTENT, *[fault] * 40)
    with pytest.raises(InputError, match=r"gave up after 3 attempts without progress; .*(bytes|headers) in 0 s"):
        download([slow], tmp_path / "a.bin")
    download([slow, web.put("/a.bin", CONTENT)], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_connection_that_is_cut_after_each_byte_is_given_up(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, *[("cut", 1)] * 9)
    with pytest.raises(InputError, match="gave up after 7 attempts"):
        download([url], tmp_path / "a.bin")
