"""Show names and values of a file in a message as one short line, and refuse labels that tables cannot show."""

import re
import reprlib
from difflib import get_close_matches

PLAIN = re.compile(r"[\w.:*/()\[\]@+-]+", re.ASCII)  # needs no quotes in a message
LONGEST = 200  # characters shown of a name or value
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, LONGEST, LONGEST


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped, as a terminal obeys some."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shortened(text: str) -> str:
    """Return ``text``, or its beginning and an ellipsis."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def quoted(text: str) -> str:
    """Return ``text`` shortened and in quotes, control characters escaped."""
    return repr(shortened(text))


def value_text(value) -> str:
    """Return a value as Python writes it, shortened; by aliases, a small YAML file can hold billions of values."""
    return shortened(_REPR.repr(value))


def shown(text: str) -> str:
    """Return ``text`` as it is if it is a short plain name, such as a tensor's, and else in quotes.

    In quotes, a name such as "x; error: disk full" cannot be taken for words of ours.
    """
    return text if len(text) <= LONGEST and PLAIN.fullmatch(text) else quoted(text)


def listed(items, most=3) -> str:
    """Return the first ``most`` items, with commas, and the number of the others."""
    first, rest = (items := list(items))[:most], items[most:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def did_you_mean(name: str, known) -> str:
    """Return " (did you mean X?)" if ``name`` is nearly one of the ``known`` names, else nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def check_label(label: str) -> str:
    """Return a label; raise ValueError if a table, or a spreadsheet that opens it, takes it for something else."""
    if re.search(r"^[=+@-]|[\x00-\x1f\x7f-\x9f\u2028\u2029]", label):
        raise ValueError(
            "expected text without control characters that does not begin with = + - @, which spreadsheets take for a "
            f"formula, got {quoted(label)}"
        )
    return label
