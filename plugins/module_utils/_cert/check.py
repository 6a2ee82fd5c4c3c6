# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public entry: what the module ``cert_expiry`` runs alone, and ``checkup`` among other checks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.across import copies_of, judge_together
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.collect import Snapshot, collect
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.evaluate import Verdict, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.library import require_library
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.options import Options, read_options
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.records import (
    by_remaining_time,
    is_due,
    record_of,
    soonest_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339


def check(params: dict[str, Any], now: datetime) -> Outcome:
    """Look at all files and endpoints of *params* and judge them, at ``at`` if that is given, else at *now*.

    Raises ``InvalidInput`` for options that cannot be understood and ``MissingLibrary`` without ``cryptography``;
    whatever is wrong with a single target is a finding.
    """
    clock = Deadline(None)
    options = read_options(params)
    require_library()
    snapshot = collect(options)
    at = options.at or now
    together = judge_together(snapshot.sightings)
    verdicts = by_remaining_time(
        judge(
            sighting,
            options.policy,
            at,
            snapshot.anchors,
            together.get(sighting.target, ()),
            say_valid=not options.problems_only,
        )
        for sighting in snapshot.sightings
    )
    return _outcome(options, snapshot, verdicts, at, now, clock)


def _outcome(
    options: Options, snapshot: Snapshot, verdicts: list[Verdict], at: datetime, now: datetime, clock: Deadline
) -> Outcome:
    shown = [verdict for verdict in verdicts if not options.problems_only or verdict.severity > Severity.INFO]
    copies = copies_of(snapshot.sightings)
    soonest = soonest_of(verdicts, at)
    return Outcome(
        domain="cert",
        examined=[verdict.sighting.target for verdict in verdicts],
        findings=[finding for verdict in shown for finding in verdict.findings],
        observed_at=now,
        metrics=_metrics(soonest),
        seconds=clock.elapsed,
        extra={
            "certificates": [
                record_of(verdict, options.policy, at, copies.get(verdict.sighting.target, "")) for verdict in shown
            ],
            "soonest": soonest,
            "scanned": {"files": snapshot.files, "bytes": snapshot.bytes, "endpoints": snapshot.endpoints},
            "renew_due": sum(is_due(verdict, options.policy, at) for verdict in verdicts),
            "degraded": list(snapshot.degraded),
            "at": rfc3339(at),
        },
    )


def _metrics(soonest: dict[str, Any] | None) -> list[Metric]:
    if soonest is None:
        return []
    labels = {"target": soonest["target"]}
    return [Metric("cert_soonest_remaining_seconds", float(soonest["remaining_seconds"]), "seconds", labels)]


CHECK = Check("cert_expiry", ARGUMENT_SPEC, check, RULES)
