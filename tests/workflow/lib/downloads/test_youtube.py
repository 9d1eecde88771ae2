from pathlib import Path

import pytest

from tests.helpers.files import visible
from tests.helpers.films import VP9, make_film
from trainer.utils.errors import InputError
from workflow.lib.downloads import progress, youtube
from workflow.lib.downloads.file_checks import check_content


@pytest.mark.parametrize("name", ["f.mkv", "f.mp4", "f.webm"])
def test_yt_dlp_brings_the_container_of_the_name(web, tmp_path, name):
    """Its API and ffmpeg are the real ones; the page is a plain link to a film."""
    film = make_film(tmp_path / "source.mp4", "25", 2, audio=False, codec=VP9)
    url = web.put("/film.mp4", film.read_bytes())
    film_path = youtube.download_from_youtube(url, tmp_path / "out" / name)
    assert film_path.suffix == Path(name).suffix
    check_content(film_path)
    assert visible(tmp_path / "out") == []


def test_a_page_whose_film_comes_too_slowly_is_given_up(web, tmp_path, monkeypatch):
    monkeypatch.setattr(youtube, "RATE_SECONDS", 0.01)
    monkeypatch.setattr(progress, "MIN_BYTES_PER_MINUTE", 1e15)
    film = make_film(tmp_path / "source.mp4", "25", 2, audio=False).read_bytes() + bytes(1_000_000)
    with pytest.raises(InputError, match=r"only .* bytes in 0 s"):
        youtube.download_from_youtube(web.put("/film.mp4", film, *["slow"] * 9), tmp_path / "out/f.mp4")
