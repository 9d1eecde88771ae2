"""Files are read as UTF-8 or refused in one line."""

import gzip
import re

import pytest

from trainer.utils.errors import InputError
from trainer.utils.text_files import text_lines

TEXT = "v1,0902,café\nv2,0903,thé\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),  # with the mark that some editors put before it
        TEXT.replace("\n", "\r\n").encode(),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_lines_are_the_same_however_they_were_saved(content, packed, tmp_path):
    path = tmp_path / ("text.csv.gz" if packed else "text.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert list(text_lines(path)) == ["v1,0902,café\n", "v2,0903,thé\n"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("utf-16"), "text.csv: UTF-16 text; expected UTF-8. Save it in that encoding"),
        (TEXT.encode("utf-16-le"), "text.csv, line 1: not UTF-8 text (byte 0xe9). Save it"),
        (b"a,1\n" + "b,2\n".encode("utf-16-le"), "text.csv, line 2: a zero byte; expected UTF-8 text. Save it"),
        (TEXT.encode("latin-1"), "text.csv, line 1: not UTF-8 text (byte 0xe9). Save it in that encoding"),
        (b"a\nb\n\xff", "text.csv, line 3: not UTF-8 text (byte 0xff)"),
    ],
)
def test_other_encodings_are_refused(content, message, tmp_path):
    (tmp_path / "text.csv").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        list(text_lines(tmp_path / "text.csv"))


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        list(text_lines(tmp_path / "none.csv"))
    with pytest.raises(InputError, match=r"cannot be read \(.*directory"):
        list(text_lines(tmp_path))
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-10])
    with pytest.raises(InputError, match=r"torn\.csv\.gz: cannot be read"):
        list(text_lines(tmp_path / "torn.csv.gz"))
