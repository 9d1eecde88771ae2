"""Ways in which a file can be other than it should: each is a function of the path of a whole file."""

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

Damage = Callable[[Path], None]

PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>404: \xc3\xa4\n<p>x</p></body></html>\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 12345\n"


def content(change: Callable[[bytes], bytes]) -> Damage:
    """Return the damage that changes the bytes of a file."""

    def apply(path):
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(change(whole))

    return apply


def _folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def _link_to(target):
    def apply(path):
        path.unlink()
        path.symlink_to(target if target else path)

    return apply


def _cut(fraction):
    return content(lambda whole: whole[: int(len(whole) * fraction)])


def _random(whole):
    return np.random.default_rng(len(whole)).bytes(max(len(whole), 100))


def _flipped(whole):
    """Change one byte in the middle of every kilobyte."""
    changed = bytearray(whole)
    for place in range(min(512, len(whole) // 2), len(whole), 1024):
        changed[place] ^= 0xFF
    return bytes(changed)


ANY_FILE: dict[str, Damage] = {
    "missing": lambda path: path.unlink(),
    "empty": content(lambda _: b""),
    "a folder": _folder,
    "cut at 10%": _cut(0.1),
    "cut at 50%": _cut(0.5),
    "cut at 90%": _cut(0.9),
    "cut by 7 bytes": content(lambda whole: whole[:-7]),
    "random bytes": content(_random),
    "a flipped byte per kilobyte": content(_flipped),
    "HTML page": content(lambda _: PAGE),
    "Git LFS pointer": content(lambda _: LFS),
    "zero bytes": content(lambda whole: bytes(max(len(whole), 1))),
    "one byte": content(lambda _: b"x"),
    "gzipped": content(gzip.compress),
    "link to itself": _link_to(""),
    "link to nothing": _link_to("/nowhere/at/all"),
}


# --- Text ------------------------------------------------------------------------------------------------------------


def text(change: Callable[[str], str]) -> Damage:
    """Return the damage that changes the text of a file."""
    return content(lambda whole: change(whole.decode()).encode())


def lines(change: Callable[[list[str]], list[str]]) -> Damage:
    """Return the damage that changes the lines of a file, whose ends they keep."""
    return text(lambda whole: "".join(change(whole.splitlines(keepends=True))))


def _in_the_middle(inserted: bytes) -> Damage:
    return content(lambda whole: whole[: len(whole) // 2] + inserted + whole[len(whole) // 2 :])


TEXT: dict[str, Damage] = {
    "UTF-16": content(lambda whole: whole.decode().encode("utf-16")),
    "UTF-16 without mark": content(lambda whole: whole.decode().encode("utf-16-le")),
    "UTF-32": content(lambda whole: whole.decode().encode("utf-32")),
    "byte order mark": content(lambda whole: b"\xef\xbb\xbf" + whole),
    "Latin-1 letter": _in_the_middle("ü".encode("latin-1")),
    "zero byte inside": _in_the_middle(b"\0"),
    "escape sequence inside": _in_the_middle(b"\x1b[2J\x07"),
    "line separator inside": _in_the_middle("\u2028".encode()),
    "C1 control inside": _in_the_middle("\x9b2J".encode()),
    "CRLF line ends": content(lambda whole: whole.replace(b"\n", b"\r\n")),
    "CR line ends": content(lambda whole: whole.replace(b"\n", b"\r")),
    "empty lines at the end": content(lambda whole: whole + b"\n\n\n"),
    "no line end at the end": content(lambda whole: whole.rstrip(b"\n")),
    "a quote inside": _in_the_middle(b'"'),
    "a line of 5 MB": content(lambda whole: whole + b"x" * 5_000_000 + b"\n"),
}

TABLE: dict[str, Damage] = {
    "last row twice": lines(lambda rows: [*rows, rows[-1]]),
    "all rows twice": lines(lambda rows: rows + rows),
    "first row lacks": lines(lambda rows: rows[1:]),
    "rows reversed": lines(lambda rows: rows[::-1]),
    "an empty line between": lines(lambda rows: [*rows[:-1], "\n", rows[-1]]),
    "a row of half the length": lines(lambda rows: [*rows[:-1], rows[-1][: len(rows[-1]) // 2] + "\n"]),
    "ends inside the last row": content(lambda whole: whole.rstrip(b"\n")[:-1]),
    "a row of other text": lines(lambda rows: [*rows, "something else\n"]),
}


def columns(separator: str) -> dict[str, Damage]:
    """Return damages of the columns of a table."""

    def each_row(change):
        def apply(rows):
            cells = [row.rstrip("\n").split(separator) for row in rows]
            return [separator.join(change(row)) + "\n" for row in cells]

        return lines(apply)

    other = ";" if separator != ";" else ","
    return {
        "first two columns swapped": each_row(lambda row: [*row[1::-1], *row[2:]]),
        "columns reversed": each_row(lambda row: row[::-1]),
        "last column lacks": each_row(lambda row: row[:-1]),
        "one column more": each_row(lambda row: [*row, "0"]),
        "last column twice": each_row(lambda row: [*row, row[-1]]),
        "other separator": each_row(lambda row: [other.join(row)]),
        "cells in quotes": each_row(lambda row: [f'"{cell}"' for cell in row]),
        "spaces around cells": each_row(lambda row: [f" {cell} " for cell in row]),
    }


# What no number may be; a reader adds what is wrong in its columns.
NO_NUMBERS = ("", "x", "nan", "inf", "-inf", "1e999", "0x10", "１２x", "--1", "1" * 400)
NO_WHOLE_NUMBERS = (*NO_NUMBERS, "1.5", "9" * 25, "-9223372036854775809")


def cells(separator: str, bad: dict[int, tuple[str, ...]], row=-1) -> dict[str, Damage]:
    """Return the damages that put a bad value into one cell of a row; ``bad``: values by number of the column."""

    def put(column, value):
        def apply(rows):
            found = rows[row].rstrip("\n").split(separator)
            found[column] = value
            changed = list(rows)
            changed[row] = separator.join(found) + "\n"
            return changed

        return lines(apply)

    def shown(value):
        return value if len(value) < 30 else f"{value[:6]}... ({len(value)} characters)"

    return {
        f"column {column + 1} is {shown(value)!r}": put(column, value)
        for column, values in bad.items()
        for value in values
    }


# --- YAML and JSON ---------------------------------------------------------------------------------------------------

_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
STRUCTURE: dict[str, Damage] = {
    "a list": content(lambda _: b"[1, 2]\n"),
    "a number": content(lambda _: b"7\n"),
    "text": content(lambda _: b'"text"\n'),
    "null": content(lambda _: b"null\n"),
    "an empty mapping": content(lambda _: b"{}\n"),
    "deep nesting": content(lambda _: b"[" * 100_000),
    "deep nesting, closed": content(lambda _: b'{"a": ' * 3_000 + b"1" + b"}" * 3_000),
    "a number of 5,000 digits": content(lambda _: b'{"time": ' + b"9" * 5_000 + b"}\n"),
}
YAML: dict[str, Damage] = {
    "tab as indent": text(lambda whole: re.sub(r"(?m)^ +", "\t", whole)),
    "an unclosed bracket": content(lambda whole: whole + b"[\n"),
    "a Python tag": content(lambda whole: whole + b"x: !!python/object/apply:os.system ['touch hacked']\n"),
    "aliases that multiply": content(lambda whole: whole + _BOMB.encode()),
    "an alias to itself": content(lambda whole: whole + b"x: &x [*x]\n"),
    "a second document": content(lambda whole: whole + b"---\nx: 1\n"),
    "an unknown key": content(lambda whole: whole + b"unknown_key: 1\n"),
    "a number as key": content(lambda whole: whole + b"12: 1\n"),
    "a key of 3,000 dots": content(lambda whole: whole + b'"' + b"." * 3000 + b'": 1\n'),
}


def leaves(tree, above=()):
    """Yield (keys, value) of every value below a nested mapping."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def values(
    load, dump, bad: Callable[[tuple, object], list], only=lambda keys: True
) -> Callable[[Path], dict[str, Damage]]:
    """Return a function of a whole file's path that returns damages: each value replaced by ``bad(keys, value)``."""

    def put(keys, new):
        def apply(path):
            tree = load(path.read_text())
            inner = tree
            for key in keys[:-1]:
                inner = inner[key]
            if new is LACKS:
                del inner[keys[-1]]
            else:
                inner[keys[-1]] = new
            path.write_text(dump(tree))

        return apply

    def of(path):
        return {
            f"{': '.join(map(str, keys))} {'lacks' if new is LACKS else f'is {new!r}'[:40]}": put(keys, new)
            for keys, value in leaves(load(path.read_text()))
            if only(keys)
            for new in bad(keys, value)
        }

    return of


LACKS = object()


def wrong_types(_, value):
    """Return values of other types than ``value``, and what is no number."""
    if isinstance(value, bool):
        return ["x", LACKS]
    if isinstance(value, int | float):
        return [float("nan"), float("inf"), "x", [1], LACKS]
    if isinstance(value, list):
        return ["x", {"a": 1}, LACKS]
    if isinstance(value, str):
        return [7, ["x"], LACKS]
    return [7.5, LACKS]


def bad_values(keys, value):
    """Return values that can never stand where ``value`` stands in a config, which has no negative numbers."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return wrong_types(keys, value) + [-1] * number


def copy_of(path) -> Damage:
    """Return the damage that puts another file in the place."""

    def apply(target):
        target.unlink()
        shutil.copy(path, target)

    return apply
