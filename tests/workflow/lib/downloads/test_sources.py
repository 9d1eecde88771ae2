"""The first source that has a file gives it, complete and checked; else the error names each source's problem."""

import hashlib
import os

import pytest

from tests.helpers.files import CONTENT, hidden, tar_of, visible
from tests.helpers.films import make_film
from trainer.utils.errors import InputError
from workflow.lib.downloads import sources, youtube
from workflow.lib.downloads.sources import download


def test_a_file_arrives_whole(web, tmp_path):
    url = web.put("/a.bin", CONTENT)
    download([url], tmp_path / "new/a.bin", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "new/a.bin").read_bytes() == CONTENT
    assert hidden(tmp_path / "new") == []


def test_two_sources_are_never_joined(web, tmp_path, pauses):
    mirror = web.put("/mirror/a.bin", bytes(1_000_000), ("cut", 700_000), 404)
    second = web.put("/second/a.bin", CONTENT)
    download([mirror, second], tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert hidden(tmp_path) == []


def test_a_complete_but_unchecked_file_is_not_downloaded_again(web, tmp_path, monkeypatch):
    url = web.put("/a.bin", CONTENT)
    monkeypatch.setattr(sources, "_check", lambda *_: os._exit(9))
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


@pytest.mark.parametrize("name", ["a.csv", "a.mkv", "a.tar", "a.zip", "a.pth.tar", "a.pbtxt"])
def test_an_error_page_with_status_200_is_deleted(web, tmp_path, name):
    url = web.put(f"/{name}", b"x", "page")
    with pytest.raises(InputError, match=rf"/{name}: a web page, not {name}"):
        download([url], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_or_hash_takes_the_next_source(web, tmp_path):
    short = web.put("/short/a.bin", CONTENT[:-1])
    other = web.put("/other/a.bin", bytes(len(CONTENT)))
    with pytest.raises(InputError, match=r"offers 999,999 bytes, expected 1,000,000.*has SHA-256 .*, expected"):
        download([short, other], tmp_path / "a.bin", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_is_truncated_at_its_source_takes_the_next_source(web, tmp_path):
    film = make_film(tmp_path / "whole.mkv", "25", 9).read_bytes()
    half, whole = web.put("/half/a.mkv", film[: len(film) // 2]), web.put("/whole/a.mkv", film)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"a\.mkv: no source has it\. .*/half/a\.mkv: has frames from second"):
        download([half], out / "a.mkv", window=(4, 7))
    assert list(out.iterdir()) == []
    download([half, whole], out / "a.mkv", window=(4, 7))
    assert (out / "a.mkv").read_bytes() == film


def test_archives_that_are_truncated_at_their_source_are_named(web, tmp_path):
    url = web.put("/a.tar", tar_of(a=CONTENT)[:900_000])
    with pytest.raises(InputError, match=r"a\.tar: no source has it\. .*/a\.tar: not a tar, or truncated"):
        download([url], tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_local_file_is_linked(tmp_path, form):
    source = tmp_path / "own film.bin"
    source.write_bytes(CONTENT)
    url = form.format(source)
    download([url.replace(" ", "%20") if "file:" in url else url], tmp_path / "data/a.bin")
    file = tmp_path / "data/a.bin"
    assert file.is_symlink() and file.samefile(source)
    before = source.stat().st_mtime_ns
    os.utime(file, follow_symlinks=False)  # as Snakemake touches outputs
    assert source.stat().st_mtime_ns == before


def test_a_bad_local_file_stays_where_it_is(tmp_path):
    (tmp_path / "own.zip").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a zip"):
        download([str(tmp_path / "own.zip")], tmp_path / "a.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["own.zip"]


def test_the_second_source_may_be_a_youtube_page(web, tmp_path, monkeypatch):
    def download_from_youtube(url, destination, ffmpeg):
        assert url.endswith("v=-5KQ66BBWC4")
        if destination.name != "f.mkv":
            raise InputError("[youtube] -5KQ66BBWC4: Video unavailable")
        folder = youtube.partial_folder(destination)
        folder.mkdir()
        return make_film(folder / "film.mkv", "25", 1)

    monkeypatch.setattr(youtube, "download_from_youtube", download_from_youtube)
    urls = [web.address + "/f.mkv", "https://www.youtube.com/watch?v=-5KQ66BBWC4"]
    download(urls, tmp_path / "f.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["f.mkv"]
    with pytest.raises(InputError, match=r"HTTP status 404.*Video unavailable"):
        download(urls, tmp_path / "gone.mkv")
