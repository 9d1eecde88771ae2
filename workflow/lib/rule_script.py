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

    If the block fails, the last line of the log is "error: ...", after a traceback unless it is an ``InputError``.
    SIGTERM, by which a cluster ends a job, raises ``SystemExit``, so that the block can clean up.
    """
    with open(snakemake.log[0], "w") as log:  # noqa: PTH123
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _exit(number, _):
    print("stopped by SIGTERM: time limit, cancellation or preemption", file=sys.stderr, flush=True)
    sys.exit(128 + number)
