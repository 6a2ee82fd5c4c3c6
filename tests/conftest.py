"""Make `ansible_collections.cadence.upkeep` importable from the checkout, through the committed link."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

for entry in (CHECKOUT, CHECKOUT / "playbooks" / "collections"):
    if str(entry) not in sys.path:
        sys.path.insert(0, str(entry))

# The fixtures over real servers: tests/bed/README.md.
pytest_plugins = ["tests.bed.fixtures"]
