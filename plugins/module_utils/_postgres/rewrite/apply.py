# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrite the tables of a plan, one after the other, and see by their files what came of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    ConnectionFailed,
    DeadlineExceeded,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import (
    SPARE_SLOTS,
    Cluster,
    Limits,
    lost,
    read_holders,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import (
    WAL_DIRECTORY,
    Disk,
    Portion,
    Setup,
    shortage,
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
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.collect import (
    read_estimates,
    read_facts,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import (
    FULL,
    PG_REPACK,
    REPACK,
    SKIP_REASONS,
    Applied,
    Attempt,
    Facts,
    RewritePolicy,
    Target,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.pg_repack import Client, repack
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.plan import (
    OLD_TRANSACTION,
    TRUSTED,
    directories,
    need_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import milliseconds, settings_query
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import read_counters
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import RunOptions, Snapshot

# Less than one segment of WAL.
_FULL_BYTES = 16 * 1024 * 1024
_NOTICE_MILLISECONDS = "2000"
_INVALID_VALUE = "22023"
# The holders that an online method waits for, in the end or at the start, for as long as they live.
_WAITED_FOR = ("backend", "idle_in_transaction", "prepared")


def is_rewritten(before: Facts, after: Facts) -> bool:
    """Whether the table is in other files than before, and so is its TOAST table, where it had one."""
    heap = before.nodes[0] != after.nodes[0]
    return heap and (not before.nodes[1] or before.nodes[1:] != after.nodes[1:])


@dataclass(frozen=True)
class Means:
    """What a run works with besides its sessions."""

    policy: RewritePolicy
    options: RunOptions
    server: Server
    setup: Setup
    disk: Disk
    client: Client = field(default_factory=Client)


@dataclass
class Progress:
    """What happened to one table so far. ``attempt.why`` is empty while it may still be tried."""

    target: Target
    attempt: Attempt = field(default_factory=Attempt)
    failed: bool = False
    rewritten: bool = False

    @property
    def settled(self) -> bool:
        return self.failed or self.rewritten or bool(self.attempt.why)

    def tried(self, seconds: float, in_vain: bool = False) -> None:
        """Note one attempt more; *in_vain* its time was spent on waiting for a lock."""
        self.attempt = replace(
            self.attempt,
            count=self.attempt.count + 1,
            seconds=self.attempt.seconds + (0.0 if in_vain else seconds),
            waited=self.attempt.waited + (seconds if in_vain else 0.0),
        )

    def left(self, why: str, detail: str = "", sqlstate: str = "") -> None:
        """Note that the table was left, for now or for good."""
        text = SKIP_REASONS[why]
        message = f"{text}: {detail}" if detail and sqlstate else detail or text
        self.attempt = replace(self.attempt, why=why, sqlstate=sqlstate, message=message)

    def fail(self, message: str, sqlstate: str = "") -> None:
        self.failed = True
        self.attempt = replace(self.attempt, why="", sqlstate=sqlstate, message=message)

    def reopen(self) -> None:
        self.attempt = replace(self.attempt, why="", sqlstate="", message="")

    def done(self, after: Facts) -> None:
        self.rewritten, self.failed = True, False
        self.attempt = replace(self.attempt, why="", sqlstate="", message="", after=after)


class Run:
    """The work on one database. ``execute`` is called once."""

    def __init__(
        self,
        cluster: Cluster,
        means: Means,
        snapshot: Snapshot,
        targets: Sequence[Target],
        limits: Limits,
        watch: Watch,
    ) -> None:
        self._cluster = cluster
        self._means = means
        self._options = means.options
        self._snapshot = snapshot
        self._limits = limits
        self._watch = watch
        self._progress = {target.table.oid: Progress(target) for target in targets}
        self._queries: list[str] = []
        self._notes: list[str] = []
        self._reserved: dict[str, int] = {}
        self._reserving = threading.Lock()
        self._stopped = False

    def execute(self, main: Session, slots: int) -> Applied:
        """Do the work, with at most *slots* connections besides *main*. What a lost server leaves is in the answer."""
        connections = max(1, min(self._options.jobs, slots - SPARE_SLOTS))
        every = list(self._progress.values())
        broken: UpkeepError | None = None
        try:
            self._work_off([one for one in every if not one.target.table.catalog], connections)
            # Whoever rewrites two catalogs at once may deadlock with himself.
            self._work_off([one for one in every if one.target.table.catalog], 1)
            self._try_again(connections)
        except ConnectionFailed as error:
            broken = self._with_disk(error)
        try:
            if broken is None:
                return self._applied(main, broken)
            # The session that broke may have been the only one, and the server be back already.
            with self._cluster.session(self._snapshot.database) as again:
                self._prove(again)
                return self._applied(again, broken)
        except (ServerError, ConnectionFailed) as error:
            broken = broken or (lost(self._cluster.connection, error) if isinstance(error, ServerError) else error)
            return self._applied(None, broken)

    def _applied(self, main: Session | None, broken: UpkeepError | None) -> Applied:
        """Return what came of the work, asking *main* for what the server knows of it."""
        every = self._progress
        for progress in every.values():
            if not progress.settled:
                progress.left("lost" if broken is not None else "stopped")
        rewritten = [oid for oid, progress in every.items() if progress.rewritten]
        return Applied(
            attempts={oid: progress.attempt for oid, progress in every.items()},
            failed=frozenset(oid for oid, progress in every.items() if progress.failed),
            rewritten=frozenset(rewritten),
            counters={} if main is None else read_counters(main, self._snapshot.version, rewritten),
            estimates={} if main is None else self._estimates(main, [every[oid] for oid in rewritten]),
            holders=() if main is None else tuple(read_holders(main)),
            queries=tuple(self._queries),
            notes=tuple(dict.fromkeys(self._notes)),
            lost=broken,
        )

    def _prove(self, session: Session) -> None:
        """See whether what was under way when a session broke has been done all the same."""
        for progress in self._progress.values():
            before = progress.attempt.before
            if progress.settled or before is None:
                continue
            oid = progress.target.table.oid
            now = read_facts(session, self._means.server, [oid], self._means.setup).get(oid)
            if now is not None and is_rewritten(before, now):
                progress.done(now)

    def _with_disk(self, error: ConnectionFailed) -> UpkeepError:
        """Return *error* with a word on the disk, when that is full: then this is why the server is gone."""
        needs = [progress.target.need for progress in self._progress.values()]
        space = self._means.disk.space([*directories(needs), WAL_DIRECTORY])
        full = [place for place, free in space.free.items() if free < _FULL_BYTES]
        if not self._means.disk.directory or not full:
            return error
        where = ", ".join(directory for directory, place in space.places.items() if place in full)
        return ConnectionFailed(
            f"{error.message.rstrip('.')}. The disk is full: next to nothing is free for {where}.",
            "Free space there, start the server again if it is down, then run it again: what was not finished was "
            "undone by the server.",
            {**error.evidence, "class": "disk_full"},
        )

    def _estimates(self, main: Session, rewritten: Iterable[Progress]) -> dict[int, Estimate]:
        """Return what is thought of the tables now: that nothing is left to free is what the next run goes by."""
        facts = {one.target.table.oid: one.attempt.after for one in rewritten if one.attempt.after is not None}
        policy = replace(self._means.policy, bloat_min_size=0, bloat_method="estimate")
        return read_estimates(main, self._means.server, policy, facts)

    # --- the queue

    def _work_off(self, work: Sequence[Progress], connections: int) -> None:
        queue = deque(work)
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

    def _serve(self, queue: deque[Progress]) -> ConnectionFailed | None:
        """Rewrite until the queue is empty. A session that breaks is replaced once; return why it was not."""
        for last in (False, True):
            try:
                with self._cluster.session(self._snapshot.database) as session:
                    self._notice_our_end(session)
                    broken = self._serve_with(session, queue)
            except ConnectionFailed as error:
                return error
            if broken is None:
                return None
            if last:
                return lost(self._cluster.connection, broken)
        return None

    @staticmethod
    def _notice_our_end(session: Session) -> None:
        """Have the server undo a rewrite whose module was killed, instead of keeping its lock to the end for nobody."""
        try:
            session.rows(settings_query(1), ("client_connection_check_interval", _NOTICE_MILLISECONDS))
        except ServerError as error:
            # Not every system tells the server that a client is gone; then it ends as the server sees fit.
            if session.lost or error.sqlstate != _INVALID_VALUE:
                raise

    def _serve_with(self, session: Session, queue: deque[Progress]) -> ServerError | None:
        """Return the error when the session broke; its table is then in the queue again."""
        self._watch.add(session.pid)
        try:
            while True:
                try:
                    progress = queue.popleft()
                except IndexError:
                    return None
                if self._closed:
                    progress.left(self._closed)
                    continue
                try:
                    self._turn(session, progress)
                except ServerError as error:
                    queue.append(progress)
                    return error
        finally:
            self._watch.forget(session.pid)

    @property
    def _closed(self) -> str:
        """Why nothing new is started any more; empty while it may be."""
        if self._stopped:
            return "stopped"
        return "time_limit" if self._limits.spent else ""

    def _try_again(self, connections: int) -> None:
        """Try again what was locked, at the end of everything else: nobody waits behind us while we do not wait."""
        while True:
            waiting = [progress for progress in self._progress.values() if self._may_try(progress)]
            if not waiting or not self._pause():
                return
            for progress in waiting:
                progress.reopen()
            self._work_off(waiting, connections)

    def _may_try(self, progress: Progress) -> bool:
        return progress.attempt.why == "lock" and progress.attempt.count <= self._options.lock_retries

    def _pause(self) -> bool:
        """Wait before a lock is tried again; False when the time limit does not leave that long."""
        left = self._limits.remaining
        if self._closed or (left is not None and left <= self._options.lock_retry_delay):
            return False
        time.sleep(self._options.lock_retry_delay)
        return True

    # --- one table

    def _turn(self, session: Session, progress: Progress) -> None:
        """Rewrite one table, if that still makes sense, and note how it went. Raises when the session broke."""
        target = progress.target
        started = time.monotonic()
        try:
            self._limit(session)
            now = read_facts(session, self._means.server, [target.table.oid], self._means.setup).get(target.table.oid)
            if self._is_settled_by(session, progress, now) or now is None:
                return
            target = progress.target = replace(target, facts=now, need=self._need(target, now))
            with self._room(progress) as enough:
                if not enough:
                    return
                progress.attempt = replace(progress.attempt, before=now)
                started = time.monotonic()
                self._send(session, progress)
        except ServerError as error:
            if session.lost or error.sqlstate.startswith(CONNECTION_CLASSES):
                raise
            self._refused(progress, error, time.monotonic() - started)
            return
        if progress.rewritten:
            self._analyze(session, progress)
            self._watch.done(target.table.title)

    def _is_settled_by(self, session: Session, progress: Progress, now: Facts | None) -> bool:
        """Whether what the table is now leaves nothing to do, for now or for good."""
        target, before = progress.target, progress.attempt.before
        if now is None or now.sql_name != target.facts.sql_name:
            progress.left("vanished")
        elif before is not None and not progress.attempt.why and is_rewritten(before, now):
            # The session broke after the server had done it.
            progress.done(now)
            self._notes.append(f"{target.table.title} was rewritten, though the connection broke meanwhile")
        elif now.wraparound:
            progress.left("autovacuum")
        elif now.locked:
            progress.tried(0.0, in_vain=True)
            progress.left("lock")
        else:
            old = self._waited_for(session, target)
            if old is None:
                return False
            progress.left("held", f"{target.method} would wait for {old.title}, as long as that lives")
        return True

    def _waited_for(self, session: Session, target: Target) -> Holder | None:
        """Return an old transaction that an online method would wait for."""
        if target.method == FULL:
            return None
        for holder in read_holders(session):
            here = target.method == REPACK or holder.database in ("", self._snapshot.database)
            if holder.kind in _WAITED_FOR and here and (holder.seconds or 0.0) >= OLD_TRANSACTION:
                return holder
        return None

    def _need(self, target: Target, now: Facts) -> tuple[Portion, ...]:
        is_trusted = target.estimate is not None and target.estimate.confidence in TRUSTED
        return need_of(now, target.estimate if is_trusted else None, self._means.setup)

    @contextmanager
    def _room(self, progress: Progress) -> Iterator[bool]:
        """Look once more whether the disk has room, and keep that from the other workers while the block runs."""
        if self._means.policy.unchecked:
            yield True
            return
        need = progress.target.need
        space = self._means.disk.space(directories([need]))
        if not space.known:
            progress.left("disk_unknown", space.why)
            yield False
            return
        with self._reserving:
            missing = shortage(need, space, self._means.policy.headroom, self._reserved)
            if not missing:
                for portion in need:
                    place = space.places[portion.directory]
                    self._reserved[place] = self._reserved.get(place, 0) + portion.bytes
        if missing:
            progress.left("disk_space", missing)
            yield False
            return
        try:
            yield True
        finally:
            with self._reserving:
                for portion in need:
                    self._reserved[space.places[portion.directory]] -= portion.bytes

    def _limit(self, session: Session) -> None:
        """With a hard limit, let the server end the statement when that comes."""
        left = self._limits.hard.remaining
        if left is not None:
            own = self._options.session.statement_timeout
            seconds = max(0.001, min(left, own) if own else left)
            session.rows(settings_query(1), ("statement_timeout", milliseconds(seconds)))

    def _send(self, session: Session, progress: Progress) -> None:
        target = progress.target
        skips = target.method == FULL and self._options.lock_retries == 0
        text = sql.rewrite_statement(target.method, target.table, self._snapshot.version, skips)
        self._queries.append(text)
        started = time.monotonic()
        said = ""
        if target.method == PG_REPACK:
            said = self._send_pg_repack(progress)
            if progress.settled:
                return
        else:
            session.run(text)
        seconds = time.monotonic() - started
        found = read_facts(session, self._means.server, [target.table.oid], self._means.setup)
        after = found.get(target.table.oid)
        before = progress.attempt.before
        if before is not None and after is not None and is_rewritten(before, after):
            progress.tried(seconds)
            progress.done(after)
            return
        # A table that was left out is no error to the server nor to pg_repack: its files tell.
        in_vain = skips or target.method == PG_REPACK
        progress.tried(seconds, in_vain)
        progress.left("vanished" if after is None else "lock" if in_vain else "unproven", said)

    def _send_pg_repack(self, progress: Progress) -> str:
        """Let pg_repack work, and return what it complained of; when it failed, that is noted."""
        table = progress.target.table
        name = f"upkeep pg_repack {table.oid} {self._options.session.run_id}".strip()[:63]
        own = self._options.session.statement_timeout
        limits = [limit for limit in (self._limits.hard.remaining, own or None) if limit is not None]
        started = time.monotonic()
        try:
            return repack(
                self._means.client.path,
                self._cluster,
                self._snapshot.database,
                table.sql_name,
                name,
                self._options.session.lock_timeout,
                min(limits, default=None),
            )
        except (CommandFailed, DeadlineExceeded) as error:
            progress.tried(time.monotonic() - started)
            if self._limits.hard.expired:
                progress.left("time_limit")
            elif own and time.monotonic() - started >= own * 0.9:
                progress.left("timeout")
            else:
                progress.fail(error.message)
                self._stopped = self._stopped or self._options.stop_on_error
            return ""

    def _refused(self, progress: Progress, error: ServerError, seconds: float) -> None:
        kind = class_of(error.sqlstate, seconds, self._limits.hard, self._options.session.statement_timeout)
        if kind == STOP or (kind == FAIL and self._options.stop_on_error):
            self._stopped = True
        progress.tried(seconds, in_vain=kind == LOCK)
        if kind in (STOP, FAIL):
            progress.fail(error.message, error.sqlstate)
            self._watch.done(f"{progress.target.table.title} failed: {error.message}")
        else:
            progress.left(kind, error.message, error.sqlstate)

    def _analyze(self, session: Session, progress: Progress) -> None:
        """Refresh what the planner and the next estimate go by. The rewrite is done whatever comes of it."""
        table = progress.target.table
        text = sql.analyze_statement(table, self._snapshot.version)
        if self._limits.hard.expired:
            self._notes.append(f"{table.title} was rewritten, and there was no time left to analyse it")
            return
        self._queries.append(text)
        try:
            self._limit(session)
            session.run(text)
        except ServerError as error:
            self._notes.append(f"{table.title} was rewritten, and not analysed: {error.message}")
            if session.lost:
                raise
