# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which tables are worked on and in which order, and why each other one is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import is_exact, matches
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    EMERGENCY,
    FREEZE,
    VACUUM,
    Counters,
    Plan,
    Policy,
    Reason,
    Skip,
    Snapshot,
    Step,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import (
    NOTHING_BELOW,
    OLDEST_FIRST,
    STATISTICS_CATALOG,
    Below,
    age,
    age_reasons,
    dead_reasons,
    further_reasons,
    heeds_rows,
    is_recent,
    is_uncounted,
    possible,
    rank,
    row_reasons,
    work_for,
)

# Expressions of indexes have statistics too, which nobody has counted.
REPLACED_MARGIN = 1.25


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
    """Return what to do, in order of use, and for every other considered table why nothing is done.

    *now* is the server's clock when the snapshot was taken.
    """
    tables = list(considered(snapshot.tables, policy))
    reachable = {table.oid for table in tables if table.permitted and not _is_in_hands(table, policy)}
    below = _sum_below(snapshot.tables, reachable)
    steps: list[Step] = []
    skipped: list[Skip] = []
    healthy: list[Table] = []
    for table in tables:
        part = below.get(table.oid, NOTHING_BELOW)
        aged = [] if table.partitioned else age_reasons(table.counters, policy)
        if table.shared and snapshot.again and not aged:
            continue  # the database before has it in its plan
        judged = _judge(table, part, aged, snapshot, policy, now)
        if isinstance(judged, Step):
            steps.append(judged)
        elif isinstance(judged, Skip):
            skipped.append(judged)
        else:
            healthy.append(table)
    steps = _with_partitions(steps, healthy, snapshot)
    chosen = {step.table.oid for step in steps}
    healthy = [table for table in healthy if table.oid not in chosen]
    return _with_statistics(Plan(tuple(sorted(steps, key=_order)), tuple(skipped), tuple(healthy)), policy)


def _judge(
    table: Table, part: Below, aged: list[Reason], snapshot: Snapshot, policy: Policy, now: datetime
) -> Step | Skip | None:
    """Return the work on one table, or why there is none though it needs some; None when it needs none."""
    why = _not_a_candidate(table, part)
    if why:
        return Skip(table, why)
    if VACUUM not in possible(table, policy):
        aged = []
    # Its age is known and proven without the server's counters.
    if not snapshot.counts and not aged:
        return Skip(table, "counters_off")
    only_ages = not snapshot.counts or (table.shared and snapshot.again)
    reasons = aged if only_ages else aged + row_reasons(table, policy, part)
    reasons += [] if only_ages else further_reasons(table, policy, part, reasons)
    if not reasons:
        return None
    due = tuple([reason for reason in reasons if not is_recent(reason, table, policy, now)])
    if not due:
        return Skip(table, "recent", tuple(reasons))
    if not table.permitted:
        return Skip(table, "permission_catalog" if table.catalog else "permission", due)
    if _is_in_hands(table, policy):
        return Skip(table, "autovacuum", due)
    return Step(table, work_for(table, policy, due), due)


def _is_in_hands(table: Table, policy: Policy) -> bool:
    """Whether autovacuum is at work on it and shall go on.

    One against wraparound does our own work and does not give way; any other would be cancelled by our lock.
    """
    return table.busy == "wraparound" or bool(table.busy and not policy.always and policy.mode != EMERGENCY)


def _with_partitions(steps: Sequence[Step], healthy: Iterable[Table], snapshot: Snapshot) -> list[Step]:
    """Return *steps* with an ANALYZE of the partitions with changes below a partitioned table that is analysed.

    Their changes are the reason for which it is: only their own ANALYZE sets the count back. One that has work already,
    because of its age, gets it besides.
    """
    parents = {table.oid: table.parent for table in snapshot.tables}
    analysed = {step.table.oid: step.table for step in steps if step.table.partitioned}
    if not analysed:
        return list(steps)

    def reason_of(table: Table) -> tuple[Reason, ...]:
        above = table.parent
        while above and above not in analysed:
            above = parents.get(above, 0)
        if not above or not table.counters.modified or table.partitioned:
            return ()
        text = f"{table.counters.modified} rows changed since ANALYZE, which count for {analysed[above].title}"
        return (Reason("stats", text),)

    found = []
    for step in steps:
        more = () if ANALYZE in step.actions else reason_of(step.table)
        found.append(replace(step, actions=(*step.actions, ANALYZE), reasons=(*step.reasons, *more)) if more else step)
    for table in healthy:
        more = reason_of(table) if table.permitted and not table.busy else ()
        found += [Step(table, (ANALYZE,), more)] if more else []
    return found


def _with_statistics(plan_: Plan, policy: Policy) -> Plan:
    """Add the catalog of statistics, when so many of its rows will be replaced that the next run would vacuum it."""
    statistics = next((table for table in plan_.healthy if table.oid == STATISTICS_CATALOG), None)
    if statistics is None or not statistics.permitted or statistics.busy or not heeds_rows(policy):
        return plan_
    replaced = sum(step.table.columns for step in plan_.steps if ANALYZE in step.actions and step.table.lacks != "all")
    counters = replace(statistics.counters, dead=round((statistics.counters.dead + replaced) * REPLACED_MARGIN))
    if not replaced or not dead_reasons(statistics, counters, policy):
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
        if policy.exclude_schemas and matches(table.schema, policy.exclude_schemas):
            continue
        if policy.exclude_tables and _named(table, policy.exclude_tables):
            continue
        yield table


def unknown_names(snapshots: Iterable[Snapshot], policy: Policy) -> list[str]:
    """Return the schemas and tables of *policy* that are named exactly and are in none of the databases.

    Those that are to be left out count too: who mistypes a name there would have that table worked on.
    """
    known = list(snapshots)
    tables = [table for snapshot in known for table in snapshot.tables]
    schemas = {table.schema for table in tables} | {schema for snapshot in known for schema in snapshot.schemas}
    names = {table.name for table in tables} | {f"{table.schema}.{table.name}" for table in tables}
    return [
        *(
            f"schema {one}"
            for one in (*policy.schemas, *policy.exclude_schemas)
            if is_exact(one) and one not in schemas
        ),
        *(f"table {one}" for one in (*policy.tables, *policy.exclude_tables) if is_exact(one) and one not in names),
    ]


def _named(table: Table, patterns: Iterable[str]) -> bool:
    return matches(table.name, patterns) or matches(f"{table.schema}.{table.name}", patterns)


def _line_of(table: Table, by_oid: dict[int, Table]) -> Iterator[Table]:
    """Yield the table and the partitioned tables above it."""
    yield table
    above = by_oid.get(table.parent)
    while above is not None and above.partitioned:
        yield above
        above = by_oid.get(above.parent)


def _not_a_candidate(table: Table, part: Below) -> str:
    # ANALYZE of a partitioned table would fetch a sample of every foreign partition.
    if table.kind == "f" or (table.partitioned and part.foreign):
        return "foreign"
    return "temporary" if table.temporary else ""


def _sum_below(tables: Sequence[Table], reachable: set[int]) -> dict[int, Below]:
    parents = {table.oid: table.parent for table in tables if table.parent}
    sums: dict[int, Below] = {}
    for table in tables:
        above = 0 if table.partitioned or table.temporary else table.parent
        while above:
            part = sums.setdefault(above, Below())
            part.live += round(table.rows) if is_uncounted(table) else table.counters.live
            part.modified += table.counters.modified if table.oid in reachable else 0
            part.foreign = part.foreign or table.kind == "f"
            above = parents.get(above, 0)
    return sums


def _order(step: Step) -> tuple[int, float, int, int]:
    """Oldest, then most reclaimable first: a time limit cuts off what matters least, and the run's tail is short."""
    counters, urgency = step.table.counters, rank(step)
    share = counters.dead / max(1, counters.dead + counters.live)
    gain = age(counters) if urgency <= OLDEST_FIRST else share * step.table.pages
    # Of those that are alike, the neighbours in the catalogs go together: others then write to other pages of them.
    return urgency, -gain, -step.table.pages, step.table.oid


def worked_on(counters: Counters, actions: Iterable[str], at: float) -> Counters:
    """Return what *counters* become when *actions* are done at the moment *at* and nobody else writes."""
    if VACUUM in actions:
        counters = replace(counters, dead=0, toast_dead=0, vacuums=counters.vacuums + 1, vacuumed_at=at)
    if FREEZE in actions:
        counters = replace(counters, heap_xid_age=0, heap_mxid_age=0, toast_xid_age=0, toast_mxid_age=0)
    if ANALYZE in actions:
        counters = replace(counters, modified=0, analyzes=counters.analyzes + 1, analyzed_at=at)
    return counters
