# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PostgreSQL domain knows: a server, its tables, what is wanted of them, and what became of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    BLOCK_SIZE,
    Holder,
    SessionOptions,
    instant,
    quote_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import chosen_by

VACUUM, FREEZE, ANALYZE = "vacuum", "freeze", "analyze"
MODES = ("vacuum_analyze", "vacuum", "analyze", "freeze", "full")
# What a database gets whose transaction ids run out, whichever mode was asked for.
EMERGENCY = "emergency"
# Mode full is another job, that of the package `rewrite`.
MODE_ACTIONS = {
    "vacuum_analyze": (VACUUM, ANALYZE),
    "vacuum": (VACUUM,),
    "analyze": (ANALYZE,),
    "freeze": (VACUUM, FREEZE),
    EMERGENCY: (VACUUM, FREEZE),
}
REPORTS = ("changed", "all", "none")
INDEX_CLEANUPS = ("auto", "on", "off")
# Half the way from one transaction id to where it would come again; from there on it is an emergency.
EMERGENCY_AGE = 2**30
# The server assigns no id any more when so many are left.
LAST_AGE = 2**31 - 3_000_000

DONE, PLANNED, SKIPPED, FAILED, PARTIAL = "done", "planned", "skipped", "failed", "partial"

# Why a table that needs work does not get it, or (foreign, temporary, recent) is not a candidate at all.
SKIP_REASONS: Mapping[str, str] = {
    "permission": "the role may neither vacuum nor analyse it",
    "permission_catalog": "it is a system catalog, which only a superuser or the owner of the database may vacuum",
    "lock": "another session holds a lock on it",
    "no_room": "the server had no memory or no connection left for it",
    "time_limit": "the time limit was over before its turn",
    "timeout": "it took longer than statement_timeout",
    "cancelled": "somebody cancelled the statement",
    "vanished": "it was dropped or renamed after the plan was made",
    "unproven": "the statement ended well, but the server's counters did not move",
    "stopped": "an earlier error stopped the run",
    "other_run": "another run is at work in this database",
    "recent": "it was done within skip_if_vacuumed_within",
    "autovacuum": "autovacuum is at work on it",
    "lost": "the server was lost",
    "foreign": "its rows are in another server",
    "temporary": "it is a temporary table of another session",
    "counters_off": "the server does not count (track_counts is off), so the need cannot be known",
}
# These never were candidates, so nothing is owed.
NOT_CANDIDATES = frozenset(("recent", "foreign", "temporary"))

# What VACUUM and ANALYZE take: rows can be read and written meanwhile, and neither can work there twice at a time.
LOCK_MODE = "SHARE UPDATE EXCLUSIVE"
# ANALYZE reads 300 pages for each step of default_statistics_target, which is 100 unless somebody has changed it.
SAMPLE_PAGES = 30_000

# Measured bytes of heap, TOAST table and indexes.
Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class Policy:
    """Which tables, and from where on a table needs work. Ratios are 0 to 1, ``recent`` is in seconds.

    ``autovacuum`` takes the thresholds of autovacuum instead of those for rows. ``heap`` and ``toast`` are false when
    VACUUM is told to leave the table itself, or its TOAST table, alone. ``emergency`` is None when the age decides.
    """

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
    xid_age: int = 150_000_000
    mxid_age: int = 300_000_000
    autovacuum: bool = False
    heap: bool = True
    toast: bool = True
    emergency: bool | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """What chooses among the tables that there are."""
        return chosen_by(self.schemas, self.tables)


@dataclass(frozen=True)
class Manner:
    """The options of the statements; what is None is left to the server. ``buffer_usage_limit`` is in KiB."""

    index_cleanup: str | None = None
    truncate: bool | None = None
    process_main: bool | None = None
    process_toast: bool | None = None
    disable_page_skipping: bool | None = None
    parallel: int | None = None
    buffer_usage_limit: int | None = None
    skip_database_stats: bool | None = None


@dataclass(frozen=True)
class RunOptions:
    """How the work is done. Times are in seconds; ``None`` is no limit, and among ``databases`` that of the login.

    ``waits`` sends no SKIP_LOCKED: each statement waits for its locks, as it must when nothing may be left out.
    """

    databases: tuple[str | None, ...]
    jobs: int = 1
    batch_pages: int = 128
    time_limit: float | None = None
    hard_time_limit: float | None = None
    lock_retries: int = 3
    lock_retry_delay: float = 10.0
    stop_on_error: bool = False
    fail_on_skipped: frozenset[str] = frozenset(("permission",))
    fail_on_blocked: bool = False
    skip_standby: bool = False
    report: str = "changed"
    manner: Manner = Manner()
    waits: bool = False
    session: SessionOptions = field(default_factory=lambda: SessionOptions("pg_vacuum"))


@dataclass(frozen=True)
class Counters:
    """What the server knows of the content of one table. Times are seconds since 1970 by the server's clock.

    ``pages`` and ``toast_pages`` are those of the last VACUUM or ANALYZE (``relpages``). The ages are those of the
    oldest transaction and multixact that are not frozen, 0 where there can be none; ``frozen`` are their ids, as text.
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
    toast_vacuums: int = 0
    heap_xid_age: int = 0
    heap_mxid_age: int = 0
    toast_xid_age: int = 0
    toast_mxid_age: int = 0
    frozen: str = ""

    @property
    def xid_age(self) -> int:
        return max(self.heap_xid_age, self.toast_xid_age)

    @property
    def mxid_age(self) -> int:
        return max(self.heap_mxid_age, self.toast_mxid_age)


@dataclass(frozen=True)
class Limit:
    """More rows than ``base`` and a share of those that are there, or than ``most``."""

    base: float
    scale: float
    most: float = math.inf

    def of(self, rows: float) -> float:
        return min(self.most, self.base + self.scale * max(0.0, rows))


@dataclass(frozen=True)
class Autovacuum:
    """From where on autovacuum would work on one table, by its storage parameters and the server's settings.

    A limit is None where the rule is off. ``inserted`` and ``toast_inserted`` are the rows inserted since the last
    VACUUM, ``toast_rows`` is the ``reltuples`` of the TOAST table.
    """

    dead: Limit
    changed: Limit
    inserts: Limit | None = None
    toast_dead: Limit | None = None
    toast_inserts: Limit | None = None
    inserted: int = 0
    toast_inserted: int = 0
    toast_rows: float = 0.0


@dataclass(frozen=True)
class Table:
    """One table, materialized view, partitioned or foreign table (``kind`` is ``relkind``).

    ``sql_name`` comes from the server's own ``format('%I.%I')`` and is the only form that enters a statement.
    ``rows`` is ``reltuples``, -1 when never counted. ``lacks`` says which statistics are missing. ``parent`` is the
    partitioned table that it is a partition of (or the first that it inherits from), 0 for none. ``toast`` is the oid
    of its TOAST table, 0 for none; ``visible`` counts the pages that a plain VACUUM leaves out. ``busy`` is
    ``autovacuum``, or ``wraparound`` for one that does not give way, while that is at work on it.
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
    toast: int = 0
    visible: int = 0
    permitted: bool = True
    lacks: str = ""
    busy: str = ""
    autovacuum: Autovacuum | None = None

    @property
    def title(self) -> str:
        """``schema.table`` for texts."""
        return one_line(self.sql_name)

    @property
    def partitioned(self) -> bool:
        return self.kind == "p"

    @cached_property
    def pages(self) -> int:
        """About how many pages it has now: ``relpages`` grown by the rows since; from the rows alone when unknown."""
        here = self.counters.live + self.counters.dead
        if self.counters.pages <= 0 or self.rows < 1:
            # 20 rows a page (400 bytes each) errs on the side of calling a table big.
            return max(self.counters.pages, -(-here // 20))
        return int(self.counters.pages * max(1.0, here / self.rows))


@dataclass(frozen=True)
class Snapshot:
    """One database as the planner sees it.

    ``again`` says that another database comes before: the dead rows and statistics of the catalogs that all databases
    share are done there. Each database keeps its own account of how far they are frozen. ``schemas`` are the names of
    all schemas, empty ones too.
    """

    label: str
    database: str
    version: int
    now: datetime
    tables: tuple[Table, ...]
    counts: bool = True
    again: bool = False
    schemas: tuple[str, ...] = ()

    @cached_property
    def subject(self) -> str:
        """How findings name the database."""
        return f"{self.label}: {one_line(quote_name(self.database))}"

    def subject_of(self, table: Table) -> str:
        return f"{self.subject}.{table.title}"


@dataclass(frozen=True)
class Reason:
    """Why a table needs work: the numbers against the thresholds.

    ``code`` is xid, mxid, dead, inserts, stats, missing_stats or always.
    """

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
    """How a plan went: by oid the attempts, what failed, what the counters prove, and the counters of what still is.

    ``lost`` is the error that kept the run from its end; ``ages`` are those of the database afterwards (transactions,
    multixacts), where they were asked for.
    """

    attempts: Mapping[int, Attempt]
    failed: frozenset[int] = frozenset()
    proven: frozenset[int] = frozenset()
    after: Mapping[int, Counters] = field(default_factory=dict)
    holders: tuple[Holder, ...] = ()
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lost: UpkeepError | None = None
    ages: tuple[int, int] | None = None


@dataclass(frozen=True)
class Record:
    """What became of one table.

    ``kept`` says what VACUUM could not do, ``holders`` are what kept it from that. ``changed`` is whether the table is
    better off.
    """

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
    kept: str = ""
    changed: bool = False

    @property
    def message(self) -> str:
        """Why it was left or failed, for a person."""
        return self.attempt.message or SKIP_REASONS.get(self.why, "")

    @property
    def reason_text(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)

    @property
    def bytes_to_read(self) -> int:
        """About how much the server has to read: VACUUM what is not known to be clean, FREEZE all, ANALYZE a sample."""
        pages = self.table.pages + self.table.counters.toast_pages
        read = 0
        if VACUUM in self.actions:
            read += pages if FREEZE in self.actions else max(0, pages - self.table.visible)
        if ANALYZE in self.actions:
            read += min(self.table.pages, SAMPLE_PAGES)
        return read * BLOCK_SIZE

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
            "lock_mode": LOCK_MODE if self.actions else "",
            "bytes_to_read": self.bytes_to_read,
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
        "xid_age": counters.xid_age,
        "mxid_age": counters.mxid_age,
        "heap_bytes": heap,
        "toast_bytes": toast,
        "index_bytes": indexes,
        "last_vacuum": instant(counters.vacuumed_at),
        "last_analyze": instant(counters.analyzed_at),
    }
