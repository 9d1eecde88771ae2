"""The one error that is a person's to mend, and how a command says it."""

import sys
from contextlib import contextmanager


class InputError(Exception):
    """A file, setting or source that is not as it must be.

    The message names the file, what is wrong with it and what to do; it is shown without a traceback.
    """


@contextmanager
def told_plainly():
    """End the process with exit status 1 and one line on stderr when an ``InputError`` comes up."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
