# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vacuum one cluster: look at its databases, work where that is asked for, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding
from ansible_collections.cadence.upkeep.plugins.module_utils._core.garbage import modules_spared
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import (
    PREFERENCE,
    ServerError,
    Session,
    find_driver,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    Cluster,
    Limits,
    host_lock,
    lost,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.ended import Ended
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import progress_path, watching
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.apply import Run, gone
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.look import Seen, look
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.main import Main
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Applied, Snapshot, Table
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import age, is_old
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.report import (
    Looked,
    left_standby,
    report,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import statements
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.wraparound import Ages, wraparound


@modules_spared()
def vacuum(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Ended:
    """Vacuum and analyse what needs it in one cluster; with *check_mode* only say what that is.

    *params* are validated by ``ARGUMENT_SPEC``. Raises ``UpkeepError`` when the cluster could not be looked at:
    ``InvalidInput``, ``MissingLibrary``, ``ConnectionFailed``, ``PooledConnection``, ``ReadOnlyServer``,
    ``UnsupportedServer``, ``UnsupportedOption``, ``LockHeld``, ``StateError``.
    """
    started = time.monotonic()
    options = run_options_of(params)
    cluster = Cluster(find_driver(drivers), connection_of(params), options.session)
    policy = policy_of(params)
    limits = Limits(Budget(options.time_limit), Deadline(options.hard_time_limit))
    with ExitStack() as stack:
        stack.enter_context(nullcontext() if check_mode else host_lock(cluster, now))
        session = stack.enter_context(cluster.session(cluster.connection.database))
        try:
            seen = look(cluster, session, options, policy)
        except ReadOnlyServer:
            if not options.skip_standby:
                raise
            return left_standby(cluster.connection, now, time.monotonic() - started)
        if check_mode:
            ended = [_only_planned(one, seen.holders) for one in seen.databases]
        else:
            ended = _work_in_all(cluster, session, seen, limits)
    return report(cluster.connection, options, ended, seen.holders, now, time.monotonic() - started, seen.findings)


def _only_planned(looked: Looked, holders: Sequence[Holder]) -> Looked:
    if looked.snapshot is None:
        return looked
    records = judge(looked.snapshot, looked.plan, looked.policy, manner=looked.options.manner)
    phases = statements(looked.plan.steps, looked.snapshot, looked.options)
    return replace(
        looked,
        records=tuple(records),
        findings=(*_of_ages(looked, holders), *evaluate(looked.snapshot, records, looked.policy, None)),
        queries=(
            *(statement.sql for phase in phases for statement in phase),
            *([looked.closing] if looked.closing else []),
        ),
    )


def _work_in_all(cluster: Cluster, session: Session, seen: Seen, limits: Limits) -> list[Looked]:
    """Do the plans of all databases. *session* is the one that looked; it works on where its own is the only one."""
    alone = len(seen.databases) == 1 and seen.databases[0].options.session == cluster.options
    if not alone:
        session.close()
    ended: list[Looked] = []
    for one in seen.databases:
        fresh = not any(past.plan.steps for past in ended)
        ended.append(_work(cluster, one, seen.holders, limits, fresh, session if alone else None))
    _require_one_turn(ended)
    return ended


def _work(
    cluster: Cluster, looked: Looked, holders: Sequence[Holder], limits: Limits, fresh: bool, session: Session | None
) -> Looked:
    """Do the plan of one database, under its advisory lock. *fresh* begins a new log of the progress."""
    snapshot = looked.snapshot
    if snapshot is None:
        return looked
    started = time.monotonic()
    applied, held = Applied({}), None
    if looked.plan.steps or looked.closing:
        try:
            applied = _apply(replace(cluster, options=looked.options.session), looked, snapshot, limits, fresh, session)
        except LockHeld as error:
            held = error
        except ConnectionFailed as error:
            applied = gone(looked.plan.steps, error)
    records = judge(
        snapshot,
        looked.plan,
        looked.policy,
        None if held else applied,
        held.message if held else "",
        looked.options.manner,
    )
    done = replace(
        looked,
        why=held.message if held else "",
        held=held,
        lost=applied.lost,
        records=tuple(records),
        queries=applied.queries,
        notes=(*looked.notes, *applied.notes),
        ages_after=None if applied.ages is None else Ages(*applied.ages),
        seconds=time.monotonic() - started,
    )
    of_tables = evaluate(snapshot, records, looked.policy, looked.options.time_limit)
    still = applied.holders if applied.ages is not None else holders
    return replace(done, findings=(*_of_ages(done, still), *of_tables))


def _apply(
    cluster: Cluster, looked: Looked, snapshot: Snapshot, limits: Limits, fresh: bool, session: Session | None
) -> Applied:
    """Raises ``LockHeld``, and ``ConnectionFailed`` before anything was done."""
    steps = looked.plan.steps
    try:
        with (
            Main(cluster, looked.name, snapshot.subject, session) as main,
            watching(cluster, looked.name, progress_path(cluster), len(steps), fresh=fresh) as watch,
        ):
            run = Run(cluster, looked.options, snapshot, steps, limits, watch)
            applied = run.execute(main, looked.slots, looked.closing)
    except ServerError as error:
        raise lost(cluster.connection, error) from None
    return replace(applied, notes=(*applied.notes, *watch.notes))


def _of_ages(looked: Looked, holders: Sequence[Holder]) -> list[Finding]:
    """Return the findings about the age of the database as a whole."""
    if looked.snapshot is None or looked.ages is None or not looked.ages.alarming:
        return []
    steps = {step.table.oid for step in looked.plan.steps}
    left = [
        table for table in looked.snapshot.tables if table.oid not in steps and is_old(table.counters, looked.policy)
    ]
    return wraparound(
        looked.snapshot.subject,
        looked.ages,
        looked.ages_after,
        looked.policy,
        # What holds back in one database does so in the catalogs that all of them share.
        holders,
        {table.title: age(table.counters) for table in sorted(left, key=_by_age)},
    )


def _by_age(table: Table) -> tuple[int, bool, int]:
    """The oldest first; of those, what the user knows by name, and the larger before the smaller."""
    return -age(table.counters), table.catalog, -table.pages


def _require_one_turn(ended: Iterable[Looked]) -> None:
    """Raise the ``LockHeld`` of a run that could do nothing at all because another one is at it."""
    held = [one.held for one in ended if one.plan.steps]
    first = held[0] if held and all(held) else None
    if first is not None:
        raise first
