# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_reindex knows: indexes, what is wanted of them, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, SessionOptions, quote_name
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import chosen_by

CONCURRENTLY, PLAIN = "concurrently", "plain"
REBUILD, DROP, ANALYZE = "rebuild", "drop", "analyze"
INVALID_CHOICES = (REBUILD, DROP, "report")
BLOAT_METHODS = ("auto", "estimate", "exact")
REPORTS = ("changed", "all", "none")

DONE, PLANNED, SKIPPED, FAILED = "done", "planned", "skipped", "failed"

# Why an index that needs work does not get it, or was no candidate at all.
SKIP_REASONS: Mapping[str, str] = {
    "permission": "the role may neither rebuild nor drop it",
    "permission_catalog": "it belongs to a system catalog, which the role may not rebuild",
    "permission_toast": "it belongs to a TOAST table, and the role may not use the schema pg_toast",
    "not_concurrently": "the server cannot rebuild it concurrently",
    "unsafe_minor": "PostgreSQL 14.0 to 14.3 may damage an index that they rebuild concurrently",
    "constraint": "it carries a constraint, a replica identity or a part of a partitioned index, and is never dropped",
    "partitioned": "it is the index of a partitioned table, which is valid when every partition has its part",
    "reported": "invalid indexes are only reported (invalid: report)",
    "building": "another session is building or rebuilding an index of its table",
    "blocked": "a transaction that has been open for long would hold it up",
    "lock": "another session holds a lock on its table",
    "disk_space": "too little disk space is free to build it anew",
    "disk_unknown": "it is not known how much disk space is free to build it anew",
    "max_size": "it is larger than max_size",
    "unmeasured": "how much of it is bloat cannot be told",
    "not_bloated": "with fresh statistics it is below bloat_ratio",
    "time_limit": "the time limit was over before its turn",
    "timeout": "it took longer than statement_timeout",
    "cancelled": "somebody cancelled the statement",
    "vanished": "it was dropped, renamed or replaced after the plan was made",
    "unproven": "the statement ended well, but the index is the same as before",
    "stopped": "an earlier error stopped the run",
    "other_run": "another run is at work in this database",
    "temporary": "it belongs to a temporary table of another session",
}
# These never were candidates, or have turned out to need nothing: nothing is owed.
NOT_CANDIDATES = frozenset(("temporary", "max_size", "unmeasured", "not_bloated", "vanished"))


@dataclass(frozen=True)
class Policy:
    """Which indexes, and from where on one needs work. Sizes are in bytes, the ratio is 0 to 1."""

    always: bool = False
    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    exclude_indexes: tuple[str, ...] = ()
    include_catalogs: bool = False
    bloat_ratio: float = 0.3
    min_size: int = 1_000_000
    max_size: int | None = None
    bloat_method: str = "auto"
    exact_max_size: int = 1_000_000_000
    invalid: str = REBUILD
    concurrently: bool = True
    skip_unsafe_minor: bool = True

    @property
    def filters(self) -> tuple[str, ...]:
        """What chooses among the indexes that there are."""
        return chosen_by(self.schemas, self.tables, self.indexes)


@dataclass(frozen=True)
class RunOptions:
    """How the work is done. Times are in seconds; ``None`` is no limit, and as a database that of the login."""

    databases: tuple[str | None, ...]
    jobs: int = 1
    concurrently: bool = True
    lock_timeout: float = 600.0
    tablespace: str = ""
    time_limit: float | None = None
    hard_time_limit: float | None = None
    lock_retries: int = 3
    lock_retry_delay: float = 10.0
    blocker_age: float = 300.0
    stop_on_error: bool = False
    fail_on_skipped: frozenset[str] = frozenset(("permission",))
    report: str = "changed"
    skip_standby: bool = False
    disk_headroom: float = 1.2
    free_bytes: int | None = None
    without_disk_check: bool = False
    session: SessionOptions = field(default_factory=lambda: SessionOptions("pg_reindex"))


@dataclass(frozen=True)
class Index:
    """One index. ``sql_name`` is quoted by the server itself: only that form enters a statement.

    ``table_oid`` is the table it is on; ``schema`` and ``table`` are those a person would name: of a TOAST table's
    index, the table that the TOAST table belongs to. ``bytes`` is None where a lock kept it from being measured.
    ``filenode`` names its file (``path``): that is what a rebuild changes. ``constraint`` is whether it carries one,
    ``marked`` whether it is more than an index to somebody: primary key, replica identity, order of a CLUSTER, part of
    a partitioned index. ``simple`` is one without expressions and condition. ``shape`` says what it indexes, and is
    read only for the indexes of tables that have an invalid one. ``home_oid`` is the table that ``table`` names.
    """

    oid: int
    schema: str
    name: str
    sql_name: str
    table_oid: int
    table_schema: str
    table: str
    table_sql_name: str
    access_method: str = "btree"
    bytes: int | None = 0
    filenode: int = 0
    valid: bool = True
    exclusion: bool = False
    constraint: bool = False
    marked: bool = False
    simple: bool = True
    partitioned: bool = False
    temporary: bool = False
    catalog: bool = False
    toast: bool = False
    shared: bool = False
    rows: float = -1.0
    modified: int = 0
    shape: str = ""
    building: bool = False
    permitted: bool = True
    droppable: bool = True
    path: str = ""
    logged: bool = True
    home_oid: int = 0

    @property
    def title(self) -> str:
        """``schema.index`` for texts."""
        return one_line(self.sql_name)

    @property
    def table_title(self) -> str:
        return one_line(self.table_sql_name)

    @property
    def size(self) -> int:
        return self.bytes or 0

    @property
    def stale(self) -> bool:
        """Whether so much changed since the last ANALYZE of its table that the estimate has to be made anew."""
        return not self.toast and self.modified > STALE_SHARE * max(self.rows, 1.0)


# More changed rows than this make an estimate doubtful.
STALE_SHARE = 0.1


@dataclass(frozen=True)
class Snapshot:
    """One database as the planner sees it. ``first`` says that it is the first of the run.

    ``partitioned`` names partitioned tables and indexes by oid; ``parents`` are, by oid, what each partition (of a
    table or of an index) is directly a part of.
    """

    label: str
    database: str
    version: int
    now: datetime
    indexes: tuple[Index, ...]
    estimates: Mapping[int, Estimate] = field(default_factory=dict)
    partitioned: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    parents: Mapping[int, int] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    tables: frozenset[tuple[str, str]] = frozenset()
    first: bool = True

    @property
    def subject(self) -> str:
        """How findings name the database."""
        return f"{self.label}: {one_line(quote_name(self.database))}"

    def subject_of(self, index: Index) -> str:
        return f"{self.subject}.{index.title}"

    def subject_of_table(self, index: Index) -> str:
        return f"{self.subject}.{index.table_title}"


@dataclass(frozen=True)
class Reason:
    """Why an index needs work: ``code`` (leftover, invalid, bloat, always) and the numbers against the thresholds."""

    code: str
    text: str


@dataclass(frozen=True)
class Step:
    """Work on one index: ``action`` is ``rebuild`` or ``drop``. ``look_again`` asks for an ANALYZE and a second look.

    ``twin`` is the valid index of which this is what an interrupted rebuild left.
    """

    index: Index
    action: str
    reasons: tuple[Reason, ...]
    estimate: Estimate | None = None
    look_again: bool = False
    twin: Index | None = None


@dataclass(frozen=True)
class Skip:
    """An index that gets no work, and why (a key of ``SKIP_REASONS``). ``reasons`` say what it would have needed."""

    index: Index
    why: str
    reasons: tuple[Reason, ...] = ()
    estimate: Estimate | None = None
    detail: str = ""


@dataclass(frozen=True)
class Plan:
    """Every considered index is in one of the three."""

    steps: tuple[Step, ...] = ()
    skipped: tuple[Skip, ...] = ()
    healthy: tuple[Index, ...] = ()


@dataclass(frozen=True)
class State:
    """What an index is at one moment; a rebuild gives it another ``filenode`` (and, concurrently, another ``oid``)."""

    oid: int
    sql_name: str
    filenode: int
    valid: bool
    bytes: int | None = None
    building: bool = False


@dataclass(frozen=True)
class Attempt:
    """How the statements for one index went. ``why`` is a key of ``SKIP_REASONS`` when it was left, else empty.

    ``seconds`` is the time of the server's work, ``waited`` what was spent in vain. ``leftovers`` are the invalid
    indexes that a failed rebuild of it left and that could not be dropped yet.
    """

    count: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    why: str = ""
    sqlstate: str = ""
    message: str = ""
    leftovers: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    before: State | None = None
    after: State | None = None
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Applied:
    """How a plan went: by oid of the index the attempts, what failed, and what is proven to be done."""

    attempts: Mapping[int, Attempt]
    failed: frozenset[int] = frozenset()
    proven: frozenset[int] = frozenset()
    analyzed: Mapping[str, float] = field(default_factory=dict)
    queries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What became of one index."""

    subject: str
    database: str
    index: Index
    status: str
    action: str = ""
    reasons: tuple[Reason, ...] = ()
    sql: str = ""
    why: str = ""
    priority: int = 0
    attempt: Attempt = field(default_factory=Attempt)
    estimate: Estimate | None = None
    look_again: bool = False

    @property
    def changed(self) -> bool:
        return self.status in (DONE, PLANNED)

    @property
    def message(self) -> str:
        """Why it was left or failed, for a person."""
        return self.attempt.message or SKIP_REASONS.get(self.why, "")

    @property
    def reason_text(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)

    @property
    def bytes_before(self) -> int:
        measured = self.attempt.before.bytes if self.attempt.before else None
        return self.index.size if measured is None else measured

    @property
    def bytes_after(self) -> int:
        """Of a dropped index, nothing is left."""
        if self.status != DONE:
            return self.bytes_before
        measured = self.attempt.after.bytes if self.attempt.after else None
        return 0 if self.action == DROP else self.bytes_before if measured is None else measured

    @property
    def freed(self) -> int:
        return max(0, self.bytes_before - self.bytes_after)

    def as_dict(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "schema": self.index.schema,
            "index": self.index.name,
            "oid": self.index.oid,
            "table_schema": self.index.table_schema,
            "table": self.index.table,
            "access_method": self.index.access_method,
            "action": self.action,
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
            "leftovers": list(self.attempt.leftovers),
            "before": self._state(self.attempt.before, self.index.size),
            "after": None if self.status != DONE else self._state(self.attempt.after, self.bytes_after),
            "bloat": None if self.estimate is None else bloat_of(self.estimate),
        }

    def _state(self, state: State | None, size: int) -> dict[str, Any]:
        if self.status == DONE and self.action == DROP and state is None:
            return {"bytes": 0, "valid": False, "filenode": 0}
        if state is None:
            return {"bytes": size, "valid": self.index.valid, "filenode": self.index.filenode}
        return {"bytes": size if state.bytes is None else state.bytes, "valid": state.valid, "filenode": state.filenode}


def bloat_of(estimate: Estimate) -> dict[str, Any]:
    """Return what a record says of an estimate."""
    return {
        "bytes": estimate.bloat_bytes,
        "ratio": round(estimate.ratio, 3),
        "expected_bytes": estimate.expected_bytes,
        "method": estimate.method,
        "confidence": estimate.confidence,
        "why": estimate.why,
    }
