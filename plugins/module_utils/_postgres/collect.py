# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a server what it is and what its tables look like. Changes nothing but the settings of our own session."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session, connect
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer, UnsupportedServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    ConnectionOptions,
    Counters,
    Database,
    Holder,
    RunOptions,
    Server,
    Snapshot,
    Table,
)

# Before 15 the collector writes its numbers at most every 0.5 s; it has this long to do so after we have asked.
SETTLE_SECONDS = 10.0
_SETTLE_PAUSE = 0.05


@dataclass(frozen=True)
class Cluster:
    """How to open a session in any database of one cluster, with our settings in force."""

    driver: ModuleType
    connection: ConnectionOptions
    options: RunOptions

    @property
    def application(self) -> str:
        """What the server's other users see of us; PostgreSQL keeps 63 bytes."""
        return f"{sql.APPLICATION} {self.options.run_id}".strip()[:63]

    @contextmanager
    def session(self, database: str) -> Iterator[Session]:
        """Open a session. Raises ``ConnectionFailed``, or ``InvalidInput`` when the role cannot be taken on."""
        with connect(self.driver, self.connection, database, self.application) as session:
            self._prepare(session)
            yield session

    def _prepare(self, session: Session) -> None:
        settings = sql.session_settings(session.version, self.options, self.connection.session_role)
        try:
            session.rows(sql.settings_query(len(settings)), [text for pair in settings for text in pair])
        except ServerError as error:
            if self.connection.session_role and error.sqlstate in ("22023", "42501"):
                raise InvalidInput(
                    f"{self.connection.user} cannot take on the role {self.connection.session_role}: {error.message}.",
                    "Check session_role, or grant that role to login_user.",
                ) from None
            raise lost(self.connection, error) from None


def lost(connection: ConnectionOptions, error: ServerError) -> ConnectionFailed:
    """Return the error for a session that broke, or was refused what everybody may do."""
    return ConnectionFailed(
        f"PostgreSQL at {connection.endpoint} was lost: {error.message} (SQLSTATE {error.sqlstate}).",
        "Look into the server's log. What was vacuumed until then stays so; the next run goes on from there.",
        {"host": connection.host, "port": connection.port, "sqlstate": error.sqlstate},
    )


def read_server(session: Session) -> Server:
    """Return what the server is. Raises ``UnsupportedServer`` and ``ReadOnlyServer``."""
    if session.version < sql.OLDEST_VERSION:
        raise UnsupportedServer(session.version)
    row = session.rows(sql.server_query(session.version))[0]
    recovery, user, superuser, counts, epoch, slots, reads = row
    if recovery:
        raise ReadOnlyServer()
    return Server(
        version=session.version,
        user=user,
        superuser=superuser,
        counts=counts,
        free_slots=max(0, slots),
        reads_statistics=reads,
        now=datetime.fromtimestamp(epoch, timezone.utc),
    )


def read_databases(session: Session) -> tuple[Database, ...]:
    """Return all databases, the one with the oldest unfrozen transactions first."""
    return tuple(Database(*row) for row in session.rows(sql.DATABASES_QUERY))


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
