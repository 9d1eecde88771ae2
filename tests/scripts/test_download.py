"""Downloads from a server with every fault: a whole and checked file, or a clear message and no file."""

import hashlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.full_disk import full_disk
from tests.scripts.films import VP9, make_film
from tests.scripts.web import serve
from trainer.errors import InputError
from workflow.scripts import download as module
from workflow.scripts import youtube
from workflow.scripts.contents import check_content
from workflow.scripts.download import download
from workflow.scripts.progress import Progress

CONTENT = np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def web():
    with serve() as web:
        yield web


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that would have been made; none is."""
    made = []
    monkeypatch.setattr(module.time, "sleep", made.append)
    return made


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def hidden(folder):
    return sorted(p for p in folder.iterdir() if p.name.startswith("."))


def test_a_file_arrives_whole(web, tmp_path):
    url = web.put("/a.bin", CONTENT)
    download([url], tmp_path / "new/a.bin", bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "new/a.bin").read_bytes() == CONTENT
    assert hidden(tmp_path / "new") == []


def test_503_then_success_with_growing_pauses(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, 503, 503, 429, 500)
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert pauses == [2, 5, 15, 30]


def test_time_outs_then_success(web, tmp_path):
    url = web.put("/a.bin", CONTENT, "stall", ("stall", 400_000), "stall")
    download([url], tmp_path / "a.bin", pauses=(0.01, 0.01), timeouts=(5, 0.3))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) > 300_000  # what came before the server fell silent is kept


def test_a_cut_connection_is_resumed_by_range(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), ("cut", 300_000))
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    begins = [int(asked[6:-1]) for _, asked in web.requests[1:]]
    assert 300_000 < begins[0] <= 400_000
    assert 600_000 < begins[1] <= 700_000
    assert pauses == [2, 2]  # each brought something


def test_a_server_that_ignores_range_starts_again(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), "no range")
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(web.requests) == 2


def test_a_file_that_is_always_short_is_given_up(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 400_000), *[("cut", 0)] * 9)
    with pytest.raises(InputError, match=r"a\.bin: no source has it.*/a\.bin: gave up after 7 tries in vain"):
        download([url], tmp_path / "a.bin")
    assert pauses == [2, 5, 15, 30, 60, 120]
    assert visible(tmp_path) == []


def test_the_next_run_goes_on_where_this_one_was_stopped(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT, ("cut", 700_000), *[503] * 2)
    with pytest.raises(InputError, match="HTTP status 503"):
        download([url], tmp_path / "a.bin", pauses=(1,))
    assert visible(tmp_path) == [] and len(hidden(tmp_path)) == 1
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) > 600_000
    assert hidden(tmp_path) == []


def test_two_versions_are_never_joined(web, tmp_path, pauses):
    """The file changes at the source between two runs; the new one is longer, then shorter than what is held."""
    for size in (1_500_000, 100_000):
        url = web.put("/a.bin", CONTENT, ("cut", 700_000), 503)
        with pytest.raises(InputError):
            download([url], tmp_path / "a.bin", pauses=(1,))
        other = np.random.default_rng(1).bytes(size)
        web.put("/a.bin", other, etag="two")
        download([url], tmp_path / "a.bin")
        assert (tmp_path / "a.bin").read_bytes() == other
        (tmp_path / "a.bin").unlink()


def test_two_sources_are_never_joined(web, tmp_path, pauses):
    mirror = web.put("/mirror/a.bin", bytes(1_000_000), ("cut", 700_000), 404)
    second = web.put("/second/a.bin", CONTENT)
    download([mirror, second], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert hidden(tmp_path) == []


def test_a_file_that_was_whole_but_unchecked_is_not_fetched_again(web, tmp_path, monkeypatch):
    url = web.put("/a.bin", CONTENT)
    monkeypatch.setattr(module, "_check", lambda *_: os._exit(9))
    if (child := os.fork()) == 0:
        download([url], tmp_path / "a.bin")
    os.waitpid(child, 0)
    monkeypatch.undo()
    assert visible(tmp_path) == []
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(web.requests) == 1


def test_404_on_the_mirror_takes_the_second_source(web, tmp_path, pauses):
    url = web.put("/a.bin", CONTENT)
    download([web.address + "/mirror/a.bin", url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert pauses == []


def test_404_everywhere_names_every_source(web, tmp_path, pauses):
    urls = [web.address + "/mirror/a.bin", web.address + "/second/a.bin", str(tmp_path / "own/a.bin"), "wtp://a.b/c"]
    with pytest.raises(InputError) as error:
        download(urls, tmp_path / "a.bin")
    assert all(url in str(error.value) for url in urls)
    assert str(error.value).count("HTTP status 404") == 2
    assert "no such file" in str(error.value)
    assert visible(tmp_path) == []


def test_an_unreachable_server_is_given_up(tmp_path, pauses):
    with pytest.raises(InputError, match=r"gave up after 3 tries in vain.*refused"):
        download(["http://127.0.0.1:9/a.bin"], tmp_path / "a.bin", pauses=(1, 2))
    assert pauses == [1, 2]


@pytest.mark.parametrize("name", ["a.csv", "a.mkv", "a.tar", "a.zip", "a.pth.tar", "a.pbtxt"])
def test_an_error_page_with_status_200_is_thrown_away(web, tmp_path, name):
    url = web.put(f"/{name}", b"x", "page")
    with pytest.raises(InputError, match=rf"/{name}: a web page, not {name}"):
        download([url], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_or_hash_takes_the_next_source(web, tmp_path):
    short = web.put("/short/a.bin", CONTENT[:-1])
    other = web.put("/other/a.bin", bytes(len(CONTENT)))
    with pytest.raises(InputError, match=r"offers 999,999 bytes, expected 1,000,000.*has SHA-256 .*, expected"):
        download([short, other], tmp_path / "a.bin", bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_is_truncated_at_its_source_takes_the_next_source(web, tmp_path):
    film = make_film(tmp_path / "whole.mkv", "25", 9).read_bytes()
    half, whole = web.put("/half/a.mkv", film[: len(film) // 2]), web.put("/whole/a.mkv", film)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"a\.mkv: no source has it\. .*/half/a\.mkv: has pictures from second"):
        download([half], out / "a.mkv", window=(4, 7))
    assert list(out.iterdir()) == []
    download([half, whole], out / "a.mkv", window=(4, 7))
    assert (out / "a.mkv").read_bytes() == film


def test_archives_that_are_truncated_at_their_source_are_named(web, tmp_path):
    url = web.put("/a.tar", tar_of(a=CONTENT)[:900_000])
    with pytest.raises(InputError, match=r"a\.tar: no source has it\. .*/a\.tar: not a tar, or one whose end"):
        download([url], tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_the_transfer(web, tmp_path, monkeypatch):
    url = web.put("/a.bin", CONTENT)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 600_000))
    with pytest.raises(InputError, match=r"a\.bin: the disk is full \(1 MB to come, 600 kB free\)"):
        download([url], tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_keeps_what_has_arrived(web, tmp_path):
    url = web.put("/a.bin", CONTENT)
    with full_disk(at=500_000), pytest.raises(InputError, match=r"the disk is full.*what has arrived is kept"):
        download([url], tmp_path / "a.bin")
    assert visible(tmp_path) == []
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert web.requests[-1][1] == "bytes=500000-"


def test_kill_9_in_the_middle_leaves_no_file_and_is_resumed(web, tmp_path):
    url = web.put("/a.bin", CONTENT, "slow")
    code = "import sys; from workflow.scripts.download import download; download([sys.argv[1]], sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-c", code, url, tmp_path / "a.bin"], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 30
    while sum(p.stat().st_size for p in hidden(tmp_path)) < 200_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert visible(tmp_path) == []
    download([url], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert int(web.requests[-1][1][6:-1]) >= 200_000


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_local_file_is_linked(tmp_path, form):
    source = tmp_path / "own film.bin"
    source.write_bytes(CONTENT)
    url = form.format(source)
    download([url.replace(" ", "%20") if "file:" in url else url], tmp_path / "data/a.bin")
    fetched = tmp_path / "data/a.bin"
    assert fetched.is_symlink() and fetched.samefile(source)
    before = source.stat().st_mtime_ns
    os.utime(fetched, follow_symlinks=False)  # as Snakemake touches outputs
    assert source.stat().st_mtime_ns == before


def test_a_bad_local_file_stays_where_it_is(tmp_path):
    (tmp_path / "own.zip").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a zip"):
        download([str(tmp_path / "own.zip")], tmp_path / "a.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["own.zip"]


def test_a_name_of_odd_characters(web, tmp_path):
    url = web.put("/odd", CONTENT, ("cut", 500_000))
    download([url], tmp_path / "-a [1]*.bin", pauses=(0,))
    assert visible(tmp_path) == ["-a [1]*.bin"]
    assert hidden(tmp_path) == []


def test_progress_tells_rate_and_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = iter([0, 5, 10, 15, 20])
    monkeypatch.setattr("workflow.scripts.progress.time.monotonic", lambda: next(now))
    progress = Progress("a.tar", 10_000_000, 130_000_000)
    for _ in range(4):
        progress.add(5_000_000)
    assert caplog.messages == [
        "a.tar: 20 MB of 130 MB (15%), 1 MB/s, 1:50 min left",
        "a.tar: 30 MB of 130 MB (23%), 1 MB/s, 1:40 min left",
    ]


def tar_of(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_contents_are_checked_by_suffix(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", CONTENT)
    good = {"a.tar": tar_of(a=CONTENT), "a.zip": buffer.getvalue(), "a.csv": b"", "a.pth": b"\x80\x02", "a": b"<ht"}
    bad = {"b.tar": good["a.tar"][:900_000], "b.zip": good["a.zip"][:900_000], "b.pth.tar": b"", "b.mp4": CONTENT}
    for name, content in (good | bad).items():
        (tmp_path / name).write_bytes(content)
    make_film(tmp_path / "a.mp4", "25", 1)
    make_film(tmp_path / "a.webm", "25", 1, codec=VP9)
    for name in (*good, "a.mp4", "a.webm"):
        check_content(tmp_path / name)
    make_film(tmp_path / "b.mkv", "25", 1, options=("-map", "0:a"))
    for name in (*bad, "b.mkv"):
        with pytest.raises(InputError, match=f"^{tmp_path / name}: "):
            check_content(tmp_path / name)


@pytest.mark.parametrize("name", ["f.mkv", "f.mp4", "f.webm"])
def test_yt_dlp_brings_the_container_of_the_name(web, tmp_path, name):
    """Its API and ffmpeg are the real ones; the page is a plain link to a film."""
    film = make_film(tmp_path / "source.mp4", "25", 2, audio=False, codec=VP9)
    url = web.put("/film.mp4", film.read_bytes())
    fetched = youtube.fetch_film(url, tmp_path / "out" / name)
    assert fetched.suffix == Path(name).suffix
    check_content(fetched)
    assert visible(tmp_path / "out") == []


def test_the_second_source_may_be_a_youtube_page(web, tmp_path, monkeypatch):
    def fetch_film(url, destination, ffmpeg):
        assert url.endswith("v=-5KQ66BBWC4")
        if destination.name != "f.mkv":
            raise InputError("[youtube] -5KQ66BBWC4: Video unavailable")
        folder = destination.with_name(youtube.FOLDER.format(destination.name))
        folder.mkdir()
        return make_film(folder / "film.mkv", "25", 1)

    monkeypatch.setattr(module, "fetch_film", fetch_film)
    urls = [web.address + "/f.mkv", "https://www.youtube.com/watch?v=-5KQ66BBWC4"]
    download(urls, tmp_path / "f.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["f.mkv"]
    with pytest.raises(InputError, match=r"HTTP status 404.*Video unavailable"):
        download(urls, tmp_path / "gone.mkv")
