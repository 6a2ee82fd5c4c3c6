# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unlink large objects in batches, so that none is lost to which a reference is added meanwhile.

Each batch is a transaction: unlink, wait until everybody has ended who writes to a table with references at that
moment, look for references to the batch once more with a fresh snapshot, and commit only when there are none. Nobody is
blocked: a lock on the tables would make writers wait and then add the reference all the same.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.collect import (
    GONE,
    LOCKED,
    is_excluded,
    read_columns,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    FOREIGN,
    REFERENCES,
    Options,
    Orphan,
    Unlinked,
)

# Why objects were left.
LOCK, CHANGED, REFERENCED, WRITERS, TIME_LIMIT, STOPPED, FAILED, STILL_THERE = (
    "lock",
    "changed",
    "referenced",
    "writers",
    "time_limit",
    "stopped",
    "failed",
    "still_there",
)
_NO_OBJECT = "42704"
# After these nothing else will go better: disk full, read only, cancelled, not permitted.
_ENDING = ("53100", "25006", "57014", "42501")
_ATTEMPTS = 3
_PAUSE = 0.01
_LEAST_WAIT = 0.1


@dataclass(frozen=True)
class _Batch:
    orphans: tuple[Orphan, ...]
    attempt: int = 1

    def __len__(self) -> int:
        return len(self.orphans)


@dataclass
class _Work:
    removed: list[int] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    why: str = ""
    stopped: str = ""
    sqlstate: str = ""
    holders: tuple[str, ...] = ()
    batches: int = 0

    def stop(self, why: str, stopped: str, sqlstate: str = "", holders: tuple[str, ...] = ()) -> None:
        self.why, self.stopped, self.sqlstate, self.holders = why, stopped, sqlstate, holders


class _Busy(Exception):
    """References cannot be looked at, because others write them or hold the tables."""

    def __init__(self, why: str, holders: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.holders = holders


def unlink(session: Session, orphans: Sequence[Orphan], options: Options, budget: Budget) -> Unlinked:
    """Unlink *orphans*. Raises ``ServerError`` when the session is lost: what was committed until then stays so."""
    started = time.monotonic()
    work = _Work()
    starts = range(0, len(orphans), options.batch_size)
    queue = deque(_Batch(tuple(orphans[start : start + options.batch_size])) for start in starts)
    while queue:
        batch = queue.popleft()
        why = work.why or (TIME_LIMIT if budget.spent else "")
        if why:
            work.left[why] += len(batch)
        else:
            queue.extendleft(reversed(_try(session, batch, options, work)))
    back = _still_there(session, work.removed)
    work.left[STILL_THERE] += len(back)
    return Unlinked(
        removed=len(work.removed) - len(back),
        left={why: count for why, count in work.left.items() if count},
        stopped=work.stopped,
        sqlstate=work.sqlstate,
        holders=work.holders,
        batches=work.batches,
        seconds=time.monotonic() - started,
    )


def _try(session: Session, batch: _Batch, options: Options, work: _Work) -> list[_Batch]:
    """Unlink one batch; return what is to be tried again, in parts, because one of them was in the way."""
    try:
        gone, referenced = _transaction(session, batch.orphans, options)
    except _Busy as busy:
        session.run("ROLLBACK")
        work.left[WRITERS] += len(batch)
        work.stop(WRITERS, busy.why, holders=busy.holders)
        return []
    except ServerError as error:
        if session.lost:
            raise
        session.run("ROLLBACK")
        return _refused(batch, error, work)
    if referenced:
        # Nothing was committed: those that are referred to now stay, the others are tried again without them.
        work.left[REFERENCED] += len(referenced)
        rest = tuple(orphan for orphan in batch.orphans if orphan.oid not in referenced)
        return [_Batch(rest)] if rest else []
    work.batches += 1
    work.removed += gone
    work.left[CHANGED] += len(batch) - len(gone)
    return []


def _transaction(session: Session, orphans: Sequence[Orphan], options: Options) -> tuple[list[int], set[int]]:
    """Return the oids that are unlinked, or those that are referred to, for which all was rolled back."""
    session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    seen = (sql.array(orphan.oid for orphan in orphans), sql.array(orphan.xmin for orphan in orphans))
    gone = [row[0] for row in session.rows(sql.UNLINK_QUERY, seen)]
    referenced = _referenced(session, gone, options) if gone else set()
    session.run("ROLLBACK" if referenced else "COMMIT")
    return gone, referenced


def _referenced(session: Session, gone: list[int], options: Options) -> set[int]:
    """Return which of the oids are referred to now. Raises ``_Busy`` when that cannot be told."""
    # Read anew: a table that came since we looked may be where references went.
    every = read_columns(session, REFERENCES)
    columns = [column for column in every if column.hidden != FOREIGN and not is_excluded(column, options)]
    hidden = [column.title for column in columns if column.hidden]
    if hidden:
        raise _Busy(f"{hidden[0]} cannot be looked into any more")
    if not columns:
        return set()
    _await_writers(session, sorted({column.table_oid for column in columns}), options.session.lock_timeout)
    try:
        return {row[0] for row in session.rows(sql.recheck_query(columns), (sql.array(gone),))}
    except ServerError as error:
        if error.sqlstate in LOCKED and not session.lost:
            raise _Busy(f"a table with references is locked ({error.message})") from None
        raise


def _await_writers(session: Session, tables: list[int], patience: float) -> None:
    """Wait until the transactions that write to *tables* now have ended; those that begin later are no matter."""
    waited_for = dict(session.rows(sql.WRITERS_QUERY, (tables,)))
    give_up = time.monotonic() + max(patience, _LEAST_WAIT)
    while waited_for:
        if patience and time.monotonic() >= give_up:
            holders = tuple(sorted(set(waited_for.values())))
            raise _Busy(f"transactions that write where references are did not end ({', '.join(holders[:5])})", holders)
        time.sleep(_PAUSE)
        still = dict(session.rows(sql.WRITERS_QUERY, (tables,)))
        waited_for = {name: who for name, who in waited_for.items() if name in still}


def _refused(batch: _Batch, error: ServerError, work: _Work) -> list[_Batch]:
    if error.sqlstate in _ENDING:
        work.left[FAILED] += len(batch)
        work.stop(STOPPED, error.message, error.sqlstate)
        return []
    if error.sqlstate in (_NO_OBJECT, *GONE) and batch.attempt < _ATTEMPTS:
        # Somebody unlinked one of them, or dropped a table, between two of our statements: the next look knows.
        return [_Batch(batch.orphans, batch.attempt + 1)]
    if len(batch) > 1:
        # One of them is locked, or there is no room for so many locks: the halves show which.
        middle = len(batch) // 2
        return [_Batch(batch.orphans[:middle]), _Batch(batch.orphans[middle:])]
    if error.sqlstate in LOCKED:
        work.left[LOCK] += 1
    elif error.sqlstate == _NO_OBJECT:
        work.left[CHANGED] += 1
    else:
        work.left[FAILED] += 1
        work.stop(STOPPED, error.message, error.sqlstate)
    return []


def _still_there(session: Session, removed: list[int]) -> set[int]:
    """Return which of *removed* the server still lists, though it said that they are unlinked."""
    if not removed:
        return set()
    return {row[0] for row in session.rows(sql.LEFT_QUERY, (sql.array(removed),))}
