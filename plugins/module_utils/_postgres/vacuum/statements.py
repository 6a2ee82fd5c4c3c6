# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the steps of a plan into statements: which tables go together, and what must not run side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    VACUUM,
    RunOptions,
    Snapshot,
    Statement,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import (
    OLDEST_FIRST,
    STATISTICS_CATALOG,
    rank,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import (
    CLOSING_STATEMENT,
    SKIP_DATABASE_STATS,
    leaves_database_statistics,
    takes_partitions,
    work_statement,
)

LARGEST_BATCH = 128
# Towards the end batches get smaller, down to this, so that no connection is left with a long one.
SMALLEST_BATCH = 8
# One batch is what a time limit waits for: as many pages as this many of the largest tables that go into one.
BATCH_WEIGHT = 16


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
    analyzes = any(ANALYZE in step.actions for step in steps)
    alone, tops, last = [], [], []
    for step in steps:
        if step.table.oid == STATISTICS_CATALOG and analyzes:
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
                alone.append(replace(step, actions=tuple(action for action in step.actions if action != ANALYZE)))
    first = [_statement(members, version, options) for members in _batches(alone, options)]
    then = []
    for step in tops:
        text = work_statement(step.actions, [step.table], version, False, options.manner)
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


def closing_statement(snapshot: Snapshot, options: RunOptions) -> str:
    """Return what moves the database's own horizon after the work; empty where each VACUUM has done so.

    Before 16 each does, but for one that broke off; in an emergency a last one makes sure.
    """
    if leaves_database_statistics(snapshot.version, options.manner):
        return CLOSING_STATEMENT
    if not options.waits or snapshot.version >= SKIP_DATABASE_STATS:
        return ""
    ours = [one for one in snapshot.tables if one.kind in ("r", "m") and one.permitted and not one.temporary]
    smallest = min(ours, key=lambda table: (bool(table.busy), table.pages), default=None)
    return "" if smallest is None else work_statement((VACUUM,), [smallest], snapshot.version, skip_locked=False)


def _statement(members: Sequence[Step], version: int, options: RunOptions) -> Statement:
    skips = not options.waits and (len(members) > 1 or options.lock_retries == 0)
    tables = [step.table for step in members]
    return Statement(work_statement(members[0].actions, tables, version, skips, options.manner), tuple(members), skips)


def _batches(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    """Yield what goes into one statement each: big tables alone, then small ones together, by rank and kind of work.

    The oldest tables keep their order: only neighbours go together.
    """
    for urgency, group in groupby(steps, key=rank):
        members = list(group)
        runs = _neighbours(members, options) if urgency <= OLDEST_FIRST else _kinds(members, options)
        for together in runs:
            if _is_big(together[0], options):
                yield from ([step] for step in together)
            else:
                yield from _chunks(together, options)


def _neighbours(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    """Yield runs of steps that follow one another and could share a statement."""
    for _alike, run in groupby(steps, key=lambda step: (step.actions, _is_big(step, options))):
        yield list(run)


def _kinds(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    """Yield the big ones, then the small ones that could share a statement."""
    big = [step for step in steps if _is_big(step, options)]
    if big:
        yield big
    small: dict[tuple[str, ...], list[Step]] = {}
    for step in steps:
        if not _is_big(step, options):
            small.setdefault(step.actions, []).append(step)
    yield from small.values()


def _is_big(step: Step, options: RunOptions) -> bool:
    return step.table.partitioned or step.table.pages > options.batch_pages


def _chunks(steps: Sequence[Step], options: RunOptions) -> Iterator[list[Step]]:
    """Yield what goes together: for each connection half of its share of what is left, so that all end about together.

    Before 16 each statement ends with a look at all tables of the database, so the fewer there are the better.
    """
    shares, room = 2 * options.jobs, options.batch_pages * BATCH_WEIGHT
    least = min(SMALLEST_BATCH, -(-len(steps) // shares))
    chunk: list[Step] = []
    pages, most = 0, 0
    for left, step in zip(range(len(steps), 0, -1), steps):
        if chunk and (len(chunk) >= most or pages + step.table.pages > room):
            yield chunk
            chunk, pages = [], 0
        if not chunk:
            most = min(LARGEST_BATCH, max(least, -(-left // shares)))
        chunk.append(step)
        pages += step.table.pages
    if chunk:
        yield chunk
