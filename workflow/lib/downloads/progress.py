"""Log the progress of a transfer."""

import logging
import time

log = logging.getLogger(__name__)

LOG_SECONDS = 10  # between two lines


class TransferLog:
    """Log every few seconds how much has arrived, the rate and the time left."""

    def __init__(self, name, done, total):
        self.name, self.done, self.total = name, done, total
        self.started = self.logged = time.monotonic()
        self.done_at_start = done

    def add(self, count):
        """Count bytes that have arrived."""
        self.done += count
        now = time.monotonic()
        if now - self.logged < LOG_SECONDS:
            return
        self.logged = now
        rate = max((self.done - self.done_at_start) / (now - self.started), 1)
        amount, rest = size_text(self.done), ""
        if self.total:
            minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
            amount += f" of {size_text(self.total)} ({self.done / self.total:.0%})"
            rest = f", {minutes}:{seconds:02d} min left"
        log.info("%s: %s, %s/s%s", self.name, amount, size_text(rate), rest)


def size_text(count) -> str:
    """Return a number of bytes as text, for example "76.0 GB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
