# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore into a database of its own on a server that is there already, when nothing that lives there can be harmed."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Mapping, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import detect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.head import Head
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    DATABASE_PREFIX,
    SERVER,
    Failed,
    ServerOptions,
    Wishes,
    failed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import (
    Program,
    Ward,
    account_called,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.programs import Programs, needed_major
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import literal, quoted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.target import (
    LocalTarget,
    SqlFailed,
    psql_arguments,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

# The key of the advisory locks by which a run says that its database is in use: "upke".
_LOCK = 0x75706B65
_CLEARING_SECONDS = 15.0
_HARMLESS = ("postgres",)


class LoggedIn(LocalTarget):
    """A server that the programs of this host log in to. The password goes to them by a file that has no name."""

    def __init__(self, options: ServerOptions, user: str, candidates: Sequence[Programs], ward: Ward) -> None:
        if not candidates:
            what = "was not restored: there is no psql and pg_restore on this host"
            raise failed("backup.tool_missing", what, unknown=True, program="pg_restore")
        # The newest programs serve every older server.
        super().__init__(candidates[-1], candidates, ward, account_called(user))
        self._options = options
        self._password = _password_file(options.password, self._account.uid, self._account.gid)
        self._inherited = (self._password,) if self._password >= 0 else ()

    def environment(self) -> Mapping[str, str]:
        options = self._options
        settings = {
            "PGHOST": options.host,
            "PGPORT": str(options.port),
            "PGUSER": options.user,
            "PGPASSFILE": f"/proc/self/fd/{self._password}" if self._password >= 0 else os.devnull,
            "PGCONNECT_TIMEOUT": "15",
            "PGAPPNAME": "upkeep restore",
            "HOME": "/nonexistent",
        }
        return {name: value for name, value in settings.items() if value}

    def value(self, text: str, database: str = "") -> str:
        lines = self.query(database or self._options.maintenance_db, text)
        return lines[0] if lines else ""

    def close(self) -> None:
        if self._password >= 0:
            os.close(self._password)
            self._password = -1


def _password_file(password: str, uid: int | None, gid: int) -> int:
    if not password or not hasattr(os, "memfd_create"):
        return -1
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    descriptor = os.memfd_create("pgpass")
    os.write(descriptor, f"*:*:*:*:{escaped}\n".encode())
    os.fchmod(descriptor, 0o600)
    if uid is not None:
        os.fchown(descriptor, uid, gid)
    return descriptor


class ExistingServer(LoggedIn):
    """A scratch database on such a server."""

    kind = SERVER
    is_ours = False

    def __init__(self, wishes: Wishes, candidates: Sequence[Programs], ward: Ward, head: Head) -> None:
        if not wishes.allow_server:
            what = "was not restored: a server that is there already is used only with allow_server"
            raise failed("backup.isolation_refused", what, unknown=True)
        if head.format == detect.PGDUMPALL or head.cluster:
            what = "was not restored: it makes databases and roles of the names that they had, on a server of others"
            raise failed("backup.isolation_refused", what, unknown=True)
        super().__init__(wishes.server or ServerOptions(), wishes.user, candidates, ward)
        self._head = head
        self.database = ""
        self._holder: Program | None = None
        self.restricted = head.format == detect.PGDUMP_PLAIN

    def open(self, source_identifier: str) -> None:
        """Look whether one may restore there, clear up after killed runs, and make a database; raises ``Failed``."""
        try:
            self._require_fit()
            self._require_apart(source_identifier)
            self._sweep()
            self._make()
        except SqlFailed as error:
            what = f"was not restored: the server {self._where} does not let it: {error}"
            raise failed("backup.target_unavailable", what, unknown=True) from None

    @property
    def _where(self) -> str:
        return self._options.host or "on the local socket"

    def _require_fit(self) -> None:
        number = int(self.value("SHOW server_version_num"))
        self.major, self.version = number // 10000, f"{number // 10000}.{number % 10000}"
        needed = needed_major(self._head.server_version, self._head.tool_version)
        if self.major < needed:
            what = f"cannot be restored there: it needs PostgreSQL {needed} or newer, and the server has {self.version}"
            raise failed("backup.version_incompatible", what, needed=needed, installed=[self.version])
        if self.programs.major < needed:
            what = f"cannot be restored here: it needs a pg_restore of {needed}, and there is {self.programs.version}"
            raise failed("backup.version_incompatible", what, needed=needed, installed=[self.programs.version])

    def _require_apart(self, source_identifier: str) -> None:
        identifier = self.value("SELECT system_identifier FROM pg_catalog.pg_control_system()")
        if source_identifier and identifier == source_identifier:
            what = "was not restored: that is the very server of which it is a backup"
            raise failed("backup.isolation_refused", what, unknown=True, system_identifier=identifier)
        if self.value("SELECT pg_catalog.pg_is_in_recovery()") == "t":
            what = f"was not restored: the server {self._where} is a standby, which takes no writes"
            raise failed("backup.target_unavailable", what, unknown=True)
        listed = self.query(
            self._options.maintenance_db,
            "SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate ORDER BY 1",
        )
        allowed = {*_HARMLESS, *self._options.beside}
        strange = [name for name in listed if name not in allowed and not name.startswith(DATABASE_PREFIX)]
        if strange:
            what = (
                f"was not restored: other databases live on the server {self._where}, such as {strange[0]}, "
                "and restore.server.beside does not name them"
            )
            raise failed("backup.isolation_refused", what, unknown=True, databases=strange[:10])

    # --- the database

    def _sweep(self) -> None:
        """Drop the databases of runs that are over: nobody holds the lock of those."""
        for name in self.query(
            self._options.maintenance_db,
            f"SELECT datname FROM pg_catalog.pg_database WHERE datname ~ '^{DATABASE_PREFIX}[0-9a-f]{{12}}$'",
        ):
            key = f"{_LOCK}, pg_catalog.hashtext({literal(name)})"
            free = self.value(f"SELECT pg_catalog.pg_try_advisory_lock({key})")
            if free == "t":
                self._drop(name)

    def _drop(self, name: str) -> None:
        force = " WITH (FORCE)" if self.major >= 13 else ""
        if not force:
            self.value(
                "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity "
                f"WHERE datname = {literal(name)}"
            )
        self.query(self._options.maintenance_db, f"DROP DATABASE IF EXISTS {quoted(name)}{force}")

    def _make(self) -> None:
        self.database = DATABASE_PREFIX + secrets.token_hex(6)
        argv = [self._path("psql"), *psql_arguments(self._options.maintenance_db)]
        self._holder = Program(
            argv,
            self._ward,
            account=self._account,
            environment=self.environment(),
            writing=True,
            inherited=self._inherited,
        )
        key = f"{_LOCK}, pg_catalog.hashtext({literal(self.database)})"
        self._holder.write(f"SELECT 'locked' || pg_catalog.pg_advisory_lock({key})::text;\n".encode())
        self._holder.until("locked")
        encoding = f" ENCODING {literal(self._head.encoding)}" if self._head.encoding else ""
        locale = " LC_COLLATE 'C' LC_CTYPE 'C'" if encoding else ""
        self.query(
            self._options.maintenance_db,
            f"CREATE DATABASE {quoted(self.database)} TEMPLATE template0{encoding}{locale} CONNECTION LIMIT 32",
        )

    def directory_of(self, name: bytes) -> str:
        what = "was not restored: it wants a tablespace, and none is made on a server of others"
        raise failed("backup.isolation_refused", what, unknown=True)

    def close(self) -> None:
        self._ward = Ward(-1, Deadline(_CLEARING_SECONDS))
        if self.database:
            try:
                self._drop(self.database)
            except (SqlFailed, Failed):
                pass  # the next run finds it by its name, and its lock free
        if self._holder is not None:
            self._holder.close(signal.SIGTERM, 1.0)
        super().close()
