import time
from types import SimpleNamespace

import pytest

from tests.helpers.web import serve
from workflow.lib.downloads import http


@pytest.fixture
def web():
    with serve() as web:
        yield web


@pytest.fixture
def pauses(monkeypatch):
    """Record the pauses between attempts instead of waiting."""
    made = []
    monkeypatch.setattr(http, "time", SimpleNamespace(sleep=made.append, monotonic=time.monotonic))
    return made
