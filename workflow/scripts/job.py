"""What every script of a rule does at its door: its output goes to the rule's log, its errors are one line."""

import logging
import os
import signal
import sys
import traceback
from contextlib import contextmanager

from trainer.errors import InputError


@contextmanager
def job(snakemake):
    """Send stdout and stderr, those of child processes included, to the rule's log.

    A job that fails ends its log by a line "error: ..."; what is no ``InputError`` has a traceback before it. SIGTERM,
    by which a cluster ends a job, lets the job clean up behind itself.
    """
    with open(snakemake.log[0], "w") as log:  # noqa: PTH123
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _end(number, _):
    print("stopped by SIGTERM: out of its time, cancelled or preempted", file=sys.stderr, flush=True)
    sys.exit(128 + number)
