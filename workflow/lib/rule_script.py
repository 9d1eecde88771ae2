"""Entry code shared by the scripts of rules: log, errors and SIGTERM."""

import logging
import os
import signal
import sys
import traceback
from contextlib import contextmanager

from trainer.utils.errors import InputError


@contextmanager
def rule_script(snakemake):
    """Redirect stdout and stderr, those of child processes included, to the rule's log.

    If the block fails, the last line of the log is "error: ...", after a traceback unless it is an ``InputError``. If
    the log's disk is full, the rest goes to the stderr that Snakemake shows. SIGTERM, by which a cluster ends
    a job, raises ``SystemExit``, so that the block can clean up.
    """
    path, stderr = snakemake.log[0], os.dup(sys.stderr.fileno())
    try:
        with open(path, "w") as log:  # noqa: PTH123
            _redirect(log.fileno())
    except OSError as error:
        sys.exit(f"error: {path}: cannot be written ({error.strerror}); make it writable and re-run")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    stopped = "stopped by SIGTERM: time limit, cancellation or preemption"
    signal.signal(signal.SIGTERM, lambda number, _: _end(stopped, 128 + number, stderr))
    try:
        yield
        _flush(stderr)
    except InputError as error:
        _flush(stderr)
        _end(f"error: {error}", 1, stderr)
    except Exception as error:
        _flush(stderr)
        _end(f"{traceback.format_exc()}error: {type(error).__name__}: {error}", 1, stderr)


def _redirect(file):
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())


def _flush(stderr):
    """Write the buffered lines to the log, or else to the file descriptor ``stderr``."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        _redirect(stderr)
        sys.stdout.flush()
        sys.stderr.flush()


def _end(message, status, stderr):
    """Write ``message`` to the log, or else to the file descriptor ``stderr``, and raise SystemExit."""
    content = f"{message}\n".encode(errors="backslashreplace")
    try:
        complete = os.write(sys.stderr.fileno(), content) == len(content)
    except OSError:
        complete = False
    if not complete:
        _redirect(stderr)  # also what is still buffered
        os.write(stderr, content)
    sys.exit(status)
