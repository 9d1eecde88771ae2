"""`InputError`, a problem that the user can fix, and how commands report it."""

import os
import sys
from contextlib import contextmanager, suppress

from trainer.utils.text import printable


class InputError(Exception):
    """A file, setting or source that does not meet its requirements.

    The message names the file, the problem and the remedy; it is printed in one line, without a traceback. Control
    characters in it are escaped, as names in a user's file may hold any.
    """

    def __str__(self):
        return printable(super().__str__())


def is_out_of_memory(error) -> bool:
    """Return whether an exception says that memory is full, of the CPU or a GPU; PyTorch's own may be RuntimeErrors."""
    cudnn = ("STATUS_ALLOC_FAILED", "unable to find an engine to execute this computation")
    words = ("out of memory", "allocate memory", *cudnn)
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


@contextmanager
def exit_on_input_error():
    """Print an ``InputError`` of the block as one line on stderr and exit with status 1."""
    try:
        yield
    except InputError as error:
        print_error(error)
        sys.exit(1)


def print_error(words):
    """Print "error: ..." to stderr or, if that cannot take it, as its disk is full, to Snakemake's stderr.

    Rules redirect stderr to their log, and keep Snakemake's as the file descriptor ``VSSL_STDERR``.
    """
    line = f"error: {words}"
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        with suppress(OSError, ValueError):
            os.write(int(os.environ.get("VSSL_STDERR", "")), f"{line}\n".encode(errors="backslashreplace"))
        with suppress(OSError, ValueError):  # else Python fails to write its buffer at exit: status 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
