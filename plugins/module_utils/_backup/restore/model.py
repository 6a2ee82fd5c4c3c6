# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a test restore, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INITDB, CONTAINER, SERVER = "initdb", "container", "server"
TARGETS = (INITDB, CONTAINER, SERVER)

NONE, COUNTS, HASH = "none", "counts", "hash"
FINGERPRINTS = (NONE, COUNTS, HASH)

FAST, HEAPALLINDEXED = "fast", "heapallindexed"
AMCHECKS = (NONE, FAST, HEAPALLINDEXED)

#: The parts of the time to recover, in their order. A part that a format does not have is left out.
PHASES = ("fetch", "decrypt", "prepare", "load", "index", "analyze", "assert")

#: How what is left of a run that was killed is known again.
DATABASE_PREFIX = "bkv_"


@dataclass(frozen=True)
class Assertion:
    """A query of one value, and what that has to be: a text, or a number after one of ``>=  <=  >  <  !=``."""

    sql: str
    expect: str


@dataclass(frozen=True)
class ServerOptions:
    """A server that is there already. ``beside`` are the databases that may live on it too; ``host`` may be a socket's
    directory."""

    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)
    maintenance_db: str = "postgres"
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wishes:
    """How a backup is restored to see whether it can be: seconds, bytes, and ratios of 1.

    ``user`` is the account that the server runs as when we are root. ``newest`` is a query for the instant of the
    newest row, ``max_rpo`` how long before the dump that may lie. ``reserve`` is the part of the file system that stays
    free. An empty text, 0 and None switch off.
    """

    target: str = INITDB
    bin_dir: str = ""
    user: str = ""
    image: str = ""
    docker_host: str = ""
    server: ServerOptions | None = None
    allow_server: bool = False
    jobs: int = 0
    seconds: float = 7200.0
    assertions: tuple[Assertion, ...] = ()
    fingerprint: str = COUNTS
    amcheck: str = NONE
    newest: str = ""
    max_rpo: float = 0.0
    max_rto: float = 0.0
    scratch_dir: str = ""
    reserve: float = 0.1
    run_id: str = ""


@dataclass(frozen=True)
class Trouble:
    """What a test restore found wrong, or what kept it from finding anything (``unknown``).

    ``what`` is a sentence without its subject, which is the backup.
    """

    code: str
    what: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    unknown: bool = False
    warning: bool = False


class Failed(Exception):
    """The restore cannot go on from here."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


def failed(code: str, what: str, *, unknown: bool = False, **evidence: Any) -> Failed:
    return Failed(Trouble(code, what, evidence, unknown))


@dataclass
class Restored:
    """What came of one test restore; plain JSON types alone, so that it can pass from one process to another.

    ``seconds`` has the phases that were gone through. ``tables`` counts those that were compared, ``rows`` all their
    rows. ``compared`` says with what they were: manifest, dump or nothing. ``newest`` is the instant of the newest row.
    ``finished`` means that it came to its end.
    """

    target: str = ""
    format: str = ""
    server_version: str = ""
    isolated: bool | None = None
    jobs: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    databases: list[str] = field(default_factory=list)
    bytes: int = 0
    tables: int = 0
    rows: int = 0
    compared: str = "nothing"
    fingerprint: str = NONE
    hashed: int = 0
    amcheck: str = NONE
    assertions: int = 0
    sequences: int = 0
    newest: str = ""
    owners: str = ""
    planned: bool = False
    finished: bool = False
    notes: list[str] = field(default_factory=list)
    troubles: list[dict[str, Any]] = field(default_factory=list)

    def add(self, trouble: Trouble) -> None:
        self.troubles.append({**vars(trouble), "evidence": dict(trouble.evidence)})

    @property
    def rto_seconds(self) -> float:
        """What a restore would take: every phase, for nobody is helped by a part of one."""
        return sum(self.seconds.get(phase, 0.0) for phase in PHASES)

    def as_plain(self) -> dict[str, Any]:
        return dict(vars(self))


def restored_of(plain: Mapping[str, Any]) -> Restored:
    return Restored(**plain)


def troubles_of(restored: Restored) -> list[Trouble]:
    return [Trouble(**plain) for plain in restored.troubles]
