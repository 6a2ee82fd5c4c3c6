# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be renewed and by whom, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.model import Certificate
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import Limit, renewal
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

CERTBOT, COMMAND = "certbot", "command"
# What came of a lineage. `tried` and `trial_failed` are of a dry run.
RENEWED, KEPT, FAILED, RATE_LIMITED, ABSENT, LEFT, TRIED, TRIAL_FAILED = (
    "renewed",
    "kept",
    "failed",
    "rate_limited",
    "absent",
    "left",
    "tried",
    "trial_failed",
)


@dataclass(frozen=True)
class Lineage:
    """One certificate that is renewed in place. ``renew`` and ``dry_run`` are argument lists; empty for there is none.

    ``privkey`` is empty where it is not known.
    """

    name: str
    client: str
    fullchain: str
    privkey: str = ""
    renew: tuple[str, ...] = ()
    dry_run: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """How to renew; times are in seconds."""

    critical: tuple[Limit, ...]
    force: bool
    dry_run: bool
    seconds: float
    time_limit: float


@dataclass(frozen=True)
class Renewed:
    """What came of one lineage."""

    lineage: Lineage
    status: str
    before: Certificate | None = None
    after: Certificate | None = None
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether there is another certificate than before, whatever the client said."""
        return self.after is not None and (self.before is None or self.before.fingerprint != self.after.fingerprint)

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``lineages``."""
        leaf = self.after or self.before
        return {
            "name": self.lineage.name,
            "client": self.lineage.client,
            "status": self.status,
            "changed": self.changed,
            "fullchain": self.lineage.fullchain,
            "privkey": self.lineage.privkey,
            "before": told(self.before),
            "after": told(self.after),
            "renew_after": rfc3339(renewal(leaf.not_before, leaf.not_after, None)) if leaf else None,
            "seconds": round(self.seconds, 3),
        }


def told(leaf: Certificate | None) -> dict[str, Any]:
    """Return the public marks of a certificate; empty without one."""
    if leaf is None:
        return {}
    return {
        "serial": leaf.serial,
        "fingerprint_sha256": leaf.fingerprint,
        "not_before": rfc3339(leaf.not_before),
        "not_after": rfc3339(leaf.not_after),
    }
