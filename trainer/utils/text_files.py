"""Read text files as UTF-8; check the columns of tables."""

import codecs
import gzip
import re
import zlib
from pathlib import Path

from trainer.utils.errors import InputError
from trainer.utils.text import check_label, did_you_mean, listed, quoted

# All but tab, line feed and carriage return; some readers take the last two for line ends.
CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_RE_ENCODE = "Save it in that encoding, or download it again"


def text_lines(path):
    """Yield the lines of a UTF-8 file, gzipped (``.gz``) or not, with line ends as "\\n" and no byte order mark.

    Raises InputError if the file is missing, damaged or of another encoding; names the line if it can.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if "\0" in line:  # every second byte of English in UTF-16
                    raise InputError(f"{path}, line {number}: a zero byte; expected UTF-8 text. {_RE_ENCODE}")
                if odd := CONTROL.search(line):
                    raise InputError(f"{path}, line {number}: a control character ({odd[0]!r}); delete it")
                yield line
    except UnicodeDecodeError as error:
        raise InputError(_wrong_encoding(path, opened)) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); download or make it again") from error


def check_columns(found: list[str], columns: list[str], where: str):
    """Raise InputError if the first line of a tab-separated table has other columns, in any order."""
    if sorted(found) != sorted(columns):
        got = [name if name in columns else quoted(name) + did_you_mean(name, columns) for name in found]
        raise InputError(
            f"{where}: expected the columns {', '.join(columns)}, a tab between two, got {listed(got, 20) or 'none'}"
        )


def read_label(text: str, where: str) -> str:
    """Return a label that stands in a file; raise InputError if a table cannot show it."""
    try:
        return check_label(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _wrong_encoding(path, opened):
    with opened(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return f"{path}: UTF-16 text; expected UTF-8. {_RE_ENCODE}"
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"{path}, line {number}: not UTF-8 text (byte {line[error.start]:#04x}). {_RE_ENCODE}"
    return f"{path}: not UTF-8 text. {_RE_ENCODE}"
