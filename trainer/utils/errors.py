"""`InputError`, a problem that the user can fix, and how commands report it."""

import sys
from contextlib import contextmanager

from trainer.utils.text import printable


class InputError(Exception):
    """A file, setting or source that does not meet its requirements.

    The message names the file, the problem and the remedy; it is printed in one line, without a traceback. Control
    characters in it are escaped, as names in a user's file may hold any.
    """

    def __str__(self):
        return printable(super().__str__())


@contextmanager
def exit_on_input_error():
    """Print an ``InputError`` of the block as one line on stderr and exit with status 1."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
