# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which tables are rewritten, how, in which order, and what each needs of the disk. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import (
    WAL_DIRECTORY,
    Portion,
    Setup,
    Space,
    shortage,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import is_exact
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    FULL,
    PG_REPACK,
    REPACK,
    Facts,
    Left,
    RewritePlan,
    RewritePolicy,
    Target,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Reason, Snapshot, Table
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import considered

TRUSTED = ("high", "medium")
# A transaction of this age (in seconds) will not be gone in a moment.
OLD_TRANSACTION = 60.0


def candidates(snapshot: Snapshot, policy: RewritePolicy) -> tuple[list[Table], list[Left]]:
    """Return the tables that the filters leave and that could be rewritten, and those that never could."""
    tables, left = [], []
    for table in considered(snapshot.tables, policy.tables):
        if table.partitioned:
            continue  # it has no rows of its own: its partitions are in the list
        if table.kind == "f":
            left.append(Left(table, "foreign"))
        elif table.temporary:
            left.append(Left(table, "temporary"))
        else:
            tables.append(table)
    return tables, left


def shut_out(snapshots: Iterable[Snapshot], policy: RewritePolicy) -> list[str]:
    """Return the exact names in ``tables`` that only system catalogs have, when those are not to be rewritten."""
    if policy.tables.include_catalogs:
        return []
    tables = [table for snapshot in snapshots for table in snapshot.tables]
    wanted = [name for name in policy.tables.tables if is_exact(name)]
    meant = {name: [one for one in tables if name in (one.name, f"{one.schema}.{one.name}")] for name in wanted}
    return [name for name, found in meant.items() if found and all(one.catalog for one in found)]


def combined(estimate: Estimate | None, toast: Estimate | None) -> Estimate | None:
    """Return the estimate of a table with its TOAST table, where that of the latter is to be trusted."""
    if estimate is None or toast is None or toast.confidence not in TRUSTED:
        return estimate
    return replace(
        estimate,
        bytes=estimate.bytes + toast.bytes,
        expected_bytes=estimate.expected_bytes + toast.expected_bytes,
        confidence=max(estimate.confidence, toast.confidence, key=["high", "medium", "low", "none"].index),
    )


def passes(estimate: Estimate, policy: RewritePolicy) -> bool:
    """Whether a rewrite would free enough, in share and in bytes, if *estimate* is right."""
    return estimate.bloat_bytes >= max(1, policy.bloat_min_size) and estimate.ratio >= policy.bloat_ratio


def plan(
    snapshot: Snapshot,
    policy: RewritePolicy,
    facts: Mapping[int, Facts],
    estimates: Mapping[int, Estimate],
    setup: Setup,
    space: Space,
    holders: Sequence[Holder] = (),
    obstacle: str = "",
) -> RewritePlan:
    """Put every table that the filters leave into one of three heaps.

    *obstacle* is why pg_repack cannot be used at all. The most that can be freed comes first. *space* is followed
    through the plan: what one rewrite gives back, the next may use.
    """
    tables, left = candidates(snapshot, policy)
    wanted: list[Target] = []
    healthy: list[Table] = []
    for table in tables:
        known = facts.get(table.oid)
        if known is None:
            left.append(Left(table, "vanished"))
            continue
        verdict = _verdict(table, known, estimates.get(table.oid), policy, setup, holders, obstacle)
        if verdict is None:
            healthy.append(table)
        elif isinstance(verdict, Target):
            wanted.append(verdict)
        else:
            left.append(verdict)
    wanted.sort(key=lambda one: (one.table.catalog, -one.frees, -one.facts.bytes, one.table.sql_name))
    targets, short = _within(wanted, policy, space)
    return RewritePlan(tuple(targets), tuple(left + short), tuple(healthy))


def _verdict(
    table: Table,
    facts: Facts,
    estimate: Estimate | None,
    policy: RewritePolicy,
    setup: Setup,
    holders: Sequence[Holder],
    obstacle: str,
) -> Target | Left | None:
    """Return a target, why the table is left, or None when it needs nothing."""
    trusted = estimate if estimate is not None and estimate.confidence in TRUSTED else None
    if policy.always:
        reasons = (Reason("always", "asked for"),)
    elif estimate is None:
        return None  # too small to free enough
    elif trusted is None:
        if estimate.confidence == "low" and not passes(estimate, policy):
            return None
        if not table.permitted:
            return Left(table, "permission_catalog" if table.catalog else "permission", "", (), estimate, facts)
        if facts.locked:
            return Left(table, "lock", "", (_reason(estimate, policy),), estimate, facts)
        return _unknown(table, facts, estimate)
    elif not passes(estimate, policy):
        return None
    else:
        reasons = (_reason(estimate, policy),)
    method, problem = _method(facts, policy, obstacle)

    def leave(why: str, detail: str = "") -> Left:
        return Left(table, why, detail, reasons, estimate, facts, method=method)

    if not table.permitted:
        return leave("permission_catalog" if table.catalog else "permission")
    if problem:
        return leave("method", problem)
    if facts.wraparound:
        return leave("autovacuum")
    old = None if policy.always else holding(table, estimate, policy, holders)
    if old is not None:
        return leave("held", f"{old.title} would keep its {table.counters.dead} dead rows through the rewrite")
    return Target(table, facts, method, reasons, estimate, need_of(facts, trusted, setup))


def _unknown(table: Table, facts: Facts, estimate: Estimate) -> Left:
    guess = f" (perhaps {format_size(estimate.bloat_bytes)} of {format_size(estimate.bytes)})"
    detail = (
        f"how much a rewrite would free{guess if estimate.confidence == 'low' else ''} is not known well enough: "
        f"{estimate.why or f'the confidence is {estimate.confidence}'}"
    )
    return Left(table, "bloat_unknown", detail, estimate=estimate, facts=facts)


def _reason(estimate: Estimate, policy: RewritePolicy) -> Reason:
    freed, whole = format_size(estimate.bloat_bytes), format_size(estimate.bytes)
    limits = f"{format_size(policy.bloat_min_size)} and {policy.bloat_ratio:.4g}"
    how = f"{estimate.method}, confidence {estimate.confidence}"
    text = f"a rewrite would free {freed} of {whole}, a share of {estimate.ratio:.3f} (limits {limits}; {how})"
    return Reason("bloat", text)


def _method(facts: Facts, policy: RewritePolicy, obstacle: str) -> tuple[str, str]:
    """Return the method for a table, and why that cannot be used."""
    if policy.method == "auto":
        return (FULL if facts.obstacle else REPACK), ""
    if policy.method == REPACK:
        return REPACK, facts.obstacle
    if policy.method == PG_REPACK:
        return PG_REPACK, obstacle or facts.keyless
    return FULL, ""


def holding(table: Table, estimate: Estimate | None, policy: RewritePolicy, holders: Iterable[Holder]) -> Holder | None:
    """Return the old transaction that makes a rewrite pointless: it must copy the dead rows that may still be seen.

    Bloat that is free space inside the table goes whoever looks on; so only when too little is left without the dead
    rows is there anything to wait for.
    """
    old = [one for one in holders if one.seconds is None or one.seconds >= OLD_TRANSACTION]
    counters = table.counters
    if estimate is None or not old or counters.dead <= 0:
        return None
    row = estimate.expected_bytes / max(1, counters.live)
    sure = max(0.0, estimate.bloat_bytes - counters.dead * row)
    enough = sure >= policy.bloat_min_size and sure >= policy.bloat_ratio * estimate.bytes
    return None if enough else old[0]


# --- what it needs of the disk


def need_of(facts: Facts, trusted: Estimate | None, setup: Setup) -> tuple[Portion, ...]:
    """Return the bytes that a rewrite needs besides what is there, by directory.

    The old files stay until the new ones are whole. Of the heap only what is not bloat is written, if that is known;
    TOAST and indexes count as they are. Sorting the largest index takes as much again in temporary files, unless it
    fits into maintenance_work_mem. All of it goes through the WAL, which is recycled at checkpoints unless something
    keeps it.
    """
    heap, toast, _indexes = facts.sizes
    saved = min(trusted.bloat_bytes, heap + toast) if trusted is not None else 0
    new = {"the new table": (os.path.dirname(facts.paths[0]), max(0, heap - min(saved, heap)))}
    if toast:
        new["its TOAST table"] = (os.path.dirname(facts.paths[1]), max(0, toast - max(0, saved - heap)))
    portions = [Portion(what, directory, size) for what, (directory, size) in new.items()]
    by_directory: dict[str, int] = {}
    for index in facts.indexes:
        directory = os.path.dirname(index.path)
        by_directory[directory] = by_directory.get(directory, 0) + index.bytes
    portions += [Portion("its indexes", directory, size) for directory, size in by_directory.items()]
    written = sum(portion.bytes for portion in portions)
    largest = max((index.bytes for index in facts.indexes), default=0)
    if largest > setup.work_memory:
        # Any of them may be chosen.
        portions += [Portion("sorting", directory, largest) for directory in setup.temporary]
    if facts.logged and setup.logs:
        kept = written if setup.keeps_wal else min(written, setup.max_wal_size)
        portions.append(Portion("WAL", WAL_DIRECTORY, kept))
    return tuple(portion for portion in portions if portion.bytes)


def _within(wanted: Sequence[Target], policy: RewritePolicy, space: Space) -> tuple[list[Target], list[Left]]:
    """Return the targets that the disk has room for, one after the other, and the others with what is missing."""
    if policy.unchecked:
        return list(wanted), []
    if not space.known:
        return [], [_short(target, "disk_unknown", space.why) for target in wanted]
    free = dict(space.free)
    fits, short = [], []
    for target in wanted:
        missing = shortage(target.need, replace(space, free=free), policy.headroom)
        if missing:
            short.append(_short(target, "disk_space", missing))
            continue
        fits.append(target)
        place = space.places.get(os.path.dirname(target.facts.paths[0]))
        if place is not None and policy.free_bytes is None:
            free[place] = free.get(place, 0) + target.frees
    return fits, short


def _short(target: Target, why: str, detail: str) -> Left:
    return Left(
        target.table, why, detail, target.reasons, target.estimate, target.facts, target.need, method=target.method
    )


def directories(needs: Iterable[Sequence[Portion]]) -> list[str]:
    return list(dict.fromkeys(portion.directory for need in needs for portion in need))
