# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rebuild the indexes of one cluster that need it: look, plan, work where that is asked for, say what came of it."""

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
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
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
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import find
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, Server, quote_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import progress_path, watching
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.apply import ONLY_THIS_TABLE, Run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.collect import (
    read_database,
    read_tablespace,
    require_exact,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.disk import Room, directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    Applied,
    Plan,
    Policy,
    RunOptions,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import phases, plan, unknown_names
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.report import Looked, report
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.setup import read_setup

_STANDBY = "the server is a standby (on_standby: skip)"


def reindex(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Ended:
    """Build anew, or drop, the indexes of one cluster that need it; with *check_mode* only say which those are.

    *params* are validated by ``ARGUMENT_SPEC``. Raises ``UpkeepError`` when the cluster could not be looked at:
    ``InvalidInput``, ``MissingLibrary``, ``ConnectionFailed``, ``PooledConnection``, ``ReadOnlyServer``, ``LockHeld``,
    ``StateError``.
    """
    started = time.monotonic()
    options, policy = run_options_of(params), policy_of(params)
    cluster = Cluster(find_driver(drivers), connection_of(params), options.session)
    limits = Limits(Budget(options.time_limit), Deadline(options.hard_time_limit))
    with nullcontext() if check_mode else host_lock(cluster, now):
        looked, holders = _look(cluster, options, policy)
        if check_mode:
            ended = [_only_planned(policy, one) for one in looked]
        else:
            ended = []
            for one in looked:
                fresh = not any(past.plan.steps for past in ended)
                ended.append(_work(cluster, options, policy, one, limits, fresh))
            _require_one_turn(ended)
    standby = [_standby(cluster)] if ended and all(one.why == _STANDBY for one in ended) else []
    return report(cluster.connection, options, ended, holders, now, time.monotonic() - started, standby)


# --- look


def _look(cluster: Cluster, options: RunOptions, policy: Policy) -> tuple[list[Looked], tuple[Holder, ...]]:
    """Return the databases of the run with their plans, and what may hold work up in the cluster."""
    try:
        with cluster.session(cluster.connection.database) as session:
            cluster.require_direct(session)
            server, login = read_server(session), session.database
            if server.in_recovery and options.skip_standby:
                return [Looked(name or login, _STANDBY) for name in options.databases], ()
            require_primary(server)
            chosen, left = choose(read_databases(session), options.databases)
            holders = read_holders(session)
            looked = []
            for number, name in enumerate(chosen):
                try:
                    own = session if name == login else None
                    looked.append(_look_into(cluster, options, policy, name, own, number == 0))
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


def _look_into(
    cluster: Cluster, options: RunOptions, policy: Policy, name: str, session: Session | None, first: bool
) -> Looked:
    if session is None:
        with cluster.session(name) as own:
            return _look_into(cluster, options, policy, name, own, first)
    server = read_server(session)
    tablespace, room = _prepare(session, server, options, policy, name)
    snapshot = read_database(session, server, cluster.connection.label, name, policy, first)
    wanted = plan(snapshot, policy)
    steps, short = room.within(wanted.steps)
    return Looked(
        name,
        filters=policy.filters,
        server=server,
        room=room,
        tablespace=tablespace,
        snapshot=snapshot,
        plan=Plan(tuple(steps), (*wanted.skipped, *short), wanted.healthy),
    )


def _prepare(session: Session, server: Server, options: RunOptions, policy: Policy, name: str) -> tuple[str, Room]:
    """Return the tablespace as the server quotes it, and what is known of its disk."""
    if policy.bloat_method == "exact" and not policy.always:
        require_exact(session, name)
    tablespace, directory = "", ""
    if options.tablespace:
        tablespace, oid = read_tablespace(session, options.tablespace, server.user)
        directory = directory_of(oid)
    setup = read_setup(session)
    return tablespace, Room(find(setup, options.free_bytes), setup, options, directory)


def _unreachable(cluster: Cluster, name: str, error: UpkeepError) -> Looked:
    subject = f"{cluster.connection.label}: {one_line(quote_name(name))}"
    found = Finding("pg.database_unreachable", subject, Severity.UNKNOWN, error.message, error.evidence, error.remedy)
    return Looked(name, error.message, findings=(found,))


def _standby(cluster: Cluster) -> Finding:
    return Finding(
        "pg.standby_left",
        cluster.connection.label,
        Severity.INFO,
        f"{cluster.connection.label} is a standby; its indexes are those of its primary, and nothing was done.",
    )


# --- work


def _only_planned(policy: Policy, looked: Looked) -> Looked:
    if looked.snapshot is None:
        return looked
    records = judge(looked.snapshot, looked.plan, policy, tablespace=looked.tablespace)
    analyses, statements = _analyses(looked.snapshot, looked.plan)
    together, alone = phases(looked.plan.steps, policy.concurrently)
    return replace(
        looked,
        records=tuple(records),
        findings=tuple(evaluate(looked.snapshot, records, None)),
        analyses=analyses,
        queries=(
            *statements,
            *(
                sql.work_statement(step.action, step.index, policy.concurrently, looked.tablespace)
                for unit in (*together, *alone)
                for step in unit
            ),
        ),
    )


def _analyses(snapshot: Snapshot, wanted: Plan) -> tuple[dict[str, float], list[str]]:
    tables = {step.index.table_oid: step.index for step in wanted.steps if step.look_again}
    only = snapshot.version >= ONLY_THIS_TABLE
    return (
        {snapshot.subject_of_table(index): 0.0 for index in tables.values()},
        [sql.analyze_statement(index, only) for index in tables.values()],
    )


def _work(cluster: Cluster, options: RunOptions, policy: Policy, looked: Looked, limits: Limits, fresh: bool) -> Looked:
    """Do the plan of one database, under its advisory lock. *fresh* begins the file of the progress anew."""
    snapshot, server, room = looked.snapshot, looked.server, looked.room
    if snapshot is None or server is None or room is None:
        return looked
    started = time.monotonic()
    applied, held, notes = Applied({}), None, []
    if looked.plan.steps:
        total = len(looked.plan.steps)
        try:
            with cluster.session(looked.name) as main:
                take_lock(main, snapshot.subject)
                path = progress_path(cluster)
                with watching(cluster, looked.name, path, total, fresh=fresh) as watch:
                    run = Run(
                        cluster, options, policy, snapshot, server, looked.plan.steps, limits, watch, room,
                        looked.tablespace,
                    )  # fmt: skip
                    applied = run.execute(main)
                notes = watch.notes
        except ServerError as error:
            raise lost(cluster.connection, error) from None
        except LockHeld as error:
            held = error
    records = judge(
        snapshot, looked.plan, policy, None if held else applied, held.message if held else "", looked.tablespace
    )
    return replace(
        looked,
        why=held.message if held else "",
        held=held,
        records=tuple(records),
        findings=tuple(evaluate(snapshot, records, options.time_limit)),
        analyses=applied.analyzed,
        queries=applied.queries,
        notes=(*applied.notes, *notes),
        seconds=time.monotonic() - started,
    )


def _require_one_turn(ended: Iterable[Looked]) -> None:
    """Raise the ``LockHeld`` of a run that could do nothing at all because another one is at it."""
    held = [one.held for one in ended if one.plan.steps]
    first = held[0] if held and all(held) else None
    if first is not None:
        raise first
