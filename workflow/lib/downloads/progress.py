"""Log the progress of a transfer, and end one that is too slow."""

import logging
import time

log = logging.getLogger(__name__)

LOG_SECONDS = 10  # between two lines
RATE_SECONDS = 60  # between two checks of the rate
MIN_BYTES_PER_MINUTE = 250_000  # at this rate, a film of AVA would take a day


class TooSlow(Exception):
    """Bytes arrive, but too slowly to wait for."""


class TransferLog:
    """Log every few seconds how much has arrived, the rate and the time left."""

    def __init__(self, name, done, total, rate_seconds=None):
        self.name, self.done, self.total = name, done, total
        self.rate_seconds = rate_seconds or RATE_SECONDS
        self.started = self.logged = self.checked = time.monotonic()
        self.done_at_start = self.done_at_check = done

    def add(self, count):
        """Count bytes that have arrived; raise TooSlow if they are fewer than MIN_BYTES_PER_MINUTE."""
        self.done += count
        now = time.monotonic()
        if (seconds := now - self.checked) >= self.rate_seconds:
            arrived = self.done - self.done_at_check
            if arrived < MIN_BYTES_PER_MINUTE * seconds / 60:
                raise TooSlow(f"only {arrived:,} bytes in {seconds:.0f} s")
            self.checked, self.done_at_check = now, self.done
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
