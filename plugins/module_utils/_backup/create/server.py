# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of PostgreSQL as a dump needs it: where its programs run, how to log in, what it is."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import far, statements
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.far import FarDump, Place
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import ALL_DATABASES, Job
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.private import nameless_file, password_line
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.programs import (
    Client,
    choose,
    installed,
    version_in,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.session import Asker, DriverAsker, PsqlAsker
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import name_of, place_of, require_running
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import arguments, find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import select
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import (
    DEFAULT_DATABASE,
    DEFAULT_USER,
    connection_of,
)

_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """How to get in. ``place`` is the container or the pod whose programs are used; ``None`` for those of this host."""

    label: str
    connection: ConnectionOptions
    place: Place | None
    client: Client
    lock_timeout: float
    mark: str
    far_directory: str
    identifier: str = ""
    reads_passwords: bool = True
    version: int = 0
    databases: tuple[str, ...] = ()
    password: str = field(default="", repr=False)

    @property
    def database(self) -> str:
        return self.connection.database

    @property
    def role(self) -> str:
        return self.connection.session_role or ""

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.password,) if self.password else ()

    @property
    def password_file(self) -> str:
        return password_line(self.password)

    @property
    def application(self) -> str:
        """What the server's other users see of us: 62 bytes at most, of which PostgreSQL keeps 63."""
        return f"upkeep backup_create {self.mark}"

    def conninfo(self, database: str) -> str:
        """Return where to connect and as whom, without the password: arguments can be seen by everybody."""
        settings = arguments(self.connection, database or self.database, self.application, {} if self.place else None)
        # The dump is in the encoding of the database, not in ours.
        left_out = {"password", "client_encoding"}
        return " ".join(f"{key}={_quoted(value)}" for key, value in settings.items() if key not in left_out)

    @contextlib.contextmanager
    def login(self) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
        """Yield the variables and the descriptors with which a program of this host gets in."""
        if not self.password:
            yield {}, ()
            return
        with nameless_file(self.password_file) as descriptor:
            yield {"PGPASSFILE": f"/dev/fd/{descriptor}"}, (descriptor,)

    @contextlib.contextmanager
    def asker(self, database: str, deadline: Deadline) -> Iterator[Asker]:
        """Open a session in *database* that changes nothing."""
        if self.place is None:
            options = SessionOptions("backup_create", self.mark, lock_timeout=self.lock_timeout, read_only=True)
            with Cluster(find_driver(), self.connection, options).session(database) as session:
                driven = DriverAsker(session)
                driven.ask(statements.NOTICE_DEATH)
                yield driven
            return
        with contextlib.ExitStack() as stack:
            argv = ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(database)]
            if self.password:
                home = stack.enter_context(FarDump(self.place, self.far_directory, self.mark, 0))
                path = home.keep("password", self.password_file)
                argv = ["env", f"PGPASSFILE={path}", *argv]
            asker = stack.enter_context(
                PsqlAsker([*self.place.argv, *argv], dict(self.place.environment), deadline, self.place.title)
            )
            for setting in (*statements.SETTINGS, statements.lock_timeout(self.lock_timeout)):
                asker.run(setting)
            if self.role:
                asker.run(statements.set_role(self.role))
            asker.ask(statements.NOTICE_DEATH)
            yield asker


def server_of(job: Job, params: Mapping[str, Any], deadline: Deadline, removed: list[str] | None) -> Server:
    """Return the server that *params* name, having asked it what it is, and chosen the programs that fit.

    Sessions of a run of this series that died unseen (its host went away) are ended and told in *removed*, unless that
    is ``None``: they keep their snapshot, and with it all dead rows of the server.
    """
    place, connection = _place(job, params)
    label = params["name"] or (connection.label if place is None else place.title)
    if place is None and not connection.container and connection.host in ("", "localhost", "127.0.0.1", "::1"):
        label = params["name"] or socket.gethostname()
    server = Server(
        label=label,
        connection=connection,
        place=place,
        client=Client("", 0, ""),
        lock_timeout=job.lock_timeout,
        mark=job.mark,
        far_directory=job.far_directory,
        password=connection.password,
    )
    with server.asker(server.database, deadline) as asker:
        if removed is not None:
            for pid in asker.ask(statements.sessions_of_the_dead(server.application)):
                if asker.ask(statements.end_session(pid, server.application))["ended"]:
                    removed.append(f"the session {pid} of {label}")
        facts = asker.ask(statements.FACTS)
        identity = asker.ask(statements.IDENTITY)
        databases = asker.ask(statements.DATABASES)
    version = int(facts["version"])
    if place is not None:
        client = choose([_client_in(place)], version // 10000)
    else:
        client = choose(installed(job.bin_dir), version // 10000)
    chosen = tuple(_databases(job.databases or (server.database,), databases))
    return replace(
        server,
        client=client,
        identifier=identity["id"] or "",
        reads_passwords=identity["passwords"],
        version=version,
        databases=chosen,
    )


def _databases(patterns: Sequence[str], there: Sequence[Sequence[Any]]) -> list[str]:
    """Return the databases that *patterns* mean. A name that is written out and is not there is ``InvalidInput``."""
    names = [name for name, _accepts, _template in there]
    matching, unknown = select(names, patterns)
    if unknown:
        raise InvalidInput(
            f"There is no database {', '.join(map(one_line, unknown))}.",
            f"`psql -l` lists what there is; write {ALL_DATABASES} for all of them.",
        )
    chosen = []
    for name, accepts, template in there:
        if name not in matching or (template and name not in patterns):
            continue
        if not accepts and name in patterns:
            raise InvalidInput(f"The database {one_line(name)} does not accept connections.", "Leave it out.")
        if accepts:
            chosen.append(name)
    if not chosen:
        raise InvalidInput(f"No database fits {', '.join(map(one_line, patterns))}.", "Correct databases.")
    return chosen


def _place(job: Job, params: Mapping[str, Any]) -> tuple[Place | None, ConnectionOptions]:
    if job.pod is not None:
        return far.of_pod(job.pod), _inside(params, None, "", "", "")
    if not job.inside:
        return None, connection_of(params)
    return _in_container(params)


def _in_container(params: Mapping[str, Any]) -> tuple[Place, ConnectionOptions]:
    """Return the container, and how to log in from within: nothing of it need be reachable from outside."""
    # Only here: importing the Docker SDK takes a third of a second, which all other runs save.
    from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.container_facts import (
        database_of,
        environment_of,
        password_of,
        port_of,
        user_of,
    )

    for option in ("login_host", "login_unix_socket"):
        if params[option]:
            raise InvalidInput(f"{option} is given together with a container.", "Leave one of them out.")
    daemon = Daemon(params["docker_host"] or "")
    try:
        description = daemon.find(place_of(params))
        require_running(description)
        name, environment = name_of(description), environment_of(description)

        def read(path: str) -> str:
            remedy = "Give what it holds: login_user, login_password, login_db."
            return daemon.read_file(description, path, f"the environment of the container {name}", remedy)

        user = params["login_user"] or user_of(environment, read)
        database = params["login_db"] or database_of(environment, user_of(environment, read), read)
        password = params["login_password"] or password_of(environment, user, read)
        port = port_of(description, environment)
    finally:
        daemon.close()
    return far.of_container(name, daemon.url), _inside(params, port, user, database, password)


def _inside(params: Mapping[str, Any], port: int | None, user: str, database: str, password: str) -> ConnectionOptions:
    """Return how to log in from within a container or a pod: by the socket there, unless a folder is named."""
    extra = dict(params["connect_params"] or {})
    for name in ("password", "dbname", "sslpassword"):
        if name in extra:
            raise InvalidInput(
                f"connect_params holds {name}, which does not belong there.", "Give it as login_password."
            )
    return ConnectionOptions(
        label=params["name"] or "",
        host=params["login_unix_socket"] or "",
        port=params["login_port"] or port,
        user=user or params["login_user"] or DEFAULT_USER,
        password=password or params["login_password"] or "",
        database=database or params["login_db"] or DEFAULT_DATABASE,
        ssl_mode=params["ssl_mode"],
        params=extra,
        session_role=params["session_role"],
    )


def _client_in(place: Place) -> Client:
    ended = place.run(["pg_dump", "--version"], _SECONDS)
    said = version_in(ended.output)
    if ended.status or said is None:
        words = (ended.errors or ended.output).strip()[:300] or "it said nothing"
        raise BackupFailed(
            f"There is no pg_dump in {place.title}: {words}.",
            "Use an image that has the client programs, or those of this host: programs: host.",
            {"class": "tool_missing", "program": "pg_dump"},
        )
    return Client("", *said)


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
