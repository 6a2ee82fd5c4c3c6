# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server for what the estimates are made from, and have it count where that is wanted. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.counted import (
    IndexCount,
    TableCount,
    counted_index,
    counted_table,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import (
    estimate_index,
    estimate_table,
    index_model,
    table_model,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.facts import index_facts, table_facts
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import (
    INDEX,
    TABLE,
    TOAST,
    Estimate,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server

_TABLE_KINDS = {TABLE: "rm", TOAST: "t"}
_LOCK_TIMEOUT = "55P03"


def read_bloat(
    session: Session,
    server: Server,
    *,
    kinds: Sequence[str] = (TABLE, INDEX),
    min_bytes: int = 0,
    oids: Iterable[int] | None = None,
) -> tuple[Estimate, ...]:
    """Return an estimate of each relation of at least *min_bytes*, tables before indexes, the largest first.

    *kinds* are ``table`` (with materialized views), ``index`` and, where wanted, ``toast`` (with the indexes of TOAST
    tables). *oids* are those of the relations themselves; ``None`` is all of the database. What cannot be told has the
    confidence ``none`` and says why. What is temporary, empty or without storage of its own is left out. Raises
    ``ServerError``.
    """
    chosen = None if oids is None else list(oids)
    found: list[Estimate] = []
    letters = [letter for kind in kinds for letter in _TABLE_KINDS.get(kind, "")]
    if letters:
        rows = _ask(session, lambda ask: sql.tables_query(server, min_bytes, ask), letters, chosen)
        found += [estimate_table(table_facts(row)) for row in rows]
    if INDEX in kinds:
        letters = ["r", "m", *(["t"] if TOAST in kinds else [])]
        rows = _ask(session, lambda ask: sql.indexes_query(server, min_bytes, ask), letters, chosen)
        found += [estimate_index(index_facts(row)) for row in rows]
    return tuple(found)


def _ask(
    session: Session, query: Callable[[bool], str], letters: Sequence[str], oids: Sequence[int] | None
) -> list[tuple[Any, ...]]:
    """Run a statement of the estimator; where a lock came in between, again without asking for sizes."""
    values = (list(letters), oids, oids)
    try:
        return session.rows(query(True), values)
    except ServerError as error:
        if error.sqlstate != _LOCK_TIMEOUT:
            raise
    return session.rows(query(False), values)


def confirm(session: Session, estimate: Estimate, server: Server, *, max_bytes: int | None = None) -> Estimate:
    """Return *estimate* as pgstattuple counts it, where that extension is installed and the role may use it.

    A relation of more than *max_bytes* is not counted (``None`` is no limit): an index is read whole, a table but for
    the pages in which all rows are visible to everybody. What could not be counted comes back as it was; when the
    server refused to, it says so. Raises ``ServerError`` when the session broke.
    """
    if max_bytes is not None and estimate.bytes > max_bytes:
        return estimate
    try:
        counters = dict(session.rows(sql.COUNTERS_QUERY))
        if estimate.kind == INDEX:
            counted = _count_index(session, estimate, server, counters.get("pgstatindex"))
        else:
            counted = _count_table(session, estimate, server, counters.get("pgstattuple_approx"))
    except ServerError as error:
        if session.lost:
            raise
        refused = f"it could not be counted: {error.message}"
        return replace(estimate, why=f"{estimate.why}; {refused}" if estimate.why else refused)
    return counted or estimate


def _count_table(session: Session, estimate: Estimate, server: Server, function: str | None) -> Estimate | None:
    rows = session.rows(sql.tables_query(server, 0), (["r", "m", "t"], [estimate.oid], [estimate.oid]))
    if function is None or not rows:
        return None
    facts = table_facts(rows[0])
    if facts.method != "heap" and not facts.toast:
        return None
    ((size, live, dead, free),) = session.rows(sql.COUNT_TABLE_QUERY.format(function=function), (estimate.oid,))
    count = TableCount(int(size), float(live), float(dead), float(free))
    return counted_table(estimate, facts, table_model(facts), count)


def _count_index(session: Session, estimate: Estimate, server: Server, function: str | None) -> Estimate | None:
    rows = session.rows(sql.indexes_query(server, 0), (["r", "m", "t"], [estimate.oid], [estimate.oid]))
    if function is None or not rows:
        return None
    facts = index_facts(rows[0])
    if facts.method != "btree":
        return None
    ((size, leaves, inner, density),) = session.rows(sql.COUNT_INDEX_QUERY.format(function=function), (estimate.oid,))
    # An index without a leaf that holds anything has no density ("NaN").
    full = float(density) / 100 if leaves else 0.0
    count = IndexCount(int(size), int(leaves), int(inner), full)
    return counted_index(estimate, facts, index_model(facts), count)
