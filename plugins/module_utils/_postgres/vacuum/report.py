# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put what a run found and did into the one result form, small enough to travel. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core import finding as core
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Action, Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import (
    ALL_LEFT,
    Ended,
    is_all_left,
    shortened,
    status_of,
    unexamined,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, Holder, instant
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import (
    failure,
    summed,
    totals,
    worth_naming,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    DONE,
    FAILED,
    FREEZE,
    NOT_CANDIDATES,
    PARTIAL,
    PLANNED,
    SKIPPED,
    Counters,
    Plan,
    Policy,
    Record,
    RunOptions,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import worked_on
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.wraparound import Ages

# A result has room for about this much; what else there was is counted in `truncated`.
LISTED, LISTED_QUERIES, LISTED_DIFFS = 60, 8, 50
NOT_NEEDED = "not_needed"
# Before a VACUUM, a transaction of this age (in seconds) is worth a word.
OLD_TRANSACTION = 60.0
_ACTION_STATUS = {PLANNED: core.PLANNED, DONE: core.DONE, FAILED: core.FAILED, SKIPPED: core.SKIPPED}


@dataclass(frozen=True)
class Looked:
    """One database of the run: its plan and what came of it, or (``why``) the reason for which it was left.

    ``filters`` are what chooses among what is there: a database without any of it was looked at all the same, one in
    which they choose nothing was not.

    There is a record of each table of the plan but the healthy ones.

    ``policy`` and ``options`` are what counts there, which is another thing in an ``emergency``. ``held`` is the error
    when another run is at work there, ``lost`` the one that ended ours. ``slots`` are the connections that the server
    has left; ``closing`` is what shall be sent though no table has work; ``ages`` are those of the database before the
    work and, where they were asked for, ``ages_after`` it.
    """

    name: str
    why: str = ""
    filters: tuple[str, ...] = ()
    held: LockHeld | None = None
    lost: UpkeepError | None = None
    slots: int = 0
    policy: Policy = field(default_factory=Policy)
    options: RunOptions = field(default_factory=lambda: RunOptions(()))
    emergency: bool = False
    closing: str = ""
    ages: Ages | None = None
    ages_after: Ages | None = None
    snapshot: Snapshot | None = None
    plan: Plan = field(default_factory=Plan)
    records: tuple[Record, ...] = ()
    findings: tuple[Finding, ...] = ()
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def considered(self) -> int:
        return len(self.plan.steps) + len(self.plan.skipped) + len(self.plan.healthy)

    @property
    def subjects(self) -> list[str]:
        """Every table that was looked at, healthy ones too; the database itself where there is none."""
        if self.snapshot is None:
            return []
        place = self.snapshot.subject
        tables = [record.subject for record in self.records]
        tables += [f"{place}.{one.title}" for one in self.plan.healthy]
        return tables or ([] if self.filters else [place])


def report(
    connection: ConnectionOptions,
    options: RunOptions,
    databases: Sequence[Looked],
    holders: Sequence[Holder],
    now: datetime,
    seconds: float,
    findings: Sequence[Finding] = (),
) -> Ended:
    """Return the result of the run over *databases*.

    *holders* are those that were there before it, *findings* those about the whole cluster.
    """
    records = [record for one in databases for record in one.records]
    numbers = {one.name: totals(one.records, one.considered) for one in databases}
    queries = [text for one in databases for text in one.queries]
    troubled = [record for record in records if record.status in (FAILED, PARTIAL) or _is_owed(record)]
    fine = [record for record in records if record.status in (DONE, PLANNED)]
    tables = _listed(options.report, troubled, fine, databases)
    shown = shortened(*tables, LISTED)
    steps = shortened(troubled, fine, LISTED)
    examined = [subject for one in databases for subject in one.subjects]
    found = [*findings, *(finding for one in databases for finding in one.findings)]
    if not examined:
        found += unexamined(connection.label, "table", databases, found)
    outcome = Outcome(
        domain="pg",
        examined=examined,
        findings=found,
        observed_at=now,
        actions=[*(_closing_action(one, connection.label) for one in databases if one.closing), *map(_action, steps)],
        metrics=[metric for one in databases for metric in _metrics(connection.label, one.name, numbers[one.name])],
        seconds=seconds,
        extra={
            "vacuum": summed(numbers.values()),
            "tables": [record.as_dict() for record in shown],
            "databases": [_database(one, numbers[one.name]) for one in databases],
            "blockers": [holder.as_dict() for holder in worth_naming(holders, records, OLD_TRANSACTION)],
            "queries": queries[:LISTED_QUERIES],
        },
    )
    left_out = {
        "tables": sum(map(len, tables)) - len(shown),
        "actions": len(troubled) + len(fine) - len(steps),
        "queries": len(queries) - LISTED_QUERIES,
    }
    changed = [record for record in records if record.changed][:LISTED_DIFFS]
    return Ended(
        outcome,
        truncated={key: count for key, count in left_out.items() if count > 0},
        failure=" ".join(
            filter(
                None,
                (
                    *(str(one.lost) for one in databases if one.lost is not None),
                    failure(records, options.fail_on_skipped, options.fail_on_blocked),
                ),
            )
        ),
        before="".join(_state_line(record, record.table.counters) for record in changed),
        after="".join(_state_line(record, _expected(record, now)) for record in changed),
    )


def _is_owed(record: Record) -> bool:
    return record.status == SKIPPED and record.why not in NOT_CANDIDATES


def _listed(
    wanted: str, troubled: list[Record], fine: list[Record], databases: Sequence[Looked]
) -> tuple[list[Record], list[Record]]:
    """Return the records for ``tables``: first what went wrong, then the rest of what was asked for."""
    if wanted == "none":
        return [], []
    others = [record for one in databases for record in one.records if record.why in NOT_CANDIDATES]
    if wanted == "all":
        others += [
            Record(one.snapshot.subject_of(table), one.name, table, SKIPPED, why=NOT_NEEDED)
            for one in databases
            if one.snapshot is not None
            for table in one.plan.healthy
        ]
    return troubled, fine + others


def _action(record: Record) -> Action:
    status = _ACTION_STATUS.get(record.status) or (core.DONE if record.changed else core.SKIPPED)
    reason = record.message or record.reason_text
    if record.status == PARTIAL:
        who = record.holders[0].title if record.holders else "something that has ended meanwhile"
        reason = f"{record.reason_text}; it {record.kept}, because of {who}"
    return Action(record.subject, record.sql or "VACUUM or ANALYZE", status, reason, record.attempt.seconds)


def _closing_action(database: Looked, cluster: str) -> Action:
    """Return the step that moved nothing but the age of the database: its tables had been frozen before."""
    subject = database.snapshot.subject if database.snapshot is not None else cluster
    reason = "its tables are frozen, and the database does not know it yet"
    if database.ages is None or database.ages_after is None:
        status = core.FAILED if database.lost else core.SKIPPED if database.held else core.PLANNED
    else:
        status = core.DONE if database.ages_after.oldest < database.ages.oldest else core.SKIPPED
    return Action(subject, database.closing, status, reason, database.seconds)


def _metrics(cluster: str, database: str, numbers: Mapping[str, Any]) -> list[Metric]:
    labels = {"cluster": cluster, "database": database}
    return [
        Metric("pg_vacuum_tables_considered", numbers["considered"], "count", labels),
        Metric("pg_vacuum_tables_done", numbers["done"], "count", labels),
        Metric("pg_vacuum_dead_rows_removed", max(0, numbers["dead_before"] - numbers["dead_after"]), "count", labels),
        Metric("pg_vacuum_freed", numbers["freed"], "bytes", labels),
    ]


def _database(database: Looked, numbers: Mapping[str, Any]) -> dict[str, Any]:
    left = ALL_LEFT if is_all_left(numbers) else ""
    counts = {key: numbers[key] for key in ("considered", "planned", "done", "partial", "skipped", "failed")}
    return {
        "name": database.name,
        "status": status_of(numbers, database.why, database.lost is not None),
        "reason": database.why or (database.lost.message if database.lost is not None else left),
        **counts,
        "emergency": database.emergency,
        "before": _ages(database.ages),
        "after": _ages(database.ages_after),
        "notes": list(database.notes),
        "seconds": round(database.seconds, 3),
    }


def _ages(ages: Ages | None) -> dict[str, int] | None:
    return None if ages is None else {"xid_age": ages.xid, "mxid_age": ages.mxid}


def left_standby(connection: ConnectionOptions, now: datetime, seconds: float) -> Ended:
    """Return the result of a run that met a standby and was told to leave it."""
    found = Finding(
        "pg.standby_left",
        connection.label,
        Severity.INFO,
        f"{connection.label} is a standby (in recovery): what is vacuumed on its primary is vacuumed there.",
    )
    left = report(connection, RunOptions(()), (), (), now, seconds, (found,))
    return replace(left, outcome=replace(left.outcome, examined=(connection.label,), findings=(found,)))


def _state_line(record: Record, counters: Counters) -> str:
    vacuumed, analysed = (instant(at) or "never" for at in (counters.vacuumed_at, counters.analyzed_at))
    numbers = f"dead {counters.dead}, changed since ANALYZE {counters.modified}"
    if FREEZE in record.actions:
        numbers += f", oldest transaction {counters.xid_age}, oldest multixact {counters.mxid_age}"
    return f"{record.subject}: {numbers}, last VACUUM {vacuumed}, last ANALYZE {analysed}\n"


def _expected(record: Record, now: datetime) -> Counters:
    """Return the counters after the work: as measured, or in check mode as they will be on a quiet server."""
    return record.after or worked_on(record.table.counters, record.actions, now.timestamp())
