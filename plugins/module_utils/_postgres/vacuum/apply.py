# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the statements of a plan over several connections, and see by the server's counters what came of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    SPARE_SLOTS,
    Cluster,
    Limits,
    lost,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import Watch
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import milliseconds, settings_query
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import (
    await_ended,
    read_ages,
    read_all_holders,
    read_counters,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.main import Main, is_broken
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    FREEZE,
    SKIP_REASONS,
    VACUUM,
    Applied,
    Attempt,
    Counters,
    RunOptions,
    Sizes,
    Snapshot,
    Statement,
    Step,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.statements import (
    closing_statement,
    statements,
)

# How an error is taken: try again later, stop everything, fail the table; or the table is left for that reason.
LOCK, STOP, FAIL = "lock", "stop", "fail"
# Out of memory (that for locks, too): with fewer connections of ours, or later, there may be enough.
NO_ROOM = "no_room"
_CLASSES = {
    "55P03": LOCK,
    "40P01": LOCK,
    "53200": NO_ROOM,
    "53300": NO_ROOM,
    "53100": STOP,
    "25006": STOP,
    "42501": "permission",
    "42P01": "vanished",
    "42704": "vanished",
    "3F000": "vanished",
}
# What says nothing about one table: there is no point in trying those of the batch one by one.
_ENDS_A_BATCH = ("cancelled", "time_limit")
CANCELLED = "57014"
# While the work goes on, the counters of so many tables at a time are read.
EARLY_LOOK = 250


def class_of(sqlstate: str, seconds: float, hard: Deadline, statement_timeout: float) -> str:
    """Return a key of ``SKIP_REASONS``, or ``LOCK``, ``STOP`` or ``FAIL``. *seconds* is how long the statement ran."""
    if sqlstate != CANCELLED:
        return _CLASSES.get(sqlstate, FAIL)
    if hard.expired:
        return "time_limit"
    return "timeout" if statement_timeout and seconds >= statement_timeout * 0.9 else "cancelled"


@dataclass
class Progress:
    """What happened to one table so far. ``failed`` and ``why`` are empty while it may still be tried.

    ``awaits_proof`` says that a statement for it ended well, and that nobody has looked at its counters since.
    """

    step: Step
    failed: bool = False
    awaits_proof: bool = False
    count: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    why: str = ""
    sqlstate: str = ""
    message: str = ""
    sizes_before: Sizes | None = None
    sizes_after: Sizes | None = None

    @property
    def attempt(self) -> Attempt:
        return Attempt(
            self.count, self.waited, self.seconds, self.why, self.sqlstate, self.message, self.sizes_before,
            self.sizes_after,
        )  # fmt: skip

    def tried(self, seconds: float, in_vain: bool = False) -> None:
        """Note one attempt more; *in_vain* its time was spent on waiting for a lock."""
        self.count += 1
        if in_vain:
            self.waited += seconds
        else:
            self.seconds += seconds

    def left(self, why: str, error: ServerError | UpkeepError | None = None, text: str = "") -> None:
        """Note that the table was left, for now or for good; *text* says it better than the reason alone."""
        text = text or SKIP_REASONS[why]
        self.why = why
        self.message = f"{text}: {error.message}" if error else text
        if isinstance(error, ServerError):
            self.sqlstate = error.sqlstate

    def fail(self, error: ServerError) -> None:
        self.failed = True
        self.why, self.sqlstate, self.message = "", error.sqlstate, error.message

    def reopen(self) -> None:
        self.why = self.sqlstate = self.message = ""

    def proven(self) -> None:
        """The counters moved: that outranks whatever was said about the statement."""
        self.failed = False
        self.reopen()


class Run:
    """The work on one database. ``execute`` is called once."""

    def __init__(
        self,
        cluster: Cluster,
        options: RunOptions,
        snapshot: Snapshot,
        steps: Sequence[Step],
        limits: Limits,
        watch: Watch,
    ) -> None:
        self._cluster = cluster
        self._options = options
        self._snapshot = snapshot
        self._steps = steps
        self._limits = limits
        self._watch = watch
        self._progress = {step.table.oid: Progress(step) for step in steps}
        self._after: dict[int, Counters] = {}
        self._proven: set[int] = set()
        self._batches: list[tuple[Statement, float]] = []
        # The tables of each statement that ended well, and None for each connection that is done.
        self._news: SimpleQueue[list[int] | None] = SimpleQueue()
        self._queries: list[str] = []
        self._notes: list[str] = []
        self._pids: set[int] = set()
        self._connections = 1
        self._working = 0
        self._count = threading.Lock()
        self._tried_twice: set[str] = set()
        self._stopped = False
        self._lost: UpkeepError | None = None
        self._holders: tuple[Holder, ...] = ()
        self._ages: tuple[int, int] | None = None

    def execute(self, main: Main, slots: int, closing: str = "") -> Applied:
        """Do the work, with at most *slots* connections besides *main*. What was done until a loss stays told.

        *closing* is sent in the end though no table has work.
        """
        self._connections = max(1, min(self._options.jobs, slots - SPARE_SLOTS))
        try:
            self._work(main, closing)
        except ServerError as error:
            self._lost = self._lost or lost(self._cluster.connection, error)
        except UpkeepError as error:
            # Main could not be replaced, or the lock went to another run meanwhile.
            self._lost = self._lost or error
        if self._lost is not None:
            self._give_up(self._lost)
        self._share_seconds()
        return Applied(
            attempts={oid: progress.attempt for oid, progress in self._progress.items()},
            failed=frozenset(oid for oid, progress in self._progress.items() if progress.failed),
            proven=frozenset(self._proven),
            after=self._after,
            holders=self._holders,
            queries=tuple(self._queries),
            notes=tuple(dict.fromkeys(self._notes)),
            lost=self._lost,
            ages=self._ages,
        )

    def _work(self, main: Main, closing: str) -> None:
        started = time.monotonic()
        for phase in filter(None, statements(self._steps, self._snapshot, self._options)):
            main.ask(lambda session: await_ended(session, self._pids))
            self._work_off(phase, main)
        self._look(main, [oid for oid in self._progress if oid not in self._proven])
        self._try_again(main)
        if any(VACUUM in progress.step.actions and progress.count for progress in self._progress.values()):
            closing = closing_statement(self._snapshot, self._options)
        if closing:
            self._close(main, closing)
        found = main.ask(lambda session: read_all_holders(session, self._pids))
        # What began after us cannot hold rows that were dead when we planned.
        elapsed = time.monotonic() - started
        self._holders = tuple(one for one in found if one.seconds is None or one.seconds >= elapsed)
        if closing or any(FREEZE in step.actions for step in self._steps):
            self._ages = main.ask(read_ages)

    def _give_up(self, error: UpkeepError) -> None:
        """Say of each table that was not seen to be done what is known of it."""
        for progress in self._progress.values():
            if progress.awaits_proof:
                progress.left("unproven", error, "the statement ended well, but its counters could not be read")
            elif not progress.failed and not progress.why and progress.step.table.oid not in self._proven:
                progress.left("lost", error)

    # --- the queue

    def _work_off(self, work: Sequence[Statement], main: Main) -> None:
        queue = deque(work)
        while queue and self._lost is None:
            workers = self._working = min(self._connections, len(queue))
            with ThreadPoolExecutor(workers) as pool:
                serving = [pool.submit(self._serve, queue) for _number in range(workers)]
                self._look_meanwhile(main, workers)
            refused = [one.result() for one in serving]
            errors = [error for error in refused if error is not None]
            # One session is enough to go on, whichever of them the server had room for.
            if len(errors) == workers:
                self._stopped, self._lost = True, errors[0]
            elif errors:
                self._connections = min(self._connections, workers - len(errors))
                self._notes.extend(f"one connection fewer: {error.message}" for error in errors)

    def _serve(self, queue: deque[Statement]) -> UpkeepError | None:
        """Send statements until the queue is empty; return why there was no session for the rest."""
        try:
            return self._serve_out(queue)
        finally:
            self._news.put(None)

    def _serve_out(self, queue: deque[Statement]) -> UpkeepError | None:
        """Send statements until the queue is empty. A session that breaks is replaced; return why it was not."""
        broke = True
        while broke:
            try:
                with self._cluster.session(self._snapshot.database) as session:
                    self._pids.add(session.pid)
                    self._watch.add(session.pid)
                    broke = self._serve_with(session, queue)
                    self._watch.forget(session.pid)
            except UpkeepError as error:
                return error
        return None

    def _serve_with(self, session: Session, queue: deque[Statement]) -> bool:
        """Return whether the session broke; its statement is then in the queue again, or has been given up."""
        while not self._is_surplus():
            try:
                statement = queue.popleft()
            except IndexError:
                return False
            if self._is_over(statement):
                continue
            started = time.monotonic()
            error = self._send(session, statement)
            if error is None:
                continue
            broke = is_broken(session, error)
            if broke and self._once_more(statement):
                queue.append(statement)
            else:
                self._refused(statement, error, time.monotonic() - started)
            if broke:
                return True
        return False

    def _is_surplus(self) -> bool:
        """Whether more sessions work than may, so that this one is to end."""
        with self._count:
            surplus = self._working > self._connections
            self._working -= surplus
        return surplus

    def _lower(self, error: ServerError) -> None:
        """Go on with half of the connections."""
        with self._count:
            self._connections = max(1, self._connections // 2)
        self._notes.append(f"half of the connections from here on: {error.message}")

    def _once_more(self, statement: Statement) -> bool:
        """Whether what broke its session is tried again: a second time, and no more."""
        with self._count:
            again = statement.sql not in self._tried_twice
            self._tried_twice.add(statement.sql)
        return again

    @property
    def _closed(self) -> str:
        """Why nothing new is started any more; empty while it may be."""
        if self._stopped:
            return "stopped"
        return "time_limit" if self._limits.spent else ""

    def _is_over(self, statement: Statement) -> bool:
        why = self._closed
        if why:
            for progress in self._of(statement):
                if not progress.failed and not progress.why:
                    progress.left(why)
        return bool(why)

    def _of(self, statement: Statement) -> list[Progress]:
        """Return the tables of *statement*, with the partitions it covers that nothing of their own holds up."""
        covered = [self._progress[step.table.oid] for step in statement.covers]
        own = [self._progress[step.table.oid] for step in statement.steps]
        return own + [progress for progress in covered if not progress.failed and not progress.why]

    # --- one statement

    def _send(self, session: Session, statement: Statement) -> ServerError | None:
        """Run *statement* and note how it went; return the error when it did not go well."""
        measured = self._is_big(statement)
        started = time.monotonic()
        try:
            self._limit(session)
            if measured:
                self._progress[statement.steps[0].table.oid].sizes_before = self._measure(session, statement)
            self._queries.append(statement.sql)
            session.run(statement.sql)
        except ServerError as error:
            return error
        self._sent(statement, time.monotonic() - started)
        if measured:
            self._measure_after(session, statement)
        return None

    def _is_big(self, statement: Statement) -> bool:
        table = statement.steps[0].table
        return len(statement.steps) == 1 and not table.partitioned and table.pages > self._options.batch_pages

    def _limit(self, session: Session) -> None:
        """With a hard limit, let the server end the statement when that comes."""
        left = self._limits.hard.remaining
        if left is not None:
            own = self._options.session.statement_timeout
            seconds = max(0.001, min(left, own) if own else left)
            session.rows(settings_query(1), ("statement_timeout", milliseconds(seconds)))

    def _measure(self, session: Session, statement: Statement) -> Sizes | None:
        """Return the bytes of the table. Only an ACCESS EXCLUSIVE lock of others stands in the way."""
        rows = session.rows(sql.SIZES_QUERY, (statement.steps[0].table.oid,))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def _measure_after(self, session: Session, statement: Statement) -> None:
        try:
            self._progress[statement.steps[0].table.oid].sizes_after = self._measure(session, statement)
        except ServerError as error:
            # The work is done; only its effect on the size stays unknown.
            self._notes.append(f"the size of {statement.steps[0].table.title} was not measured: {error.message}")

    def _sent(self, statement: Statement, seconds: float) -> None:
        together = self._of(statement)
        if len(together) > 1:
            self._batches.append((statement, seconds))
        for progress in together:
            progress.tried(seconds if len(together) == 1 else 0.0)
        for step in statement.steps:
            progress = self._progress[step.table.oid]
            # A table that was left out is no error to the server: until the counters have moved, this is what we know.
            # A partition whose ANALYZE is yet to come with that of its whole stays open.
            if step.actions == progress.step.actions:
                progress.left("lock" if statement.skips_locked else "unproven")
                progress.awaits_proof = True
                self._watch.done(step.table.title)
        self._news.put([step.table.oid for step in statement.steps])

    def _refused(self, statement: Statement, error: ServerError, seconds: float) -> None:
        together = self._of(statement)
        alone = len(statement.steps) + len(statement.covers) == 1
        kind = class_of(error.sqlstate, seconds, self._limits.hard, self._options.session.statement_timeout)
        if kind == STOP or (kind == FAIL and alone and self._options.stop_on_error):
            self._stopped = True
        if kind == NO_ROOM:
            self._lower(error)
        for progress in together:
            progress.tried(seconds / len(together), in_vain=kind in (LOCK, NO_ROOM))
            if kind == STOP or (kind == FAIL and alone):
                progress.fail(error)
            elif alone or kind in _ENDS_A_BATCH:
                progress.left(kind, error)
            else:
                # One table ended the statement for all: each is tried alone, and then it shows which.
                progress.reopen()

    # --- what came of it

    def _look_meanwhile(self, main: Main, workers: int) -> None:
        """Until all *workers* are done, look at what is finished: then little is left to look at when all is.

        Before 15 each look would have to wait for the collector. Catalogs are written to by all that is still to come.
        """
        live = self._snapshot.version >= sql.LIVE_COUNTERS
        finished: list[int] = []
        while workers:
            news = self._news.get()
            if news is None:
                workers -= 1
                continue
            finished += [oid for oid in news if live and not self._progress[oid].step.table.catalog]
            if len(finished) >= EARLY_LOOK:
                live = self._looked_early(main, finished)
                finished = []

    def _looked_early(self, main: Main, oids: Sequence[int]) -> bool:
        """Look at tables before the end, and say whether that is possible; what it could not see the end will show."""
        try:
            self._look(main, oids)
        except (ServerError, UpkeepError):
            return False
        return True

    def _look(self, main: Main, oids: Iterable[int]) -> None:
        """Let the counters say which of the tables were really worked on."""
        wanted = list(oids)
        found = main.ask(lambda session: read_counters(session, self._snapshot.version, wanted))
        self._after.update(found)
        for oid in wanted:
            progress = self._progress[oid]
            progress.awaits_proof = False
            if oid not in found:
                progress.failed = False
                progress.left("vanished")
            elif not self._missing_actions(progress.step):
                self._proven.add(oid)
                progress.proven()

    def _missing_actions(self, step: Step) -> tuple[str, ...]:
        before, after = step.table.counters, self._after[step.table.oid]
        analyzed = _rose(before.analyzes, after.analyzes)
        vacuumed = self._is_vacuumed(step, before, after)
        return tuple(action for action in step.actions if not (analyzed if action == ANALYZE else vacuumed))

    def _is_vacuumed(self, step: Step, before: Counters, after: Counters) -> bool:
        if FREEZE in step.actions and not self._snapshot.counts:
            return after.frozen != before.frozen
        manner = self._options.manner
        heap = manner.process_main is False or _rose(before.vacuums, after.vacuums)
        toast = (
            manner.process_toast is False or not step.table.toast or _rose(before.toast_vacuums, after.toast_vacuums)
        )
        return heap and toast

    def _try_again(self, main: Main) -> None:
        """Try one by one what a batch left undone or a lock held up, at the end of everything else."""
        again = False
        while True:
            waiting = [progress for progress in self._progress.values() if self._may_try(progress)]
            if not waiting or (again and not self._pause()):
                return
            alone = [self._alone(progress.step) for progress in waiting]
            # Partitions before the partitioned tables that would lock them.
            self._work_off([one for one in alone if not one.steps[0].table.partitioned], main)
            self._work_off([one for one in alone if one.steps[0].table.partitioned], main)
            self._look(main, [progress.step.table.oid for progress in waiting])
            if self._closed:
                return
            again = True

    def _may_try(self, progress: Progress) -> bool:
        if progress.step.table.oid in self._proven or progress.failed:
            return False
        later = progress.why in (LOCK, NO_ROOM) and progress.count <= self._options.lock_retries
        return not progress.why or later

    def _alone(self, step: Step) -> Statement:
        actions = self._missing_actions(step)
        skips = self._options.lock_retries == 0 and not self._options.waits
        text = sql.work_statement(actions, [step.table], self._snapshot.version, skips, self._options.manner)
        return Statement(text, (step,), skips)

    def _pause(self) -> bool:
        """Wait before a lock is tried again; False when the time limit does not leave that long."""
        left = self._limits.remaining
        if self._closed or (left is not None and left <= self._options.lock_retry_delay):
            return False
        time.sleep(self._options.lock_retry_delay)
        return True

    def _close(self, main: Main, statement: str) -> None:
        """Move the database's own horizon once, which each statement was told to leave alone."""
        self._queries.append(statement)
        try:
            main.ask(lambda session: session.run(statement))
        except ServerError as error:
            if main.broken:
                raise
            self._notes.append(f"{statement} was refused: {error.message}")

    def _share_seconds(self) -> None:
        """Give each table of a batch its part of the batch's time, by the moments at which the server was done."""
        for statement, seconds in self._batches:
            done = {
                oid: at
                for oid in (step.table.oid for step in (*statement.steps, *statement.covers))
                if oid in self._proven and (at := _done_at(self._after[oid])) is not None
            }
            for oid, part in shares(seconds, done).items():
                self._progress[oid].seconds += part


def gone(steps: Iterable[Step], error: UpkeepError) -> Applied:
    """Return what came of *steps* when the server was lost before the first of them."""
    progress = {step.table.oid: Progress(step) for step in steps}
    for one in progress.values():
        one.left("lost", error)
    return Applied({oid: one.attempt for oid, one in progress.items()}, lost=error)


def _rose(before: int, after: int) -> bool:
    """Whether a counter was raised in between; after a crash the server counts from 0 again."""
    return after > before or 0 < after < before


def _done_at(counters: Counters) -> float | None:
    return max((at for at in (counters.vacuumed_at, counters.analyzed_at) if at is not None), default=None)


def shares(seconds: float, done: Mapping[int, float]) -> dict[int, float]:
    """Return how much of *seconds* each key took, when they were done one after the other at the moments in *done*."""
    parts: dict[int, float] = {}
    before = None
    span = max(done.values()) - min(done.values()) if done else 0.0
    for oid, at in sorted(done.items(), key=lambda entry: entry[1]):
        parts[oid] = max(0.0, seconds - span) if before is None else at - before
        before = at
    return parts
