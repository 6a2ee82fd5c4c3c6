"""Make `ansible_collections.cadence.upkeep` importable from the checkout, through the committed link."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parent.parent

for entry in (CHECKOUT, CHECKOUT / "playbooks" / "collections"):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

# A run in the background, or under nohup, is started with these ignored, and every process that a test starts would
# inherit that; the tests are about what the signals do.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# The first draw on a fresh machine builds tables, and a busy machine is slow: neither is a fault of what is tested.
# The same examples each time, so that who runs the tests sees what the one before saw; the exhaustive run draws anew.
settings.register_profile("upkeep", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("upkeep"), derandomize=False, print_blob=True)
settings.load_profile("upkeep")

# The fixtures over real servers: tests/bed/README.md.
pytest_plugins = ["tests.bed.fixtures"]
