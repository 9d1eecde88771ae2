import logging

import pytest

from workflow.lib.downloads.progress import TooSlow, TransferLog


def test_progress_tells_rate_and_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = iter([0, 5, 10, 15, 20])
    monkeypatch.setattr("workflow.lib.downloads.progress.time.monotonic", lambda: next(now))
    progress = TransferLog("a.tar", 10_000_000, 130_000_000)
    for _ in range(4):
        progress.add(5_000_000)
    assert caplog.messages == [
        "a.tar: 20 MB of 130 MB (15%), 1 MB/s, 1:50 min left",
        "a.tar: 30 MB of 130 MB (23%), 1 MB/s, 1:40 min left",
    ]


def test_fewer_bytes_a_minute_than_the_limit_are_too_slow(monkeypatch):
    now = iter([0, 59, 61, 100, 121])
    monkeypatch.setattr("workflow.lib.downloads.progress.time.monotonic", lambda: next(now))
    progress = TransferLog("a.tar", 0, 130_000_000)
    for count in (10_000, 260_000, 200_000):
        progress.add(count)
    with pytest.raises(TooSlow, match="only 249,999 bytes in 60 s"):
        progress.add(49_999)
