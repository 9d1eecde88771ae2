"""Simulate a full disk."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(at):
    """Limit the files of this process to ``at`` bytes in the block, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
