"""The progress of a transfer as lines for a log."""

import logging
import time

log = logging.getLogger(__name__)

REPORT_EVERY = 10  # seconds


class Progress:
    """A line every few seconds: how much, how fast, how long still."""

    def __init__(self, name, done, total):
        self.name, self.done, self.total = name, done, total
        self.began = self.told = time.monotonic()
        self.at_begin = done

    def add(self, count):
        self.done += count
        now = time.monotonic()
        if now - self.told < REPORT_EVERY:
            return
        self.told = now
        rate = max((self.done - self.at_begin) / (now - self.began), 1)
        amount, rest = size_text(self.done), ""
        if self.total:
            minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
            amount += f" of {size_text(self.total)} ({self.done / self.total:.0%})"
            rest = f", {minutes}:{seconds:02d} min left"
        log.info("%s: %s, %s/s%s", self.name, amount, size_text(rate), rest)


def size_text(count) -> str:
    """Bytes for people, for example "76.0 GB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
