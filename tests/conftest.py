"""The order of the tests, and what they inherit."""

import os
import signal


def pytest_configure():
    """Give signals their default effects, which under nohup some lack, and let output be buffered, as users have it."""
    os.environ.pop("PYTHONUNBUFFERED", None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Begin with tests that wait for SLURM, as the others have the cores meanwhile; then come long ones."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slurm", "long")])
