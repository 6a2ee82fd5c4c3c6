# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server how tables are stored, what a rewrite would need, and what earlier ones left. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import confirm, read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import ESTIMATE, TOAST, Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Setup
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE, Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    Facts,
    Index,
    Leftovers,
    RewritePolicy,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.plan import combined, passes

LOCK_NOT_AVAILABLE = "55P03"
# The time of a file comes from a clock that ticks coarsely.
_CLOCK_SECONDS = 1.0


def read_facts(session: Session, server: Server, oids: Iterable[int], setup: Setup) -> dict[int, Facts]:
    """Return how those tables that exist are stored. One that somebody has for himself is measured by ``relpages``."""
    wanted = list(oids)
    rows = session.rows(sql.facts_query(server.version), (wanted,)) if wanted else []
    indexes: dict[int, list[Index]] = {}
    for oid, name, path, pages in session.rows(sql.INDEXES_QUERY, (wanted,)) if wanted else []:
        indexes.setdefault(oid, []).append(Index(name, pages * BLOCK_SIZE, path))
    free = [row[0] for row in rows if not row[-1]]
    sizes = _sizes(session, free)
    measured = _index_sizes(session, [oid for oid in free if oid in sizes])
    return {row[0]: _facts(row, indexes.get(row[0], []), sizes.get(row[0]), measured, setup) for row in rows}


def _facts(
    row: Sequence[Any],
    indexes: Sequence[Index],
    sizes: tuple[int, int] | None,
    measured: Mapping[tuple[int, str], int],
    setup: Setup,
) -> Facts:
    oid, name, node, toast, toast_node, path, toast_path, logged, pages, toast_pages, *rest = row
    obstacle, keyless, wraparound, _taken = rest
    own = tuple(Index(one.name, measured.get((oid, one.name), one.bytes), one.path) for one in indexes)
    heap, toasted = sizes or (pages * BLOCK_SIZE, (toast_pages or 0) * BLOCK_SIZE)
    return Facts(
        oid=oid,
        sql_name=name,
        nodes=(node, toast, toast_node),
        sizes=(heap, toasted, sum(one.bytes for one in own)),
        paths=(path, toast_path),
        indexes=own,
        logged=logged,
        obstacle=obstacle or _no_room(setup),
        keyless=keyless,
        locked=sizes is None,
        wraparound=wraparound,
    )


def _no_room(setup: Setup) -> str:
    if not setup.logs:
        return "wal_level is minimal"
    return "max_repack_replication_slots is 0" if setup.repack_slots < 1 else ""


def _sizes(session: Session, oids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return heap and TOAST by oid, without those that somebody has just taken for himself."""
    return {row[0]: (row[1] or 0, row[2]) for row in _each(session, sql.SIZES_QUERY, oids)}


def _index_sizes(session: Session, oids: Sequence[int]) -> dict[tuple[int, str], int]:
    return {(row[0], row[1]): row[2] or 0 for row in _each(session, sql.INDEX_SIZES_QUERY, oids)}


def _each(session: Session, query: str, oids: Sequence[int]) -> list[tuple[Any, ...]]:
    if not oids:
        return []
    try:
        return session.rows(query, (list(oids),))
    except ServerError as error:
        if error.sqlstate != LOCK_NOT_AVAILABLE:
            raise
    if len(oids) == 1:
        return []
    middle = len(oids) // 2
    return _each(session, query, oids[:middle]) + _each(session, query, oids[middle:])


def read_estimates(
    session: Session, server: Server, policy: RewritePolicy, facts: Mapping[int, Facts]
) -> dict[int, Estimate]:
    """Return by oid what a rewrite of each table would free; those that are too small are left out."""
    wanted = {
        oid: one for oid, one in facts.items() if one.sizes[0] + one.sizes[1] >= policy.bloat_min_size and one.bytes
    }
    if not wanted:
        return {}
    toasts = {one.nodes[1]: oid for oid, one in wanted.items() if one.nodes[1]}
    found: dict[int, Estimate] = {}
    of_toast: dict[int, Estimate] = {}
    for estimate in read_bloat(session, server, kinds=("table", TOAST), oids=[*wanted, *toasts]):
        if estimate.kind == TOAST:
            of_toast[toasts[estimate.oid]] = estimate
        else:
            found[estimate.oid] = estimate
    result = {}
    for oid, estimate in found.items():
        toast = of_toast.get(oid)
        if _is_to_be_counted(combined(estimate, toast), policy):
            estimate = confirm(session, estimate, server)
            toast = confirm(session, toast, server) if toast is not None else None
            if policy.bloat_method == "exact" and estimate.method == ESTIMATE:
                result[oid] = _not_exact(estimate)
                continue
        both = combined(estimate, toast)
        if both is not None:
            result[oid] = both
    return result


def _is_to_be_counted(estimate: Estimate | None, policy: RewritePolicy) -> bool:
    """Counting reads the whole table: only for those that would be rewritten, unless all shall be exact."""
    if estimate is None or policy.always or policy.bloat_method == "estimate":
        return False
    return policy.bloat_method == "exact" or passes(estimate, policy)


def _not_exact(estimate: Estimate) -> Estimate:
    why = "pgstattuple is not installed in the database, or the role may not use it"
    return replace(estimate, confidence="none", why=why)


def read_leftovers(session: Session) -> Leftovers:
    """Return what crashes and interrupted rewrites left in the database that *session* is in.

    A file belongs to nobody when no table has it, it holds something, and it was last written before the oldest
    transaction began: what a transaction makes is younger than the transaction. The tables are read after the files,
    and the files are looked at again after that, so that what comes or goes meanwhile is not taken for an orphan.
    """
    try:
        logs = tuple(row[0] for row in session.rows(sql.REPACK_LOGS_QUERY))
        triggers = tuple(row[0] for row in session.rows(sql.REPACK_TRIGGERS_QUERY))
        temporary: tuple[tuple[str, int], ...] = ()
        if session.rows(sql.MAY_LIST_TEMPORARY_QUERY)[0][0]:
            temporary = tuple((row[0], row[1]) for row in session.rows(sql.TEMPORARY_QUERY))
        files, unknown = _orphans(session)
    except ServerError as error:
        if session.lost:
            raise
        return Leftovers(unknown=error.message)
    return Leftovers(files, temporary, triggers, logs, unknown)


def _orphans(session: Session) -> tuple[tuple[tuple[str, int], ...], str]:
    may, prepared = session.rows(sql.MAY_LIST_QUERY)[0]
    if not may:
        return (), "the role may not list the server's files (pg_ls_dir, pg_stat_file, pg_read_all_stats)"
    if prepared:
        return (), "a prepared transaction may own files that no table shows yet"
    oldest = session.rows(sql.OLDEST_QUERY)[0][0]
    listed = session.rows(sql.FILES_QUERY)
    known = {row[0] for row in session.rows(sql.NODES_QUERY)}
    suspects = [path for path, node in listed if node not in known]
    if not suspects:
        return (), ""
    found = [
        (path, size) for path, size, at in session.rows(sql.STAT_QUERY, (suspects,)) if at < oldest - _CLOCK_SECONDS
    ]
    return tuple(sorted(found, key=lambda one: (os.path.dirname(one[0]), one[0]))), ""
