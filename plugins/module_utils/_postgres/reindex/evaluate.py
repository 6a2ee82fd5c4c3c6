# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what a plan came to: a record and, where something is wrong, a finding for each index. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import UNREADABLE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import failures
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.failures import CORRUPTION, DISK_FULL
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    DONE,
    DROP,
    FAILED,
    NOT_CANDIDATES,
    PLANNED,
    REBUILD,
    SKIP_REASONS,
    SKIPPED,
    Applied,
    Attempt,
    Plan,
    Policy,
    Record,
    Skip,
    Snapshot,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.sql import drop_statement, work_statement

# A rebuild for bloat that frees less than this share of the index did not find what it was made for.
NO_EFFECT_SHARE = 0.1
DUPLICATES = "23505"
# In the build of an index, an error of a value is one that the table should never have let in.
_BAD_VALUE = "22"
_EXAMPLES = 10
# Reasons that speak of the state of the index, not of its size.
_DEFECTS = ("leftover", "invalid")


# --- what became of each index


def judge(
    snapshot: Snapshot,
    plan: Plan,
    policy: Policy,
    applied: Applied | None = None,
    held: str = "",
    tablespace: str = "",
) -> list[Record]:
    """Return a record of each index of *plan* that is not healthy, in the order of the plan.

    Without *applied* the steps are planned (check mode) or, when *held* says which other run is at work in this
    database, skipped.
    """
    records = [
        _judged(snapshot, step, priority, applied, held, work_statement(
            step.action, step.index, policy.concurrently, tablespace))
        for priority, step in enumerate(plan.steps, 1)
    ]  # fmt: skip
    return records + [_skipped(snapshot, skip) for skip in plan.skipped]


def _skipped(snapshot: Snapshot, skip: Skip) -> Record:
    message = f"{SKIP_REASONS[skip.why]}: {skip.detail}" if skip.detail else ""
    return Record(
        subject=snapshot.subject_of(skip.index),
        database=snapshot.database,
        index=skip.index,
        status=SKIPPED,
        reasons=skip.reasons,
        why=skip.why,
        attempt=Attempt(message=message),
        estimate=skip.estimate,
    )


def _judged(
    snapshot: Snapshot, step: Step, priority: int, applied: Applied | None, held: str, statement: str
) -> Record:
    attempt = Attempt(message=held)
    if applied is not None:
        attempt = applied.attempts.get(step.index.oid, attempt)
        status, why = _verdict(step, applied, attempt)
    elif held:
        status, why = SKIPPED, "other_run"
    else:
        status, why = PLANNED, ""
    return Record(
        subject=snapshot.subject_of(step.index),
        database=snapshot.database,
        index=step.index,
        status=status,
        action=step.action,
        reasons=step.reasons,
        sql=statement,
        why=why,
        priority=priority,
        attempt=attempt,
        estimate=attempt.estimate or step.estimate,
        look_again=step.look_again,
    )


def _verdict(step: Step, applied: Applied, attempt: Attempt) -> tuple[str, str]:
    if step.index.oid in applied.failed:
        return FAILED, ""
    if step.index.oid in applied.proven:
        return DONE, ""
    return SKIPPED, attempt.why or "unproven"


# --- findings


def evaluate(snapshot: Snapshot, records: Sequence[Record], seconds: float | None) -> list[Finding]:
    """Return the findings of one database. *seconds* is the time limit, for the message."""
    findings = []
    together: dict[str, list[Record]] = {}
    for record in records:
        findings += _leftovers(snapshot, record)
        if record.status == SKIPPED and record.why in _OF_THE_DATABASE:
            together.setdefault(record.why, []).append(record)
            continue
        finding = _of_index(record)
        if finding is not None:
            findings.append(finding)
    for why, members in together.items():
        findings.append(_of_database(snapshot, why, members, seconds))
    hidden = [record for record in records if record.why == "unmeasured" and _is_hidden(record)]
    return findings + ([_of_hidden(snapshot, hidden)] if hidden else [])


def _is_hidden(record: Record) -> bool:
    """Whether it is only the role that cannot tell how much of the index is bloat."""
    return record.estimate is not None and record.estimate.why == UNREADABLE


def _of_hidden(snapshot: Snapshot, hidden: Sequence[Record]) -> Finding:
    titles = [record.index.title for record in hidden]
    return Finding(
        "pg.bloat_unknown",
        snapshot.subject,
        Severity.UNKNOWN,
        f"{snapshot.subject}: of {len(titles)} indexes the role may not see how much is bloat, among them "
        f"{', '.join(titles[:3])}.",
        {"count": len(titles), "indexes": titles[:_EXAMPLES]},
        "Let the role read their statistics (GRANT pg_read_all_data), or rebuild them with when: always.",
    )


def _of_index(record: Record) -> Finding | None:
    if record.status == PLANNED:
        return _planned(record)
    if record.status == FAILED:
        return _failed(record)
    if record.status == DONE:
        return _without_effect(record)
    if record.why in _OF_AN_INDEX:
        code, severity, remedy = _OF_AN_INDEX[record.why]
        text = f"was not {_VERBS[record.action]}, because {record.message}; it needs it: {record.reason_text}"
        return _finding(record, code, severity, text, _step_of(record) or remedy)
    if record.why in _OF_A_DEFECT:
        return _defect(record, f"{record.reason_text}; {record.message}", _OF_A_DEFECT[record.why])
    return None


_VERBS = {REBUILD: "built anew", DROP: "dropped", "": "built anew"}


def _step_of(record: Record) -> str:
    """Return the step that ends what is in the way, when it is a transaction."""
    # Braces in the name of a prepared transaction are no place for a value.
    return record.attempt.holders[0].hint.replace("{", "{{").replace("}", "}}") if record.attempt.holders else ""


def _planned(record: Record) -> Finding:
    if record.reasons[0].code in _DEFECTS:
        return _defect(record, f"{record.reason_text}; it would be {_VERBS[record.action]}", "Run the task: {sql};")
    again = "; as its statistics are old, it is looked at again after an ANALYZE" if record.look_again else ""
    text = f"would be built anew: {record.reason_text}{again}"
    return _finding(record, "pg.reindex_needed", Severity.INFO, text)


def _defect(record: Record, text: str, remedy: str) -> Finding:
    if record.reasons[0].code == "leftover":
        return _finding(record, "pg.reindex_leftover", Severity.WARNING, text[3:], remedy)
    return _finding(record, "pg.reindex_index_invalid", Severity.WARNING, text[3:], remedy)


def _finding(record: Record, code: str, severity: Severity, text: str, remedy: str = "") -> Finding:
    evidence: dict[str, Any] = {
        "table": record.index.table_title,
        "reason": [reason.code for reason in record.reasons],
        "bytes": record.bytes_before,
        "valid": record.index.valid,
    }
    if record.status == DONE:
        evidence["bytes_after"] = record.bytes_after
    if record.estimate is not None:
        evidence["bloat_ratio"] = round(record.estimate.ratio, 3)
        evidence["bloat_method"] = record.estimate.method
    if record.attempt.count:
        evidence["attempts"] = record.attempt.count
    if record.attempt.sqlstate:
        evidence["sqlstate"] = record.attempt.sqlstate
    if record.attempt.holders:
        evidence["holder"] = record.attempt.holders[0].as_dict()
    if code == "pg.reindex_blocked" and len(record.attempt.holders) > 1:
        evidence["holders"] = len(record.attempt.holders)
    filled = remedy.format(sql=record.sql, drop=drop_statement(record.index.sql_name), index=record.index.sql_name)
    return Finding(code, record.subject, severity, f"{record.subject} {text}.", evidence, filled)


def _leftovers(snapshot: Snapshot, record: Record) -> list[Finding]:
    """What a failed rebuild left, and a drop could not remove, because the same thing held it up."""
    return [
        Finding(
            "pg.reindex_leftover",
            f"{snapshot.subject}.{name}",
            Severity.WARNING,
            f"{snapshot.subject}.{name} is invalid: the rebuild of {record.index.title} left it, and it could not be "
            "dropped.",
            {"table": record.index.table_title, "left_by": record.index.title},
            "Run the task again when nobody holds up its table any more: it drops it.",
        )
        for name in record.attempt.leftovers
    ]


def _without_effect(record: Record) -> Finding | None:
    codes = [reason.code for reason in record.reasons]
    if codes != ["bloat"] or record.freed >= NO_EFFECT_SHARE * record.bytes_before:
        return None
    sizes = f"{format_size(record.bytes_before)} before, {format_size(record.bytes_after)} after"
    return _finding(
        record,
        "pg.reindex_no_effect",
        Severity.WARNING,
        f"was built anew and is as large as before ({sizes}): {record.reason_text} was wrong",
        "Set bloat_method to exact, or list it in exclude_indexes: else every run builds it anew.",
    )


def _failed(record: Record) -> Finding:
    state = record.attempt.sqlstate
    text = f"could not be {_VERBS[record.action]}: {record.message} (SQLSTATE {state})"
    if state == DUPLICATES and not record.index.valid:
        return _finding(
            record,
            "pg.reindex_duplicates",
            Severity.WARNING,
            f"{text}; its table has rows that are alike, so it never was valid",
            "Decide which of the rows stay, then run it again; or drop the index: {drop};",
        )
    if state == DUPLICATES:
        return _finding(
            record,
            "pg.reindex_duplicates",
            Severity.CRITICAL,
            f"{text}; its table has rows that are alike, which the old index did not keep out",
            "Find them by a query without the index (SET enable_indexscan = off, enable_indexonlyscan = off, "
            "enable_bitmapscan = off), decide which stay, run pg_amcheck, then: {sql};",
        )
    if state in CORRUPTION or state.startswith(_BAD_VALUE):
        return _finding(
            record,
            "pg.corruption",
            Severity.CRITICAL,
            text,
            "Stop writing to its table, keep a copy of the data directory, run pg_amcheck; psql names a value that the "
            "expression of the index cannot take: {sql};",
        )
    if state == DISK_FULL:
        remedy = "Free space on the server's file system, then run it again."
        return _finding(record, "pg.disk_full", Severity.CRITICAL, text, remedy)
    remedy = "Run it by hand with psql to see all that the server says: {sql};"
    return _finding(record, "pg.reindex_failed", Severity.UNKNOWN, text, remedy)


_OF_AN_INDEX: Mapping[str, tuple[str, Severity, str]] = {
    "permission": (
        "pg.not_permitted",
        Severity.WARNING,
        "Let its owner or a superuser run the task, or (from PostgreSQL 17 on) GRANT MAINTAIN on its table to the "
        "role; to drop an index takes its owner.",
    ),
    "lock": (
        "pg.table_locked",
        Severity.WARNING,
        "Find who holds the lock (pg_locks, pg_blocking_pids), or raise lock_timeout, lock_retries, lock_retry_delay.",
    ),
    "blocked": (
        "pg.reindex_blocked",
        Severity.WARNING,
        "Let that transaction end, or raise blocker_age.",
    ),
    "building": ("pg.reindex_being_built", Severity.INFO, "Wait for that session to end, then run it again."),
    "not_concurrently": (
        "pg.reindex_not_concurrent",
        Severity.INFO,
        "When its table may be locked, set method to plain, or: REINDEX INDEX {index};",
    ),
    "disk_space": (
        "pg.reindex_no_room",
        Severity.WARNING,
        "Free space there, or give another tablespace.",
    ),
    "timeout": ("pg.reindex_timed_out", Severity.WARNING, "Raise statement_timeout, or set it to 0."),
    "cancelled": ("pg.reindex_cancelled", Severity.WARNING, "Ask who cancelled it and why, then run it again."),
    "unproven": (
        "pg.reindex_unproven",
        Severity.UNKNOWN,
        "Run it by hand with psql to see all that the server says: {sql};",
    ),
}

# Why an invalid index is left as it is, and what mends it.
_OF_A_DEFECT: Mapping[str, str] = {
    "reported": "Set invalid to rebuild or drop, or drop it: {drop};",
    "constraint": "Set invalid to rebuild: REINDEX INDEX CONCURRENTLY {index};",
    "partitioned": "Make the index on each partition that lacks it, then: ALTER INDEX {index} ATTACH PARTITION …;",
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
        "Let a superuser run the task, or set include_catalogs to false.",
    ),
    "permission_toast": (
        "pg.reindex_toast_not_permitted",
        Severity.INFO,
        "Let a superuser run the task, or rebuild all indexes of each table: REINDEX TABLE CONCURRENTLY.",
    ),
    "unsafe_minor": (
        "pg.reindex_unsafe_minor",
        Severity.UNKNOWN,
        "Upgrade to the newest 14, then rebuild every index that was built or rebuilt concurrently before. Until then, "
        "method plain is safe, and locks the tables.",
    ),
    "disk_unknown": (
        "pg.reindex_room_unknown",
        Severity.UNKNOWN,
        "Run the task on the server's own host, or say how much is free (free_bytes), or set force_without_disk_check.",
    ),
}


def _of_database(snapshot: Snapshot, why: str, members: Sequence[Record], seconds: float | None) -> Finding:
    code, severity, remedy = _OF_THE_DATABASE[why]
    limit = f" ({seconds:g} s)" if why == "time_limit" and seconds is not None else ""
    detailed = why in ("other_run", "disk_unknown")
    message = members[0].message if detailed else SKIP_REASONS[why]
    return Finding(
        code,
        snapshot.subject,
        severity,
        f"{len(members)} indexes that need work in {snapshot.subject} were left: {message}{limit}.",
        {"indexes": len(members), "first": [record.subject for record in members[:_EXAMPLES]]},
        remedy,
    )


# --- numbers


def totals(records: Iterable[Record], considered: int) -> dict[str, Any]:
    """Return the sums over all indexes. ``by_reason`` counts why indexes were chosen and why they were left."""
    listed = list(records)
    done = [record for record in listed if record.status == DONE]
    by_reason: Counter[str] = Counter()
    for record in listed:
        by_reason.update({record.why} if record.why else {reason.code for reason in record.reasons})
    return {
        "considered": considered,
        "planned": _count(listed, PLANNED),
        "done": len(done),
        "rebuilt": sum(record.action == REBUILD for record in done),
        "dropped": sum(record.action == DROP for record in done),
        "skipped": sum(is_owed(record) for record in listed),
        "failed": _count(listed, FAILED),
        "bytes_before": sum(record.bytes_before for record in done),
        "bytes_after": sum(record.bytes_after for record in done),
        "freed": sum(record.freed for record in done),
        "by_reason": dict(sorted(by_reason.items())),
    }


def _count(records: Iterable[Record], status: str) -> int:
    return sum(record.status == status for record in records)


def is_owed(record: Record) -> bool:
    """Whether an index that needs work did not get it."""
    return record.status == SKIPPED and record.why not in NOT_CANDIDATES


def failure(records: Iterable[Record], fail_on_skipped: frozenset[str]) -> str:
    """Return why the task fails, naming indexes; empty when it does not."""
    return " ".join(failures(records, fail_on_skipped, SKIP_REASONS))


def worth_naming(holders: Iterable[Holder], records: Iterable[Record], age: float) -> list[Holder]:
    """Return who held something up, and before the work who is old enough to."""
    listed = list(records)
    # Its age is another each time it is seen.
    named = {(holder.kind, holder.id): holder for record in listed for holder in record.attempt.holders}
    if any(record.status == PLANNED for record in listed):
        databases = {record.database for record in listed}
        for holder in holders:
            if holder.database in databases and holder.seconds is not None and holder.seconds >= age:
                named[holder.kind, holder.id] = holder
    return list(named.values())
