# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the server as a whole: cache, age, statements, temporary files, checksums, settings, sizes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    DatabaseRow,
    Policy,
    Problem,
    Snapshot,
    Statement,
    Statements,
    Unseen,
    Verdict,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.text import shown
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.unseen import not_permitted
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import (
    metric,
    not_seen,
    percent,
    percents,
    problem,
    told,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import instant, quote_name

# So far apart may two transactions be; the server stops a little earlier.
WRAPAROUND_DISTANCE = 2**31
DAY = 86400.0
# What a role may not see of a statement of another.
HIDDEN_TEXT = "<insufficient privilege>"


def cache_hit(snapshot: Snapshot, policy: Policy) -> Verdict:
    hits, reads = sum(row.hits for row in snapshot.databases), sum(row.reads for row in snapshot.databases)
    threshold = {"warning": policy.cache_hit.warning, "critical": policy.cache_hit.critical}
    subject = snapshot.subject("cache_hit")
    if hits + reads < policy.cache_hit_min_blocks:
        few = problem(
            "pg.cache_hit_unknown",
            subject,
            Severity.UNKNOWN,
            f"Only {hits + reads} blocks were read since the counters began, fewer than the "
            f"{policy.cache_hit_min_blocks} that it takes to judge the cache.",
            {"hits": hits, "reads": reads},
        )
        return Verdict(None, threshold, problems=(few,))
    ratio = hits / max(hits + reads, 1)
    found = [metric(snapshot, "pg_cache_hit_ratio", round(ratio, 5), "ratio")]
    severity = Severity.OK
    if ratio < policy.cache_hit.warning:
        severity = Severity.CRITICAL if ratio < policy.cache_hit.critical else Severity.WARNING
    worst = sorted(snapshot.databases, key=lambda row: -row.reads)[:5]
    items = tuple(
        {"database": row.name, "ratio": round(row.hits / (row.hits + row.reads), 5), "reads": row.reads}
        for row in worst
        if row.hits + row.reads
    )
    problems: tuple[Problem, ...] = ()
    if severity > Severity.OK:
        problems = (
            problem(
                "pg.cache_hit_low",
                subject,
                severity,
                f"{percent(ratio)} of the blocks were in the server's cache (warning below "
                f"{policy.cache_hit.warning * 100:g} %, critical below {policy.cache_hit.critical * 100:g} %).",
                {"hits": hits, "reads": reads, "databases": list(items)},
            ),
        )
    return Verdict(round(ratio, 5), threshold, items, problems, tuple(found))


# --- age --------------------------------------------------------------------------------------------------------------


def wraparound(snapshot: Snapshot, policy: Policy) -> Verdict:
    """Judge each database by the older of its two counters, that of transactions and that of multixacts."""
    problems, items, found = [], [], []
    for row in sorted(snapshot.databases, key=lambda row: -max(row.frozen_age, row.multixact_age)):
        share = max(row.frozen_age, row.multixact_age) / WRAPAROUND_DISTANCE
        items.append(
            {"database": row.name, "xid_age": row.frozen_age, "mxid_age": row.multixact_age, "share": round(share, 4)}
        )
        found.append(metric(snapshot, "pg_xid_age", row.frozen_age, "count", database=row.name))
        found.append(metric(snapshot, "pg_mxid_age", row.multixact_age, "count", database=row.name))
        severity = policy.wraparound.severity(share)
        if severity > Severity.OK:
            problems.append(_old_database(snapshot, policy, row, share, severity))
    worst = items[0]["share"] if items else None
    threshold = {"warning": policy.wraparound.warning, "critical": policy.wraparound.critical}
    return Verdict(worst, threshold, tuple(items), told(problems, snapshot.subject("wraparound")), tuple(found))


def _old_database(snapshot: Snapshot, policy: Policy, row: DatabaseRow, share: float, severity: Severity) -> Problem:
    kind, age = ("transactions", row.frozen_age)
    if row.multixact_age > row.frozen_age:
        kind, age = "multixacts", row.multixact_age
    oldest = _oldest_tables(snapshot, row.name)
    quoted = one_line(quote_name(row.name))
    advice, sql = _freezing(row, oldest)
    return problem(
        "pg.wraparound",
        snapshot.subject(quote_name(row.name)),
        severity,
        f"The database {quoted} is {age} {kind} old, {percent(share)} of the way to the wraparound "
        f"({percents(policy.wraparound)}).",
        {"xid_age": row.frozen_age, "mxid_age": row.multixact_age, "distance": WRAPAROUND_DISTANCE, "oldest": oldest},
        advice,
        sql,
    )


def _freezing(row: DatabaseRow, oldest: list[Mapping[str, Any]]) -> tuple[str, str]:
    """Return what makes a database younger, and the statement to begin with."""
    quoted = quote_name(row.name)
    first = "Remove what holds old rows first (xmin_holders)"
    if not row.accepts_connections:
        advice = f"{first}; then autovacuum does it by itself. Else let somebody in for a VACUUM (FREEZE):"
        return advice, f"ALTER DATABASE {quoted} ALLOW_CONNECTIONS true;"
    advice = f"{first}, then freeze {one_line(quoted)} (pg_vacuum in the mode freeze), there beginning with:"
    if oldest:
        tables = ", ".join(each["sql_name"] for each in oldest)
        return advice, f"VACUUM (FREEZE, VERBOSE) {tables};"
    return advice, (
        "SELECT oid::regclass, age(relfrozenxid), mxid_age(relminmxid) FROM pg_class WHERE relkind IN ('r', 'm', 't') "
        "ORDER BY greatest(age(relfrozenxid), mxid_age(relminmxid)) DESC LIMIT 20;"
    )


def _oldest_tables(snapshot: Snapshot, database: str) -> list[Mapping[str, Any]]:
    for place in snapshot.places:
        found = place.parts.get("wraparound")
        if place.name == database and isinstance(found, tuple):
            return list(found)
    return []


# --- statements -------------------------------------------------------------------------------------------------------


def slow_queries(snapshot: Snapshot, policy: Policy, seen: Statements) -> Verdict:
    subject = snapshot.subject("slow_queries")
    problems = [_slow(snapshot, policy, each, seen.total) for each in seen.slow]
    found = told(problems, subject, seen.slow_count)
    if any(each.text == HIDDEN_TEXT for each in (*seen.slow, *seen.top)):
        why = "statements of others are not shown to the role, only how long they take"
        found += (not_seen("slow_queries", subject, not_permitted("slow_queries", snapshot.user, why)),)
    listed = {(each.queryid, each.database, each.user, each.text): each for each in (*seen.slow, *seen.top)}
    return Verdict(
        seen.slow_count,
        policy.slow_query,
        tuple(_statement(each, seen.total) for each in listed.values()),
        found,
        (metric(snapshot, "pg_slow_statements", seen.slow_count, "count"),),
    )


def _slow(snapshot: Snapshot, policy: Policy, each: Statement, total: float) -> Problem:
    number = each.queryid if each.queryid is not None else "hidden"
    return problem(
        "pg.slow_query",
        snapshot.subject(quote_name(each.database), f"query {number}"),
        Severity.WARNING,
        f"A statement takes {format_duration(each.mean)} on average, {format_duration(each.longest)} at the most, in "
        f"{each.calls} calls (limit {format_duration(policy.slow_query)}): {statement_text(each)}",
        _statement(each, total),
    )


def statement_text(each: Statement) -> str:
    return "(hidden from the role)" if each.text == HIDDEN_TEXT else shown(each.text)


def _statement(each: Statement, total: float) -> dict[str, Any]:
    return {
        "query": statement_text(each),
        # A text: JSON readers take so long a number for one with a fraction.
        "queryid": None if each.queryid is None else str(each.queryid),
        "database": each.database,
        "user": each.user,
        "calls": each.calls,
        "mean_seconds": round(each.mean, 4),
        "longest_seconds": round(each.longest, 4),
        "total_seconds": round(each.total, 3),
        "share": round(each.total / total, 4) if total else 0.0,
        "rows": each.rows,
    }


# --- temporary files, checksums ---------------------------------------------------------------------------------------


def temp_files(snapshot: Snapshot, policy: Policy) -> Verdict:
    """Judge what was written a day since the counters began; within the first day, what was written at all."""
    problems, items, found = [], [], []
    for row in sorted(snapshot.databases, key=lambda row: -row.temp_bytes):
        began = snapshot.facts.counting_since(row)
        days = max((snapshot.now - began) / DAY, 1.0) if began else 1.0
        daily = row.temp_bytes / days
        if row.temp_files:
            items.append(
                {"database": row.name, "files": row.temp_files, "bytes": row.temp_bytes, "bytes_per_day": round(daily)}
            )
        found.append(metric(snapshot, "pg_temp_bytes", row.temp_bytes, "bytes", database=row.name))
        if row.temp_bytes and daily >= policy.temp_files:
            problems.append(
                problem(
                    "pg.temp_files_high",
                    snapshot.subject(quote_name(row.name)),
                    Severity.WARNING,
                    f"Queries in {one_line(quote_name(row.name))} write {format_size(daily)} a day to temporary files "
                    f"(limit {format_size(policy.temp_files)}); {row.temp_files} files since "
                    f"{instant(began) or 'the counters began'}.",
                    {**items[-1], "since": instant(began)},
                )
            )
    return Verdict(
        sum(row.temp_bytes for row in snapshot.databases),
        {"bytes_per_day": policy.temp_files},
        tuple(items),
        told(problems, snapshot.subject("temp_files")),
        tuple(found),
    )


def checksums(snapshot: Snapshot, seen: Mapping[str, Any]) -> Verdict:
    places = [(row.name, row.checksum_failures or 0, row.checksum_last_failure) for row in snapshot.databases]
    places.append(("", seen.get("failures") or 0, seen.get("last")))
    failed = [(name, count, last) for name, count, last in places if count]
    problems = []
    for name, count, last in failed:
        where = one_line(quote_name(name)) if name else "the catalogs that all databases share"
        problems.append(
            problem(
                "pg.checksum_failed",
                snapshot.subject(quote_name(name) if name else "shared catalogs"),
                Severity.CRITICAL,
                f"{count} pages of {where} were read with a wrong checksum, the last one at "
                f"{instant(last) or 'an unknown time'}.",
                {"failures": count, "last_failure": instant(last)},
            )
        )
    if not snapshot.facts.is_on("data_checksums"):
        problems.append(
            problem(
                "pg.checksums_off",
                snapshot.subject("checksums"),
                Severity.INFO,
                "Pages have no checksums: damage by the storage goes unnoticed.",
                {"data_checksums": snapshot.facts.settings.get("data_checksums")},
            )
        )
    total = sum(count for _name, count, _last in failed)
    items = tuple({"database": name, "failures": count, "last": instant(last)} for name, count, last in failed)
    found = (metric(snapshot, "pg_checksum_failures", total, "count"),)
    return Verdict(total, 1, items, tuple(problems), found)


# --- settings ---------------------------------------------------------------------------------------------------------

_RELOAD = "SELECT pg_reload_conf();"


def settings(snapshot: Snapshot) -> Verdict:
    """Judge the settings with which VACUUM is of no use, or data is at risk."""
    problems = [
        problem(
            "pg.setting_harmful",
            snapshot.subject(f"setting {name}"),
            Severity.WARNING,
            f"{name} is {snapshot.facts.settings.get(name)}: {why}.",
            {"setting": name, "value": snapshot.facts.settings.get(name)},
            "Set it back (settings that need a restart wait for it):",
            f"ALTER SYSTEM RESET {name}; {_RELOAD}",
        )
        for name, why in harmful(snapshot)
    ]
    items = tuple(dict(each.finding.evidence) for each in problems)
    return Verdict(len(problems), 1, items, tuple(problems))


def harmful(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the names of harmful settings, with the reason."""
    facts = snapshot.facts

    def at_least(name: str, limit: float) -> bool:
        value = facts.number(name)
        return value is not None and value >= limit

    cost = facts.number("autovacuum_vacuum_cost_limit") or -1
    cost = facts.number("vacuum_cost_limit") or 200 if cost < 0 else cost
    delay = facts.number("autovacuum_vacuum_cost_delay") or 0
    checks = (
        ("track_counts", facts.settings.get("track_counts") == "off", "autovacuum cannot know what to do"),
        ("autovacuum_naptime", at_least("autovacuum_naptime", 3600), "autovacuum looks up once in an hour or less"),
        (
            "autovacuum_vacuum_scale_factor",
            at_least("autovacuum_vacuum_scale_factor", 0.5),
            "half of a table and more is dead before autovacuum comes",
        ),
        (
            "autovacuum_vacuum_threshold",
            at_least("autovacuum_vacuum_threshold", 1_000_000),
            "small tables are never vacuumed",
        ),
        (
            "autovacuum_analyze_scale_factor",
            at_least("autovacuum_analyze_scale_factor", 0.5),
            "statistics are stale for half of the life of a table",
        ),
        (
            "autovacuum_freeze_max_age",
            at_least("autovacuum_freeze_max_age", 1_500_000_000),
            "an emergency begins when it is nearly too late",
        ),
        # A page that has to be read costs 2 (vacuum_cost_page_miss).
        (
            "autovacuum_vacuum_cost_delay",
            delay > 0 and cost * 1000 / delay / 2 <= 1000,
            "autovacuum reads at most 1000 pages (8 MiB) a second, and may not keep up",
        ),
        (
            "vacuum_defer_cleanup_age",
            at_least("vacuum_defer_cleanup_age", 1),
            "dead rows are kept for so many transactions",
        ),
        ("old_snapshot_threshold", at_least("old_snapshot_threshold", 0), "it slows everything down, and was removed"),
        ("fsync", facts.settings.get("fsync") == "off", "a crash of the machine destroys the data"),
        (
            "full_page_writes",
            facts.settings.get("full_page_writes") == "off",
            "a crash of the machine may leave pages written by half",
        ),
        ("zero_damaged_pages", facts.is_on("zero_damaged_pages"), "damaged pages are emptied when they are read"),
        ("ignore_checksum_failure", facts.is_on("ignore_checksum_failure"), "damaged pages are used as they are"),
    )
    return [(name, why) for name, bad, why in checks if bad]


# --- sizes ------------------------------------------------------------------------------------------------------------


def sizes(snapshot: Snapshot, seen: Mapping[str, int | None]) -> Verdict:
    known = {name: size for name, size in seen.items() if size is not None}
    found = tuple(metric(snapshot, "pg_database_size", size, "bytes", database=name) for name, size in known.items())
    items = tuple({"database": name, "bytes": size} for name, size in seen.items())
    problems: tuple[Problem, ...] = ()
    if len(known) < len(seen):
        hidden = [name for name, size in seen.items() if size is None]
        names = ", ".join(one_line(quote_name(name)) for name in hidden[:5])
        unseen: Unseen = not_permitted("sizes", snapshot.user, f"the size of {names} is not shown to the role")
        problems = (not_seen("sizes", snapshot.subject("sizes"), unseen),)
    return Verdict(sum(known.values()), None, items, problems, found)
