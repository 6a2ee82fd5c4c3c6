# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what a plan came to: a record and, where something is wrong, a finding for each table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    DONE,
    FAILED,
    NOT_CANDIDATES,
    PARTIAL,
    PLANNED,
    SKIP_REASONS,
    SKIPPED,
    VACUUM,
    Applied,
    Attempt,
    Counters,
    Plan,
    Policy,
    Record,
    Skip,
    Snapshot,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import dead_reasons
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import work_statement

# A VACUUM that leaves this share of the dead rows has removed nothing to speak of.
KEPT_SHARE = 0.9
_CORRUPTION = ("XX001", "XX002")
_DISK_FULL = "53100"
_EXAMPLES = 10


# --- what became of each table


def judge(
    snapshot: Snapshot, plan: Plan, policy: Policy, applied: Applied | None = None, held: str = ""
) -> list[Record]:
    """Return a record of each table of *plan* that is not healthy, in the order of the plan.

    Without *applied* the steps are planned (check mode) or, when *held* says which other run is at work in this
    database, skipped.
    """
    records = [_judged(snapshot, step, priority, policy, applied, held) for priority, step in enumerate(plan.steps, 1)]
    return records + [_skipped(snapshot, skip) for skip in plan.skipped]


def _skipped(snapshot: Snapshot, skip: Skip) -> Record:
    return Record(
        subject=snapshot.subject_of(skip.table),
        database=snapshot.database,
        table=skip.table,
        status=SKIPPED,
        reasons=skip.reasons,
        why=skip.why,
    )


def _judged(
    snapshot: Snapshot, step: Step, priority: int, policy: Policy, applied: Applied | None, held: str
) -> Record:
    after: Counters | None = None
    holders: tuple[Holder, ...] = ()
    attempt = Attempt(message=held)
    if applied is not None:
        attempt = applied.attempts.get(step.table.oid, attempt)
        after = applied.after.get(step.table.oid)
        holders = tuple(holder for holder in applied.holders if holder.database in ("", snapshot.database))
        status, why, changed = _verdict(step, policy, applied, attempt, after, bool(holders))
    elif held:
        status, why, changed = SKIPPED, "other_run", False
    else:
        status, why, changed = PLANNED, "", True
    return Record(
        subject=snapshot.subject_of(step.table),
        database=snapshot.database,
        table=step.table,
        status=status,
        actions=step.actions,
        reasons=step.reasons,
        sql=work_statement(step.actions, [step.table], snapshot.version, skip_locked=False),
        why=why,
        priority=priority,
        attempt=attempt,
        after=after,
        holders=holders if status == PARTIAL else (),
        changed=changed,
    )


def _verdict(
    step: Step, policy: Policy, applied: Applied, attempt: Attempt, after: Counters | None, held: bool
) -> tuple[str, str, bool]:
    """Return the status, why the table was left, and whether it is better off."""
    if step.table.oid in applied.failed:
        return FAILED, "", False
    if step.table.oid not in applied.proven or after is None:
        return SKIPPED, attempt.why or "unproven", False
    if not is_held_back(step, after, policy, held):
        return DONE, "", True
    # What the VACUUM could not do is no change, however often it is tried; fresh statistics are one.
    gained = _dead(after) < KEPT_SHARE * _dead(step.table.counters)
    refreshed = ANALYZE in step.actions and any(reason.code in ("stats", "missing_stats") for reason in step.reasons)
    return PARTIAL, "", gained or refreshed


def is_held_back(step: Step, after: Counters, policy: Policy, held: bool) -> bool:
    """Whether a VACUUM for dead rows left nine tenths of them or, where something *held* them, still too many."""
    if VACUUM not in step.actions or not dead_reasons(step.table.counters, policy) or not dead_reasons(after, policy):
        return False
    return held or _dead(after) >= KEPT_SHARE * _dead(step.table.counters)


def _dead(counters: Counters) -> int:
    return counters.dead + counters.toast_dead


# --- findings


def evaluate(snapshot: Snapshot, records: Sequence[Record], policy: Policy, seconds: float | None) -> list[Finding]:
    """Return the findings of one database. *seconds* is the time limit, for the message."""
    findings = []
    together: dict[str, list[Record]] = {}
    for record in records:
        if record.status == SKIPPED and record.why in _OF_THE_DATABASE:
            together.setdefault(record.why, []).append(record)
            continue
        finding = _of_table(record, policy)
        if finding is not None:
            findings.append(finding)
    for why, members in together.items():
        findings.append(_of_database(snapshot, why, members, seconds))
    return findings


def _of_table(record: Record, policy: Policy) -> Finding | None:
    if record.status == PLANNED:
        work = " and ".join(action.upper() for action in record.actions)
        return _finding(record, "pg.vacuum_needed", Severity.INFO, f"needs {work}: {record.reason_text}")
    if record.status == PARTIAL:
        return _held_back(record)
    if record.status == FAILED:
        return _failed(record)
    if record.status == SKIPPED and record.why in _OF_A_TABLE:
        code, severity, remedy = _OF_A_TABLE[record.why]
        text = f"was not vacuumed, because {record.message}; it needs it: {record.reason_text}"
        return _finding(record, code, severity, text, remedy)
    return None


def _finding(record: Record, code: str, severity: Severity, text: str, remedy: str = "") -> Finding:
    evidence: dict[str, Any] = {
        "reason": [reason.code for reason in record.reasons],
        "dead": record.table.counters.dead,
        "live": record.table.counters.live,
        "mod_since_analyze": record.table.counters.modified,
    }
    if record.after is not None:
        evidence["dead_after"] = record.after.dead
    if record.attempt.count:
        evidence["attempts"] = record.attempt.count
    if record.attempt.sqlstate:
        evidence["sqlstate"] = record.attempt.sqlstate
    if record.holders:
        evidence["holder"] = record.holders[0].as_dict()
    return Finding(code, record.subject, severity, f"{record.subject} {text}.", evidence, remedy.format(sql=record.sql))


def _held_back(record: Record) -> Finding:
    after = record.after or Counters()
    kept = f"kept {_dead(after)} of {_dead(record.table.counters)} dead rows after its VACUUM"
    if not record.holders:
        return _finding(
            record,
            "pg.vacuum_no_effect",
            Severity.WARNING,
            f"{kept}, though nothing that holds them is there any more",
            "Run it again: what held them has ended meanwhile, or the table is written to faster than it is vacuumed.",
        )
    oldest = record.holders[0]
    return _finding(
        record,
        "pg.vacuum_blocked",
        Severity.WARNING,
        f"{kept}: {oldest.title} may still see them",
        # Braces in the name of a prepared transaction or a slot are no place for a value.
        oldest.hint.replace("{", "{{").replace("}", "}}"),
    )


def _failed(record: Record) -> Finding:
    text = f"could not be worked on: {record.message} (SQLSTATE {record.attempt.sqlstate})"
    if record.attempt.sqlstate in _CORRUPTION:
        return _finding(
            record,
            "pg.corruption",
            Severity.CRITICAL,
            text,
            "Stop writing to it, keep a copy of the data directory, run pg_amcheck, and restore it from a backup.",
        )
    if record.attempt.sqlstate == _DISK_FULL:
        return _finding(
            record,
            "pg.disk_full",
            Severity.CRITICAL,
            text,
            "Free space on the server's file system, then run it again.",
        )
    return _finding(
        record,
        "pg.vacuum_failed",
        Severity.UNKNOWN,
        text,
        "Run it by hand with psql to see all that the server says: {sql};",
    )


_OF_A_TABLE: Mapping[str, tuple[str, Severity, str]] = {
    "permission": (
        "pg.not_permitted",
        Severity.WARNING,
        "Let its owner or a superuser run the task, or (from PostgreSQL 17 on) GRANT MAINTAIN on it to the role.",
    ),
    "lock": (
        "pg.table_locked",
        Severity.WARNING,
        "Find who holds the lock (pg_locks, pg_blocking_pids), or raise lock_retries and lock_retry_delay.",
    ),
    "timeout": ("pg.vacuum_timed_out", Severity.WARNING, "Raise statement_timeout, or set it to 0."),
    "cancelled": ("pg.vacuum_cancelled", Severity.WARNING, "Ask who cancelled it and why, then run it again."),
    "unproven": (
        "pg.vacuum_unproven",
        Severity.UNKNOWN,
        "Run it by hand with psql to see all that the server says: {sql};",
    ),
}

_OF_THE_DATABASE: Mapping[str, tuple[str, Severity, str]] = {
    "time_limit": (
        "pg.out_of_time",
        Severity.WARNING,
        "Give it more time (time_limit), more jobs, or run it more often.",
    ),
    "stopped": ("pg.run_stopped", Severity.UNKNOWN, "Mend what the other finding names, then run it again."),
    "other_run": ("pg.other_run", Severity.UNKNOWN, "Wait for that run to end, then start again."),
    "permission_catalog": (
        "pg.catalogs_not_permitted",
        Severity.INFO,
        "Let the owner of the database or a superuser run the task, or set include_catalogs to false.",
    ),
    "counters_off": (
        "pg.counters_off",
        Severity.UNKNOWN,
        "Set track_counts = on in postgresql.conf and reload the server.",
    ),
}


def _of_database(snapshot: Snapshot, why: str, members: Sequence[Record], seconds: float | None) -> Finding:
    code, severity, remedy = _OF_THE_DATABASE[why]
    limit = f" ({seconds:g} s)" if why == "time_limit" and seconds is not None else ""
    which = "tables" if why == "counters_off" else "tables that need work"
    message = members[0].message if why == "other_run" else SKIP_REASONS[why]
    return Finding(
        code,
        snapshot.subject,
        severity,
        f"{len(members)} {which} in {snapshot.subject} were left: {message}{limit}.",
        {"tables": len(members), "first": [record.subject for record in members[:_EXAMPLES]]},
        remedy,
    )


# --- numbers


def totals(records: Iterable[Record], considered: int) -> dict[str, Any]:
    """Return the sums over all tables. ``by_reason`` counts why tables were chosen and why they were left."""
    listed = list(records)
    worked = [record for record in listed if record.after is not None and record.status in (DONE, PARTIAL)]
    by_reason: Counter[str] = Counter()
    for record in listed:
        by_reason.update({record.why} if record.why else {reason.code for reason in record.reasons})
    return {
        "considered": considered,
        "planned": _count(listed, PLANNED),
        "done": _count(listed, DONE),
        "partial": _count(listed, PARTIAL),
        "skipped": sum(record.status == SKIPPED and record.why not in NOT_CANDIDATES for record in listed),
        "failed": _count(listed, FAILED),
        "dead_before": sum(_dead(record.table.counters) for record in worked),
        "dead_after": sum(_dead(record.after) for record in worked if record.after is not None),
        "bytes_before": sum(record.bytes_before for record in worked),
        "bytes_after": sum(record.bytes_after for record in worked),
        "freed": sum(max(0, record.bytes_before - record.bytes_after) for record in worked),
        "by_reason": dict(sorted(by_reason.items())),
    }


def _count(records: Iterable[Record], status: str) -> int:
    return sum(record.status == status for record in records)


def failure(records: Iterable[Record], fail_on_skipped: frozenset[str]) -> str:
    """Return why the task fails, naming tables; empty when it does not."""
    listed = list(records)
    failed = [record for record in listed if record.status == FAILED]
    sentences = []
    if failed:
        sentences.append(f"Failed: {_names(failed)} ({failed[0].message}).")
    for why in sorted(fail_on_skipped):
        skipped = [record for record in listed if record.status == SKIPPED and record.why == why]
        if skipped:
            sentences.append(f"Skipped: {_names(skipped)} ({SKIP_REASONS[why]}).")
    return " ".join(sentences)


def _names(records: Sequence[Record]) -> str:
    shown = ", ".join(record.subject for record in records[:_EXAMPLES])
    return shown if len(records) <= _EXAMPLES else f"{shown} and {len(records) - _EXAMPLES} more"


def worth_naming(holders: Iterable[Holder], records: Iterable[Record], seconds: float) -> list[Holder]:
    """Return the holders that matter: those that kept rows, and before a VACUUM those older than *seconds*."""
    listed = list(records)
    named = {holder: None for record in listed for holder in record.holders}
    if any(record.status == PLANNED and VACUUM in record.actions for record in listed):
        databases = {record.database for record in listed} | {""}
        for holder in holders:
            if holder.database in databases and (holder.seconds is None or holder.seconds >= seconds):
                named[holder] = None
    return list(named)
