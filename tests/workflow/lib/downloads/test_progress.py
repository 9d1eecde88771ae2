import logging

from workflow.lib.downloads.progress import TransferLog


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
