# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a cluster: which of its databases are meant, what is to be done in each, and what stands out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    TEMPLATE,
    Cluster,
    choose,
    lost,
    read_databases,
    read_server,
    require_primary,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Database, Holder, Server, quote_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import (
    read_all_holders,
    read_tables,
    read_workers,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    MODE_ACTIONS,
    VACUUM,
    Policy,
    RunOptions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.needs import is_old
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.options import (
    in_emergency,
    overruled,
    require_supported,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.plan import plan, unknown_names
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.report import Looked
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import closing_statement
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.wraparound import Ages, out_of_reach


@dataclass(frozen=True)
class Seen:
    """What a look at the cluster shows: its databases with their plans, what holds rows back, and what stands out."""

    databases: tuple[Looked, ...]
    holders: tuple[Holder, ...]
    findings: tuple[Finding, ...]


def look(cluster: Cluster, session: Session, options: RunOptions, policy: Policy) -> Seen:
    """Return what is to be done in the cluster that *session* is in. Nothing is sent that changes anything."""
    try:
        server = read_server(session)
        require_primary(server)
        require_supported(options.manner, server.version)
        cluster.require_direct(session)
        databases = read_databases(session)
        chosen, left = choose(databases, options.databases)
        chosen, left = _with_old_templates(databases, chosen, left, policy)
        holders = read_all_holders(session)
        findings = [*_elsewhere(cluster, databases, chosen, dict(left)), *_too_parallel(cluster, session, options)]
        wanted = [one for one in databases if one.name in chosen]
        looked = _look_into_all(cluster, session, server, options, policy, wanted)
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
    return Seen((*looked, *(Looked(name, why) for name, why in left)), holders, tuple(findings))


def _with_old_templates(
    databases: Iterable[Database], chosen: list[str], left: list[tuple[str, str]], policy: Policy
) -> tuple[list[str], list[tuple[str, str]]]:
    """Add the templates whose ids run out: all databases share them, so the oldest one stops the cluster."""
    old = [
        one.name
        for one in databases
        if one.template and _is_emergency(one, policy) and one.may_connect and (one.name, TEMPLATE) in left
    ]
    return chosen + old, [(name, why) for name, why in left if name not in old]


def _is_emergency(database: Database, policy: Policy) -> bool:
    if VACUUM not in MODE_ACTIONS[policy.mode]:
        return False
    return _ages_of(database).alarming if policy.emergency is None else policy.emergency


def _ages_of(database: Database) -> Ages:
    return Ages(database.frozen_age, database.multixact_age)


def _elsewhere(
    cluster: Cluster, databases: Iterable[Database], chosen: Sequence[str], left: Mapping[str, str]
) -> list[Finding]:
    """Return the findings for databases whose ids run out while this run works in others."""
    return [
        out_of_reach(subject_of(cluster, one.name), _ages_of(one), left.get(one.name, "it is not among databases"))
        for one in databases
        if one.name not in chosen and _ages_of(one).alarming
    ]


def _too_parallel(cluster: Cluster, session: Session, options: RunOptions) -> list[Finding]:
    wanted = options.manner.parallel
    if not wanted:
        return []
    each, together = read_workers(session)
    if wanted <= each and wanted * options.jobs <= together:
        return []
    found = Finding(
        "pg.parallel_limited",
        cluster.connection.label,
        Severity.INFO,
        f"{options.jobs} jobs with {wanted} parallel workers each were asked for; the server allows {each} for one "
        f"VACUUM (max_parallel_maintenance_workers) and {together} in all (max_parallel_workers).",
        {"jobs": options.jobs, "parallel": wanted, "each": each, "together": together},
        "Lower parallel or jobs, or raise those settings.",
    )
    return [found]


def _look_into_all(
    cluster: Cluster,
    session: Session,
    server: Server,
    options: RunOptions,
    policy: Policy,
    databases: Sequence[Database],
) -> list[Looked]:
    """Look into each of *databases*. *session* is the one that we have; what cannot be entered is a finding."""
    looked: list[Looked] = []
    for database in databases:
        asked = Looked(database.name, filters=policy.filters, policy=policy, options=options, ages=_ages_of(database))
        if _is_emergency(database, policy):
            asked = _alarmed(asked)
        again = any(one.snapshot is not None for one in looked)
        try:
            with nullcontext(session) if database.current else cluster.session(database.name) as own:
                here = server if own is session else read_server(own)
                looked.append(_look_into(cluster, asked, own, here, again))
        except ConnectionFailed as error:
            if len(databases) == 1 or database.current:
                raise
            looked.append(_unreachable(cluster, database.name, error))
    return looked


def _look_into(cluster: Cluster, asked: Looked, session: Session, server: Server, again: bool) -> Looked:
    policy = asked.policy
    snapshot = read_tables(session, server, cluster.connection.label, asked.name, policy.autovacuum, again)
    made = plan(snapshot, policy, snapshot.now)
    # A run that was killed, or autovacuum, may have frozen the tables and not told the database.
    told = not asked.emergency or made.steps or any(is_old(table.counters, policy) for table in snapshot.tables)
    closing = "" if told else closing_statement(snapshot, asked.options)
    return replace(asked, slots=server.free_slots, snapshot=snapshot, plan=made, closing=closing)


def _alarmed(asked: Looked) -> Looked:
    """Return *asked* as it is to be done in a database whose ids run out."""
    ignored = overruled(asked.options.manner)
    notes = (f"an emergency does not heed {', '.join(ignored)}",) if ignored else ()
    policy, options = in_emergency(asked.policy, asked.options)
    return replace(asked, policy=policy, options=options, emergency=True, notes=notes)


def _unreachable(cluster: Cluster, name: str, error: UpkeepError) -> Looked:
    subject = subject_of(cluster, name)
    found = Finding("pg.database_unreachable", subject, Severity.UNKNOWN, error.message, error.evidence, error.remedy)
    return Looked(name, error.message, findings=(found,))


def subject_of(cluster: Cluster, database: str) -> str:
    return f"{cluster.connection.label}: {one_line(quote_name(database))}"
