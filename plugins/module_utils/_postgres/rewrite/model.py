# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rewrite knows: how a table is stored, what it would cost and free, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Portion
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE, Holder, instant
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    SKIP_REASONS as VACUUM_SKIP_REASONS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Counters,
    Policy,
    Reason,
    Table,
)

FULL, REPACK, PG_REPACK = "full", "repack", "pg_repack"

# The lock that each method holds while it copies. The two online ones end with a short ACCESS EXCLUSIVE.
LOCK_MODES: Mapping[str, str] = {
    FULL: "ACCESS EXCLUSIVE",
    REPACK: "SHARE UPDATE EXCLUSIVE, then ACCESS EXCLUSIVE for the swap",
    PG_REPACK: "ACCESS EXCLUSIVE for its trigger and for the swap, ACCESS SHARE between them",
}

# Why a table that is asked for, or needs a rewrite, does not get one. The others are those of a VACUUM.
OWN_SKIP_REASONS: Mapping[str, str] = {
    "permission": "the role may not rewrite it",
    "bloat_unknown": "how much a rewrite would free is not known well enough",
    "disk_space": "there is too little free disk space to rewrite it",
    "disk_unknown": "how much disk space is free is not known, and a rewrite that fills the disk stops the server",
    "held": "an old transaction would keep its dead rows through the rewrite",
    "autovacuum": "an autovacuum that prevents wraparound works on it, which does not give way",
    "method": "it cannot be rewritten by the method that was asked for",
    "lost": "the server was lost before it was done",
}
SKIP_REASONS: Mapping[str, str] = {**VACUUM_SKIP_REASONS, **OWN_SKIP_REASONS}

# Bytes of heap, TOAST (with its index) and indexes.
Sizes = tuple[int, int, int]
# What the files of a table are called on disk, by which a rewrite is proven: heap, TOAST table, its file.
Nodes = tuple[int, int, int]


@dataclass(frozen=True)
class RewritePolicy:
    """Which tables are rewritten, and how. Sizes are bytes; ``free_bytes`` is what the user vouches for."""

    tables: Policy
    bloat_ratio: float = 0.5
    bloat_min_size: int = 100_000_000
    bloat_method: str = "auto"
    method: str = "auto"
    headroom: float = 1.2
    free_bytes: int | None = None
    unchecked: bool = False

    @property
    def always(self) -> bool:
        return self.tables.always


@dataclass(frozen=True)
class Index:
    """One index of a table: its bytes, and the file it has now (relative to the data directory)."""

    name: str
    bytes: int
    path: str


@dataclass(frozen=True)
class Facts:
    """How one table is stored. ``paths`` are the files of heap and TOAST; ``locked`` says that nobody could measure it.

    ``obstacle`` is why REPACK (CONCURRENTLY) cannot be used, ``keyless`` why pg_repack cannot; empty when they can.
    """

    oid: int
    sql_name: str
    nodes: Nodes
    sizes: Sizes
    paths: tuple[str, str] = ("", "")
    indexes: tuple[Index, ...] = ()
    logged: bool = True
    obstacle: str = ""
    keyless: str = ""
    locked: bool = False
    wraparound: bool = False

    @property
    def bytes(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True)
class Target:
    """One table to rewrite: how, why, what for and at what cost."""

    table: Table
    facts: Facts
    method: str
    reasons: tuple[Reason, ...]
    estimate: Estimate | None = None
    need: tuple[Portion, ...] = ()

    @property
    def disk_bytes(self) -> int:
        return sum(portion.bytes for portion in self.need)

    @property
    def frees(self) -> int:
        """What is thought to be freed; 0 when nothing is known."""
        return self.estimate.bloat_bytes if self.estimate is not None else 0


@dataclass(frozen=True)
class Left:
    """A table that gets no rewrite: why (a key of ``SKIP_REASONS``), in detail, and what it would have needed."""

    table: Table
    why: str
    detail: str = ""
    reasons: tuple[Reason, ...] = ()
    estimate: Estimate | None = None
    facts: Facts | None = None
    need: tuple[Portion, ...] = ()
    method: str = FULL


@dataclass(frozen=True)
class RewritePlan:
    """Every table that was looked at is in one of the three."""

    targets: tuple[Target, ...] = ()
    left: tuple[Left, ...] = ()
    healthy: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """How the statements for one table went. ``why`` is a key of ``SKIP_REASONS`` when it was left, else empty."""

    count: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    why: str = ""
    sqlstate: str = ""
    message: str = ""
    before: Facts | None = None
    after: Facts | None = None


@dataclass(frozen=True)
class Applied:
    """How a plan went, by oid of the table. ``rewritten`` are those whose files are others than before.

    ``lost`` is the error that kept the run from its end.
    """

    attempts: Mapping[int, Attempt]
    failed: frozenset[int] = frozenset()
    rewritten: frozenset[int] = frozenset()
    counters: Mapping[int, Counters] = field(default_factory=dict)
    estimates: Mapping[int, Estimate] = field(default_factory=dict)
    holders: tuple[Holder, ...] = ()
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: UpkeepError | None = None


@dataclass(frozen=True)
class Leftovers:
    """What earlier rewrites left behind in one database. ``files`` are (path, bytes) that no table has.

    ``unknown`` is why that could not be found out; ``tables`` have pg_repack's trigger, ``logs`` are its own tables.
    """

    files: tuple[tuple[str, int], ...] = ()
    temporary: tuple[tuple[str, int], ...] = ()
    tables: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Record:
    """What became of one table."""

    subject: str
    database: str
    table: Table
    status: str
    method: str = FULL
    reasons: tuple[Reason, ...] = ()
    sql: str = ""
    why: str = ""
    detail: str = ""
    priority: int = 0
    attempt: Attempt = field(default_factory=Attempt)
    facts: Facts | None = None
    estimate: Estimate | None = None
    need: tuple[Portion, ...] = ()
    counters: Counters | None = None
    estimate_after: Estimate | None = None
    holders: tuple[Holder, ...] = ()
    changed: bool = False

    @property
    def before(self) -> Facts | None:
        return self.attempt.before or self.facts

    @property
    def after(self) -> Facts | None:
        return self.attempt.after

    @property
    def freed(self) -> int:
        """What was given back to the file system, when that was measured."""
        if self.before is None or self.after is None:
            return 0
        return max(0, self.before.bytes - self.after.bytes)

    @property
    def message(self) -> str:
        """Why it was left or failed, for a person."""
        return self.attempt.message or self.detail or SKIP_REASONS.get(self.why, "")

    @property
    def reason_text(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)

    def as_dict(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "schema": self.table.schema,
            "table": self.table.name,
            "oid": self.table.oid,
            "actions": ["rewrite", "analyze"] if self.sql else [],
            "reason": [reason.code for reason in self.reasons],
            "reason_text": self.reason_text,
            "priority": self.priority,
            "status": self.status,
            "skipped_reason": self.why,
            "sqlstate": self.attempt.sqlstate,
            "message": self.message,
            "sql": self.sql,
            "method": self.method if self.sql else "",
            "lock_mode": LOCK_MODES[self.method] if self.sql else "",
            "disk_bytes": sum(portion.bytes for portion in self.need),
            "disk_need": [f"{one.what}: {format_size(one.bytes)} in {one.directory}" for one in self.need],
            "attempts": self.attempt.count,
            "waited": round(self.attempt.waited, 3),
            "seconds": round(self.attempt.seconds, 3),
            "before": state_of(self.table.counters, self.before, self.estimate),
            "after": None if self.after is None else state_of(self.counters, self.after, self.estimate_after),
        }


def state_of(counters: Counters | None, facts: Facts | None, estimate: Estimate | None) -> dict[str, Any]:
    """Return what is known of a table at one moment, as a record."""
    known = counters or Counters()
    heap, toast, indexes = (
        facts.sizes if facts is not None else (known.pages * BLOCK_SIZE, known.toast_pages * BLOCK_SIZE, None)
    )
    return {
        "live": known.live,
        "dead": known.dead,
        "mod_since_analyze": known.modified,
        "toast_dead": known.toast_dead,
        "heap_bytes": heap,
        "toast_bytes": toast,
        "index_bytes": indexes,
        "bloat_bytes": None if estimate is None else estimate.bloat_bytes,
        "bloat_ratio": None if estimate is None else round(estimate.ratio, 4),
        "bloat_method": "none" if estimate is None else estimate.method,
        "bloat_confidence": "none" if estimate is None else estimate.confidence,
        "filenode": None if facts is None else facts.nodes[0],
        "last_vacuum": instant(known.vacuumed_at),
        "last_analyze": instant(known.analyzed_at),
    }
