# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server for its indexes, their bloat, and whom a rebuild would wait for. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import confirm, read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import hint_for
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, Server, quote_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    Index,
    Policy,
    Snapshot,
    State,
)

# What bloat_method exact can measure.
_EXACT = "btree"
_UNMEASURED = "none"


def read_database(
    session: Session, server: Server, label: str, database: str, policy: Policy, first: bool = True
) -> Snapshot:
    """Return the state of the database that *session* is in. *first* says that it is the first of the run."""
    indexes = read_indexes(session, server)
    tables = session.rows(sql.TABLES_QUERY)
    return Snapshot(
        label=label,
        database=database,
        version=server.version,
        now=server.now,
        indexes=indexes,
        estimates=measure(session, server, indexes, policy),
        partitioned={oid: (schema, name) for oid, schema, name, partitioned in tables if partitioned},
        parents=dict(session.rows(sql.PARENTS_QUERY)),
        schemas=frozenset(row[0] for row in session.rows(sql.SCHEMAS_QUERY)),
        tables=frozenset((schema, name) for _oid, schema, name, _partitioned in tables),
        first=first,
    )


def read_indexes(session: Session, server: Server, table: int = 0) -> tuple[Index, ...]:
    """Return every index of the database, or those of the one *table*."""
    query = sql.indexes_query(server, table=bool(table))
    return tuple(Index(*row) for row in session.rows(query, (table,) if table else None))


def measure(session: Session, server: Server, indexes: Iterable[Index], policy: Policy) -> dict[int, Estimate]:
    """Return, by oid, how bloated those of *indexes* are that could be rebuilt for it.

    Raises ``InvalidInput`` when they are to be measured exactly and cannot.
    """
    if policy.always:
        return {}
    wanted = {
        index.oid: index
        for index in indexes
        if index.valid
        and not index.temporary
        and not index.partitioned
        and index.bytes is not None
        and index.bytes >= policy.min_size
        and (policy.include_catalogs or not index.catalog)
    }
    if not wanted:
        return {}
    found = {one.oid: one for one in read_bloat(session, server, kinds=("index", "toast"), oids=list(wanted))}
    return {
        oid: confirm(session, one, server) if _needs_proof(one, wanted[oid], policy) else one
        for oid, one in found.items()
        if oid in wanted
    }


def _needs_proof(estimate: Estimate, index: Index, policy: Policy) -> bool:
    if policy.bloat_method == "estimate" or index.size > policy.exact_max_size:
        return False
    if policy.bloat_method == "exact":
        return index.access_method == _EXACT
    return estimate.confidence != _UNMEASURED and estimate.ratio >= policy.bloat_ratio


def require_exact(session: Session, database: str) -> None:
    """Raise ``InvalidInput`` when indexes cannot be measured exactly in the database of *session*."""
    if not session.rows(sql.EXACT_QUERY)[0][0]:
        where = one_line(quote_name(database))
        raise InvalidInput(
            f"bloat_method is exact, and the role cannot use pgstattuple in {where}.",
            "CREATE EXTENSION pgstattuple there, GRANT pg_stat_scan_tables to the role, or set bloat_method to auto.",
        )


def read_state(session: Session, oid: int) -> State | None:
    """Return what the index is now; ``None`` when it is gone."""
    return _state(session.rows(sql.STATE_QUERY, (oid,)))


def read_state_by_name(session: Session, table: int, name: str) -> State | None:
    """Return what the index of that name is now: a concurrent rebuild gives it another oid."""
    return _state(session.rows(sql.STATE_BY_NAME_QUERY, (table, name)))


def _state(rows: Sequence[Sequence[Any]]) -> State | None:
    return State(*rows[0]) if rows else None


def read_blockers(
    session: Session, index: Index, ours: Iterable[int], snapshots: bool, least: float = 0.0
) -> tuple[Holder, ...]:
    """Return whom work on *index* beside others waits for, oldest first: at least *least* seconds old.

    With *snapshots* (a rebuild, not a drop) also whoever has a snapshot in the database. A role that may not see how
    long others have been at it learns nothing when *least* is more than 0.
    """
    pids = list(ours)
    rows = session.rows(sql.BLOCKERS_QUERY, (index.table_oid, pids, snapshots, index.table_oid))
    return tuple(
        Holder(kind, name, database, age, seconds, hint_for(kind, name))
        for kind, name, database, age, seconds in rows
        if least <= 0 or (seconds is not None and seconds >= least)
    )


def read_tablespace(session: Session, name: str, user: str) -> tuple[str, int]:
    """Return the tablespace's name as the server quotes it, and its oid.

    Raises ``InvalidInput`` when the role cannot put an index there.
    """
    rows = session.rows(sql.TABLESPACE_QUERY, (name,))
    shown = one_line(quote_name(name))
    if not rows or name == "pg_global":
        raise InvalidInput(f"There is no tablespace {shown} for indexes.", r"`\db` of psql lists what there is.")
    oid, quoted, permitted = rows[0]
    if not permitted:
        raise InvalidInput(
            f"{user} may put nothing into the tablespace {shown}.",
            f"GRANT CREATE ON TABLESPACE {shown} TO {one_line(quote_name(user))}, or leave tablespace out.",
        )
    return str(quoted), int(oid)
