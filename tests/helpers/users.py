"""Users with fewer rights than the one who tests."""

import os

# Put before a command: root writes where it may not, and without this capability it does not.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
