# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public entry of the job: look at a cluster and judge it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE, find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Left, unexamined
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.evaluate import (
    evaluate,
    examined,
    unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.judge_database import table_sizes
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Snapshot, Unseen, Verdict
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import KEPT_ITEMS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of

# What is a list for the report rather than an example of what is wrong.
LISTS = ("slow_queries", "sizes")


def check(params: Mapping[str, Any], now: datetime, drivers: Sequence[str] = PREFERENCE) -> Outcome:
    """Look at the parts of one cluster that *params* (validated ``ARGUMENT_SPEC``) ask for, and judge them.

    Raises ``UpkeepError`` when the cluster cannot be looked at at all; what cannot be seen of it is a finding.
    """
    started = time.monotonic()
    options, policy = run_options_of(params), policy_of(params)
    cluster = Cluster(find_driver(drivers), connection_of(params), options.session)
    snapshot = collect(cluster, options, policy)
    verdicts = evaluate(snapshot, policy)
    problems = [each.finding for verdict in verdicts.values() for each in verdict.problems]
    subjects, found = examined(snapshot, policy), [*problems, *unreachable(snapshot)]
    if not subjects:
        found += unexamined(snapshot.label, "part", [Left(name, why) for name, why in snapshot.left], found)
    return Outcome(
        domain="pg",
        examined=subjects,
        findings=found,
        observed_at=now,
        metrics=[each for verdict in verdicts.values() for each in verdict.metrics],
        seconds=time.monotonic() - started,
        extra=records(snapshot, verdicts, policy.top),
    )


def records(snapshot: Snapshot, verdicts: Mapping[str, Verdict], top: int = KEPT_ITEMS) -> dict[str, Any]:
    """Return what the module tells besides the common form; *top* is how long the lists for the report are."""
    told: dict[str, Any] = {
        "version": f"{snapshot.version // 10000}.{snapshot.version % 10000}",
        "in_recovery": snapshot.in_recovery,
        "started": instant(snapshot.facts.started),
        "stats_reset": instant(snapshot.facts.counting_since(snapshot.row_of(snapshot.login))),
        "databases": [place.name for place in snapshot.places],
        "databases_left_out": [{"name": name, "reason": why} for name, why in (*snapshot.left, *snapshot.unreachable)],
        "checks": {part: record(verdict, top if part in LISTS else KEPT_ITEMS) for part, verdict in verdicts.items()},
    }
    if "sizes" in verdicts:
        told["tables"] = [
            table
            for place in snapshot.places
            if not isinstance(place.parts.get("sizes"), Unseen)
            for table in table_sizes(place, place.parts.get("sizes", ()))
        ]
    return told


def record(verdict: Verdict, items: int = KEPT_ITEMS) -> dict[str, Any]:
    """Return the entry of ``checks``: the worst of it in few words, with what to paste."""
    worst = max(verdict.problems, key=lambda each: each.finding.severity, default=None)
    statements = list(dict.fromkeys(each.sql for each in verdict.problems if each.sql))
    return {
        "status": verdict.severity.word,
        "value": verdict.value,
        "threshold": verdict.threshold,
        "items": list(verdict.items[:items]),
        "advice": worst.finding.remedy if worst is not None else "",
        "sql": statements[:KEPT_ITEMS],
    }


CHECK = Check("pg_health_info", ARGUMENT_SPEC, check)
