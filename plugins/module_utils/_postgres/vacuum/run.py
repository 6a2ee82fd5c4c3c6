# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vacuum one cluster: look at its databases, plan, work where that is asked for, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    LockHeld,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    PREFERENCE,
    ServerError,
    Session,
    find_driver,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    Cluster,
    Limits,
    choose,
    host_lock,
    lost,
    read_databases,
    read_holders,
    read_server,
    require_primary,
    take_lock,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    Holder,
    one_line,
    quote_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.apply import Run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import read_tables
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Applied, Policy, RunOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import (
    plan,
    statements,
    unknown_names,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.report import Looked, Vacuumed, report


def vacuum(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Vacuumed:
    """Vacuum and analyse what needs it in one cluster; with *check_mode* only say what that is.

    *params* are validated by ``ARGUMENT_SPEC``. Raises ``UpkeepError`` when the cluster could not be looked at:
    ``InvalidInput``, ``MissingLibrary``, ``ConnectionFailed``, ``ReadOnlyServer``, ``LockHeld``, ``StateError``.
    """
    started = time.monotonic()
    options = run_options_of(params)
    cluster = Cluster(find_driver(drivers), connection_of(params), options.session)
    policy = policy_of(params)
    limits = Limits(Budget(options.time_limit), Deadline(options.hard_time_limit))
    with nullcontext() if check_mode else host_lock(cluster, now):
        looked, holders = _look(cluster, options, policy)
        if check_mode:
            ended = [_only_planned(options, policy, one) for one in looked]
        else:
            ended = [_work(cluster, options, policy, one, limits) for one in looked]
            _require_one_turn(ended)
    return report(cluster.connection, options, ended, holders, now, time.monotonic() - started)


# --- look


def _look(cluster: Cluster, options: RunOptions, policy: Policy) -> tuple[list[Looked], tuple[Holder, ...]]:
    """Return the databases of the run with their plans, and what holds dead rows back in the cluster."""
    login = cluster.connection.database
    try:
        with cluster.session(login) as session:
            require_primary(read_server(session))
            chosen, left = choose(read_databases(session), options.databases)
            holders = read_holders(session)
            looked = []
            for number, name in enumerate(chosen):
                try:
                    looked.append(_look_into(cluster, policy, name, session if name == login else None, number == 0))
                except ConnectionFailed as error:
                    if len(chosen) == 1 or name == login:
                        raise
                    looked.append(_unreachable(cluster, name, error))
    except ServerError as error:
        raise lost(cluster.connection, error) from None
    snapshots = [one.snapshot for one in looked if one.snapshot is not None]
    unknown = unknown_names(snapshots, policy)
    if unknown and len(snapshots) == len(looked):
        places = ", ".join(one_line(quote_name(name)) for name in chosen)
        raise InvalidInput(
            f"There is no {' and no '.join(map(one_line, unknown))} in {places}.",
            "Correct the name, or write a pattern (with *) where it may be absent.",
        )
    return looked + [Looked(name, why) for name, why in left], holders


def _look_into(cluster: Cluster, policy: Policy, name: str, session: Session | None, first: bool) -> Looked:
    if session is None:
        with cluster.session(name) as own:
            return _look_into(cluster, policy, name, own, first)
    server = read_server(session)
    snapshot = read_tables(session, server, cluster.connection.label, name)
    if not first:
        # Shared catalogs are the same in every database.
        snapshot = replace(snapshot, tables=tuple(table for table in snapshot.tables if not table.shared))
    return Looked(name, slots=server.free_slots, snapshot=snapshot, plan=plan(snapshot, policy, snapshot.now))


def _unreachable(cluster: Cluster, name: str, error: UpkeepError) -> Looked:
    subject = f"{cluster.connection.label}: {one_line(quote_name(name))}"
    found = Finding("pg.database_unreachable", subject, Severity.UNKNOWN, error.message, error.evidence, error.remedy)
    return Looked(name, error.message, findings=(found,))


# --- work


def _only_planned(options: RunOptions, policy: Policy, looked: Looked) -> Looked:
    if looked.snapshot is None:
        return looked
    records = judge(looked.snapshot, looked.plan, policy)
    return replace(
        looked,
        records=tuple(records),
        findings=tuple(evaluate(looked.snapshot, records, policy, None)),
        queries=tuple(
            statement.sql for phase in statements(looked.plan.steps, looked.snapshot, options) for statement in phase
        ),
    )


def _work(cluster: Cluster, options: RunOptions, policy: Policy, looked: Looked, limits: Limits) -> Looked:
    """Do the plan of one database, under its advisory lock."""
    snapshot = looked.snapshot
    if snapshot is None:
        return looked
    started = time.monotonic()
    applied, held = Applied({}), None
    if looked.plan.steps:
        try:
            with cluster.session(looked.name) as main:
                take_lock(main, snapshot.subject)
                applied = Run(cluster, options, snapshot, looked.plan.steps, limits).execute(main, looked.slots)
        except ServerError as error:
            raise lost(cluster.connection, error) from None
        except LockHeld as error:
            held = error
    records = judge(snapshot, looked.plan, policy, None if held else applied, held.message if held else "")
    return replace(
        looked,
        why=held.message if held else "",
        held=held,
        records=tuple(records),
        findings=tuple(evaluate(snapshot, records, policy, options.time_limit)),
        queries=applied.queries,
        notes=applied.notes,
        seconds=time.monotonic() - started,
    )


def _require_one_turn(ended: Iterable[Looked]) -> None:
    """Raise the ``LockHeld`` of a run that could do nothing at all because another one is at it."""
    held = [one.held for one in ended if one.plan.steps]
    first = held[0] if held and all(held) else None
    if first is not None:
        raise first
