# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for large objects without references, within a limit of time. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.kinds import Leaf, kinds_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.marks import Clock, clock_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    ALL_KINDS,
    FOREIGN,
    OTHER_SESSION,
    PRIVILEGE,
    REFERENCES,
    Column,
    Hit,
    Look,
    Options,
    Orphan,
    Orphans,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.names import matches
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import milliseconds, settings_query

CANCELLED = "57014"
GONE = ("42P01", "42703", "3F000")
_NOT_PERMITTED = "42501"
LOCKED = ("55P03", "40P01")
_BATCH = 25
_OLDEST = 10
_NOTES = 20
# The server is told to end a statement when the time is over; so much earlier it is somebody else who ended it.
_SHORT = 0.5
# Where the server does not know how many rows a table has, so many bytes of it are looked at.
_UNCOUNTED_BYTES = 8 << 20


@dataclass(frozen=True)
class Age:
    """How it is known what is old enough: made by an older transaction than ``limit``, or committed so long ago."""

    limit: str | None
    seconds: float
    commit_times: bool


def read_clock(session: Session) -> Clock:
    """Return what the server says of its transactions. Raises ``ServerError``."""
    return clock_of(*session.rows(sql.CLOCK_QUERY)[0])


def read_columns(session: Session, kinds_wanted: Sequence[str] = ALL_KINDS) -> tuple[Column, ...]:
    """Return the columns of all users' tables that can hold numbers of large objects. Raises ``ServerError``."""
    known = kinds_of(Leaf(*row) for row in session.rows(sql.TYPES_QUERY))
    kinds = {root: kind for root, kind in known.items() if kind in kinds_wanted}
    found = []
    for oid, schema, table, name, sql_table, sql_name, kind, rows, size, hidden in session.rows(
        sql.COLUMNS_QUERY, (list(kinds),)
    ):
        found.append(Column(oid, schema, table, name, sql_table, sql_name, kinds[kind], rows, size, hidden))
    return tuple(found)


def look(session: Session, label: str, database: str, options: Options, age: Age) -> Look:
    """Return what nothing in *database*, the one of *session*, refers to. Raises ``ServerError`` for a lost session.

    Whatever keeps the look from being whole, a limit of time or a missing right, is its ``trouble``.
    """
    looking = _Looking(session, Look(label, database, ()), options, age)
    try:
        try:
            looking.look()
        except ServerError as error:
            # A table that was dropped, or a column, between our questions: look again, once.
            if session.lost or error.sqlstate not in GONE:
                raise
            looking.look()
    except ServerError as error:
        if session.lost:
            raise
        looking.end(*explained(error, looking.deadline))
    set_limit(session, options, None)
    return replace(looking.seen, seconds=looking.deadline.elapsed)


class _Looking:
    """One look: ``seen`` is what it has found so far, and stays when it cannot be finished."""

    def __init__(self, session: Session, seen: Look, options: Options, age: Age) -> None:
        self.seen = seen
        self.deadline = Deadline(options.look_limit)
        self._session = session
        self._options = options
        self._age = age

    def end(self, why: str, remedy: str) -> None:
        """Note why the look is not whole, and the step that mends it."""
        self.seen = replace(self.seen, trouble=why, remedy=remedy)

    def look(self) -> None:
        """Do all of it. Raises ``ServerError``."""
        set_limit(self._session, self._options, self.deadline)
        self.seen = Look(self.seen.label, self.seen.database, ())
        total = self._session.rows(sql.COUNT_QUERY)[0][0]
        if not total:
            self.seen = replace(self.seen, orphans=Orphans(0, 0, 0, 0, 0, (), ()))
            return
        self._read_columns()
        set_limit(self._session, self._options, self.deadline)
        orphans = _orphans(self._session, self.seen.references, self._options, self._age, total)
        self.seen = replace(self.seen, orphans=orphans)
        if any(column.is_reference for column in self.seen.hidden):
            self.end(*_unseen(self.seen.hidden))
        elif orphans.count:
            self._measure(orphans)
            self._look_into_values(orphans)

    def _read_columns(self) -> None:
        every = read_columns(self._session)
        excluded = frozenset(column for column in every if is_excluded(column, self._options))
        columns = tuple(column for column in every if column not in excluded)
        notes = [
            f"{column.title} is a foreign table's: what it refers to is on another server"
            for column in columns
            if column.hidden == FOREIGN and column.is_reference
        ]
        self.seen = replace(self.seen, columns=columns, excluded=tuple(excluded), notes=tuple(notes[:_NOTES]))

    def _measure(self, orphans: Orphans) -> None:
        """Learn the bytes of the orphans, where the role may see them, within half of the time that is left."""
        if self.deadline.expired or not self._session.rows(sql.MAY_MEASURE_QUERY)[0][0]:
            return
        set_limit(self._session, self._options, self.deadline, share=0.5)
        try:
            size = self._session.rows(sql.BYTES_QUERY, (sql.array(orphan.oid for orphan in orphans.first),))[0][0]
        except ServerError as error:
            if self._session.lost or error.sqlstate != CANCELLED:
                raise
            return
        self.seen = replace(self.seen, orphans=replace(orphans, bytes=size, measured=len(orphans.first)))

    def _look_into_values(self, orphans: Orphans) -> None:
        """Find the columns that hold the number of an orphan in another type."""
        columns = [column for column in self.seen.columns if not column.is_reference and column.hidden != FOREIGN]
        readable = [column for column in columns if not column.hidden and column.bytes]
        tables = [tuple(some) for _oid, some in groupby(readable, key=lambda column: column.table_oid)]
        tables.sort(key=lambda some: some[0].bytes)
        oids = [orphan.oid for orphan in orphans.first]
        looked_at = 0
        for start in range(0, len(tables), _BATCH):
            if self.deadline.expired:
                self.end(*_interrupted(len(readable) - looked_at, self.deadline))
                return
            batch = tables[start : start + _BATCH]
            set_limit(self._session, self._options, self.deadline)
            hits = [*self.seen.hits, *_hits(self._session, batch, oids, self._options.sample_rows)]
            looked_at += sum(map(len, batch))
            hits.sort(key=lambda hit: -hit.count)
            self.seen = replace(self.seen, hits=tuple(hits), looked_at_values=looked_at)
        hidden = [column for column in columns if column.hidden]
        if hidden:
            self.end(*_unseen(hidden))


def is_excluded(column: Column, options: Options) -> bool:
    """Whether the user says that the column holds no numbers of large objects. Of a reference nobody can say that.

    But of another session's temporary table somebody must be able to: nobody else can look into it.
    """
    if column.is_reference and column.hidden != OTHER_SESSION:
        return False
    return any(matches(name, options.exclude_columns) for name in column.plain_names)


def _orphans(session: Session, columns: Sequence[Column], options: Options, age: Age, total: int) -> Orphans:
    # The oldest transaction of all makes nothing old enough.
    limit = age.limit or "3"
    seconds = age.seconds if age.commit_times else 0.0
    rows = session.rows(sql.orphans_query(columns, age.commit_times), (limit, seconds, options.max_objects))
    if not rows:
        return Orphans(total, 0, 0, 0, 0, (), ())
    count, old, permitted, unlinkable = rows[0][4:]
    if age.limit is None and not age.commit_times:
        old = unlinkable = 0
    first = tuple(Orphan(row[0], row[1]) for row in rows[:unlinkable])
    # Looked for as values are all that may be unlinked in this run; in a report, those that are there the longest.
    return Orphans(
        total, count, old, permitted, unlinkable, first or tuple(Orphan(row[0], row[1]) for row in rows),
        tuple(row[0] for row in rows[:_OLDEST]),
    )  # fmt: skip


# --- values that may be numbers of large objects


def _hits(session: Session, tables: Sequence[Sequence[Column]], oids: list[int], sample_rows: int) -> list[Hit]:
    shares = [share_of(columns[0], sample_rows) for columns in tables]
    try:
        rows = session.rows(sql.values_query(tables, shares), (sql.array(oids),))
    except ServerError as error:
        if session.lost or error.sqlstate not in GONE:
            raise
        if len(tables) == 1:
            return []  # it has been dropped, and what it held with it
        return [hit for columns in tables for hit in _hits(session, [columns], oids, sample_rows)]
    return [
        Hit(column, count, shares[number] < 100)
        for number, counts in rows
        for column, count in zip(tables[number], counts)
        if count
    ]


def share_of(column: Column, sample_rows: int) -> float:
    """Return which percentage of the pages of the column's table holds about *sample_rows* rows."""
    if sample_rows == 0:
        return 100.0
    if column.rows < 0:
        return 100.0 if column.bytes <= _UNCOUNTED_BYTES else 100.0 * _UNCOUNTED_BYTES / column.bytes
    if column.rows <= sample_rows:
        return 100.0
    return max(0.000001, 100.0 * sample_rows / column.rows)


# --- what goes wrong


def set_limit(session: Session, options: Options, deadline: Deadline | None, share: float = 1.0) -> None:
    """Let the server end what takes longer than a *share* of what is left; without *deadline*, as the user set it."""
    own = options.session.statement_timeout
    left = deadline.remaining if deadline is not None else None
    left = left if left is None else left * share
    seconds = own if left is None else max(0.001, min(left, own) if own else left)
    session.rows(settings_query(1), ("statement_timeout", milliseconds(seconds)))


def explained(error: ServerError, deadline: Deadline) -> tuple[str, str]:
    """Return why the look ended with *error*, and the step that mends it."""
    if error.sqlstate == CANCELLED:
        if (deadline.remaining or 0.0) < _SHORT:
            return _too_long(deadline)
        return "somebody cancelled the look", "Ask who cancelled it and why, then run it again."
    if error.sqlstate in LOCKED:
        return (
            f"a table is locked ({error.message})",
            "Run it again when nothing holds an exclusive lock, or raise lock_timeout.",
        )
    if error.sqlstate == _NOT_PERMITTED:
        return f"the role may not look ({error.message})", "Grant SELECT on what the message names to the role."
    if error.sqlstate == "53200":
        return (
            f"the server has no room for so many locks ({error.message})",
            "Raise max_locks_per_transaction: every table with a reference is locked for reading at once.",
        )
    return f"{error.message} (SQLSTATE {error.sqlstate})", "Look into the server's log."


def _too_long(deadline: Deadline) -> tuple[str, str]:
    return (
        f"looking at every reference takes longer than look_limit ({format_duration(deadline.seconds or 0)})",
        "Raise look_limit, or run it at a quieter time.",
    )


def _interrupted(left: int, deadline: Deadline) -> tuple[str, str]:
    return (
        f"{left} columns were not looked into within look_limit ({format_duration(deadline.seconds or 0)})",
        "Raise look_limit, lower sample_rows, or name in exclude_columns what holds no numbers of large objects.",
    )


def _unseen(hidden: Sequence[Column]) -> tuple[str, str]:
    """Return that *hidden* columns may hold references, and how they can be looked into."""
    shown = ", ".join(column.title for column in hidden[:5]) + (", ..." if len(hidden) > 5 else "")
    whys = {column.hidden for column in hidden}
    if whys == {OTHER_SESSION}:
        return (
            f"{len(hidden)} columns of temporary tables of other sessions cannot be seen by anybody else ({shown})",
            "Run it when those sessions have ended; name the columns in exclude_columns when they hold no references.",
        )
    if PRIVILEGE in whys:
        return (
            f"{len(hidden)} columns may not be read by the role ({shown})",
            "Let a superuser run it, or GRANT pg_read_all_data to the role (14 and later), or SELECT on these tables.",
        )
    return (
        f"{len(hidden)} columns are under row security, so that rows are hidden from the role ({shown})",
        "Let a superuser run it, or ALTER ROLE ... BYPASSRLS.",
    )


def unknown_exclusions(looks: Iterable[Sequence[Column]], patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the exact names in *patterns* that are no column anywhere, and those that are a reference's."""
    columns = [column for some in looks for column in some]
    exact = [pattern for pattern in patterns if not set("*?[") & set(pattern)]
    unknown = [name for name in exact if not any(name in column.plain_names for column in columns)]
    references = [
        name
        for name in exact
        if any(
            name in column.plain_names and column.kind in REFERENCES and column.hidden != OTHER_SESSION
            for column in columns
        )
    ]
    return unknown, references
