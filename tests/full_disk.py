"""A disk that fills."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(at):
    """Let no file of this process grow beyond ``at`` bytes in the block: writing fails in the place where it does on a
    full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
