import io
import zipfile

import pytest

from tests.helpers.files import CONTENT, tar_of
from tests.helpers.films import VP9, make_film
from trainer.utils.errors import InputError
from workflow.lib.downloads.file_checks import check_content


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
