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
    monkeypatch.setattr(http.time, "sleep", made.append)
    return made
