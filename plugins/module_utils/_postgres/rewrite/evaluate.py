# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what a rewrite came to: a record and, where something is wrong, a finding for each table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import failures
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.failures import CORRUPTION, DISK_FULL
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    LOCK_MODES,
    PG_REPACK,
    SKIP_REASONS,
    Applied,
    Attempt,
    Leftovers,
    Record,
    RewritePlan,
    Target,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.plan import OLD_TRANSACTION
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.sql import rewrite_statement
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    DONE,
    FAILED,
    NOT_CANDIDATES,
    PARTIAL,
    PLANNED,
    SKIPPED,
    Snapshot,
)

# A rewrite that frees less than this share of what it was done for has failed its purpose.
_WORTH = 0.5
_EXAMPLES = 10


# --- what became of each table


def judge(
    snapshot: Snapshot,
    plan: RewritePlan,
    applied: Applied | None = None,
    held: str = "",
) -> list[Record]:
    """Return a record of each table of *plan* that is not healthy, in the order of the plan.

    Without *applied* the targets are planned (check mode) or, when *held* says which other run is at work in this
    database, skipped.
    """
    records = [_judged(snapshot, target, priority, applied, held) for priority, target in enumerate(plan.targets, 1)]
    for left in plan.left:
        owed = left.why not in NOT_CANDIDATES and left.facts is not None and bool(left.reasons)
        records.append(
            Record(
                subject=snapshot.subject_of(left.table),
                database=snapshot.database,
                table=left.table,
                status=SKIPPED,
                method=left.method,
                reasons=left.reasons,
                sql=rewrite_statement(left.method, left.table, snapshot.version) if owed else "",
                why=left.why,
                detail=left.detail,
                facts=left.facts,
                estimate=left.estimate,
                need=left.need,
            )
        )
    return records


def _judged(snapshot: Snapshot, target: Target, priority: int, applied: Applied | None, held: str) -> Record:
    oid = target.table.oid
    attempt = Attempt(message=held)
    holders: tuple[Holder, ...] = ()
    status, why, changed = PLANNED, "", True
    if applied is not None:
        attempt = applied.attempts.get(oid, attempt)
        status, why, changed = _verdict(target, applied, attempt)
        if status == PARTIAL:
            holders = tuple(one for one in applied.holders if one.database in ("", snapshot.database))
    elif held:
        status, why, changed = SKIPPED, "other_run", False
    return Record(
        subject=snapshot.subject_of(target.table),
        database=snapshot.database,
        table=target.table,
        status=status,
        method=target.method,
        reasons=target.reasons,
        sql=rewrite_statement(target.method, target.table, snapshot.version),
        why=why,
        priority=priority,
        attempt=attempt,
        facts=target.facts,
        estimate=target.estimate,
        need=target.need,
        counters=None if applied is None else applied.counters.get(oid),
        estimate_after=None if applied is None else applied.estimates.get(oid),
        holders=holders,
        changed=changed,
    )


def _verdict(target: Target, applied: Applied, attempt: Attempt) -> tuple[str, str, bool]:
    """Return the status, why the table was left, and whether its files are others than before."""
    if target.table.oid in applied.rewritten:
        return (PARTIAL if _is_in_vain(target, attempt) else DONE), "", True
    if target.table.oid in applied.failed:
        return FAILED, "", False
    return SKIPPED, attempt.why or "unproven", False


def _is_in_vain(target: Target, attempt: Attempt) -> bool:
    """Whether a rewrite that was done for bloat freed less than half of it."""
    if attempt.before is None or attempt.after is None or not target.frees:
        return False
    if not any(reason.code == "bloat" for reason in target.reasons):
        return False
    before, after = (sum(facts.sizes[:2]) for facts in (attempt.before, attempt.after))
    return before - after < _WORTH * target.frees


# --- findings


def evaluate(
    snapshot: Snapshot,
    records: Sequence[Record],
    seconds: float | None,
    leftovers: Leftovers | None,
    lost: UpkeepError | None = None,
) -> list[Finding]:
    """Return the findings of one database. *seconds* is the time limit, *lost* what ended the work early: for texts."""
    findings = []
    together: dict[str, list[Record]] = {}
    for record in records:
        if record.status == SKIPPED and record.why in _OF_THE_DATABASE:
            together.setdefault(record.why, []).append(record)
            continue
        finding = _of_table(record)
        if finding is not None:
            findings.append(finding)
    for why, members in together.items():
        findings.append(_of_database(snapshot, why, members, seconds, lost))
    return findings + (_of_leftovers(snapshot, leftovers) if leftovers is not None else [])


def _of_table(record: Record) -> Finding | None:
    if record.status == PLANNED:
        text = f"needs a rewrite ({record.sql}), under {LOCK_MODES[record.method]}: {record.reason_text}"
        return _finding(record, "pg.rewrite_needed", Severity.INFO, text)
    if record.status == PARTIAL:
        return _in_vain(record)
    if record.status == FAILED:
        return _failed(record)
    if record.status == SKIPPED and record.why in _OF_A_TABLE:
        code, severity, remedy = _OF_A_TABLE[record.why]
        need = f"; it needs it: {record.reason_text}" if record.reason_text else ""
        return _finding(record, code, severity, f"was not rewritten, because {record.message}{need}", remedy)
    return None


def _finding(record: Record, code: str, severity: Severity, text: str, remedy: str = "") -> Finding:
    evidence: dict[str, Any] = {"reason": [reason.code for reason in record.reasons]}
    if record.before is not None:
        evidence["bytes"] = record.before.bytes
    if record.after is not None:
        evidence["bytes_after"] = record.after.bytes
    if record.estimate is not None:
        evidence["bloat"] = record.estimate.as_dict()
    if record.need:
        evidence["disk_need"] = {f"{one.what} in {one.directory}": one.bytes for one in record.need}
    if record.attempt.count:
        evidence["attempts"] = record.attempt.count
    if record.attempt.sqlstate:
        evidence["sqlstate"] = record.attempt.sqlstate
    if record.holders:
        evidence["holder"] = record.holders[0].as_dict()
    # A name may hold braces, so nothing is formatted into a text that has one.
    return Finding(code, record.subject, severity, f"{record.subject} {text}.", evidence, _filled(remedy, record))


def _filled(remedy: str, record: Record) -> str:
    # One after the other would take a brace in a name for a place of its own.
    before, place, after = remedy.partition("{sql}")
    if place:
        return f"{before}{record.sql}{after}"
    before, place, after = remedy.partition("{table}")
    return f"{before}{record.table.sql_name}{after}" if place else remedy


def _in_vain(record: Record) -> Finding:
    before, after = (
        format_size(sum(facts.sizes[:2]) if facts is not None else 0) for facts in (record.before, record.after)
    )
    text = f"was rewritten and is {after} now, after {before}, though {record.reason_text}"
    old = [one for one in record.holders if one.seconds is None or one.seconds >= OLD_TRANSACTION]
    if old:
        return _finding(
            record,
            "pg.rewrite_no_effect",
            Severity.WARNING,
            f"{text}: {old[0].title} may still see its dead rows",
            old[0].hint,
        )
    remedy = "Install pgstattuple, and set bloat_method to exact: the estimate was wrong for this table."
    return _finding(record, "pg.rewrite_no_effect", Severity.WARNING, text, remedy)


def _failed(record: Record) -> Finding:
    state = f" (SQLSTATE {record.attempt.sqlstate})" if record.attempt.sqlstate else ""
    text = f"could not be rewritten: {record.message}{state}"
    if record.attempt.sqlstate in CORRUPTION:
        remedy = "Stop writing to it, keep a copy of the data directory, run pg_amcheck, and restore it from a backup."
        return _finding(record, "pg.corruption", Severity.CRITICAL, text, remedy)
    if record.attempt.sqlstate == DISK_FULL:
        remedy = "The table is as it was. Free space on the server's file system, then run it again."
        return _finding(record, "pg.disk_full", Severity.CRITICAL, text, remedy)
    by_hand = "{sql}" if record.method == PG_REPACK else "psql: {sql};"
    return _finding(
        record, "pg.vacuum_failed", Severity.UNKNOWN, text, f"Run it by hand to see all that is said: {by_hand}"
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
        "Find who uses the table (pg_locks, pg_blocking_pids), choose a quieter hour, or raise lock_retries and "
        "lock_retry_delay.",
    ),
    "timeout": ("pg.vacuum_timed_out", Severity.WARNING, "Raise statement_timeout, or set it to 0."),
    "cancelled": ("pg.vacuum_cancelled", Severity.WARNING, "Ask who cancelled it and why, then run it again."),
    "unproven": ("pg.vacuum_unproven", Severity.UNKNOWN, "Run it by hand to see all that is said: {sql};"),
    "held": (
        "pg.rewrite_held",
        Severity.WARNING,
        "End that transaction (see blockers for the statement), then run it again; or set when: always.",
    ),
    "bloat_unknown": (
        "pg.bloat_unknown",
        Severity.UNKNOWN,
        "Run `ANALYZE {table};`, or `CREATE EXTENSION pgstattuple;`, then run it again; or set when to always.",
    ),
    "disk_space": (
        "pg.rewrite_no_space",
        Severity.WARNING,
        "Free or add disk space, or rewrite smaller tables first; disk_headroom is the safety factor.",
    ),
    "autovacuum": ("pg.wraparound_vacuum", Severity.INFO, "Wait until that autovacuum has ended, then run it again."),
    "method": ("pg.repack_impossible", Severity.WARNING, "Mend that, or set rewrite_method to auto."),
}

_OF_THE_DATABASE: Mapping[str, tuple[str, Severity, str]] = {
    "time_limit": (
        "pg.out_of_time",
        Severity.WARNING,
        "Give it more time (time_limit), or run it more often.",
    ),
    "stopped": ("pg.run_stopped", Severity.UNKNOWN, "Mend what the other finding names, then run it again."),
    "lost": (
        "pg.server_lost",
        Severity.UNKNOWN,
        "Look into the server's log, then run it again: what was not finished was undone by the server.",
    ),
    "other_run": ("pg.other_run", Severity.UNKNOWN, "Wait for that run to end, then start again."),
    "permission_catalog": (
        "pg.catalogs_not_permitted",
        Severity.INFO,
        "Let the owner of the database or a superuser run the task, or set include_catalogs to false.",
    ),
    "disk_unknown": (
        "pg.disk_unknown",
        Severity.UNKNOWN,
        "Run the task on the server's own host as a user that may read its data directory (become_user: postgres), "
        "give free_bytes, or, at your own risk, set force_without_disk_check.",
    ),
}


def _of_database(
    snapshot: Snapshot, why: str, members: Sequence[Record], seconds: float | None, lost: UpkeepError | None
) -> Finding:
    code, severity, remedy = _OF_THE_DATABASE[why]
    limit = f" ({seconds:g} s)" if why == "time_limit" and seconds is not None else ""
    message = SKIP_REASONS[why]
    if why == "other_run":
        message = members[0].message
    elif why == "lost" and lost is not None:
        message = lost.message.rstrip(".")
    elif why == "disk_unknown":
        message = f"{message}: {members[0].message}"
    return Finding(
        code,
        snapshot.subject,
        severity,
        f"{len(members)} tables that need a rewrite in {snapshot.subject} were left: {message}{limit}.",
        {"tables": len(members), "first": [record.subject for record in members[:_EXAMPLES]]},
        remedy,
    )


def _of_leftovers(snapshot: Snapshot, leftovers: Leftovers) -> list[Finding]:
    findings = []
    files = [*leftovers.files, *leftovers.temporary]
    if files:
        size = sum(bytes_ for _path, bytes_ in files)
        findings.append(
            Finding(
                "pg.orphaned_files",
                snapshot.subject,
                Severity.WARNING,
                f"{snapshot.subject} has {len(files)} files of {format_size(size)} that belong to no table.",
                {
                    "files": len(files),
                    "bytes": size,
                    "first": [path for path, _size in leftovers.files[:_EXAMPLES]],
                    "temporary": [path for path, _size in leftovers.temporary[:_EXAMPLES]],
                },
                "Nothing removes them but you: keep a backup, stop the server, look once more whether "
                "pg_relation_filenode() names one of them, and then remove these files (and no others).",
            )
        )
    if leftovers.tables or leftovers.logs:
        findings.append(
            Finding(
                "pg.repack_leftovers",
                snapshot.subject,
                Severity.WARNING,
                f"A pg_repack was interrupted in {snapshot.subject}: {len(leftovers.tables)} tables still have its "
                f"trigger, and {len(leftovers.logs)} of its own tables are left.",
                {"tables": list(leftovers.tables[:_EXAMPLES]), "own_tables": list(leftovers.logs[:_EXAMPLES])},
                "When no pg_repack is running: DROP EXTENSION pg_repack CASCADE; CREATE EXTENSION pg_repack;",
            )
        )
    return findings


# --- numbers


def totals(records: Iterable[Record], considered: int) -> dict[str, Any]:
    """Return the sums over all tables, with the keys that every mode of pg_vacuum has."""
    listed = list(records)
    worked = [record for record in listed if record.status in (DONE, PARTIAL)]
    by_reason: Counter[str] = Counter()
    for record in listed:
        by_reason.update({record.why} if record.why else {reason.code for reason in record.reasons})
    before, after = (
        [facts.bytes for facts in found if facts is not None]
        for found in ([record.before for record in worked], [record.after for record in worked])
    )
    return {
        "considered": considered,
        "planned": _count(listed, PLANNED),
        "done": _count(listed, DONE),
        "partial": _count(listed, PARTIAL),
        "skipped": sum(record.status == SKIPPED and record.why not in NOT_CANDIDATES for record in listed),
        "failed": _count(listed, FAILED),
        "dead_before": sum(record.table.counters.dead for record in worked),
        "dead_after": sum(record.counters.dead for record in worked if record.counters is not None),
        "bytes_before": sum(before),
        "bytes_after": sum(after),
        "freed": sum(record.freed for record in worked),
        "by_reason": dict(sorted(by_reason.items())),
    }


def _count(records: Iterable[Record], status: str) -> int:
    return sum(record.status == status for record in records)


def failure(records: Iterable[Record], fail_on_skipped: frozenset[str]) -> str:
    """Return why the task fails, naming tables; empty when it does not."""
    return " ".join(failures(records, fail_on_skipped, SKIP_REASONS))


def worth_naming(holders: Iterable[Holder], records: Iterable[Record]) -> list[Holder]:
    """Return the holders that matter: those that kept rows, and before a rewrite those that are old."""
    listed = list(records)
    named = {holder: None for record in listed for holder in record.holders}
    if any(record.status == PLANNED or record.why == "held" for record in listed):
        databases = {record.database for record in listed} | {""}
        for holder in holders:
            if holder.database in databases and (holder.seconds is None or holder.seconds >= OLD_TRANSACTION):
                named[holder] = None
    return list(named)
