from pathlib import Path

import pytest

from tests.helpers.files import visible
from tests.helpers.films import VP9, make_film
from workflow.lib.downloads import youtube
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
