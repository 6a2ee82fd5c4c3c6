# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what a run found and did into the one result form, small enough to travel. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import (
    ALL_LEFT,
    Ended,
    is_all_left,
    shortened,
    status_of,
    unexamined,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, Holder, Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.disk import Room
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.evaluate import (
    failure,
    is_owed,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    DONE,
    DROP,
    FAILED,
    NOT_CANDIDATES,
    PLANNED,
    SKIPPED,
    Plan,
    Record,
    RunOptions,
    Snapshot,
)

# A result has room for about this much; what else there was is counted in `truncated`.
LISTED, LISTED_QUERIES, LISTED_DIFFS = 100, 20, 50
NOT_NEEDED = "not_needed"
_ACTION_STATUS = {PLANNED: core.PLANNED, DONE: core.DONE, FAILED: core.FAILED, SKIPPED: core.SKIPPED}
_REFRESHES = "its statistics are old, and doubtful estimates of its indexes rest on them"


@dataclass(frozen=True)
class Looked:
    """One database of the run: its plan and what came of it, or (``why``) the reason for which it was left.

    ``filters`` are what chooses among what is there: a database without any of it was looked at all the same, one in
    which they choose nothing was not.

    ``held`` is the error when another run is at work there. ``analyses`` are the tables whose statistics were (in
    check mode: would be) refreshed first, with the seconds that took.
    """

    name: str
    why: str = ""
    filters: tuple[str, ...] = ()
    held: LockHeld | None = None
    server: Server | None = None
    room: Room | None = None
    tablespace: str = ""
    snapshot: Snapshot | None = None
    plan: Plan = field(default_factory=Plan)
    records: tuple[Record, ...] = ()
    findings: tuple[Finding, ...] = ()
    analyses: Mapping[str, float] = field(default_factory=dict)
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def considered(self) -> int:
        return len(self.plan.steps) + len(self.plan.skipped) + len(self.plan.healthy)

    @property
    def subjects(self) -> list[str]:
        """Every index that was looked at, healthy ones too; the database itself where there is none."""
        if self.snapshot is None:
            return []
        indexes = [step.index for step in self.plan.steps] + [skip.index for skip in self.plan.skipped]
        subjects = [self.snapshot.subject_of(index) for index in (*indexes, *self.plan.healthy)]
        return subjects or ([] if self.filters else [self.snapshot.subject])


def report(
    connection: ConnectionOptions,
    options: RunOptions,
    databases: Sequence[Looked],
    holders: Sequence[Holder],
    now: datetime,
    seconds: float,
    extra: Sequence[Finding] = (),
) -> Ended:
    """Return the result of the run over *databases*. *holders* are those that were there before it."""
    records = [record for one in databases for record in one.records]
    queries = [text for one in databases for text in one.queries]
    troubled = [record for record in records if record.status == FAILED or is_owed(record)]
    fine = [record for record in records if record.status in (DONE, PLANNED)]
    indexes = _listed(options.report, troubled, fine, databases)
    shown = shortened(*indexes, LISTED)
    steps = shortened(troubled, fine, LISTED)
    examined = [*(one.subject for one in extra), *(subject for one in databases for subject in one.subjects)]
    found = [*extra, *(finding for one in databases for finding in one.findings)]
    if not examined:
        found += unexamined(connection.label, "index", databases, found)
    outcome = Outcome(
        domain="pg",
        examined=examined,
        findings=found,
        observed_at=now,
        actions=[*(action for one in databases for action in _refreshed(one)), *map(_action, steps)],
        metrics=[metric for one in databases for metric in _metrics(connection.label, one)],
        seconds=seconds,
        extra={
            "reindex": totals(records, sum(one.considered for one in databases)),
            "indexes": [record.as_dict() for record in shown],
            "databases": [_database(one) for one in databases],
            "blockers": [holder.as_dict() for holder in worth_naming(holders, records, options.blocker_age)],
            "queries": queries[:LISTED_QUERIES],
        },
    )
    left_out = {
        "indexes": sum(map(len, indexes)) - len(shown),
        "actions": len(troubled) + len(fine) - len(steps),
        "queries": len(queries) - LISTED_QUERIES,
    }
    changed = [record for record in records if record.changed][:LISTED_DIFFS]
    return Ended(
        outcome,
        truncated={key: count for key, count in left_out.items() if count > 0},
        failure=failure(records, options.fail_on_skipped),
        before="".join(map(_line_before, changed)),
        after="".join(map(_line_after, changed)),
    )


def _listed(
    wanted: str, troubled: list[Record], fine: list[Record], databases: Sequence[Looked]
) -> tuple[list[Record], list[Record]]:
    """Return the records for ``indexes``: first what went wrong, then the rest of what was asked for."""
    if wanted == "none":
        return [], []
    others = [record for one in databases for record in one.records if record.why in NOT_CANDIDATES]
    if wanted != "all":
        # What cannot be measured is most of what is not a btree: a line each would hide the rest.
        return troubled, fine + [record for record in others if record.why != "unmeasured"]
    others += [
        Record(
            one.snapshot.subject_of(index),
            one.name,
            index,
            SKIPPED,
            why=NOT_NEEDED,
            estimate=one.snapshot.estimates.get(index.oid),
        )
        for one in databases
        if one.snapshot is not None
        for index in one.plan.healthy
    ]
    return troubled, fine + others


def _action(record: Record) -> Action:
    reason = record.message or record.reason_text
    return Action(
        record.subject, record.sql or "REINDEX", _ACTION_STATUS[record.status], reason, record.attempt.seconds
    )


def _refreshed(database: Looked) -> list[Action]:
    planned = any(record.status == PLANNED for record in database.records)
    status = core.PLANNED if planned else core.DONE
    return [Action(subject, "ANALYZE", status, _REFRESHES, seconds) for subject, seconds in database.analyses.items()]


def _metrics(cluster: str, database: Looked) -> list[Metric]:
    labels = {"cluster": cluster, "database": database.name}
    numbers = totals(database.records, database.considered)
    return [
        Metric("pg_reindex_indexes_considered", numbers["considered"], "count", labels),
        Metric("pg_reindex_indexes_done", numbers["done"], "count", labels),
        Metric("pg_reindex_freed", numbers["freed"], "bytes", labels),
    ]


def _database(database: Looked) -> dict[str, Any]:
    numbers = totals(database.records, database.considered)
    counts = {key: numbers[key] for key in ("considered", "planned", "done", "skipped", "failed")}
    return {
        "name": database.name,
        "status": status_of(numbers, database.why),
        "reason": database.why or (ALL_LEFT if is_all_left(numbers) else ""),
        **counts,
        "notes": list(database.notes),
        "seconds": round(database.seconds, 3),
    }


def _line_before(record: Record) -> str:
    state = "valid" if record.index.valid else "invalid"
    return f"{record.subject}: {state}, {format_size(record.bytes_before)}\n"


def _line_after(record: Record) -> str:
    """As measured, or in check mode as it is thought to become."""
    if record.action == DROP:
        return ""
    size = record.bytes_after
    if record.status == PLANNED:
        size = record.estimate.expected_bytes if record.estimate is not None else record.bytes_before
    return f"{record.subject}: valid, {format_size(size)}\n"
