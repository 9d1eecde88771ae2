"""Waiting for what other processes do."""

import time


def wait_until(condition, seconds=60):
    """Return the first true answer of ``condition()``; fail if there is none for ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.01)
    return answer
