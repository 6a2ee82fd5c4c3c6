# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only file that knows psycopg2 and psycopg 3: connect, run one statement, read rows, name errors alike."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, MissingLibrary
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions

DRIVERS: dict[str, ModuleType] = {}
IMPORT_ERRORS: dict[str, str] = {}

try:
    import psycopg2

    DRIVERS["psycopg2"] = psycopg2
except ImportError:
    IMPORT_ERRORS["psycopg2"] = traceback.format_exc()
try:
    import psycopg

    DRIVERS["psycopg"] = psycopg
except ImportError:
    IMPORT_ERRORS["psycopg"] = traceback.format_exc()

# psycopg2 first: it is what distributions package for the Python that Ansible finds, and it starts faster.
PREFERENCE = ("psycopg2", "psycopg")
CONNECT_SECONDS = 10
LOST = "08006"

# What libpq says when it is not let in -> the next step. The first that matches counts.
_NEXT_STEPS: tuple[tuple[str, str], ...] = (
    (r"password authentication failed", "Check login_user and login_password, and the line in pg_hba.conf."),
    (
        r"no password supplied",
        "Give login_password, or a password file of libpq (~/.pgpass) of the user that runs the task, with mode 0600.",
    ),
    (r"Peer authentication failed", "Run the task as that account (become_user), or connect by TCP with a password."),
    (
        r"valid client certificate|certificate authentication failed",
        "Give ssl_cert and ssl_key of a certificate that the server's authority signed, and whose name is the role's.",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "Add a line for this user, database, address and encryption to pg_hba.conf and reload the server.",
    ),
    (r"unsupported startup parameter", "Leave it out of connect_params: the pooler in between does not know it."),
    (r"no such database|database .* does not exist", "Check login_db and databases; `psql -l` lists what there is."),
    (r"no such user|role .* does not exist", "Check login_user, or create the role."),
    (
        r"service file|definition of service|syntax error in service",
        "Check the service in connect_params (or PGSERVICE) and the file that PGSERVICEFILE or ~/.pg_service.conf is.",
    ),
    (
        r"session is (?:not )?read-only|server is (?:not )?in hot standby mode",
        "None of the hosts is such a server now: check target_session_attrs and the hosts, or promote one.",
    ),
    (r"Connection refused", "Check that the server runs and listens there: login_host, login_port, listen_addresses."),
    (
        r"private key file|load private key|(?<!root )certificate file|key values mismatch",
        "Check ssl_cert and ssl_key: both files must be readable for the user that runs the task, and the key, which "
        "may have no password, for nobody else (mode 0600).",
    ),
    (r"No such file or directory", "Check that the server runs with its socket there: login_unix_socket, login_port."),
    (r"Permission denied(?! for)", "Run the task as an account that may use what it names (become_user)."),
    (r"could not translate host|Name or service not known", "Check login_host, and name resolution on the host."),
    (r"No route to host|Network is unreachable", "Check login_host, and the routes and firewalls on the way there."),
    (
        r"does not support SSL",
        "Turn ssl on in the server, or choose the ssl_mode prefer where the way to it is safe.",
    ),
    (r"GSSAPI|Kerberos|krb", "Get a ticket for the user that runs the task (kinit), or another way in by pg_hba.conf."),
    (r"SSL|TLS|certificate|root\.crt", "Check ssl_mode, ca_cert and the name in the server's certificate."),
    (r"too many clients|connection slots|too many connections", "Raise max_connections, or end idle sessions."),
    (r"timeout expired|timed out", "Check that nothing between this host and the server drops the packets."),
    (r"starting up|shutting down|recovery", "Wait until the server is up, then start again."),
    (r"not currently accepting connections", "Allow connections to the database, or leave it out of databases."),
    (r"permission denied for database", "Grant CONNECT on the database to the role, or leave it out of databases."),
    (r"not permitted to log in", "Choose another login_user, or let it: ALTER ROLE ... LOGIN."),
    (r"invalid connection option|invalid dsn|invalid .*(?:value|option)", "Check connect_params against libpq's list."),
)
_NEXT_STEP = "Try the same with psql on that host: it takes the same settings."
# libpq begins each line with where it tried, which the sentence says already.
_WHERE = re.compile(
    r"^(?:connection to server (?:at|on) .*? failed: |connection failed: |connection is bad: "
    r"|(?:FATAL|ERROR|DETAIL|HINT):\s+)+"
)
_NO_REASON = re.compile(
    r"^(?:Is the server running|Multiple connection attempts failed|- host: |Either provide the file|"
    r"This probably means the server terminated|before or while processing the request)"
)


class ServerError(Exception):
    """The server refused a statement. ``sqlstate`` is its class; the text is its primary message alone.

    DETAIL and CONTEXT stay behind: they may quote rows.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message


def find_driver(preference: Iterable[str] = PREFERENCE) -> ModuleType:
    """Return psycopg2, or psycopg 3 where that is absent. Raises ``MissingLibrary`` naming packages and interpreter."""
    for name in preference:
        if name in DRIVERS:
            return DRIVERS[name]
    raise MissingLibrary(
        f"No PostgreSQL can be reached: {sys.executable}, which runs the module, has neither psycopg2 nor psycopg.",
        "Install one of: apt install python3-psycopg2; dnf install python3-psycopg2; "
        f"{sys.executable} -m pip install psycopg2-binary.",
        {
            "interpreter": sys.executable,
            "packages": {"apt": "python3-psycopg2", "dnf": "python3-psycopg2", "pip": "psycopg2-binary"},
            "import_errors": {name: text.strip().splitlines()[-1] for name, text in IMPORT_ERRORS.items()},
        },
    )


class Session:
    """One connection in autocommit, as VACUUM needs it; each call sends one statement or raises ``ServerError``.

    ``pid`` is the process of the server that serves us.
    """

    def __init__(self, driver: ModuleType, connection: Any) -> None:
        self._driver = driver
        self._connection = connection
        # Through a pooler the protocol tells a number that is no pid; who finds out the real one sets it here.
        self.pid = int(connection.info.backend_pid)

    @property
    def version(self) -> int:
        """The server's version, like 150018."""
        return int(self._connection.info.server_version)

    @property
    def database(self) -> str:
        """The database that we are in."""
        return str(self._connection.info.dbname)

    @property
    def user(self) -> str:
        """The user that logged in."""
        return str(self._connection.info.user)

    @property
    def lost(self) -> bool:
        return bool(self._connection.closed)

    def rows(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        return self._send(sql, values, fetch=True)

    def run(self, sql: str) -> None:
        """Run a statement without a result."""
        self._send(sql, None, fetch=False)

    def _send(self, sql: str, values: Sequence[Any] | None, fetch: bool) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall()) if fetch else []
        except self._driver.Error as error:
            raise self._named(error) from None

    def _named(self, error: Any) -> ServerError:
        state = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
        diagnosis = getattr(error, "diag", None)
        primary = getattr(diagnosis, "message_primary", None) or " ".join(str(error).split())
        # A connection that broke carries no class of its own.
        return ServerError(state or (LOST if self.lost else "XX000"), one_line(primary)[:500])

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Break the connection when the block takes longer: a statement that waits then raises ``ServerError``.

        For what nothing on the server can limit, because the statement may not have got there.
        """
        line = socket.socket(fileno=os.dup(self._connection.fileno()))
        timer = threading.Timer(seconds, _break, [line])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            line.close()

    def abort(self) -> None:
        """Break the connection: a statement that waits in another thread raises ``ServerError``.

        Closing it would wait for that statement.
        """
        try:
            line = socket.socket(fileno=os.dup(self._connection.fileno()))
        except (self._driver.Error, OSError):
            return  # it is broken already
        with line:
            _break(line)

    def decode_any_name(self) -> None:
        """Read the names of a database without an encoding byte by byte, so that they go back as they came."""
        if self._connection.info.parameter_status("server_encoding") != "SQL_ASCII":
            return
        if self._driver.__name__ == "psycopg2":
            self._connection.set_client_encoding("LATIN1")
        else:
            self._connection.execute("SET client_encoding TO 'LATIN1'")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _break(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other side was faster


def connect(driver: ModuleType, options: ConnectionOptions, database: str, application: str) -> Session:
    """Open a session in *database*. Raises ``ConnectionFailed`` with one sentence: where, as whom, why, what next."""
    settings = arguments(options, database, application)
    try:
        if driver.__name__ == "psycopg2":
            connection = driver.connect(**settings)
            connection.autocommit = True
        else:
            # Parameters are bound on the client, as psycopg2 does: the server gets the same texts, nothing is prepared.
            connection = driver.connect(
                **settings, autocommit=True, prepare_threshold=None, cursor_factory=driver.ClientCursor
            )
        session = Session(driver, connection)
        session.decode_any_name()
    except driver.Error as error:
        raise refused(options, database, str(error)) from None
    return session


def arguments(
    options: ConnectionOptions, database: str, application: str, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the parameters for libpq; what is empty is left to its service file, environment and defaults."""
    environ = os.environ if environ is None else environ
    ours: Mapping[str, Any] = {
        "host": options.host,
        "port": options.port,
        "user": options.user,
        "password": options.password,
        "dbname": database,
        "sslmode": options.ssl_mode,
        "sslrootcert": options.ca_cert,
        "sslcert": options.ssl_cert,
        "sslkey": options.ssl_key,
        "connect_timeout": None if "PGCONNECT_TIMEOUT" in environ else CONNECT_SECONDS,
        "application_name": application,
        "client_encoding": "UTF8",
    }
    theirs = {key: str(value) for key, value in options.params.items()}
    return {key: value for key, value in {**ours, **theirs}.items() if value not in ("", None)}


def refused(options: ConnectionOptions, database: str, said: str) -> ConnectionFailed:
    """Return the error for what libpq *said* (several lines, one for each address it tried)."""
    reason = redact(condense(said), (options.password,))
    remedy = next((step for pattern, step in _NEXT_STEPS if re.search(pattern, reason, re.IGNORECASE)), _NEXT_STEP)
    if options.container and "password" in reason:
        remedy += " The environment of a container holds the password of its first start, not one that was set since."
    who = one_line(options.user) or "its own user"
    where = f"the database {one_line(database)}" if database else "its own database"
    return ConnectionFailed(
        f"PostgreSQL at {one_line(options.endpoint)} does not let {who} into {where}: {reason}.",
        remedy,
        {
            "host": options.host,
            "port": options.port,
            "user": options.user,
            "database": database,
            "ssl_mode": options.ssl_mode,
            "reason": reason,
            **({"container": options.container} if options.container else {}),
        },
    )


def condense(said: str) -> str:
    """Return the different reasons in libpq's text, in one line without the places it tried."""
    reasons: list[str] = []
    for line in said.splitlines():
        reason = _WHERE.sub("", line.strip()).rstrip(".")
        if reason and not _NO_REASON.match(reason) and reason not in reasons:
            reasons.append(reason)
    return one_line("; ".join(reasons))[:400] or "it said nothing"
