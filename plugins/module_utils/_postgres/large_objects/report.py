# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what was found and done into the one result form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended, unexamined
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.evaluate import evaluate, failure
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    ABSENT,
    PLANNED,
    Options,
    Record,
)

LISTED = 50


def report(
    label: str,
    options: Options,
    records: Sequence[Record],
    findings: Sequence[Finding],
    notes: Sequence[str],
    now: datetime,
    seconds: float,
) -> Ended:
    """Return the result; *findings* are those that the databases themselves do not tell."""
    examined = [record.look.subject for record in records if record.look is not None]
    found = [*findings, *(finding for record in records for finding in evaluate(record, options))]
    if not examined:
        found += unexamined(label, "large object", records, found)
    outcome = Outcome(
        domain="pg",
        examined=examined,
        findings=found,
        observed_at=now,
        actions=[action for record in records for action in _actions(record)],
        metrics=[metric for record in records for metric in _metrics(label, record)],
        seconds=seconds,
        extra={
            "databases": [record.as_dict() for record in records[:LISTED]],
            "notes": list(notes),
        },
    )
    left_out = len(records) - LISTED
    return Ended(
        outcome,
        truncated={"databases": left_out} if left_out > 0 else {},
        failure=failure(records) if options.state == ABSENT else "",
        before="".join(_state(record, 0) for record in records),
        after="".join(_state(record, _gone(record)) for record in records),
    )


def _gone(record: Record) -> int:
    return record.unlinked.removed if record.unlinked is not None else record.planned


def _actions(record: Record) -> list[Action]:
    if record.look is None:
        return []
    subject = record.look.subject
    if record.status == PLANNED:
        return [Action(subject, f"unlink {record.planned} large objects", core.PLANNED, "nothing refers to them")]
    unlinked = record.unlinked
    if unlinked is None:
        return []
    found = []
    if unlinked.removed:
        text = f"unlink {unlinked.removed} large objects in {unlinked.batches} transactions"
        found.append(Action(subject, text, core.DONE, "nothing refers to them", unlinked.seconds))
    if unlinked.sqlstate:
        found.append(Action(subject, "unlink large objects", core.FAILED, unlinked.stopped))
    elif unlinked.left:
        count = sum(unlinked.left.values())
        found.append(Action(subject, f"unlink {count} large objects", core.SKIPPED, ", ".join(sorted(unlinked.left))))
    return found


def _metrics(label: str, record: Record) -> list[Metric]:
    orphans = record.look.orphans if record.look is not None else None
    if orphans is None:
        return []
    labels = {"cluster": label, "database": record.name}
    found = [
        Metric("pg_large_objects", orphans.total - _gone(record), "count", labels),
        Metric("pg_large_objects_orphaned", orphans.count - _gone(record), "count", labels),
        Metric("pg_large_objects_unlinked", _gone(record), "count", labels),
    ]
    if orphans.bytes is not None:
        found.append(Metric("pg_large_objects_orphaned_measured", orphans.bytes, "bytes", labels))
    return found


def _state(record: Record, gone: int) -> str:
    orphans = record.look.orphans if record.look is not None else None
    if record.look is None or orphans is None:
        return ""
    left = orphans.count - gone
    return f"{record.look.subject}: {orphans.total - gone} large objects, {left} without a reference\n"
