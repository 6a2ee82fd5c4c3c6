# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server what it is and what its tables look like. Changes nothing but the settings of our own session."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    Server,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Counters,
    Snapshot,
    Table,
)

# Before 15 the collector writes its numbers at most every 0.5 s; it has this long to do so after we have asked.
SETTLE_SECONDS = 10.0
_SETTLE_PAUSE = 0.05


def read_tables(session: Session, server: Server, label: str, database: str) -> Snapshot:
    """Return the state of the database that *session* is in, by one query."""
    return Snapshot(
        label=label,
        database=database,
        version=server.version,
        now=server.now,
        tables=tuple(map(_table, session.rows(sql.tables_query(server)))),
        counts=server.counts,
    )


def _table(row: Sequence[Any]) -> Table:
    oid, schema, name, sql_name, kind, *rest = row[: -sql.COUNTERS]
    return Table(oid, schema, name, sql_name, kind, Counters(*row[-sql.COUNTERS :]), *rest)


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
