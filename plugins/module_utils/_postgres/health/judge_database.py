# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what is in one database: bloat, indexes, sequences, large objects, and what autovacuum owes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import INDEX, Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    IndexRow,
    Invalid,
    LargeObjects,
    Place,
    Policy,
    Problem,
    SequenceRow,
    Sequences,
    Sized,
    Snapshot,
    TableRow,
    Tables,
    Twin,
    Verdict,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import not_permitted
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import (
    counted,
    metric,
    not_seen,
    percent,
    percents,
    problem,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant, quote_name

# The number that every server has for it.
_PG_STATISTIC = 2619


def place_subject(snapshot: Snapshot, place: Place, part: str) -> str:
    """Return ``main: shop bloat``, the subject of what concerns a part in a database as a whole."""
    return f"{snapshot.subject(quote_name(place.name))} {part}"


# --- bloat ------------------------------------------------------------------------------------------------------------


def bloat(snapshot: Snapshot, policy: Policy, place: Place, seen: Sequence[Estimate]) -> Verdict:
    told_of = [each for each in seen if each.confidence != "none" and each.ratio >= policy.bloat_ratio]
    problems = [_bloated(snapshot, policy, place, each) for each in sorted(told_of, key=lambda each: -each.bloat_bytes)]
    subject = place_subject(snapshot, place, "bloat")
    found = told(problems, subject) + _not_estimated(snapshot, subject, seen)
    free = sum(each.bloat_bytes for each in seen if each.confidence in ("high", "medium"))
    return Verdict(
        len(told_of),
        {"ratio": policy.bloat_ratio, "bytes": policy.bloat_min_size},
        tuple({"database": place.name, **each.as_dict()} for each in told_of),
        found,
        (metric(snapshot, "pg_bloat", free, "bytes", database=place.name),),
    )


def _bloated(snapshot: Snapshot, policy: Policy, place: Place, each: Estimate) -> Problem:
    trust = "" if each.confidence == "high" else f", with {each.confidence} confidence"
    why = f" ({each.why})" if each.why else ""
    if each.kind == INDEX:
        # The server rebuilds its own catalogs only under a lock.
        how = "" if each.schema == "pg_catalog" else "CONCURRENTLY "
        advice, sql = "Rebuild it:", f"REINDEX INDEX {how}{each.sql_name};"
    else:
        advice = "Rewrite it at a quiet time, when nobody needs it; it is locked altogether:"
        sql = f"VACUUM (FULL, ANALYZE) {each.sql_name};"
    return problem(
        "pg.bloat_high",
        snapshot.in_database(place.name, each.sql_name),
        # What is only a guess is worth a look and no alarm.
        Severity.INFO if each.confidence == "low" else Severity.WARNING,
        f"{percent(each.ratio)} of the {each.kind} {each.title} are free, {format_size(each.bloat_bytes)} of "
        f"{format_size(each.bytes)} (limit {percent(policy.bloat_ratio)} from {format_size(policy.bloat_min_size)} on)"
        f"{trust}{why}.",
        each.as_dict(),
        advice,
        sql,
    )


def _not_estimated(snapshot: Snapshot, subject: str, seen: Sequence[Estimate]) -> tuple[Problem, ...]:
    """Indexes of other kinds than btree cannot be estimated by anybody: that is no fault of this server.

    Nor can the table of the statistics itself, which not even an ANALYZE by order analyses.
    """
    unknown = [each for each in seen if each.confidence == "none" and each.table_oid != _PG_STATISTIC]
    if not unknown:
        return ()
    reasons = sorted({each.why for each in unknown})
    denied = [each for each in unknown if "may not read" in each.why]
    mendable = denied or [each for each in unknown if "ANALYZE" in each.why]
    names = ", ".join(each.title for each in unknown[:5])
    sql = ""
    if denied:
        sql = f"GRANT pg_read_all_data TO {one_line(quote_name(snapshot.user))};"
    elif mendable:
        sql = " ".join(f"ANALYZE {each.sql_name};" for each in mendable[:5] if each.kind != INDEX)
    return (
        problem(
            "pg.bloat_unknown",
            subject,
            Severity.UNKNOWN if mendable else Severity.INFO,
            f"{len(unknown)} large tables or indexes could not be estimated, among them {names}: "
            f"{'; '.join(reasons[:3])}.",
            {"count": len(unknown), "reasons": reasons[:5], "relations": [each.title for each in unknown[:10]]},
            "Let the role read their statistics:" if denied else "",
            sql,
        ),
    )


# --- indexes ----------------------------------------------------------------------------------------------------------


def unused_indexes(snapshot: Snapshot, policy: Policy, place: Place, candidates: tuple[IndexRow, ...]) -> Verdict:
    """Judge indexes without reads. Before the counters are old enough, that says nothing."""
    since = snapshot.facts.counting_since(snapshot.row_of(place.name))
    age = snapshot.now - since if since is not None else 0.0
    # Whose last read is known to be long ago needs no old counters.
    proven = [each for each in candidates if each.last_scan is not None or age >= policy.unused_index_period]
    too_early = [each for each in candidates if each not in proven]
    problems = [_unused(snapshot, place, each, since) for each in proven]
    subject = place_subject(snapshot, place, "unused_indexes")
    found = told(problems, subject)
    if too_early:
        found += (_too_early(policy, subject, too_early, since, age),)
    return Verdict(
        len(proven),
        {"bytes": policy.unused_index_min_size, "seconds": policy.unused_index_period},
        tuple(_index_item(place, each) for each in candidates),
        found,
        (metric(snapshot, "pg_unused_indexes", len(proven), "count", database=place.name),),
    )


def _unused(snapshot: Snapshot, place: Place, each: IndexRow, since: float | None) -> Problem:
    how = "" if each.partitioned else "CONCURRENTLY "
    when = instant(each.last_scan) if each.last_scan is not None else None
    what = f"was last read at {when}" if when else f"was not read since {instant(since)}, when the counters began"
    return problem(
        "pg.index_unused",
        snapshot.in_database(place.name, each.sql_name),
        Severity.WARNING,
        f"The index {one_line(each.sql_name)} on {one_line(each.table)} ({format_size(each.bytes)}) {what}.",
        {**_index_item(place, each), "counting_since": instant(since)},
        "Make sure that no standby and no yearly job needs it, then:",
        f"DROP INDEX {how}{each.sql_name};",
    )


def _too_early(
    policy: Policy, subject: str, candidates: Sequence[IndexRow], since: float | None, age: float
) -> Problem:
    began = f"since {instant(since)} ({format_duration(age)})" if since is not None else "for an unknown time"
    return problem(
        "pg.index_usage_unknown",
        subject,
        Severity.UNKNOWN,
        f"{len(candidates)} large indexes have not been read, but reads are counted only {began}; it takes "
        f"{format_duration(policy.unused_index_period)} to tell.",
        {"candidates": [one_line(each.sql_name) for each in candidates[:10]], "counting_since": instant(since)},
    )


def _index_item(place: Place, each: IndexRow) -> dict[str, Any]:
    return {
        "database": place.name,
        "index": each.sql_name,
        "table": each.table,
        "bytes": each.bytes,
        "scans": each.scans,
        "last_scan": instant(each.last_scan),
    }


def duplicate_indexes(snapshot: Snapshot, place: Place, seen: tuple[int, tuple[Twin, ...]]) -> Verdict:
    count, twins = seen
    problems = [_twin(snapshot, place, each) for each in twins]
    # Only the first of one kind are told one by one, so that many of the other do not push them out.
    exact = [each for each in problems if each.finding.code == "pg.index_duplicate"]
    prefixes = [each for each in problems if each.finding.code != "pg.index_duplicate"]
    subject = place_subject(snapshot, place, "duplicate_indexes")
    return Verdict(
        count,
        1,
        tuple(_twin_item(place, each) for each in twins),
        told(exact + prefixes, subject, count),
        (metric(snapshot, "pg_duplicate_indexes", count, "count", database=place.name),),
    )


def _twin(snapshot: Snapshot, place: Place, each: Twin) -> Problem:
    name, table, keeper = one_line(each.sql_name), one_line(each.table), one_line(each.keeper)
    if each.constraint is not None:
        advice = f"Drop one of the two constraints, after a look at what refers to it ({keeper} holds the other):"
        sql = f"ALTER TABLE {each.table} DROP CONSTRAINT {each.constraint};"
    else:
        how = "" if each.partitioned else "CONCURRENTLY "
        advice, sql = f"{keeper} does its work:", f"DROP INDEX {how}{each.sql_name};"
    if each.exact:
        code, severity, what = "pg.index_duplicate", Severity.WARNING, "has the same keys as"
    else:
        code, severity, what = "pg.index_prefix", Severity.INFO, "has for its keys the first ones of"
    return problem(
        code,
        snapshot.in_database(place.name, each.sql_name),
        severity,
        f"The index {name} on {table} ({format_size(each.bytes)}, read {each.scans} times) {what} {keeper}.",
        _twin_item(place, each),
        advice,
        sql,
    )


def _twin_item(place: Place, each: Twin) -> dict[str, Any]:
    return {
        "database": place.name,
        "index": each.sql_name,
        "table": each.table,
        "keeper": each.keeper,
        "exact": each.exact,
        "bytes": each.bytes,
        "scans": each.scans,
    }


def invalid_indexes(snapshot: Snapshot, place: Place, seen: Sequence[Invalid]) -> Verdict:
    broken = [each for each in seen if not each.building]
    problems = [_invalid(snapshot, place, each) for each in broken]
    items = tuple(
        {
            "database": place.name,
            "index": each.sql_name,
            "table": each.table,
            "bytes": each.bytes,
            "leftover": each.leftover,
            "building": each.building,
        }
        for each in seen
    )
    found = told(problems, place_subject(snapshot, place, "invalid_indexes"))
    return Verdict(
        len(broken),
        1,
        items,
        found,
        (metric(snapshot, "pg_invalid_indexes", len(broken), "count", database=place.name),),
    )


def _invalid(snapshot: Snapshot, place: Place, each: Invalid) -> Problem:
    subject = snapshot.in_database(place.name, each.sql_name)
    name, table = one_line(each.sql_name), one_line(each.table)
    evidence = {"table": each.table, "bytes": each.bytes, "constraint": each.constraint, "leftover": each.leftover}
    if each.partitioned:
        return problem(
            "pg.index_incomplete",
            subject,
            Severity.WARNING,
            f"The index {name} on {table} is not valid: not every partition has its part.",
            evidence,
        )
    sql = f"REINDEX INDEX CONCURRENTLY {each.sql_name};"
    advice, what = "Rebuild it:", "building it was interrupted"
    if each.dying or (each.leftover and not each.constraint):
        # A superuser may drop the index of a TOAST table, but not CONCURRENTLY.
        sql = f"DROP INDEX {'' if each.toast else 'CONCURRENTLY '}{each.sql_name};"
        advice = "Drop what is left of it:"
        what = "dropping it was interrupted" if each.dying else "a REINDEX CONCURRENTLY has left it behind"
    return problem(
        "pg.index_invalid",
        subject,
        Severity.WARNING,
        f"The index {name} on {table} ({format_size(each.bytes)}) is not valid: {what}.",
        evidence,
        advice,
        sql,
    )


# --- sequences --------------------------------------------------------------------------------------------------------


def sequences(snapshot: Snapshot, policy: Policy, place: Place, seen: Sequences) -> Verdict:
    subject = place_subject(snapshot, place, "sequences")
    # One that begins anew at its end never comes to an end.
    ranked = sorted((each for each in seen.rows if not each.cycles), key=lambda each: (-each.share, each.sql_name))
    near = [each for each in ranked if policy.sequence.severity(each.share) > Severity.OK]
    found = told([_near_end(snapshot, policy, place, each) for each in near], subject)
    if seen.unreadable:
        why = f"{seen.unreadable} of {counted(seen.count, 'sequence')} may not be read by the role"
        found += (not_seen("sequences", subject, not_permitted("sequences", snapshot.user, why)),)
    if seen.locked:
        why = f"{seen.locked} of {counted(seen.count, 'sequence')} are locked by somebody who changes them"
        locked = problem("pg.health_locked", subject, Severity.UNKNOWN, f"Not seen: sequences; {why}.")
        found += (locked,)
    worst = round(ranked[0].share, 6) if ranked else 0.0
    return Verdict(
        worst,
        {"warning": policy.sequence.warning, "critical": policy.sequence.critical},
        tuple(_sequence_item(place, each) for each in near or ranked[:3]),
        found,
        (metric(snapshot, "pg_sequence_used_ratio", worst, "ratio", database=place.name),),
    )


def _near_end(snapshot: Snapshot, policy: Policy, place: Place, each: SequenceRow) -> Problem:
    fills = f", which fills {one_line(each.table)}.{one_line(each.column)}" if each.table and each.column else ""
    holder = f" ({each.column_type})" if fills and each.column_type else ""
    steps = []
    if each.table and each.column and each.column_type in ("int2", "int4"):
        steps.append(f"ALTER TABLE {each.table} ALTER COLUMN {each.column} TYPE bigint;")
    if each.data_type != "bigint":
        steps.append(f"ALTER SEQUENCE {each.sql_name} AS bigint;")
    advice = "Make room; to change the type of a column rewrites its table and locks it:"
    if not steps:
        advice = "Raise its limit, if what it fills can hold more:"
        steps.append(f"ALTER SEQUENCE {each.sql_name} NO MAXVALUE NO MINVALUE;")
    return problem(
        "pg.sequence_near_end",
        snapshot.in_database(place.name, each.sql_name),
        policy.sequence.severity(each.share),
        f"The sequence {one_line(each.sql_name)}{fills}{holder} is at {each.last_value} of {each.limit}, "
        f"{percent(each.share)} are used ({percents(policy.sequence)}).",
        _sequence_item(place, each),
        advice,
        " ".join(steps),
    )


def _sequence_item(place: Place, each: SequenceRow) -> dict[str, Any]:
    return {
        "database": place.name,
        "sequence": each.sql_name,
        "type": each.data_type,
        "last_value": each.last_value,
        "limit": each.limit,
        "share": round(each.share, 6),
        "table": each.table,
        "column": each.column,
        "column_type": each.column_type,
    }


# --- large objects ----------------------------------------------------------------------------------------------------


def large_objects(snapshot: Snapshot, place: Place, seen: LargeObjects) -> Verdict:
    subject = place_subject(snapshot, place, "large_objects")
    if seen.orphans is None:
        if seen.hidden:
            names = ", ".join(map(one_line, seen.hidden[:5]))
            hidden = counted(len(seen.hidden), "table")
            why = f"{hidden} with columns of the type oid may not be read by the role: {names}"
            unseen = not_seen("large_objects", subject, not_permitted("large_objects", snapshot.user, why))
        else:
            unseen = problem(
                "pg.health_unreadable",
                subject,
                Severity.UNKNOWN,
                f"Not seen: large_objects; {seen.columns} columns of the type oid are too many for a quick look.",
                {"columns": seen.columns},
                "Look with pg_large_object.",
            )
        return Verdict(problems=(unseen,))
    problems: tuple[Problem, ...] = ()
    if seen.orphans:
        evidence = {"orphans": seen.orphans, "large_objects": seen.count, "columns_searched": seen.columns}
        problems = (
            problem(
                "pg.large_objects_orphaned",
                subject,
                Severity.WARNING,
                f"{seen.orphans} of {seen.count} large objects are named by none of the {seen.columns} columns of the "
                "type oid or lo; a number or a text may name them nevertheless.",
                evidence,
            ),
        )
    item = {"database": place.name, "large_objects": seen.count, "orphans": seen.orphans}
    found = (metric(snapshot, "pg_large_objects_orphaned", seen.orphans, "count", database=place.name),)
    return Verdict(seen.orphans, 1, (item,) if seen.count else (), problems, found)


# --- what autovacuum owes ---------------------------------------------------------------------------------------------


def last_vacuum(snapshot: Snapshot, policy: Policy, place: Place, seen: Tables) -> Verdict:
    problems = [_overdue(snapshot, policy, place, each) for each in seen.overdue]
    items = tuple(
        {
            "database": place.name,
            "table": each.sql_name,
            "live": each.live,
            "dead": each.dead,
            "modified": each.modified,
            "last_vacuum": instant(each.last_vacuum),
            "last_analyze": instant(each.last_analyze),
        }
        for each in seen.overdue
    )
    return Verdict(
        seen.overdue_count,
        policy.vacuum_overdue,
        items,
        told(problems, place_subject(snapshot, place, "last_vacuum"), seen.overdue_count),
        (metric(snapshot, "pg_tables_overdue", seen.overdue_count, "count", database=place.name),),
    )


def _overdue(snapshot: Snapshot, policy: Policy, place: Place, each: TableRow) -> Problem:
    owed = []
    if each.vacuum_due:
        owed.append(f"{each.dead} dead rows and was {_last(snapshot, 'vacuumed', each.last_vacuum)}")
    if each.analyze_due:
        owed.append(
            f"{each.modified} rows changed since ANALYZE and was {_last(snapshot, 'analysed', each.last_analyze)}"
        )
    what = "VACUUM (ANALYZE)" if each.vacuum_due else "ANALYZE"
    return problem(
        "pg.vacuum_overdue",
        snapshot.in_database(place.name, each.sql_name),
        Severity.WARNING,
        f"The table {one_line(each.sql_name)} has {' and '.join(owed)}; autovacuum should have come (limit "
        f"{format_duration(policy.vacuum_overdue)}).",
        {"live": each.live, "dead": each.dead, "modified": each.modified},
        "Find out why autovacuum does not come, and:",
        f"{what} {each.sql_name};",
    )


def _last(snapshot: Snapshot, done: str, at: float | None) -> str:
    if at is None:
        return f"never {done}"
    return f"{done} {format_duration(max(0.0, snapshot.now - at))} ago"


def autovacuum_off(snapshot: Snapshot, place: Place, seen: Tables) -> Verdict:
    if not seen.off_count:
        return Verdict(0)
    names = [str(each["sql_name"]) for each in seen.off]
    shown = ", ".join(map(one_line, names[:5]))
    more = f" and {seen.off_count - 5} more" if seen.off_count > 5 else ""
    found = problem(
        "pg.autovacuum_table_off",
        place_subject(snapshot, place, "autovacuum"),
        Severity.WARNING,
        f"Autovacuum is off for {counted(seen.off_count, 'table')}: {shown}{more}.",
        {"tables": seen.off_count, "names": names[:10]},
        "Turn it on again, or see to them with pg_vacuum:",
        " ".join(f"ALTER TABLE {name} RESET (autovacuum_enabled);" for name in names[:5]),
    )
    items = tuple({"database": place.name, "table": each["sql_name"], "rows": each["rows"]} for each in seen.off)
    return Verdict(seen.off_count, None, items, (found,))


# --- sizes ------------------------------------------------------------------------------------------------------------


def table_sizes(place: Place, seen: Sequence[Sized]) -> list[Mapping[str, Any]]:
    """Return the largest tables, for the report."""
    return [
        {
            "database": place.name,
            "table": each.sql_name,
            "rows": each.rows,
            "bytes": each.total_bytes,
            "heap_bytes": each.heap_bytes,
            "index_bytes": each.index_bytes,
            "toast_bytes": each.toast_bytes,
            "exact": each.exact,
        }
        for each in seen
    ]
