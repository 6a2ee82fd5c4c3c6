# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server what it is and what its tables look like. Changes nothing but the settings of our own session."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import hint_for, read_holders
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Autovacuum,
    Counters,
    Snapshot,
    Table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.thresholds import Relation, thresholds

# Before 15 the collector writes its numbers at most every 0.5 s; it has this long to do so after we have asked.
SETTLE_SECONDS = 10.0
_SETTLE_PAUSE = 0.05


def read_tables(
    session: Session, server: Server, label: str, database: str, autovacuum: bool = False, again: bool = False
) -> Snapshot:
    """Return the state of the database that *session* is in, by a few queries whatever the number of tables.

    With *autovacuum* each table gets its thresholds of autovacuum. *again* is ``Snapshot.again``.
    """
    busy = dict(session.rows(sql.AT_WORK_QUERY))
    limits = _read_thresholds(session, server.version) if autovacuum else {}
    return Snapshot(
        label=label,
        database=database,
        version=server.version,
        now=server.now,
        tables=tuple(_table(row, busy, limits) for row in session.rows(sql.tables_query(server))),
        counts=server.counts,
        again=again,
        schemas=tuple(name for (name,) in session.rows(sql.SCHEMAS_QUERY)),
    )


def _table(row: Sequence[Any], busy: Mapping[int, bool], limits: Mapping[int, Autovacuum]) -> Table:
    oid, schema, name, sql_name, kind, *rest = row[: -sql.COUNTERS]
    table = Table(oid, schema, name, sql_name, kind, Counters(*row[-sql.COUNTERS :]), *rest)
    if busy:
        against = [busy[one] for one in (oid, table.toast) if one in busy]
        if against:
            table = replace(table, busy="wraparound" if any(against) else "autovacuum")
    return replace(table, autovacuum=limits[oid]) if oid in limits else table


def _read_thresholds(session: Session, version: int) -> dict[int, Autovacuum]:
    settings = dict(session.rows(sql.SETTINGS_QUERY))
    limits = {}
    for oid, *facts in session.rows(sql.autovacuum_query(version)):
        heap, toast = (_relation(facts[part : part + 4]) for part in (0, 4))
        if heap is not None:
            limits[oid] = thresholds(heap, toast, settings)
    return limits


def _relation(facts: Sequence[Any]) -> Relation | None:
    """Return the table or TOAST table that *facts* are of; None for one that is not there."""
    rows, options, inserted, unfrozen = facts
    return None if rows is None else Relation(rows, tuple(options or ()), inserted or 0, unfrozen)


def read_ages(session: Session) -> tuple[int, int]:
    """Return the ages of the oldest transaction and multixact of the session's database."""
    ((xid_age, mxid_age),) = session.rows(sql.AGES_QUERY)
    return xid_age, mxid_age


def read_workers(session: Session) -> tuple[int, int]:
    """Return how many parallel workers one statement may have for maintenance, and all sessions together."""
    ((each, together),) = session.rows(sql.WORKERS_QUERY)
    return each, together


def read_all_holders(session: Session, ours: Iterable[int] = ()) -> tuple[Holder, ...]:
    """Return what keeps old row versions alive, oldest first, with the slots that do so in catalogs alone."""
    slots = [
        Holder("slot", name, "", age, None, hint_for("slot", name), only_catalogs=True)
        for name, age in session.rows(sql.CATALOG_SLOTS_QUERY)
    ]
    return tuple(sorted((*read_holders(session, ours), *slots), key=lambda holder: -holder.xid_age))


def read_counters(session: Session, version: int, oids: Iterable[int]) -> dict[int, Counters]:
    """Return the counters of those tables that still exist, once they show all that ended before the call."""
    await_counters(session, version)
    return {row[0]: Counters(*row[1:]) for row in session.rows(sql.COUNTERS_QUERY, (list(oids),))}


def await_counters(session: Session, version: int, seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until the counters are as new as this call; False when they were not within *seconds*.

    From 15 on they are in shared memory and always are. Before, a collector gets them as messages and writes them to a
    file on demand; messages keep their order, so a file written after now holds all that was sent before.
    """
    if version >= sql.LIVE_COUNTERS:
        return True
    asked = session.rows(sql.CLOCK_QUERY)[0][0]
    give_up = time.monotonic() + seconds
    while not session.rows(sql.SETTLED_QUERY, (asked,))[0][0]:
        if time.monotonic() > give_up:
            return False
        time.sleep(_SETTLE_PAUSE)
    return True


def await_ended(session: Session, pids: Iterable[int], seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until sessions that we closed are gone from the server; False when they were not within *seconds*.

    A session hands in its counts when it ends. What our own ANALYZE did to pg_statistic would else be counted after
    the VACUUM that cleaned it up.
    """
    wanted, give_up = list(pids), time.monotonic() + seconds
    while wanted and session.rows(sql.LISTED_QUERY, (wanted,))[0][0]:
        if time.monotonic() > give_up:
            return False
        time.sleep(_SETTLE_PAUSE / 10)
    return True
