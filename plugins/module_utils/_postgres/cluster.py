# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Get into a cluster: its sessions, what it is, which of its databases are meant, and who else is at work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import ModuleType

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    LockHeld,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState, directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session, connect
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import (
    PooledConnection,
    ReadOnlyServer,
    UnsupportedServer,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    ConnectionOptions,
    Database,
    Holder,
    Server,
    SessionOptions,
    instant,
    quote_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import select
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.pooler import require_own_process

# Why a template is left.
TEMPLATE = "it is a template"
# Databases of managed services (Amazon, Azure, Google), which their customers can see and not enter.
MANAGED = frozenset(("rdsadmin", "azure_maintenance", "cloudsqladmin", "alloydbadmin"))
# Connections that are left to others, besides those that the server keeps back itself.
SPARE_SLOTS = 3


@dataclass(frozen=True)
class Cluster:
    """How to open a session in any database of one cluster, with our settings in force."""

    driver: ModuleType
    connection: ConnectionOptions
    options: SessionOptions
    # The databases to which a pooler in session mode leads; each may have another mode.
    _pooled: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @contextmanager
    def session(self, database: str) -> Iterator[Session]:
        """Open a session with a server process of its own.

        Raises ``ConnectionFailed``, ``PooledConnection``, or ``InvalidInput`` when the role cannot be taken on.
        """
        with connect(self.driver, self.connection, database, self.options.application) as session:
            self._prepare(session)
            yield session

    def require_direct(self, session: Session) -> None:
        """Raise ``PooledConnection`` when a pooler may give the next statement of *session* to another process.

        Each session of ours has been through this before anything was set in it, so for those it costs one round trip
        and says nothing new; a job that changes something may say so where it begins. A pool in session mode is fine.
        """
        if session.rows(sql.BACKEND_QUERY)[0][0] != session.pid:
            self._require_own_process(session)

    def _require_own_process(self, session: Session) -> None:
        """The protocol told another pid than the server: we talk to a pooler, which makes up its own."""
        if session.database in self._pooled:
            session.pid = session.rows(sql.BACKEND_QUERY)[0][0]
            return

        def another() -> Session:
            return connect(self.driver, self.connection, session.database, self.options.application)

        session.pid = require_own_process(session, another, self.connection.endpoint)
        self._pooled.add(session.database)

    def _prepare(self, session: Session) -> None:
        settings = sql.session_settings(session.version, self.options, self.connection.session_role)
        try:
            if not self._set(session, settings):
                self._require_own_process(session)
                if not self._set(session, settings):
                    raise PooledConnection(self.connection.endpoint, "another process answered than a moment before")
            if not self.options.read_only:
                session.rows(sql.DEAD_CLIENT_QUERY)
        except ServerError as error:
            if self.connection.session_role and error.sqlstate in ("22023", "42501"):
                raise InvalidInput(
                    f"{self.connection.user} cannot take on the role {self.connection.session_role}: {error.message}.",
                    "Check session_role, or grant that role to login_user.",
                ) from None
            raise lost(self.connection, error) from None

    @staticmethod
    def _set(session: Session, settings: Sequence[tuple[str, str]]) -> bool:
        """Apply *settings* where the process that answers is the session's own, and say whether it is."""
        values = [value for pair in settings for value in (session.pid, *pair)]
        ((pid, *_applied),) = session.rows(sql.owned_settings_query(len(settings)), values)
        return bool(pid == session.pid)


def lost(connection: ConnectionOptions, error: ServerError) -> ConnectionFailed:
    """Return the error for a session that broke, or was refused what everybody may do."""
    return ConnectionFailed(
        f"PostgreSQL at {connection.endpoint} was lost: {error.message} (SQLSTATE {error.sqlstate}).",
        "Look into the server's log. What was done until then stays so; the next run goes on from there.",
        {"host": connection.host, "port": connection.port, "sqlstate": error.sqlstate},
    )


def read_server(session: Session) -> Server:
    """Return what the server is. Raises ``UnsupportedServer``."""
    if session.version < sql.OLDEST_VERSION:
        raise UnsupportedServer(session.version)
    row = session.rows(sql.server_query(session.version))[0]
    recovery, user, superuser, counts, epoch, slots, reads = row
    return Server(
        version=session.version,
        in_recovery=recovery,
        user=user,
        superuser=superuser,
        counts=counts,
        free_slots=max(0, slots),
        reads_statistics=reads,
        now=datetime.fromtimestamp(epoch, timezone.utc),
    )


def require_primary(server: Server) -> None:
    """Raise ``ReadOnlyServer`` when nothing can be changed there."""
    if server.in_recovery:
        raise ReadOnlyServer()


def read_databases(session: Session) -> tuple[Database, ...]:
    """Return all databases, the one with the oldest unfrozen transactions first."""
    return tuple(Database(*row) for row in session.rows(sql.DATABASES_QUERY))


def read_holders(session: Session, ours: Iterable[int] = ()) -> tuple[Holder, ...]:
    """Return what keeps old row versions alive, oldest first; the sessions with the pids of *ours* left out."""
    found = []
    for kind, name, database, age, seconds in session.rows(sql.HOLDERS_QUERY, (list(ours),)):
        found.append(Holder(kind, name, database, age, seconds, hint_for(kind, name)))
    return tuple(found)


def hint_for(kind: str, name: str) -> str:
    """Return the step that ends a holder. It is never taken by us: only its owner knows what would be lost."""
    quoted = name.replace("'", "''")
    return {
        "backend": f"Let it end, or end it: SELECT pg_terminate_backend({name});",
        "idle_in_transaction": f"Commit or roll back there, or end it: SELECT pg_terminate_backend({name});",
        "prepared": f"Finish it: COMMIT PREPARED '{quoted}'; or ROLLBACK PREPARED '{quoted}';",
        "slot": f"Let its consumer catch up, or drop it: SELECT pg_drop_replication_slot('{quoted}');",
        "standby_feedback": "End the long query on that standby, or turn hot_standby_feedback off there.",
    }[kind]


@dataclass(frozen=True)
class Limits:
    """The two limits of a run: nothing starts after ``soft``, nothing goes on after ``hard``."""

    soft: Budget
    hard: Deadline

    @property
    def spent(self) -> bool:
        return self.soft.spent or self.hard.expired

    @property
    def remaining(self) -> float | None:
        """Seconds in which something may still start; ``None`` without a limit."""
        left = [seconds for seconds in (self.soft.remaining, self.hard.remaining) if seconds is not None]
        return min(left, default=None)


def take_lock(session: Session, what: str) -> None:
    """Take the session's advisory lock in its database. Raises ``LockHeld`` naming the session that has it."""
    if session.rows(sql.LOCK_QUERY, sql.ADVISORY_KEYS)[0][0]:
        return
    holders = session.rows(sql.LOCK_HOLDER_QUERY, sql.ADVISORY_KEYS)
    if holders:
        pid, application, user, address, since = holders[0]
        who = f"{application!r} (pid {pid}, {user} from {address}, connected since {instant(since) or 'unknown'})"
        evidence = {"pid": pid, "application": application, "user": user, "address": address}
    else:
        who, evidence = "a session that has ended meanwhile", {}
    raise LockHeld(f"{what} is in the hands of another run: {who}.", "Wait for that run to end.", {"holder": evidence})


def host_lock(cluster: Cluster, now: datetime) -> HostLock:
    """Return the lock that keeps two jobs on this host out of the same cluster. Raises ``StateError`` when entered."""
    directory = directory_of(cluster.options.state_dir, os.environ, os.geteuid())
    state = HostState(directory, cluster.connection.label)
    return HostLock(state.lock_path(f"postgres {cluster.connection.endpoint}"), cluster.options.run_id, now=now)


def choose(databases: Iterable[Database], patterns: Sequence[str | None]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the names of the databases to work in, and those that are left with the reason.

    ``None`` among *patterns* is the database of the login, whatever it is called. A pattern leaves out what nobody can
    or should work in; a name that is written out and cannot be found is ``InvalidInput``.
    """
    known = {database.name: database for database in databases}
    own = [name for name, database in known.items() if database.current and {None, name} & set(patterns)]
    matching, unknown = select(known, [one for one in patterns if one is not None and one not in own])
    names = [name for name in known if name in own or name in matching]
    if unknown:
        raise InvalidInput(
            f"There is no database {', '.join(one_line(quote_name(name)) for name in unknown)}.",
            "`psql -l` lists what there is.",
        )
    chosen, left = [], []
    for name in names:
        database = known[name]
        exact = name in patterns or name in own
        if not database.valid:
            left.append((name, "invalid: a DROP DATABASE of it was interrupted"))
        elif not database.accepts_connections:
            left.append((name, "it does not accept connections"))
        elif database.template and not exact:
            left.append((name, TEMPLATE))
        elif name in MANAGED and not exact:
            left.append((name, "it belongs to the managed service, which lets nobody in"))
        elif not database.may_connect:
            left.append((name, "the role may not connect to it"))
        else:
            chosen.append(name)
    return chosen, left
