# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify backups: the one entry for the module and for ``checkup``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.evaluate import evaluate
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.policy import policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.records import (
    examined,
    file_records,
    metrics,
    series_records,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome


def check(params: dict[str, Any], now: datetime, check_mode: bool = False) -> Outcome:
    """Return what is to be said at *now* about the backups that *params* (validated) name.

    In *check_mode* nothing is remembered. Raises ``InvalidInput`` for parameters that make no sense together.
    """
    started = time.monotonic()
    policy = policy_of(params, check_mode)
    snapshot = collect(policy, now)
    findings = evaluate(snapshot, policy, now)
    return Outcome(
        domain="backup",
        examined=examined(snapshot),
        findings=findings,
        observed_at=now,
        metrics=metrics(snapshot, now),
        seconds=time.monotonic() - started,
        extra={
            "series": series_records(snapshot, findings, now),
            "files": file_records(snapshot, findings),
        },
    )


CHECK = Check("backup_verify", ARGUMENT_SPEC, check, RULES)
