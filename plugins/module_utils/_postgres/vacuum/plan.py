# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which tables need work, why, in which order, and by which statements. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import is_exact, matches
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    MODE_ACTIONS,
    VACUUM,
    Counters,
    Plan,
    Policy,
    Reason,
    RunOptions,
    Skip,
    Snapshot,
    Statement,
    Step,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import (
    takes_partitions,
    work_statement,
)

# pg_statistic itself: ANALYZE leaves it out without a word.
STATISTICS_CATALOG = 2619
# Expressions of indexes have statistics too, which nobody has counted.
REPLACED_MARGIN = 1.25
LARGEST_BATCH = 50
# One batch is what a time limit waits for: as many pages as this many of the largest tables that go into one.
BATCH_WEIGHT = 16
_LACKING = {
    "all": "it has rows and no statistics",
    "columns": "a column has no statistics",
    "inherited": "it has no statistics over its children",
    "expressions": "an expression of an index has no statistics",
    "extended": "a statistics object (CREATE STATISTICS) has no data",
}
# The rank of the first reason that applies; 1 and 2 are kept for the age of transactions.
_RANKS = (("dead", 3), ("missing_stats", 4), ("stats", 5), ("always", 5))


@dataclass
class Below:
    """The sums over the partitions or children of one table. ``modified`` leaves out those that we may not analyse."""

    live: int = 0
    modified: int = 0
    foreign: bool = False


_NOTHING_BELOW = Below()


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
    """Return what to do, in order of use, and for every other considered table why nothing is done.

    *now* is the server's clock when the snapshot was taken.
    """
    tables = list(considered(snapshot.tables, policy))
    below = _sum_below(snapshot.tables, {table.oid for table in tables if table.permitted})
    steps, skipped, healthy = [], [], []
    for table in tables:
        part = below.get(table.oid, _NOTHING_BELOW)
        why = _not_a_candidate(table, part)
        if why:
            skipped.append(Skip(table, why))
            continue
        if not snapshot.counts:
            skipped.append(Skip(table, "counters_off"))
            continue
        reasons = _reasons(table, policy, part)
        due = [reason for reason in reasons if not _is_recent(reason, table, policy, now)]
        if not reasons:
            healthy.append(table)
        elif not due:
            skipped.append(Skip(table, "recent", tuple(reasons)))
        elif not table.permitted:
            skipped.append(Skip(table, "permission_catalog" if table.catalog else "permission", tuple(due)))
        else:
            steps.append(Step(table, _actions(table, policy, due), tuple(due)))
    steps += _of_partitions(steps, healthy, snapshot)
    chosen = {step.table.oid for step in steps}
    healthy = [table for table in healthy if table.oid not in chosen]
    return _with_statistics(Plan(tuple(sorted(steps, key=_order)), tuple(skipped), tuple(healthy)), policy)


def _of_partitions(steps: Iterable[Step], healthy: Iterable[Table], snapshot: Snapshot) -> list[Step]:
    """Return steps for the partitions with changes below a partitioned table that is analysed.

    Their changes are the reason for which it is: only their own ANALYZE sets the count back.
    """
    parents = {table.oid: table.parent for table in snapshot.tables}
    analysed = {step.table.oid: step.table for step in steps if step.table.partitioned}
    found = []
    for table in healthy:
        above = table.parent
        while above and above not in analysed:
            above = parents.get(above, 0)
        if above and table.counters.modified and table.permitted and not table.partitioned:
            text = f"{table.counters.modified} rows changed since ANALYZE, which count for {analysed[above].title}"
            found.append(Step(table, (ANALYZE,), (Reason("stats", text),)))
    return found


def _with_statistics(plan_: Plan, policy: Policy) -> Plan:
    """Add the catalog of statistics, when so many of its rows will be replaced that the next run would vacuum it."""
    statistics = next((table for table in plan_.healthy if table.oid == STATISTICS_CATALOG), None)
    if statistics is None or not statistics.permitted or VACUUM not in MODE_ACTIONS[policy.mode]:
        return plan_
    replaced = sum(step.table.columns for step in plan_.steps if ANALYZE in step.actions and step.table.lacks != "all")
    counters = replace(statistics.counters, dead=round((statistics.counters.dead + replaced) * REPLACED_MARGIN))
    if not replaced or not dead_reasons(counters, policy):
        return plan_
    reason = Reason("dead", f"about {replaced} of its {statistics.counters.live} rows are replaced by this run")
    return Plan(
        (*plan_.steps, Step(statistics, (VACUUM,), (reason,))),
        plan_.skipped,
        tuple(table for table in plan_.healthy if table is not statistics),
    )


# --- which tables


def considered(tables: Sequence[Table], policy: Policy) -> Iterator[Table]:
    """Yield the tables that the filters leave. A partition belongs to ``tables`` when its partitioned table does."""
    chosen: set[int] = set()
    by_oid = {table.oid: table for table in tables} if policy.tables else {}
    for table in tables:
        if policy.tables and _named(table, policy.tables):
            chosen.add(table.oid)
    for table in tables:
        if table.catalog and not policy.include_catalogs:
            continue
        if policy.schemas and not matches(table.schema, policy.schemas):
            continue
        if policy.tables and not any(one.oid in chosen for one in _line_of(table, by_oid)):
            continue
        if matches(table.schema, policy.exclude_schemas) or _named(table, policy.exclude_tables):
            continue
        yield table


def unknown_names(snapshots: Iterable[Snapshot], policy: Policy) -> list[str]:
    """Return the schemas and tables of *policy* that are named exactly and are in none of the databases."""
    tables = [table for snapshot in snapshots for table in snapshot.tables]
    schemas = {table.schema for table in tables}
    names = {table.name for table in tables} | {f"{table.schema}.{table.name}" for table in tables}
    unknown = [f"schema {schema}" for schema in policy.schemas if is_exact(schema) and schema not in schemas]
    return unknown + [f"table {name}" for name in policy.tables if is_exact(name) and name not in names]


def _named(table: Table, patterns: Iterable[str]) -> bool:
    return matches(table.name, patterns) or matches(f"{table.schema}.{table.name}", patterns)


def _line_of(table: Table, by_oid: dict[int, Table]) -> Iterator[Table]:
    """Yield the table and the partitioned tables above it."""
    yield table
    above = by_oid.get(table.parent)
    while above is not None and above.partitioned:
        yield above
        above = by_oid.get(above.parent)


def _sum_below(tables: Sequence[Table], reachable: set[int]) -> dict[int, Below]:
    parents = {table.oid: table.parent for table in tables if table.parent}
    sums: dict[int, Below] = {}
    for table in tables:
        above = 0 if table.partitioned or table.temporary else table.parent
        while above:
            part = sums.setdefault(above, Below())
            part.live += round(table.rows) if _is_uncounted(table) else table.counters.live
            part.modified += table.counters.modified if table.oid in reachable else 0
            part.foreign = part.foreign or table.kind == "f"
            above = parents.get(above, 0)
    return sums


# --- what they need


def _not_a_candidate(table: Table, part: Below) -> str:
    # ANALYZE of a partitioned table would fetch a sample of every foreign partition.
    if table.kind == "f" or (table.partitioned and part.foreign):
        return "foreign"
    return "temporary" if table.temporary else ""


def _reasons(table: Table, policy: Policy, part: Below) -> list[Reason]:
    able = _able(table, policy)
    if policy.always:
        return [Reason("always", "asked for")] if able else []
    reasons = []
    if VACUUM in able:
        reasons += dead_reasons(table.counters, policy)
    if ANALYZE in able:
        missing = _missing(table, policy, part)
        reasons += missing or _stale(table, policy, part)
    return reasons


def _able(table: Table, policy: Policy) -> list[str]:
    """Return the actions of the mode that this table can be given."""
    return [
        action
        for action in MODE_ACTIONS[policy.mode]
        if not (action == VACUUM and table.partitioned) and not (action == ANALYZE and table.oid == STATISTICS_CATALOG)
    ]


def _actions(table: Table, policy: Policy, due: Sequence[Reason]) -> tuple[str, ...]:
    able = _able(table, policy)
    if any(reason.code in ("dead", "always") for reason in due):
        return tuple(able)
    return tuple(action for action in able if action == ANALYZE)


def dead_reasons(counters: Counters, policy: Policy) -> list[Reason]:
    """Return why a table with these counters needs a VACUUM: itself, or its TOAST table."""
    reasons = []
    for dead, live, what in (
        (counters.dead, counters.live, "rows"),
        (counters.toast_dead, counters.toast_live, "rows of its TOAST table"),
    ):
        share = dead / (dead + live) if dead > 0 else 0.0
        if dead >= max(policy.dead_min, 1) and share >= policy.dead_ratio:
            limits = f"{policy.dead_min} and {policy.dead_ratio:.4g}"
            reasons.append(
                Reason("dead", f"{dead} of {dead + live} {what} are dead, a share of {share:.3f} (limits {limits})")
            )
    return reasons


def _missing(table: Table, policy: Policy, part: Below) -> list[Reason]:
    # The server's own catalogs never get statistics for what they did not hold when the database was made.
    if not policy.missing_stats or not table.lacks or table.catalog:
        return []
    if max(table.counters.live, table.rows, part.live) <= 0:
        return []
    analysed = table.counters.analyzed_at is not None
    # A partitioned table's own counter of changes stays at 0, but it was empty when it was analysed.
    filled = table.counters.modified > 0 or (table.partitioned and table.rows <= 0)
    if table.lacks == "all" and analysed and not filled:
        return []
    return [Reason("missing_stats", _LACKING[table.lacks])]


def _stale(table: Table, policy: Policy, part: Below) -> list[Reason]:
    if _is_uncounted(table):
        return [Reason("stats", "the server has lost its counts (a crash or a reset), and ANALYZE restores them")]
    changed, of = table.counters.modified, float(table.counters.live)
    text = "rows changed since ANALYZE"
    if table.partitioned:
        changed, of, text = part.modified, float(part.live), "rows of its partitions changed since ANALYZE"
        # Partitions that were analysed on their own have forgotten their changes; the number of their rows has not.
        grown = round(abs(part.live - table.rows))
        if table.rows >= 0 and grown > changed:
            changed, of, text = grown, table.rows, "rows more or fewer in its partitions than at its last ANALYZE"
    if changed < max(policy.mod_min, 1) or changed < policy.mod_ratio * of:
        return []
    return [Reason("stats", f"{changed} {text} (limits {policy.mod_min} and {policy.mod_ratio:.4g} of {of:.0f})")]


def _is_uncounted(table: Table) -> bool:
    """Whether a table that was vacuumed or analysed once has no counts at all. A new catalog has none either."""
    counters = table.counters
    counted = counters.live or counters.dead or counters.modified or counters.vacuumed_at or counters.analyzed_at
    return not counted and table.rows > 0 and not table.partitioned and not table.catalog


def _is_recent(reason: Reason, table: Table, policy: Policy, now: datetime) -> bool:
    if policy.recent is None:
        return False
    only_analyze = reason.code in ("stats", "missing_stats") or VACUUM not in _able(table, policy)
    at = table.counters.analyzed_at if only_analyze else table.counters.vacuumed_at
    return at is not None and now.timestamp() - at < policy.recent


def rank(reasons: Sequence[Reason]) -> int:
    """Return how urgent the reasons are: 3 dead rows, 4 missing statistics, 5 stale ones."""
    codes = {reason.code for reason in reasons}
    return next(number for code, number in _RANKS if code in codes)


def _order(step: Step) -> tuple[int, float, int, str]:
    """Most reclaimable first: a time limit then cuts off what matters least, and the tail of the run is short."""
    counters = step.table.counters
    share = counters.dead / max(1, counters.dead + counters.live)
    return rank(step.reasons), -share * step.table.pages, -step.table.pages, step.table.sql_name


def worked_on(counters: Counters, actions: Iterable[str], at: float) -> Counters:
    """Return what *counters* become when *actions* are done at the moment *at* and nobody else writes."""
    if VACUUM in actions:
        counters = replace(counters, dead=0, toast_dead=0, vacuums=counters.vacuums + 1, vacuumed_at=at)
    if ANALYZE in actions:
        counters = replace(counters, modified=0, analyzes=counters.analyzes + 1, analyzed_at=at)
    return counters


# --- by which statements


def statements(
    steps: Sequence[Step], snapshot: Snapshot, options: RunOptions
) -> tuple[list[Statement], list[Statement], list[Statement]]:
    """Return the statements for *steps* in three phases; those of one phase may run side by side.

    First most of them. Then partitioned tables: before 18 an ANALYZE of one takes all its partitions along and locks
    them, so it comes when nothing else runs there, and partitions that only wait for their ANALYZE need no statement of
    their own. Last the catalog of statistics, which all the others write to.
    """
    version = snapshot.version
    parents = {table.oid: table.parent for table in snapshot.tables}
    covering = {step.table.oid for step in steps if takes_partitions(step.table, version)}
    covered: dict[int, list[Step]] = {oid: [] for oid in covering}
    alone, tops, last = [], [], []
    for step in steps:
        if step.table.oid == STATISTICS_CATALOG:
            last.append(_statement([step], version, options))
            continue
        top = _topmost(step.table.oid, covering, parents)
        if not top or ANALYZE not in step.actions:
            alone.append(step)
        elif top == step.table.oid:
            tops.append(step)
        else:
            covered[top].append(step)
            if VACUUM in step.actions:
                alone.append(replace(step, actions=(VACUUM,)))
    first = [_statement(members, version, options) for members in _batches(alone, options)]
    then = []
    for step in tops:
        text = work_statement(step.actions, [step.table], version, skip_locked=False)
        then.append(Statement(text, (step,), False, tuple(covered[step.table.oid])))
    return first, then, last


def _topmost(oid: int, covering: set[int], parents: dict[int, int]) -> int:
    """Return the highest of *covering* that *oid* is, or is below of; 0 for none."""
    found = 0
    while oid:
        if oid in covering:
            found = oid
        oid = parents.get(oid, 0)
    return found


def _statement(members: Sequence[Step], version: int, options: RunOptions) -> Statement:
    skips = len(members) > 1 or options.lock_retries == 0
    tables = [step.table for step in members]
    return Statement(work_statement(members[0].actions, tables, version, skips), tuple(members), skips)


def _batches(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    """Yield what goes into one statement each: big tables alone, then small ones together, by rank and kind of work."""
    for _rank, group in groupby(steps, key=lambda step: rank(step.reasons)):
        small: dict[tuple[str, ...], list[Step]] = {}
        for step in group:
            if step.table.partitioned or step.table.pages > options.batch_pages:
                yield [step]
            else:
                small.setdefault(step.actions, []).append(step)
        for members in small.values():
            yield from _chunks(members, options)


def _chunks(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    # At least two batches for each connection, so that all have work until near the end.
    most = min(LARGEST_BATCH, -(-len(steps) // (2 * options.jobs)))
    room = options.batch_pages * BATCH_WEIGHT
    chunk: list[Step] = []
    pages = 0
    for step in steps:
        if chunk and (len(chunk) >= most or pages + step.table.pages > room):
            yield chunk
            chunk, pages = [], 0
        chunk.append(step)
        pages += step.table.pages
    if chunk:
        yield chunk
