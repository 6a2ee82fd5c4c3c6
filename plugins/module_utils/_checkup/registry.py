# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every read-only check by name. A domain joins by one entry here and one in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput


# The imports stand inside functions: they are shipped with the module, but only what is used is compiled.
def _backup_verify() -> Check:
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK

    return CHECK


def _cert_expiry() -> Check:
    from ansible_collections.cadence.upkeep.plugins.module_utils._cert.check import CHECK

    return CHECK


def _compose_health_info() -> Check:
    from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.check import CHECK

    return CHECK


def _host_health_info() -> Check:
    from ansible_collections.cadence.upkeep.plugins.module_utils._host.check import CHECK

    return CHECK


def _pg_health_info() -> Check:
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.check import CHECK

    return CHECK


CHECKS: Mapping[str, Callable[[], Check]] = {
    "backup_verify": _backup_verify,
    "cert_expiry": _cert_expiry,
    "compose_health_info": _compose_health_info,
    "host_health_info": _host_health_info,
    "pg_health_info": _pg_health_info,
}


def find_check(name: str) -> Check:
    """Return the check called *name*; raise ``InvalidInput`` naming those that exist."""
    if name not in CHECKS:
        raise InvalidInput(f"There is no check called {name!r}.", f"Use one of {', '.join(sorted(CHECKS))}.")
    return CHECKS[name]()
