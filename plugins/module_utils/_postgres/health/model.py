# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a cluster, and what was seen of it. The fields of the records are the columns of the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Metric, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Database, quote_name

Record = TypeVar("Record")


@dataclass(frozen=True)
class Limits:
    """From ``warning`` on it is a warning, from ``critical`` on it is critical."""

    warning: float
    critical: float

    def severity(self, value: float) -> Severity:
        if value >= self.critical:
            return Severity.CRITICAL
        return Severity.WARNING if value >= self.warning else Severity.OK


@dataclass(frozen=True)
class Policy:
    """What is wanted: shares between 0 and 1, times in seconds, sizes in bytes. ``cache_hit`` is a lower limit."""

    parts: tuple[str, ...]
    ignore: tuple[str, ...]
    connections: Limits
    cache_hit: Limits
    cache_hit_min_blocks: int
    long_query: float
    idle_in_transaction: float
    lock_wait: float
    xmin_age: int
    xmin_time: float
    prepared_xact: float
    wraparound: Limits
    bloat_ratio: float
    bloat_min_size: int
    unused_index_min_size: int
    unused_index_period: float
    slow_query: float
    slow_query_min_calls: int
    lag_time: Limits
    lag_bytes: Limits
    slot_retained: Limits
    slot_inactive: float
    archive_ready: Limits
    sequence: Limits
    temp_files: float
    vacuum_overdue: float
    top: int


def build(kind: type[Record], row: Mapping[str, Any]) -> Record:
    """Return the record of *row*, a JSON object with a key for each field of *kind* that has no default."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # every record is a dataclass
    return kind(**{key: value for key, value in row.items() if key in known})


def build_all(kind: type[Record], rows: Sequence[Mapping[str, Any]] | None) -> tuple[Record, ...]:
    """Return the records of *rows*; the server says null for none."""
    return tuple(build(kind, row) for row in rows or ())


# --- the cluster ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What decides which questions can be asked. ``settings`` are texts; those that may hold a secret say only whether
    they are set. ``counters_since`` is when the server's counters began, in epoch seconds."""

    started: float
    counters_since: float | None
    settings: Mapping[str, str]
    reads_all_stats: bool
    lists_archive: bool
    server_now: float

    def number(self, name: str) -> float | None:
        """Return the numeric setting *name*, in its own unit; ``None`` when this version has none."""
        text = self.settings.get(name)
        return None if text is None else float(text)

    def is_on(self, name: str) -> bool:
        return self.settings.get(name) == "on"

    def counting_since(self, row: DatabaseRow | None) -> float | None:
        """Return when the counters of a database began: by a reset, by a crash, or with the cluster."""
        known = [at for at in (None if row is None else row.stats_reset, self.counters_since) if at is not None]
        return max(known) if known else None


@dataclass(frozen=True)
class DatabaseRow:
    """One database, with its counters. Times are epoch seconds; ``frozen_age`` counts transactions."""

    name: str
    accepts_connections: bool
    template: bool
    valid: bool
    may_connect: bool
    frozen_age: int
    multixact_age: int
    backends: int
    connection_limit: int
    hits: int
    reads: int
    temp_files: int
    temp_bytes: int
    checksum_failures: int | None
    checksum_last_failure: float | None
    stats_reset: float | None

    @property
    def database(self) -> Database:
        return Database(
            self.name, self.accepts_connections, self.template, self.valid, self.may_connect, self.frozen_age
        )


@dataclass(frozen=True)
class Activity:
    """How many sessions there are. ``disabled`` are those whose activity is not tracked; times are seconds."""

    used: int
    active: int
    idle: int
    idle_in_transaction: int
    disabled: int
    oldest_transaction: float | None
    roles: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class SessionRow:
    """One session of somebody, as others may see it: never what it runs. ``doing`` is the command of a long job."""

    pid: int
    database: str | None = None
    user: str | None = None
    application: str | None = None
    address: str | None = None
    state: str | None = None
    wait: str | None = None
    seconds: float | None = None
    transaction_seconds: float | None = None
    doing: str | None = None

    @property
    def who(self) -> str:
        """``pid 4711 (app of web in shop)``, with what is known."""
        if self.pid == 0:
            return "a prepared transaction"
        words = [one_line(repr(self.application))] if self.application else []
        words += [f"of {one_line(quote_name(self.user))}"] if self.user else []
        words += [f"in {one_line(quote_name(self.database))}"] if self.database else []
        return f"pid {self.pid}" + (f" ({' '.join(words)})" if words else "")

    def as_dict(self) -> dict[str, Any]:
        return {
            "pid": self.pid,
            "database": self.database,
            "user": self.user,
            "application": self.application,
            "address": self.address,
            "state": self.state,
            "wait": self.wait,
            "seconds": _rounded(self.seconds),
            "transaction_seconds": _rounded(self.transaction_seconds),
            **({"doing": self.doing} if self.doing else {}),
        }


@dataclass(frozen=True)
class Waiter:
    """A session that waits for a lock, and the pids that keep it from it; 0 stands for a prepared transaction."""

    pid: int
    seconds: float | None
    blockers: Sequence[int]
    lock: str
    relation: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A prepared transaction."""

    gid: str
    database: str
    owner: str
    seconds: float


@dataclass(frozen=True)
class Workers:
    """What autovacuum does now: how many workers, how long the youngest of them has been at it, how many against
    wraparound."""

    workers: int
    shortest: float | None
    emergency: int


@dataclass(frozen=True)
class StandbyRow:
    """One connection that takes our WAL. Lags are bytes and seconds."""

    pid: int
    name: str
    address: str | None
    state: str | None
    sync_state: str | None
    lag_bytes: float | None
    replay_lag: float | None
    silence: float | None

    @property
    def title(self) -> str:
        name = one_line(repr(self.name)) if self.name else "without a name"
        return f"the standby {name}" + (f" at {self.address}" if self.address else "")


@dataclass(frozen=True)
class Receiver:
    """How a standby itself gets on: whether it streams, and how far replay is behind what it got."""

    streaming: bool
    paused: bool
    lag_bytes: float | None
    lag_seconds: float | None


@dataclass(frozen=True)
class SlotRow:
    """One replication slot. ``retained`` is the WAL that is kept for it, in bytes; times are seconds."""

    name: str
    kind: str
    database: str | None
    active: bool
    temporary: bool
    retained: float | None
    wal_status: str | None
    safe_wal_size: float | None
    catalog_age: int | None = None
    inactive_seconds: float | None = None
    invalidation: str | None = None
    synced: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "slot": self.name,
            "type": self.kind,
            "database": self.database,
            "active": self.active,
            "retained_bytes": _whole(self.retained),
            "wal_status": self.wal_status,
            "safe_wal_size": _whole(self.safe_wal_size),
            "inactive_seconds": _rounded(self.inactive_seconds),
            "invalidation": self.invalidation,
        }


@dataclass(frozen=True)
class Replication:
    """All that has to do with copies of the cluster. ``receiver`` is there on a standby alone."""

    standbys: tuple[StandbyRow, ...]
    slots: tuple[SlotRow, ...]
    receiver: Receiver | None


@dataclass(frozen=True)
class Archiver:
    """What ``pg_stat_archiver`` says. ``ready`` are segments that wait; ``None`` where that may not be asked."""

    archived: int
    failed: int
    last_archived: float | None
    last_failed: float | None
    last_failed_wal: str | None
    ready: int | None = None


@dataclass(frozen=True)
class Statement:
    """One entry of pg_stat_statements; times are seconds, ``text`` is as the server has it, and not to be shown."""

    text: str
    queryid: int | None
    database: str
    user: str | None
    calls: int
    total: float
    mean: float
    longest: float
    rows: int


@dataclass(frozen=True)
class Statements:
    """What pg_stat_statements holds, since when; times are seconds."""

    since: float | None
    slow_count: int
    total: float
    slow: tuple[Statement, ...]
    top: tuple[Statement, ...]


# --- a database -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableRow:
    """A table whose rows autovacuum should have seen to. Times are epoch seconds."""

    sql_name: str
    live: int
    dead: int
    modified: int
    vacuum_due: bool
    analyze_due: bool
    last_vacuum: float | None
    last_analyze: float | None


@dataclass(frozen=True)
class Tables:
    """The tables of a database: how many, those autovacuum owes something, those that it is kept from."""

    count: int
    overdue_count: int
    overdue: tuple[TableRow, ...]
    off_count: int
    off: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class IndexRow:
    """An index. ``scans`` were counted, ``last_scan`` (epoch seconds) is known from 16 on."""

    sql_name: str
    table: str
    bytes: int
    scans: int
    partitioned: bool = False
    last_scan: float | None = None


@dataclass(frozen=True)
class Twin:
    """An index that another one (``keeper``) makes superfluous; ``exact`` is false when its columns are the first of
    the other's. ``constraint`` is the unique constraint it belongs to, if any."""

    sql_name: str
    table: str
    bytes: int
    scans: int
    keeper: str
    exact: bool
    partitioned: bool
    constraint: str | None = None


@dataclass(frozen=True)
class Invalid:
    """An index that is not maintained or not used. ``leftover`` is ``ccnew`` or ``ccold`` of REINDEX CONCURRENTLY."""

    sql_name: str
    table: str
    bytes: int
    partitioned: bool
    constraint: bool
    leftover: str
    toast: bool
    dying: bool
    building: bool


@dataclass(frozen=True)
class SequenceRow:
    """A sequence, and the narrowest column that it fills, if any. ``data_type`` is like ``bigint``, ``column_type``
    like ``int8``."""

    last_value: int
    sql_name: str
    data_type: str
    low: int
    high: int
    rises: bool
    cycles: bool
    table: str | None = None
    column: str | None = None
    column_type: str | None = None

    @property
    def limit(self) -> int:
        """The last number that both the sequence and its column can hold."""
        most = _MOST.get(self.column_type or "")
        if self.rises:
            return self.high if most is None else min(self.high, most)
        return self.low if most is None else max(self.low, -most - 1)

    @property
    def share(self) -> float:
        """Which share of its numbers was handed out, 0 to 1; more where the column is full already."""
        first = self.low if self.rises else self.high
        return (abs(self.last_value - first) + 1) / (max(0, self._room(first)) + 1)

    def _room(self, first: int) -> int:
        return self.limit - first if self.rises else first - self.limit


_MOST = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1}


@dataclass(frozen=True)
class Sequences:
    """The sequences of a database; ``unreadable`` may not be read by the role, ``locked`` would have to be waited for.

    ``rows`` are those of the others that were ever used.
    """

    count: int
    unreadable: int
    locked: int
    rows: tuple[SequenceRow, ...]


@dataclass(frozen=True)
class LargeObjects:
    """Large objects, and those that no oid column refers to. ``columns`` were searched, ``hidden`` may not be read."""

    count: int
    orphans: int | None
    columns: int
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sized:
    """A large table. ``rows`` is the server's estimate."""

    sql_name: str
    rows: int
    total_bytes: int
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    exact: bool


# --- what could not be seen -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unseen:
    """A part that could not be looked at. ``code`` is that of the finding; ``sql`` is the grant that mends it."""

    code: str
    reason: str
    remedy: str = ""
    sql: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = Severity.UNKNOWN


@dataclass(frozen=True)
class Place:
    """One database that was looked into: its parts by name, each a record, a tuple of records or an ``Unseen``."""

    name: str
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """All that was seen. ``parts`` holds those of the cluster, by name; ``login`` is the database we logged in to.

    ``now`` is the server's clock in epoch seconds; ``left`` are databases that nobody can look into and why,
    ``unreachable`` those that we should have.
    """

    label: str
    login: str
    version: int
    in_recovery: bool
    user: str
    facts: Facts
    databases: tuple[DatabaseRow, ...]
    parts: Mapping[str, Any]
    places: tuple[Place, ...]
    left: tuple[tuple[str, str], ...] = ()
    unreachable: tuple[tuple[str, str], ...] = ()

    @property
    def now(self) -> float:
        return self.facts.server_now

    def row_of(self, database: str) -> DatabaseRow | None:
        return next((row for row in self.databases if row.name == database), None)

    def subject(self, *names: str) -> str:
        """``main: shop``; names are as the server quoted them, or as people say them."""
        return f"{self.label}: {one_line('.'.join(names))}"

    def in_database(self, database: str, sql_name: str) -> str:
        """``main: shop.public.orders``."""
        return self.subject(quote_name(database), sql_name)


# --- what is thought of it --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A finding, and the statement of its remedy by itself."""

    finding: Finding
    sql: str = ""


@dataclass(frozen=True)
class Verdict:
    """What one part comes to. ``count`` counts problems beyond those listed."""

    value: Any = None
    threshold: Any = None
    items: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    metrics: tuple[Metric, ...] = ()
    note: str = ""

    @property
    def severity(self) -> Severity:
        return max((problem.finding.severity for problem in self.problems), default=Severity.OK)


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)
