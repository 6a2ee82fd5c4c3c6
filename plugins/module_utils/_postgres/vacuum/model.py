# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PostgreSQL domain knows: a server, its tables, what is wanted of them, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    BLOCK_SIZE,
    Holder,
    SessionOptions,
    instant,
    one_line,
    quote_name,
)

VACUUM, ANALYZE = "vacuum", "analyze"
MODES = ("vacuum_analyze", "vacuum", "analyze")
MODE_ACTIONS = {"vacuum_analyze": (VACUUM, ANALYZE), "vacuum": (VACUUM,), "analyze": (ANALYZE,)}
REPORTS = ("changed", "all", "none")

DONE, PLANNED, SKIPPED, FAILED, PARTIAL = "done", "planned", "skipped", "failed", "partial"

# Why a table that needs work does not get it, or (foreign, temporary, recent) is not a candidate at all.
SKIP_REASONS: Mapping[str, str] = {
    "permission": "the role may neither vacuum nor analyse it",
    "permission_catalog": "it is a system catalog, which only a superuser or the owner of the database may vacuum",
    "lock": "another session holds a lock on it",
    "time_limit": "the time limit was over before its turn",
    "timeout": "it took longer than statement_timeout",
    "cancelled": "somebody cancelled the statement",
    "vanished": "it was dropped or renamed after the plan was made",
    "unproven": "the statement ended well, but the server's counters did not move",
    "stopped": "an earlier error stopped the run",
    "other_run": "another run is at work in this database",
    "recent": "it was done within skip_if_vacuumed_within",
    "foreign": "its rows are in another server",
    "temporary": "it is a temporary table of another session",
    "counters_off": "the server does not count (track_counts is off), so the need cannot be known",
}
# These never were candidates, so nothing is owed.
NOT_CANDIDATES = frozenset(("recent", "foreign", "temporary"))

# Measured bytes of heap, TOAST table and indexes.
Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class Policy:
    """Which tables, and from where on a table needs work. Ratios are 0 to 1, ``recent`` is in seconds."""

    mode: str = "vacuum_analyze"
    always: bool = False
    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    include_catalogs: bool = True
    dead_ratio: float = 0.1
    dead_min: int = 1000
    mod_ratio: float = 0.05
    mod_min: int = 500
    missing_stats: bool = True
    recent: float | None = None


@dataclass(frozen=True)
class RunOptions:
    """How the work is done. Times are in seconds; ``None`` is no limit."""

    databases: tuple[str, ...]
    jobs: int = 1
    batch_pages: int = 128
    time_limit: float | None = None
    hard_time_limit: float | None = None
    lock_retries: int = 3
    lock_retry_delay: float = 10.0
    stop_on_error: bool = False
    fail_on_skipped: frozenset[str] = frozenset(("permission",))
    report: str = "changed"
    session: SessionOptions = field(default_factory=lambda: SessionOptions("pg_vacuum"))


@dataclass(frozen=True)
class Counters:
    """What the server knows of the content of one table. Times are seconds since 1970 by the server's clock.

    ``pages`` and ``toast_pages`` are those of the last VACUUM or ANALYZE (``relpages``).
    """

    live: int = 0
    dead: int = 0
    modified: int = 0
    toast_live: int = 0
    toast_dead: int = 0
    pages: int = 0
    toast_pages: int = 0
    vacuums: int = 0
    analyzes: int = 0
    vacuumed_at: float | None = None
    analyzed_at: float | None = None


@dataclass(frozen=True)
class Table:
    """One table, materialized view, partitioned or foreign table (``kind`` is ``relkind``).

    ``sql_name`` comes from the server's own ``format('%I.%I')`` and is the only form that enters a statement.
    ``rows`` is ``reltuples``, -1 when never counted. ``lacks`` says which statistics are missing. ``parent`` is the
    partitioned table that it is a partition of (or the first that it inherits from), 0 for none.
    """

    oid: int
    schema: str
    name: str
    sql_name: str
    kind: str
    counters: Counters
    rows: float = -1.0
    columns: int = 0
    temporary: bool = False
    catalog: bool = False
    shared: bool = False
    children: bool = False
    parent: int = 0
    permitted: bool = True
    lacks: str = ""

    @property
    def title(self) -> str:
        """``schema.table`` for texts."""
        return one_line(self.sql_name)

    @property
    def partitioned(self) -> bool:
        return self.kind == "p"

    @property
    def pages(self) -> int:
        """About how many pages it has now: ``relpages`` grown by the rows since; from the rows alone when unknown."""
        here = self.counters.live + self.counters.dead
        if self.counters.pages <= 0 or self.rows < 1:
            # 20 rows a page (400 bytes each) errs on the side of calling a table big.
            return max(self.counters.pages, -(-here // 20))
        return int(self.counters.pages * max(1.0, here / self.rows))


@dataclass(frozen=True)
class Snapshot:
    """One database as the planner sees it."""

    label: str
    database: str
    version: int
    now: datetime
    tables: tuple[Table, ...]
    counts: bool = True

    @property
    def subject(self) -> str:
        """How findings name the database."""
        return f"{self.label}: {one_line(quote_name(self.database))}"

    def subject_of(self, table: Table) -> str:
        return f"{self.subject}.{table.title}"


@dataclass(frozen=True)
class Reason:
    """Why a table needs work: ``code`` (dead, stats, missing_stats, always) and the numbers against the thresholds."""

    code: str
    text: str


@dataclass(frozen=True)
class Step:
    """Work on one table: ``actions`` is what shall be true afterwards, ``reasons`` why."""

    table: Table
    actions: tuple[str, ...]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Skip:
    """A table that gets no work, and why (a key of ``SKIP_REASONS``). ``reasons`` say what it would have needed."""

    table: Table
    why: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Every considered table is in one of the three."""

    steps: tuple[Step, ...] = ()
    skipped: tuple[Skip, ...] = ()
    healthy: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Statement:
    """One statement to send. ``steps`` are the tables it works on; ``covers`` are partitions it reaches besides."""

    sql: str
    steps: tuple[Step, ...]
    skips_locked: bool
    covers: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """How the statements for one table went. ``why`` is a key of ``SKIP_REASONS`` when it was left, else empty.

    ``seconds`` is the time of the server's work, ``waited`` what was spent on locks in vain.
    """

    count: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    why: str = ""
    sqlstate: str = ""
    message: str = ""
    sizes_before: Sizes | None = None
    sizes_after: Sizes | None = None


@dataclass(frozen=True)
class Applied:
    """How a plan went: by oid the attempts, what failed, what the counters prove, and the counters of what still is."""

    attempts: Mapping[int, Attempt]
    failed: frozenset[int] = frozenset()
    proven: frozenset[int] = frozenset()
    after: Mapping[int, Counters] = field(default_factory=dict)
    holders: tuple[Holder, ...] = ()
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What became of one table. ``holders`` are what kept its dead rows; ``changed`` is whether it is better off."""

    subject: str
    database: str
    table: Table
    status: str
    actions: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    sql: str = ""
    why: str = ""
    priority: int = 0
    attempt: Attempt = field(default_factory=Attempt)
    after: Counters | None = None
    holders: tuple[Holder, ...] = ()
    changed: bool = False

    @property
    def message(self) -> str:
        """Why it was left or failed, for a person."""
        return self.attempt.message or SKIP_REASONS.get(self.why, "")

    @property
    def reason_text(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)

    @property
    def bytes_before(self) -> int:
        return _heap_and_toast(self.table.counters, self.attempt.sizes_before)

    @property
    def bytes_after(self) -> int:
        return _heap_and_toast(self.after or self.table.counters, self.attempt.sizes_after)

    def as_dict(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "schema": self.table.schema,
            "table": self.table.name,
            "oid": self.table.oid,
            "actions": list(self.actions),
            "reason": [reason.code for reason in self.reasons],
            "reason_text": self.reason_text,
            "priority": self.priority,
            "status": self.status,
            "skipped_reason": self.why,
            "sqlstate": self.attempt.sqlstate,
            "message": self.message,
            "sql": self.sql,
            "attempts": self.attempt.count,
            "waited": round(self.attempt.waited, 3),
            "seconds": round(self.attempt.seconds, 3),
            "before": state_of(self.table.counters, self.attempt.sizes_before),
            "after": None if self.after is None else state_of(self.after, self.attempt.sizes_after),
        }


def _heap_and_toast(counters: Counters, sizes: Sizes | None) -> int:
    return sizes[0] + sizes[1] if sizes else (counters.pages + counters.toast_pages) * BLOCK_SIZE


def state_of(counters: Counters, sizes: Sizes | None) -> dict[str, Any]:
    """Return *counters* as a record. *sizes* are the measured bytes of heap, toast and indexes, where measured."""
    heap, toast, indexes = sizes or (max(counters.pages, 0) * BLOCK_SIZE, counters.toast_pages * BLOCK_SIZE, None)
    return {
        "live": counters.live,
        "dead": counters.dead,
        "mod_since_analyze": counters.modified,
        "toast_dead": counters.toast_dead,
        "heap_bytes": heap,
        "toast_bytes": toast,
        "index_bytes": indexes,
        "last_vacuum": instant(counters.vacuumed_at),
        "last_analyze": instant(counters.analyzed_at),
    }
