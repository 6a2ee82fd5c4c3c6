# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrite bloated tables of one cluster: look, plan, work where that is asked for, and say what came of it."""

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
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.apply import Means, Run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.collect import (
    read_estimates,
    read_facts,
    read_leftovers,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.evaluate import evaluate, judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    PG_REPACK,
    REPACK,
    Applied,
    Attempt,
    RewritePolicy,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.options import rewrite_policy_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.pg_repack import Client, find_client
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.plan import (
    candidates,
    directories,
    need_of,
    plan,
    shut_out,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.report import Looked, report
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.sql import (
    REPACK_SINCE,
    analyze_statement,
    rewrite_statement,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.setup import read_setup
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import read_tables
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import RunOptions, Snapshot
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import unknown_names


def rewrite(
    params: Mapping[str, Any], now: datetime, check_mode: bool = False, drivers: Sequence[str] = PREFERENCE
) -> Ended:
    """Rewrite the bloated tables among those chosen in one cluster; with *check_mode* only say which, and at what cost.

    *params* are validated by the argument spec of pg_vacuum. Raises ``UpkeepError`` when the cluster could not be
    looked at, or what is asked for makes no sense: ``InvalidInput``, ``MissingLibrary``, ``ConnectionFailed``,
    ``PooledConnection``, ``ReadOnlyServer``, ``LockHeld``, ``StateError``.
    """
    started = time.monotonic()
    options = run_options_of(params)
    policy = rewrite_policy_of(params)
    cluster = Cluster(find_driver(drivers), connection_of(params), options.session)
    job = _Job(cluster, options, policy, Limits(Budget(options.time_limit), Deadline(options.hard_time_limit)))
    with nullcontext() if check_mode else host_lock(cluster, now):
        looked, holders = job.look()
        if check_mode:
            ended = [job.only_planned(one) for one in looked]
        else:
            ended = [job.work(one) for one in looked]
            _require_one_turn(ended)
    return report(cluster.connection, options, ended, holders, now, time.monotonic() - started, job.progress)


class _Job:
    """One run over the databases of a cluster."""

    def __init__(self, cluster: Cluster, options: RunOptions, policy: RewritePolicy, limits: Limits) -> None:
        self._cluster = cluster
        self._options = options
        self._policy = policy
        self._limits = limits
        self._means: dict[str, Means] = {}
        # The path of the live log, once there is one.
        self.progress: str | None = None

    # --- look

    def look(self) -> tuple[list[Looked], tuple[Holder, ...]]:
        """Return the databases of the run with their plans, and what holds dead rows back in the cluster."""
        cluster, login = self._cluster, self._cluster.connection.database
        try:
            with cluster.session(login) as session:
                server = read_server(session)
                if server.in_recovery and self._options.skip_standby:
                    return [_standby(cluster)], ()
                require_primary(server)
                _require_version(server, self._policy)
                cluster.require_direct(session)
                wanted = [login if name is None else name for name in self._options.databases]
                chosen, left = choose(read_databases(session), wanted)
                holders = read_holders(session)
                looked = []
                for number, name in enumerate(chosen):
                    try:
                        looked.append(self._look_into(name, session if name == login else None, holders, number == 0))
                    except ConnectionFailed as error:
                        if len(chosen) == 1 or name == login:
                            raise
                        looked.append(_unreachable(cluster, name, error))
        except ServerError as error:
            raise lost(cluster.connection, error) from None
        self._require_known_names(looked, chosen)
        return looked + [Looked(name, why) for name, why in left], holders

    def _require_known_names(self, looked: Sequence[Looked], chosen: Iterable[str]) -> None:
        snapshots = [one.snapshot for one in looked if one.snapshot is not None]
        unknown = unknown_names(snapshots, self._policy.tables)
        if unknown and len(snapshots) == len(looked):
            places = ", ".join(one_line(quote_name(name)) for name in chosen)
            raise InvalidInput(
                f"There is no {' and no '.join(map(one_line, unknown))} in {places}.",
                "Correct the name, or write a pattern (with *) where it may be absent.",
            )
        catalogs = shut_out(snapshots, self._policy)
        if catalogs:
            raise InvalidInput(
                f"{', '.join(map(one_line, catalogs))} is a system catalog, whose lock stops the whole database.",
                "Set include_catalogs to true if that is meant.",
            )

    def _look_into(self, name: str, session: Session | None, holders: Sequence[Holder], first: bool) -> Looked:
        if session is None:
            with self._cluster.session(name) as own:
                return self._look_into(name, own, holders, first)
        server = read_server(session)
        snapshot = read_tables(session, server, self._cluster.connection.label, name)
        if not first:
            # Shared catalogs are the same in every database.
            snapshot = replace(snapshot, tables=tuple(table for table in snapshot.tables if not table.shared))
        setup = read_setup(session)
        tables, _never = candidates(snapshot, self._policy)
        facts = read_facts(session, server, [table.oid for table in tables], setup)
        estimates = read_estimates(session, server, self._policy, facts)
        disk = find(setup, self._policy.free_bytes)
        client = Client()
        if self._policy.method == PG_REPACK:
            client = find_client(setup, server.superuser, self._cluster)
        self._means[name] = Means(self._policy, self._options, server, setup, disk, client)
        space = disk.space(directories(need_of(one, None, setup) for one in facts.values()))
        here = [holder for holder in holders if holder.database in ("", name)]
        return Looked(
            name,
            filters=self._policy.tables.filters,
            slots=server.free_slots,
            snapshot=snapshot,
            plan=plan(snapshot, self._policy, facts, estimates, setup, space, here, client.why),
            leftovers=read_leftovers(session),
        )

    # --- work

    def only_planned(self, looked: Looked) -> Looked:
        """Return *looked* with what a run would do."""
        if looked.snapshot is None:
            return looked
        records = judge(looked.snapshot, looked.plan)
        version = looked.snapshot.version
        return replace(
            looked,
            records=tuple(records),
            findings=tuple(evaluate(looked.snapshot, records, None, looked.leftovers)),
            queries=tuple(
                text
                for target in looked.plan.targets
                for text in (
                    rewrite_statement(target.method, target.table, version),
                    analyze_statement(target.table, version),
                )
            ),
        )

    def work(self, looked: Looked) -> Looked:
        """Do the plan of one database, under its advisory lock."""
        snapshot = looked.snapshot
        if snapshot is None:
            return looked
        started = time.monotonic()
        applied, held, leftovers = Applied({}), None, looked.leftovers
        notes: list[str] = []
        if looked.plan.targets:
            try:
                with self._cluster.session(looked.name) as main:
                    take_lock(main, snapshot.subject)
                    applied, notes = self._apply(main, looked, snapshot)
                    if applied.failed and applied.lost is None:
                        leftovers = read_leftovers(main)
            except LockHeld as error:
                held = error
            except ConnectionFailed as error:
                applied = _not_begun(looked, error)
            except ServerError as error:
                applied = _not_begun(looked, lost(self._cluster.connection, error))
        records = judge(snapshot, looked.plan, None if held else applied, held.message if held else "")
        return replace(
            looked,
            why=held.message if held else "",
            held=held,
            lost=applied.lost,
            leftovers=leftovers,
            records=tuple(records),
            findings=tuple(evaluate(snapshot, records, self._options.time_limit, leftovers, applied.lost)),
            queries=applied.queries,
            notes=(*applied.notes, *notes),
            seconds=time.monotonic() - started,
        )

    def _apply(self, main: Session, looked: Looked, snapshot: Snapshot) -> tuple[Applied, list[str]]:
        path, fresh = progress_path(self._cluster), self.progress is None
        targets = looked.plan.targets
        with watching(self._cluster, looked.name, path, len(targets), fresh=fresh) as watch:
            self.progress = watch.path or self.progress
            run = Run(self._cluster, self._means[looked.name], snapshot, targets, self._limits, watch)
            return run.execute(main, looked.slots), watch.notes


def _not_begun(looked: Looked, error: UpkeepError) -> Applied:
    attempts = {target.table.oid: Attempt(why="lost", message=error.message) for target in looked.plan.targets}
    return Applied(attempts, lost=error)


def _standby(cluster: Cluster) -> Looked:
    label = cluster.connection.label
    found = Finding(
        "pg.rewrite_standby",
        label,
        Severity.INFO,
        f"{label} is a standby; its tables are those of its primary, and nothing was done.",
        {"in_recovery": True},
        "Run it against the primary.",
    )
    return Looked(cluster.connection.database, "the server is a standby (on_standby: skip)", findings=(found,))


def _require_version(server: Server, policy: RewritePolicy) -> None:
    if policy.method == REPACK and server.version < REPACK_SINCE:
        raise InvalidInput(
            f"rewrite_method is repack, a command of PostgreSQL 19 and later; this server is "
            f"{server.version // 10000}.",
            "Use auto or full; or pg_repack, where that is installed.",
            {"class": "unsupported_option", "server_version_num": server.version},
        )


def _unreachable(cluster: Cluster, name: str, error: UpkeepError) -> Looked:
    subject = f"{cluster.connection.label}: {one_line(quote_name(name))}"
    found = Finding("pg.database_unreachable", subject, Severity.UNKNOWN, error.message, error.evidence, error.remedy)
    return Looked(name, error.message, findings=(found,))


def _require_one_turn(ended: Iterable[Looked]) -> None:
    """Raise the ``LockHeld`` of a run that could do nothing at all because another one is at it."""
    held = [one.held for one in ended if one.plan.targets]
    first = held[0] if held and all(held) else None
    if first is not None:
        raise first
