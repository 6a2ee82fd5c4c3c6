# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what a rewrite found and did into the one result form of pg_vacuum. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import (
    ALL_LEFT,
    Ended,
    is_all_left,
    status_of,
    unexamined,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.evaluate import (
    failure,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    Leftovers,
    Record,
    RewritePlan,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    DONE,
    FAILED,
    NOT_CANDIDATES,
    PARTIAL,
    PLANNED,
    SKIPPED,
    RunOptions,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.report import (
    LISTED,
    LISTED_DIFFS,
    LISTED_QUERIES,
    NOT_NEEDED,
)

_ACTION_STATUS = {
    PLANNED: core.PLANNED,
    DONE: core.DONE,
    PARTIAL: core.DONE,
    FAILED: core.FAILED,
    SKIPPED: core.SKIPPED,
}


@dataclass(frozen=True)
class Looked:
    """One database of the run: its plan and what came of it, or (``why``) the reason for which it was left.

    ``filters`` are what chooses among what is there: a database without any of it was looked at all the same, one in
    which they choose nothing was not.

    ``held`` is the error when another run is at work there, ``lost`` the one that ended the work early; ``slots`` are
    the connections the server has left.
    """

    name: str
    why: str = ""
    filters: tuple[str, ...] = ()
    held: LockHeld | None = None
    lost: UpkeepError | None = None
    slots: int = 0
    snapshot: Snapshot | None = None
    plan: RewritePlan = field(default_factory=RewritePlan)
    leftovers: Leftovers | None = None
    records: tuple[Record, ...] = ()
    findings: tuple[Finding, ...] = ()
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def considered(self) -> int:
        return len(self.plan.targets) + len(self.plan.left) + len(self.plan.healthy)

    @property
    def subjects(self) -> list[str]:
        """Every table that was looked at, healthy ones too; the database itself where there is none."""
        if self.snapshot is None:
            return [finding.subject for finding in self.findings]
        tables = [target.table for target in self.plan.targets] + [left.table for left in self.plan.left]
        subjects = [self.snapshot.subject_of(table) for table in [*tables, *self.plan.healthy]]
        return subjects or ([] if self.filters else [self.snapshot.subject])


def report(
    connection: ConnectionOptions,
    options: RunOptions,
    databases: Sequence[Looked],
    holders: Sequence[Holder],
    now: datetime,
    seconds: float,
    progress: str | None,
) -> Ended:
    """Return the result of the run. *holders* were there before it, *progress* is the path of its live log."""
    records = [record for one in databases for record in one.records]
    queries = [text for one in databases for text in one.queries]
    troubled = [record for record in records if record.status in (FAILED, PARTIAL) or _is_owed(record)]
    fine = [record for record in records if record.status in (DONE, PLANNED)]
    listed = [] if options.report == "none" else troubled + fine + _others(options.report, databases)
    steps = (troubled + fine)[:LISTED]
    examined = [subject for one in databases for subject in one.subjects]
    found = [finding for one in databases for finding in one.findings]
    if not examined:
        found += unexamined(connection.label, "table", databases, found)
    outcome = Outcome(
        domain="pg",
        examined=examined,
        findings=found,
        observed_at=now,
        actions=[_action(record) for record in steps],
        metrics=[metric for one in databases for metric in _metrics(connection.label, one)],
        seconds=seconds,
        extra={
            "vacuum": totals(records, sum(one.considered for one in databases)),
            "tables": [record.as_dict() for record in listed[:LISTED]],
            "databases": [_database(one) for one in databases],
            "blockers": [holder.as_dict() for holder in worth_naming(holders, records)],
            "queries": queries[:LISTED_QUERIES],
            "progress": progress,
        },
    )
    left_out = {
        "tables": len(listed) - LISTED,
        "actions": len(troubled) + len(fine) - len(steps),
        "queries": len(queries) - LISTED_QUERIES,
    }
    changed = [record for record in records if record.changed][:LISTED_DIFFS]
    return Ended(
        outcome,
        truncated={key: count for key, count in left_out.items() if count > 0},
        failure=" ".join(filter(None, [_loss(databases), failure(records, options.fail_on_skipped)])),
        before="".join(_state_line(record, after=False) for record in changed),
        after="".join(_state_line(record, after=True) for record in changed),
    )


def _loss(databases: Sequence[Looked]) -> str:
    return next((one.lost.message for one in databases if one.lost is not None), "")


def _is_owed(record: Record) -> bool:
    return record.status == SKIPPED and record.why not in NOT_CANDIDATES


def _others(wanted: str, databases: Sequence[Looked]) -> list[Record]:
    """Return the records of what never was a candidate and, for ``all``, of what needs nothing."""
    others = [record for one in databases for record in one.records if record.why in NOT_CANDIDATES]
    if wanted == "all":
        others += [
            Record(one.snapshot.subject_of(table), one.name, table, SKIPPED, why=NOT_NEEDED)
            for one in databases
            if one.snapshot is not None
            for table in one.plan.healthy
        ]
    return others


def _action(record: Record) -> Action:
    reason = record.message or record.reason_text
    return Action(
        record.subject, record.sql or "rewrite", _ACTION_STATUS[record.status], reason, record.attempt.seconds
    )


def _metrics(cluster: str, database: Looked) -> list[Metric]:
    labels = {"cluster": cluster, "database": database.name}
    numbers = totals(database.records, database.considered)
    return [
        Metric("pg_rewrite_tables_considered", numbers["considered"], "count", labels),
        Metric("pg_rewrite_tables_done", numbers["done"] + numbers["partial"], "count", labels),
        Metric("pg_rewrite_freed", numbers["freed"], "bytes", labels),
    ]


def _database(database: Looked) -> dict[str, Any]:
    numbers = totals(database.records, database.considered)
    counts = {key: numbers[key] for key in ("considered", "planned", "done", "partial", "skipped", "failed")}
    notes = list(database.notes)
    if database.leftovers is not None and database.leftovers.unknown:
        notes.append(f"files that belong to no table were not looked for: {database.leftovers.unknown}")
    return {
        "name": database.name,
        "status": status_of(numbers, database.why),
        "reason": database.why or (ALL_LEFT if is_all_left(numbers) else ""),
        **counts,
        "notes": notes,
        "seconds": round(database.seconds, 3),
    }


def _state_line(record: Record, after: bool) -> str:
    facts = record.after if after else record.before
    if facts is None and after and record.before is not None:
        # In check mode: what is thought to be left.
        size = record.before.bytes - (record.estimate.bloat_bytes if record.estimate is not None else 0)
        return f"{record.subject}: about {format_size(size)}, in new files\n"
    if facts is None:
        return f"{record.subject}: unknown\n"
    return f"{record.subject}: {format_size(facts.bytes)}, in the file {facts.nodes[0]}\n"
