# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the statements of a plan over several connections, prove each by the file of its index, and leave nothing behind.

A concurrent rebuild that fails leaves an invalid index, and a drop of that may have to wait for the same transaction
that held up the rebuild. So leftovers are dropped at once, again at the end of the run, and by the next run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    SPARE_SLOTS,
    Cluster,
    Limits,
    lost,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.failures import (
    CONNECTION_CLASSES,
    FAIL,
    LOCK,
    STOP,
    class_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder, Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import Watch
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.collect import (
    measure,
    read_blockers,
    read_indexes,
    read_state,
    read_state_by_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.disk import Room
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    DROP,
    SKIP_REASONS,
    Applied,
    Attempt,
    Index,
    Policy,
    RunOptions,
    Snapshot,
    State,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import (
    after_analyze,
    is_trusted,
    leftovers_of,
    phases,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import milliseconds
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import await_counters

# What may be gone when it is tried later.
_PASSING = ("lock", "blocked", "building")
# A drop of what a failed rebuild left waits this long for each transaction on the table.
CLEANING_SECONDS = 5.0
# From here on ANALYZE of a table takes those that inherit from it along, unless told not to.
ONLY_THIS_TABLE = 180000


@dataclass
class Progress:
    """What happened to one index so far. ``failed`` and ``why`` are empty while it may still be tried."""

    step: Step
    attempt: Attempt = field(default_factory=Attempt)
    failed: bool = False
    proven: bool = False
    rounds: int = 0

    @property
    def why(self) -> str:
        return self.attempt.why

    @property
    def ended(self) -> bool:
        return self.proven or self.failed or bool(self.why)

    def note(self, **values: Any) -> None:
        self.attempt = replace(self.attempt, **values)

    def tried(self, seconds: float, in_vain: bool) -> None:
        """Note one attempt more; *in_vain* nothing came of its time."""
        self.note(
            count=self.attempt.count + 1,
            seconds=self.attempt.seconds + (0.0 if in_vain else seconds),
            waited=self.attempt.waited + (seconds if in_vain else 0.0),
        )

    def left(self, why: str, detail: str = "", sqlstate: str = "", holders: tuple[Holder, ...] = ()) -> None:
        """Note that the index was left, for now or for good."""
        message = f"{SKIP_REASONS[why]}: {detail}" if detail else SKIP_REASONS[why]
        self.note(why=why, sqlstate=sqlstate, message=message, holders=holders)

    def fail(self, error: ServerError) -> None:
        self.failed = True
        self.note(why="", sqlstate=error.sqlstate, message=error.message, holders=())

    def done(self, after: State | None) -> None:
        """It is proven: that outranks whatever was said about the statement."""
        self.failed, self.proven = False, True
        self.note(why="", sqlstate="", message="", holders=(), after=after)


class Run:
    """The work on one database. ``execute`` is called once."""

    def __init__(
        self,
        cluster: Cluster,
        options: RunOptions,
        policy: Policy,
        snapshot: Snapshot,
        server: Server,
        steps: Sequence[Step],
        limits: Limits,
        watch: Watch,
        room: Room,
        tablespace: str = "",
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._policy = policy
        self._snapshot = snapshot
        self._server = server
        self._limits = limits
        self._watch = watch
        self._room = room
        self._tablespace = tablespace
        self._progress = {step.index.oid: Progress(step) for step in steps}
        # What was invalid before us is not ours to drop, unless the plan says so or we have built it anew: the index
        # that a concurrent rebuild replaces keeps its oid, and is what is left when that ends early.
        ours = {step.index.oid for step in steps if step.action != DROP}
        self._known = {index.oid for index in snapshot.indexes if not index.valid} - ours
        self._analyzed: dict[str, float] = {}
        self._queries: list[str] = []
        self._notes: list[str] = []
        self._pids: set[int] = set()
        self._stopped = False

    def execute(self, main: Session) -> Applied:
        """Do the work, with as many connections besides *main* as the server can spare. Raises ``ConnectionFailed``."""
        connections = max(1, min(self._options.jobs, self._server.free_slots - SPARE_SLOTS))
        self._pids.add(main.pid)
        try:
            self._look_again(main)
            self._work_through(list(self._progress.values()), connections)
            self._try_again(connections)
        except ServerError as error:
            raise lost(self._cluster.connection, error) from None
        finally:
            self._sweep(main)
        return Applied(
            attempts={oid: progress.attempt for oid, progress in self._progress.items()},
            failed=frozenset(oid for oid, progress in self._progress.items() if progress.failed),
            proven=frozenset(oid for oid, progress in self._progress.items() if progress.proven),
            analyzed=self._analyzed,
            queries=tuple(self._queries),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # --- the second look

    def _look_again(self, main: Session) -> None:
        """Refresh the statistics on which doubtful estimates rest, and leave what is below the limit by them."""
        doubtful = {one.step.index.table_oid: one.step.index for one in self._progress.values() if one.step.look_again}
        refreshed = {oid for oid, index in doubtful.items() if not self._closed and self._analyze(main, index)}
        if not refreshed:
            return
        await_counters(main, self._snapshot.version)
        steps = [one.step for one in self._progress.values() if one.step.index.table_oid in refreshed]
        indexes = {step.index.oid: step.index for step in steps}
        estimates = measure(main, self._server, indexes.values(), self._policy)
        _kept, dropped = after_analyze(steps, indexes, estimates, self._policy)
        for oid, fresh in estimates.items():
            self._progress[oid].note(estimate=fresh)
        for step in dropped:
            progress, estimate = self._progress[step.index.oid], step.estimate
            if estimate is None or not is_trusted(estimate):
                progress.left("unmeasured", estimate.why if estimate else "")
            else:
                limit = f"limit {self._policy.bloat_ratio:.4g}"
                progress.left("not_bloated", f"a share of {estimate.ratio:.3f} is ({limit})")

    def _analyze(self, main: Session, index: Index) -> bool:
        statement = sql.analyze_statement(index, self._snapshot.version >= ONLY_THIS_TABLE)
        started = time.monotonic()
        try:
            self._limit(main, self._cluster.options.lock_timeout)
            self._queries.append(statement)
            main.run(statement)
        except ServerError as error:
            if main.lost:
                raise
            self._notes.append(f"{one_line(statement)} was refused: {error.message}")
            return False
        finally:
            if not main.lost:
                self._unlimit(main)
        self._analyzed[self._snapshot.subject_of_table(index)] = time.monotonic() - started
        return True

    # --- the queue

    def _work_through(self, work: Iterable[Progress], connections: int) -> None:
        steps = [progress.step for progress in work if not progress.ended]
        together, alone = phases(steps, self._options.concurrently)
        self._work_off(together, connections)
        self._work_off(alone, 1)

    def _work_off(self, units: Sequence[Sequence[Step]], connections: int) -> None:
        queue = deque([self._progress[step.index.oid] for step in unit] for unit in units)
        while queue:
            workers = min(connections, len(queue))
            with ThreadPoolExecutor(workers) as pool:
                refused = list(pool.map(lambda _number: self._serve(queue), range(workers)))
            errors = [error for error in refused if error is not None]
            # One session is enough to go on, whichever of them the server had room for.
            if len(errors) == workers:
                self._stopped = True
                raise errors[0]
            self._notes.extend(f"one connection fewer: {error.message}" for error in errors)

    def _serve(self, queue: deque[list[Progress]]) -> ConnectionFailed | None:
        """Work until the queue is empty. A session that breaks is replaced once; return why it was not."""
        for last in (False, True):
            try:
                with self._cluster.session(self._snapshot.database) as session:
                    self._pids.add(session.pid)
                    self._watch.add(session.pid)
                    try:
                        broken = self._serve_with(session, queue)
                    finally:
                        self._watch.forget(session.pid)
            except ConnectionFailed as error:
                return error
            if broken is None:
                return None
            if last:
                return lost(self._cluster.connection, broken)
        return None

    def _serve_with(self, session: Session, queue: deque[list[Progress]]) -> ServerError | None:
        """Return the error when the session broke; what was left of its table is then in the queue again."""
        while True:
            try:
                unit = queue.popleft()
            except IndexError:
                return None
            for progress in unit:
                broken = self._work_on(session, progress)
                if broken is not None:
                    queue.append([one for one in unit if not one.ended])
                    return broken

    @property
    def _closed(self) -> str:
        """Why nothing new is started any more; empty while it may be."""
        if self._stopped:
            return "stopped"
        return "time_limit" if self._limits.spent else ""

    # --- one index

    def _work_on(self, session: Session, progress: Progress) -> ServerError | None:
        """Do one step and note how it went; return the error when the session broke."""
        try:
            why = self._closed
            if why:
                progress.left(why)
                return None
            if progress.attempt.count:
                # A session that broke in the middle has cleaned up nothing.
                self._clean(session, progress)
            if self._is_ready(session, progress):
                self._send_within_room(session, progress)
            if progress.ended and progress.why not in _PASSING:
                self._watch.done(progress.step.index.title)
        except ServerError as error:
            if session.lost or error.sqlstate.startswith(CONNECTION_CLASSES):
                progress.tried(0.0, in_vain=True)
                return error
            progress.fail(error)
        return None

    def _is_ready(self, session: Session, progress: Progress) -> bool:
        """Look once more before the statement; note why not when it had better not be sent."""
        step = progress.step
        state = read_state(session, step.index.oid)
        progress.note(before=progress.attempt.before or state)
        if state is None or state.sql_name != step.index.sql_name or state.valid != step.index.valid:
            progress.left("vanished")
            return False
        if state.building:
            progress.left("building")
            return False
        if not self._options.concurrently and step.action != DROP:
            return True
        old = read_blockers(session, step.index, self._pids, step.action != DROP, self._options.blocker_age or 0.001)
        if old:
            progress.left("blocked", f"{old[0].title}", holders=old)
            return False
        return True

    def _send_within_room(self, session: Session, progress: Progress) -> None:
        why, numbers = self._room.take(progress.step)
        if why:
            progress.left(why, numbers)
            return
        try:
            self._send(session, progress)
        finally:
            self._room.give_back(progress.step)

    def _send(self, session: Session, progress: Progress) -> None:
        step = progress.step
        statement = sql.work_statement(step.action, step.index, self._options.concurrently, self._tablespace)
        started = time.monotonic()
        refused: ServerError | None = None
        try:
            self._limit(session, self._options.lock_timeout)
            self._queries.append(statement)
            session.run(statement)
        except ServerError as error:
            if session.lost or error.sqlstate.startswith(CONNECTION_CLASSES):
                raise
            refused = error
        seconds = time.monotonic() - started
        self._unlimit(session)
        if self._is_done(session, progress):
            # A rebuild that is ended while it waits for the last readers has done its work all the same.
            progress.tried(seconds, in_vain=False)
        elif refused is None:
            progress.tried(seconds, in_vain=True)
            progress.left("unproven")
        else:
            self._refused(session, progress, refused, seconds)
        if refused is not None:
            self._clean(session, progress)

    def _is_done(self, session: Session, progress: Progress) -> bool:
        """Whether the index has another file and is valid, or is gone when that was wanted."""
        index, before = progress.step.index, progress.attempt.before
        if progress.step.action == DROP:
            if read_state(session, index.oid) is not None:
                return False
            progress.done(None)
            return True
        after = read_state_by_name(session, index.table_oid, index.name)
        if after is None or before is None or not after.valid or after.filenode in (0, before.filenode):
            return False
        progress.done(after)
        return True

    def _refused(self, session: Session, progress: Progress, error: ServerError, seconds: float) -> None:
        kind = class_of(error.sqlstate, seconds, self._limits.hard, self._options.session.statement_timeout)
        progress.tried(seconds, in_vain=True)
        if kind == STOP or (kind == FAIL and self._options.stop_on_error):
            self._stopped = True
        if kind in (STOP, FAIL):
            progress.fail(error)
            return
        holders: tuple[Holder, ...] = ()
        if kind in (LOCK, "time_limit", "timeout"):
            holders = read_blockers(session, progress.step.index, self._pids, progress.step.action != DROP)
        detail = f"{error.message}; it waited for {holders[0].title}" if holders else error.message
        progress.left(kind, detail, error.sqlstate, holders)

    def _limit(self, session: Session, lock_timeout: float) -> None:
        limits = [seconds for seconds in (self._limits.hard.remaining,) if seconds is not None]
        if self._options.session.statement_timeout:
            limits.append(self._options.session.statement_timeout)
        # 0 would be no limit.
        statement = max(0.001, min(limits)) if limits else 0.0
        session.rows(sql.LIMITS_QUERY, (milliseconds(statement), milliseconds(lock_timeout)))

    def _unlimit(self, session: Session) -> None:
        session.rows(sql.LIMITS_QUERY, ("0", milliseconds(self._cluster.options.lock_timeout)))

    # --- what is left behind

    def _clean(self, session: Session, progress: Progress) -> None:
        """Drop what failed rebuilds left on the table of this index, and note what could not be dropped."""
        found = self._leftovers(session, progress.step.index.table_oid)
        progress.note(leftovers=tuple(index.title for index in found if not self._drop(session, index)))

    def _leftovers(self, session: Session, table: int) -> list[Index]:
        indexes = read_indexes(session, self._server, table)
        found = leftovers_of(indexes)
        return [
            index for index in indexes if index.oid in found and index.oid not in self._known and not index.building
        ]

    def _drop(self, session: Session, index: Index) -> bool:
        statement = sql.drop_statement(index.sql_name, not index.catalog)
        if not index.droppable:
            return False
        try:
            # No time limit: it waits a short while for each of few things, and is short itself.
            session.rows(sql.LIMITS_QUERY, ("0", milliseconds(CLEANING_SECONDS)))
            self._queries.append(statement)
            session.run(statement)
        except ServerError as error:
            if session.lost:
                raise
            self._notes.append(f"{one_line(statement)} was refused: {error.message}")
        finally:
            if not session.lost:
                self._unlimit(session)
        return read_state(session, index.oid) is None

    def _sweep(self, main: Session) -> None:
        """At the very end, drop what could not be dropped at once."""
        for progress in self._progress.values():
            if not progress.attempt.leftovers and not (progress.attempt.count and not progress.ended):
                continue
            try:
                self._clean(main, progress)
            except ServerError as error:
                # The next run finds it.
                self._notes.append(f"leftovers could not be looked for: {error.message}")
                return

    # --- once more

    def _try_again(self, connections: int) -> None:
        """Try what was held up, at the end of everything else."""
        again = False
        while True:
            waiting = [one for one in self._progress.values() if self._may_try(one)]
            if not waiting or (again and not self._pause()):
                return
            for progress in waiting:
                progress.rounds += 1
                progress.note(why="", message="", sqlstate="", holders=())
            self._work_through(waiting, connections)
            if self._closed:
                return
            again = True

    def _may_try(self, progress: Progress) -> bool:
        held = not progress.proven and not progress.failed and progress.why in _PASSING
        return held and progress.rounds < self._options.lock_retries and not self._closed

    def _pause(self) -> bool:
        """Wait before the next round; False when the time limit does not leave that long."""
        left = self._limits.remaining
        if self._closed or (left is not None and left <= self._options.lock_retry_delay):
            return False
        time.sleep(self._options.lock_retry_delay)
        return True
