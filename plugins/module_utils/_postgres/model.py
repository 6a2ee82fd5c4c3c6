# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every job of the domain knows: how to get in, a server, its databases, and what holds it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

SSL_MODES = ("allow", "disable", "prefer", "require", "verify-ca", "verify-full")
BLOCK_SIZE = 8192
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*\Z")


def quote_name(name: str) -> str:
    """Return *name* as a person would write it in SQL, quoted where need be. For texts, never for statements."""
    return name if _PLAIN_NAME.match(name) else '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class ConnectionOptions:
    """Where a cluster is and how to get in; ``label`` names it in subjects.

    What is empty or ``None`` is left to libpq: its service file, its environment, its defaults. ``container`` and
    ``service`` say by what the place was found.
    """

    label: str
    host: str
    port: int | None
    user: str
    password: str = field(repr=False)
    database: str
    ssl_mode: str | None
    ca_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    session_role: str | None = None
    container: str = ""
    service: str = ""

    @property
    def endpoint(self) -> str:
        """``host:port``, the folder of the socket with the port, ``container NAME`` or ``service NAME``."""
        if self.container:
            return f"container {self.container}"
        if self.service and not self.host:
            return f"service {self.service}"
        host = f"[{self.host}]" if ":" in self.host and "," not in self.host else self.host
        # Of several ports libpq takes the one that belongs to the host that answers.
        return f"{host or 'local'}:{self.port}" if self.port is not None else host or "local"


@dataclass(frozen=True)
class SessionOptions:
    """How the sessions of one job are set up. ``job`` is the name of the module; times are in seconds, 0 is no limit.

    ``run_id`` names the run in ``application_name``; ``state_dir`` is where the job's lock on the host lies. With
    ``read_only`` the server itself refuses whatever would change something. ``settings`` are the job's own, by name.
    """

    job: str
    run_id: str = ""
    lock_timeout: float = 2.0
    statement_timeout: float = 0.0
    keep_synchronous_commit: bool = False
    state_dir: str | None = None
    read_only: bool = False
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def application(self) -> str:
        """What the server's other users see of us; PostgreSQL keeps 63 bytes."""
        return f"upkeep {self.job} {self.run_id}".strip()[:63]


@dataclass(frozen=True)
class Database:
    """One row of ``pg_database``; ``frozen_age`` is the age of ``datfrozenxid`` in transactions.

    ``current`` is the database that the question was asked in.
    """

    name: str
    accepts_connections: bool
    template: bool
    valid: bool
    may_connect: bool
    frozen_age: int
    multixact_age: int = 0
    current: bool = False


@dataclass(frozen=True)
class Server:
    """What a session learns first. ``version`` is like 150018, ``free_slots`` are connections still to be had.

    ``counts`` is track_counts; ``reads_statistics`` says whether the role may read pg_statistic itself.
    """

    version: int
    in_recovery: bool
    user: str
    superuser: bool
    counts: bool
    free_slots: int
    reads_statistics: bool
    now: datetime


@dataclass(frozen=True)
class Holder:
    """Something that keeps dead rows from being removed. ``database`` is empty when it does so in all of them.

    With ``only_catalogs`` it holds those of the system catalogs alone.
    """

    kind: str
    id: str
    database: str
    xid_age: int
    seconds: float | None
    hint: str
    only_catalogs: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "id": self.id,
            "database": self.database,
            "xid_age": self.xid_age,
            "seconds": None if self.seconds is None else round(self.seconds),
            "hint": self.hint,
        }

    @property
    def title(self) -> str:
        """``the session of pid 4711 (idle in transaction, 3600 s)``."""
        what = {
            "backend": f"the session with pid {self.id}",
            "idle_in_transaction": f"the session with pid {self.id}, idle in its transaction",
            "prepared": f"the prepared transaction {one_line(repr(self.id))}",
            "slot": f"the replication slot {self.id}",
            "standby_feedback": f"the standby behind pid {self.id}",
        }[self.kind]
        age = f"{self.xid_age} transactions old"
        return f"{what} ({age})" if self.seconds is None else f"{what} ({self.seconds:.0f} s, {age})"


def instant(epoch: float | None) -> str | None:
    """Return the RFC 3339 text of *epoch* seconds; ``None`` for never."""
    return None if epoch is None else rfc3339(datetime.fromtimestamp(epoch, timezone.utc))
