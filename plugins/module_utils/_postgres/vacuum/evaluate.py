# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what a plan came to: a record and, where something is wrong, a finding for each table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import failures, names_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    DONE,
    FAILED,
    FREEZE,
    NOT_CANDIDATES,
    PARTIAL,
    PLANNED,
    SKIP_REASONS,
    SKIPPED,
    VACUUM,
    Applied,
    Attempt,
    Counters,
    Manner,
    Plan,
    Policy,
    Record,
    Skip,
    Snapshot,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import (
    AGES,
    age,
    age_reasons,
    dead_reasons,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import NO_MANNER, head, target

# A VACUUM that leaves this share of the dead rows has removed nothing to speak of.
KEPT_SHARE = 0.9
AGAINST_WRAPAROUND = "autovacuum is at work on it to prevent wraparound, and does not give way"
_CORRUPTION = ("XX001", "XX002")
_DISK_FULL = "53100"
_EXAMPLES = 10
_TOTALS = (
    "planned", "done", "partial", "skipped", "failed", "dead_before", "dead_after", "bytes_before", "bytes_after",
    "freed",
)  # fmt: skip


# --- what became of each table


def judge(
    snapshot: Snapshot,
    plan: Plan,
    policy: Policy,
    applied: Applied | None = None,
    held: str = "",
    manner: Manner = NO_MANNER,
) -> list[Record]:
    """Return a record of each table of *plan* that is not healthy, in the order of the plan.

    Without *applied* the steps are planned (check mode) or, when *held* says which other run is at work in this
    database, skipped. *manner* is that of the statements.
    """
    records = []
    version, subject = snapshot.version, snapshot.subject
    heads = {actions: head(actions, version, False, manner) for actions in {step.actions for step in plan.steps}}
    for priority, step in enumerate(plan.steps, 1):
        attempt, after = Attempt(message=held), None
        if applied is not None:
            attempt = applied.attempts.get(step.table.oid, attempt)
            after = applied.after.get(step.table.oid)
        verdict = _verdict(snapshot.database, step, policy, applied, attempt, after)
        if held:
            verdict = Verdict(SKIPPED, "other_run")
        records.append(
            Record(
                subject=f"{subject}.{step.table.title}",
                database=snapshot.database,
                table=step.table,
                status=verdict.status,
                actions=step.actions,
                reasons=step.reasons,
                sql=heads[step.actions] + target(step.table, version),
                why=verdict.why,
                priority=priority,
                attempt=attempt,
                after=after,
                holders=verdict.holders,
                kept=verdict.kept,
                changed=verdict.changed,
            )
        )
    return records + [_skipped(snapshot, skip) for skip in plan.skipped]


def _skipped(snapshot: Snapshot, skip: Skip) -> Record:
    against = skip.why == "autovacuum" and skip.table.busy == "wraparound"
    return Record(
        subject=snapshot.subject_of(skip.table),
        database=snapshot.database,
        table=skip.table,
        status=SKIPPED,
        reasons=skip.reasons,
        why=skip.why,
        attempt=Attempt(message=AGAINST_WRAPAROUND if against else ""),
    )


class Verdict(NamedTuple):
    """What became of a step, as in ``Record``."""

    status: str
    why: str = ""
    changed: bool = False
    kept: str = ""
    holders: tuple[Holder, ...] = ()


_ALL_DONE = Verdict(DONE, changed=True)


def _verdict(
    database: str, step: Step, policy: Policy, applied: Applied | None, attempt: Attempt, after: Counters | None
) -> Verdict:
    if applied is None:
        return Verdict(PLANNED, changed=True)
    if step.table.oid in applied.failed:
        return Verdict(FAILED)
    if step.table.oid not in applied.proven or after is None:
        return Verdict(SKIPPED, attempt.why or "unproven")
    return _proven(database, step, policy, after, applied.holders)


def _proven(database: str, step: Step, policy: Policy, after: Counters, holders: Sequence[Holder]) -> Verdict:
    """Return whether a table that was worked on is better off, and what VACUUM could not do."""
    if not _dead(after) and AGES.isdisjoint([reason.code for reason in step.reasons]):
        return _ALL_DONE
    table, before = step.table, step.table.counters
    holders = [one for one in holders if table.catalog or not one.only_catalogs]
    # What all databases share is held from each of them.
    here = tuple(one for one in holders if table.shared or one.database in ("", database))
    # An old transaction elsewhere is in the snapshots of everybody here, and so a FREEZE stops at it too.
    aged = tuple(one for one in holders if one.xid_age >= policy.xid_age)
    codes = {reason.code for reason in step.reasons}
    moved = FREEZE in step.actions and after.frozen != before.frozen
    if is_held_back(step, after, policy, bool(here)):
        kept = f"kept {_dead(after)} of {_dead(before)} dead rows after its VACUUM"
    elif codes & AGES and _stays_old(after, before, policy, bool(aged)):
        kept, here = f"is still {age(after)} transactions old after its FREEZE", aged
    else:
        return Verdict(DONE, changed=True)
    # What it could not do is no change, however often it is tried; fresh statistics are one.
    removed = "dead" in codes and _dead(after) < KEPT_SHARE * _dead(before)
    refreshed = ANALYZE in step.actions and bool(codes & {"stats", "missing_stats"})
    return Verdict(PARTIAL, changed=removed or refreshed or moved, kept=kept, holders=here)


def _stays_old(after: Counters, before: Counters, policy: Policy, held: bool) -> bool:
    """Whether a FREEZE left nine tenths of its age or, where something *held* it, still too much."""
    return bool(age_reasons(after, policy)) and (held or age(after) >= KEPT_SHARE * age(before))


def is_held_back(step: Step, after: Counters, policy: Policy, held: bool) -> bool:
    """Whether a VACUUM for dead rows left nine tenths of them or, where something *held* them, still too many."""
    before = step.table.counters
    if VACUUM not in step.actions or not _dead(after):
        return False
    if any(not dead_reasons(step.table, counters, policy) for counters in (before, after)):
        return False
    return held or _dead(after) >= KEPT_SHARE * _dead(before)


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
        if record.message == AGAINST_WRAPAROUND:
            severity, remedy = Severity.WARNING, "Let it end: it freezes the table, as this run would."
        return _finding(record, code, severity, text, remedy)
    return None


def _finding(record: Record, code: str, severity: Severity, text: str, remedy: str = "") -> Finding:
    codes = [reason.code for reason in record.reasons]
    evidence: dict[str, Any] = {
        "reason": codes,
        "dead": record.table.counters.dead,
        "live": record.table.counters.live,
        "mod_since_analyze": record.table.counters.modified,
    }
    if record.after is not None:
        evidence["dead_after"] = record.after.dead
    if AGES & set(codes):
        evidence["xid_age"], evidence["mxid_age"] = record.table.counters.xid_age, record.table.counters.mxid_age
        if record.after is not None:
            evidence["xid_age_after"], evidence["mxid_age_after"] = record.after.xid_age, record.after.mxid_age
    if record.attempt.count:
        evidence["attempts"] = record.attempt.count
    if record.attempt.sqlstate:
        evidence["sqlstate"] = record.attempt.sqlstate
    if record.holders:
        evidence["holder"] = record.holders[0].as_dict()
    return Finding(code, record.subject, severity, f"{record.subject} {text}.", evidence, remedy.format(sql=record.sql))


def _held_back(record: Record) -> Finding:
    if not record.holders:
        return _finding(
            record,
            "pg.vacuum_no_effect",
            Severity.WARNING,
            f"{record.kept}, though nothing that holds them is there any more",
            "Run it again: what held them has ended meanwhile, or the table is written to faster than it is vacuumed.",
        )
    oldest = record.holders[0]
    return _finding(
        record,
        "pg.vacuum_blocked",
        Severity.WARNING,
        f"{record.kept}: {oldest.title} may still see them",
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
    "no_room": (
        "pg.vacuum_no_room",
        Severity.UNKNOWN,
        "Lower jobs, or give the server more memory (for locks: max_locks_per_transaction) or connections.",
    ),
    "timeout": ("pg.vacuum_timed_out", Severity.WARNING, "Raise statement_timeout, or set it to 0."),
    "cancelled": ("pg.vacuum_cancelled", Severity.WARNING, "Ask who cancelled it and why, then run it again."),
    "autovacuum": (
        "pg.autovacuum_at_work",
        Severity.INFO,
        "Let it end: the next run sees what it has left. With `when: always` it would be cancelled and done by us.",
    ),
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
    "lost": (
        "pg.server_lost",
        Severity.UNKNOWN,
        "Look into the server's log, then run it again: it goes on from there.",
    ),
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
    message = members[0].message if why in ("other_run", "lost") else SKIP_REASONS[why]
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
    counts: Counter[str] = Counter()
    by_reason: Counter[str] = Counter()
    worked: list[Record] = []
    for record in records:
        for why in (record.why,) if record.why else {reason.code for reason in record.reasons}:
            by_reason[why] += 1
        if record.status != SKIPPED or record.why not in NOT_CANDIDATES:
            counts[record.status] += 1
        if record.after is not None and record.status in (DONE, PARTIAL):
            worked.append(record)
    sizes = [(record.bytes_before, record.bytes_after) for record in worked]
    counts["dead_before"] = sum(_dead(record.table.counters) for record in worked)
    counts["dead_after"] = sum(_dead(record.after) for record in worked if record.after is not None)
    counts["bytes_before"] = sum(before for before, _after in sizes)
    counts["bytes_after"] = sum(after for _before, after in sizes)
    counts["freed"] = sum(max(0, before - after) for before, after in sizes)
    return {"considered": considered, **{name: counts[name] for name in _TOTALS}, "by_reason": _sorted(by_reason)}


def summed(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the totals of several databases as one."""
    listed = list(parts)
    by_reason: Counter[str] = Counter()
    for part in listed:
        by_reason.update(part["by_reason"])
    return {
        **{name: sum(part[name] for part in listed) for name in ("considered", *_TOTALS)},
        "by_reason": _sorted(by_reason),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def failure(records: Iterable[Record], fail_on_skipped: frozenset[str], fail_on_blocked: bool = False) -> str:
    """Return why the task fails, naming tables; empty when it does not."""
    listed = list(records)
    sentences = failures(listed, fail_on_skipped, SKIP_REASONS)
    blocked = [record for record in listed if record.holders]
    if blocked and fail_on_blocked:
        sentences.append(f"Blocked: {names_of(blocked)} ({blocked[0].holders[0].title}).")
    return " ".join(sentences)


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
