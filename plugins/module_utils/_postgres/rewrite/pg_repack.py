# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client program of pg_repack: find the one that fits the extension, and let it rewrite one table.

It has traps that are closed here. It ends other sessions when it has waited long enough: never ours to do. It then
leaves a table and says that all is well: the files of the table are the proof. Killed, it leaves a trigger on the table
that costs every write from then on: so it is asked to stop by way of the server, and cleans up.
"""

from __future__ import annotations

import glob
import math
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, arguments
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Setup

_PLACES = ("/usr/lib/postgresql/*/bin/pg_repack", "/usr/pgsql-*/bin/pg_repack", "/usr/local/pgsql/bin/pg_repack")
_LOOK_SECONDS = 10.0
# What the client needs to clean up after it was told to stop.
_CLEANUP_SECONDS = 60.0
_UNLIMITED_SECONDS = 7 * 86400.0

# libpq's parameters that have an environment variable; a program gets no others without showing them to everybody.
_ENVIRONMENT: Mapping[str, str] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "service": "PGSERVICE",
    "client_encoding": "PGCLIENTENCODING",
    "application_name": "PGAPPNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


@dataclass(frozen=True)
class Client:
    """The program, or why there is none that can be used."""

    path: str = ""
    why: str = ""


def find_client(setup: Setup, superuser: bool, cluster: Cluster) -> Client:
    """Return the program on this host whose version is that of the extension in the database."""
    if not setup.repack_extension:
        return Client(why="the extension pg_repack is not installed in the database (CREATE EXTENSION pg_repack)")
    if not superuser:
        return Client(why="pg_repack works only for a superuser")
    if cluster.connection.session_role:
        return Client(why="pg_repack cannot take on session_role")
    unknown = [name for name in arguments(cluster.connection, "", "") if name not in _ENVIRONMENT]
    if unknown:
        return Client(why=f"pg_repack cannot be given the connect_params {', '.join(sorted(unknown))}")
    versions = []
    for path in _programs():
        version = _version_of(path)
        if version == setup.repack_extension:
            return Client(path)
        versions.append(f"{path} is {version or 'broken'}")
    found = "; ".join(versions) or "there is no program pg_repack"
    return Client(why=f"the extension is pg_repack {setup.repack_extension}, and on this host {found}")


def _programs() -> list[str]:
    first = shutil.which("pg_repack")
    rest = sorted((path for place in _PLACES for path in glob.glob(place)), reverse=True)
    return list(dict.fromkeys([first, *rest] if first else rest))


def _version_of(path: str) -> str:
    try:
        said = run([path, "--version"], _LOOK_SECONDS)
    except UpkeepError:
        return ""
    words = said.output.split()
    return words[1] if said.status == 0 and len(words) > 1 else ""


def repack(
    path: str, cluster: Cluster, database: str, table: str, jobs_name: str, wait: float, seconds: float | None
) -> str:
    """Rewrite *table* (quoted for SQL) and return what the program complained of, in one line.

    *wait* is how many seconds it waits for a lock, *seconds* how long it may take in all. *jobs_name* is the name of
    its sessions. Raises ``CommandFailed`` or ``DeadlineExceeded``. Whether the table was rewritten, only its files say.
    """
    settings = arguments(cluster.connection, _conninfo(database), jobs_name)
    password = settings.pop("password", "")
    # What is set for the role or the database would end the work; psql's own file is not read by it.
    environment = {_ENVIRONMENT[name]: str(value) for name, value in settings.items()}
    environment["PGDATABASE"] = database
    environment["PGOPTIONS"] = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
    argv = [
        path,
        "--no-order",
        "--no-kill-backend",
        "--no-analyze",
        f"--wait-timeout={max(1, math.ceil(wait))}",
        "--table",
        table,
        "--dbname",
        _conninfo(database),
    ]
    limit = _UNLIMITED_SECONDS if seconds is None else seconds + _CLEANUP_SECONDS
    with _Cancelling(cluster, database, jobs_name, seconds):
        ended = run(
            argv, limit, environment=environment, secret_environment={"PGPASSWORD": password} if password else None
        )
    ended.require_success(f"pg_repack of {one_line(table)}")
    return one_line(" ".join(ended.errors.split()))[:500]


def _conninfo(database: str) -> str:
    """Return *database* as the program puts it, unquoted, behind ``dbname=`` of its own connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class _Cancelling:
    """After *seconds*, cancel what the sessions of that name run; the program then cleans up and ends."""

    def __init__(self, cluster: Cluster, database: str, name: str, seconds: float | None) -> None:
        self._timer: threading.Timer | None = None
        if seconds is not None:
            self._timer = threading.Timer(seconds, _cancel, [cluster, database, name])
            self._timer.daemon = True

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.start()

    def __exit__(self, *_exception: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _cancel(cluster: Cluster, database: str, name: str) -> None:
    try:
        with cluster.session(database) as session:
            session.rows(
                "SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a WHERE a.application_name = %s", (name,)
            )
    except (UpkeepError, ServerError):
        # Then the program is killed when its own time is over, and what it leaves is reported.
        return
