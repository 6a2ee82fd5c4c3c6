# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work that can be watched: the server's own progress views, written as lines of a file for ``tail -f``.

A job names the sessions that work for it, and each object that is finished; a thread with a connection of its own does
the rest. Watching never fails the work and never delays it: what goes wrong is a note.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of, folder_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration, format_size
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE

INTERVAL = 2.0
# How long one look may take, how long the end of the work waits for a look that is under way, and for how many looks
# a server that refuses us is left alone.
_LOOK_SECONDS = 5.0
_FAREWELL_SECONDS = 1.0
_PAUSE_AFTER_REFUSAL = 15
# Titles of finished objects that get a line each; more become one line.
_NAMED = 5

VIEWS = ("vacuum", "analyze", "cluster", "create_index", "repack")
_VIEWS_QUERY = "SELECT v FROM unnest(%s::text[]) v WHERE to_regclass('pg_catalog.pg_stat_progress_' || v) IS NOT NULL"
# The columns differ by version: as JSON they can be asked for alike. Nothing here waits for the lock on a table.
_VIEW_QUERY = """
SELECT '{view}', row_to_json(p)::text, c.oid::regclass::text, extract(epoch FROM now() - a.query_start)::float8,
       (SELECT count(*) FROM pg_index i WHERE i.indrelid = p.relid)
FROM pg_stat_progress_{view} p JOIN pg_stat_activity a ON a.pid = p.pid LEFT JOIN pg_class c ON c.oid = p.relid
WHERE p.pid = ANY (%s::int[])
"""

_VERBS = {"vacuum": "VACUUM", "analyze": "ANALYZE", "cluster": "VACUUM FULL", "create_index": "CREATE INDEX"}


# --- what a line says


@dataclass(frozen=True)
class Doing:
    """What one session does now. ``share`` is how much of the whole statement is done (0 to 1), None when unknown."""

    pid: int
    verb: str
    target: str
    phase: str
    share: float | None
    detail: str
    seconds: float

    @property
    def left(self) -> float | None:
        """About how many seconds the statement still takes, if it goes on as it went."""
        if not self.share or self.share < 0.01 or self.seconds <= 0:
            return None
        return self.seconds * (1.0 - self.share) / self.share

    def __str__(self) -> str:
        words = [f"{self.verb} {self.target} (pid {self.pid}): {self.phase}"]
        if self.detail:
            words.append(self.detail)
        if self.share is not None:
            words.append(f"about {self.share:.0%} of it is done")
        spent = f"{format_duration(self.seconds)} so far"
        words.append(spent if self.left is None else f"{spent}, about {format_duration(self.left)} to go")
        return ", ".join(words)


def doing_of(view: str, row: Mapping[str, Any], target: str, seconds: float, indexes: int) -> Doing:
    """Return what a *row* of ``pg_stat_progress_<view>`` means. *indexes* is how many the table has."""
    phase = str(row.get("phase") or "starting")
    share, detail = _MEANINGS.get(view, _of_cluster)(phase, row, indexes)
    verb = str(row.get("command") or _VERBS.get(view, view.upper()))
    return Doing(int(row["pid"]), verb, target, phase, share, detail, max(0.0, seconds))


def _part(row: Mapping[str, Any], done: str, total: str) -> float | None:
    whole = row.get(total) or 0
    return min(1.0, (row.get(done) or 0) / whole) if whole > 0 else None


def _blocks(row: Mapping[str, Any], done: str, total: str, verb: str = "read") -> str:
    share = _part(row, done, total)
    return "" if share is None else f"{share:.0%} of {format_size(row[total] * BLOCK_SIZE)} {verb}"


def _of_vacuum(phase: str, row: Mapping[str, Any], indexes: int) -> tuple[float | None, str]:
    """Reading the heap is taken for half of the work where there are indexes to clean, else for all of it."""
    scanned = _part(row, "heap_blks_scanned", "heap_blks_total")
    read = 0.5 if indexes else 0.95
    if phase == "scanning heap":
        return (None if scanned is None else read * scanned), _blocks(row, "heap_blks_scanned", "heap_blks_total")
    scan = read * (scanned or 0.0)
    if phase == "vacuuming indexes":
        part = _part(row, "indexes_processed", "indexes_total")
        some = "" if part is None else f"{row['indexes_processed']} of {row['indexes_total']} indexes"
        return scan + (0.3 * part if part is not None else 0.0), some
    if phase == "vacuuming heap":
        part = _part(row, "heap_blks_vacuumed", "heap_blks_total")
        return scan + 0.3 + 0.15 * (part or 0.0), _blocks(row, "heap_blks_vacuumed", "heap_blks_total", "cleaned")
    return (None, "") if phase == "initializing" else (0.97, "")


def _of_analyze(phase: str, row: Mapping[str, Any], _indexes: int) -> tuple[float | None, str]:
    sampled = _part(row, "sample_blks_scanned", "sample_blks_total")
    if phase.startswith("acquiring"):
        detail = _blocks(row, "sample_blks_scanned", "sample_blks_total", "of the sample read")
        return (None if sampled is None else 0.8 * sampled), detail
    return (None, "") if phase == "initializing" else (0.9, "")


def _of_cluster(phase: str, row: Mapping[str, Any], indexes: int) -> tuple[float | None, str]:
    """VACUUM FULL, CLUSTER and REPACK: copying is taken for 60 % of the work where there are indexes to build."""
    copy = 0.6 if indexes else 0.95
    scanned = _part(row, "heap_blks_scanned", "heap_blks_total")
    if phase.endswith("scanning heap"):
        return (None if scanned is None else copy * scanned), _blocks(row, "heap_blks_scanned", "heap_blks_total")
    if phase == "rebuilding index":
        built = min(int(row.get("index_rebuild_count") or 0), indexes)
        return copy + (0.38 * built / indexes if indexes else 0.0), f"{built} of {indexes} indexes built"
    if phase == "performing final cleanup":
        return 0.99, ""
    if phase in ("sorting tuples", "writing new heap", "catch-up", "swapping relation files"):
        return copy, ""
    return None, ""


# Where each phase of CREATE INDEX and REINDEX begins and ends, as shares of the whole; with CONCURRENTLY and without.
_BUILD = {
    "building index": (0.0, 0.6),
    "building index: scanning table": (0.0, 0.5),
    "building index: sorting live tuples": (0.5, 0.6),
    "building index: loading tuples in tree": (0.6, 0.95),
}
_VALIDATION = {
    "waiting for writers before validation": (0.6, 0.6),
    "index validation: scanning index": (0.6, 0.7),
    "index validation: sorting tuples": (0.7, 0.75),
    "index validation: scanning table": (0.75, 0.97),
    "waiting for old snapshots": (0.97, 0.97),
    "waiting for readers before marking dead": (0.98, 0.98),
    "waiting for readers before dropping": (0.99, 0.99),
}


def _of_create_index(phase: str, row: Mapping[str, Any], _indexes: int) -> tuple[float | None, str]:
    concurrently = "CONCURRENTLY" in str(row.get("command") or "")
    part, detail = 0.0, ""
    if phase.startswith("waiting"):
        if row.get("current_locker_pid"):
            detail = (
                f"for pid {row['current_locker_pid']}, {row.get('lockers_done')} of {row.get('lockers_total')} gone"
            )
    elif "scanning" in phase:
        part = _part(row, "blocks_done", "blocks_total") or 0.0
        detail = _blocks(row, "blocks_done", "blocks_total")
    else:
        part = _part(row, "tuples_done", "tuples_total") or 0.0
        if part:
            detail = f"{part:.0%} of {row['tuples_total']} rows"
    begin, end = {**_BUILD, **_VALIDATION}.get(phase, (None, None))
    if begin is None or end is None:
        return None, detail
    share = begin + (end - begin) * part
    # With CONCURRENTLY the build is the first 60 % only.
    return (share * 0.63 if concurrently and phase in _BUILD else share), detail


_MEANINGS = {
    "vacuum": _of_vacuum,
    "analyze": _of_analyze,
    "cluster": _of_cluster,
    "repack": _of_cluster,
    "create_index": _of_create_index,
}


def overall(done: int, total: int, running: float, seconds: float) -> str:
    """Return the state of the run: *running* is the sum of the shares of what is under way."""
    text = f"{done} of {total} done, {format_duration(seconds)} so far"
    share = min(1.0, (done + running) / total) if total > 0 else 0.0
    if not 0.0 < share < 1.0 or total < 2 or not done:
        return text
    return f"{text}, about {format_duration(seconds * (1.0 - share) / share)} to go at this pace"


# --- the file


def progress_path(cluster: Cluster) -> str:
    """Return where the job of *cluster* writes its progress."""
    directory = directory_of(cluster.options.state_dir, os.environ, os.geteuid())
    name = folder_name(f"{cluster.connection.label}-{cluster.options.job}")
    return os.path.join(directory, "progress", f"{name}.log")


@dataclass
class Watch:
    """What a job tells of itself. Every call is cheap and none fails. ``notes`` say what could not be watched.

    ``path`` is the file, None when there is none.
    """

    path: str | None
    total: int
    notes: list[str] = field(default_factory=list)
    _pids: set[int] = field(default_factory=set)
    _finished: list[str] = field(default_factory=list)
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, pid: int) -> None:
        """Watch the session with this pid of the server."""
        with self._lock:
            self._pids.add(pid)

    def forget(self, pid: int) -> None:
        """Watch it no more."""
        with self._lock:
            self._pids.discard(pid)

    def done(self, title: str) -> None:
        """One object more is finished, well or not."""
        with self._lock:
            self._done += 1
            self._finished.append(title)

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def _wanted(self) -> list[int]:
        with self._lock:
            return sorted(self._pids)

    def _news(self) -> tuple[list[str], int]:
        """Return the titles finished since the last call, and how many are finished in all."""
        with self._lock:
            finished, self._finished = self._finished, []
            return finished, self._done


@contextmanager
def watching(
    cluster: Cluster,
    database: str,
    state_path: str | None,
    total: int,
    interval: float = INTERVAL,
    fresh: bool = True,
) -> Iterator[Watch]:
    """Write how the work in *database* goes to the file *state_path* (see ``progress_path``), every *interval* seconds.

    *total* is the number of objects to come. The file is emptied at the start unless *fresh* is false, which is for
    the second and each further database of one run. Without *state_path* nothing is written.
    """
    watch = Watch(state_path, total)
    stream = None if state_path is None else _open(watch, state_path, fresh)
    if stream is None:
        watch.path = None
        yield watch
        return
    writer = _Writer(cluster, database, watch, stream, interval)
    writer.begin()
    try:
        yield watch
    finally:
        writer.end()


def _open(watch: Watch, path: str, fresh: bool) -> TextIO | None:
    try:
        directory = os.path.dirname(path)
        ensure_directory(os.path.dirname(directory))
        ensure_directory(directory)
        descriptor = open_own(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND))
    except OSError as error:
        watch._note(f"the progress cannot be written to {path}: {reason(error, path)}")
        return None
    except UpkeepError as error:
        watch._note(f"the progress cannot be written to {path}: {error.message}")
        return None
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace")


@dataclass(frozen=True)
class _Seen:
    """What a session did when we last looked, since when, on the monotonic clock."""

    what: tuple[Any, ...]
    began: float
    looked: float


class _Writer:
    """The thread that asks the server and writes lines."""

    def __init__(self, cluster: Cluster, database: str, watch: Watch, stream: TextIO, interval: float) -> None:
        # Sessions are shown to the role that logged in, whichever role they have taken on since.
        connection = replace(cluster.connection, session_role=None)
        options = replace(cluster.options, statement_timeout=_LOOK_SECONDS, lock_timeout=_LOOK_SECONDS)
        self._cluster = Cluster(cluster.driver, connection, options)
        self._database = database
        self._watch = watch
        self._stream = stream
        self._interval = interval
        self._ended = threading.Event()
        self._started = time.monotonic()
        self._writing = threading.Lock()
        self._seen: dict[int, _Seen] = {}
        # A server that hangs must not keep the module from ending.
        self._thread = threading.Thread(target=self._work, name="upkeep progress", daemon=True)

    def begin(self) -> None:
        job = self._cluster.options.application
        where = one_line(f"{self._cluster.connection.label}: {self._database}")
        self._say(f"{job} begins in {where}, {self._watch.total} to do (module's pid {os.getpid()})")
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(_FAREWELL_SECONDS)
        finished, done = self._watch._news()
        self._say_finished(finished)
        seconds = format_duration(time.monotonic() - self._started)
        self._say(f"ended: {done} of {self._watch.total} done in {seconds}")
        with self._writing:
            try:
                self._stream.close()
            except (OSError, ValueError):
                self._watch._note("the end of the progress could not be written")

    def _work(self) -> None:
        # Most runs end before the first look, and so never cost the server a connection.
        pause = 0
        while not self._ended.wait(self._interval):
            if pause:
                pause -= 1
                self._tell([])
                continue
            try:
                with self._cluster.session(self._database) as session:
                    self._look_at(session)
            except (UpkeepError, ServerError) as error:
                # The work may need the connection that is missing here more than we do.
                pause = _PAUSE_AFTER_REFUSAL
                self._watch._note(f"the progress could not be watched: {error.message}")
                self._tell([])

    def _look_at(self, session: Session) -> None:
        views = [row[0] for row in session.rows(_VIEWS_QUERY, (list(VIEWS),))]
        if "repack" in views:
            # From 19 on it has all that rewrites tables; the other is kept for the old names.
            views.remove("cluster")
        query = " UNION ALL ".join(_VIEW_QUERY.format(view=view) for view in views)
        while True:
            pids = self._watch._wanted()
            self._tell([self._doing(row) for row in session.rows(query, [pids] * len(views))] if pids else [])
            if self._ended.wait(self._interval):
                return

    def _doing(self, row: tuple[Any, ...]) -> Doing:
        view, text, name, since_start, indexes = row
        columns = json.loads(text)
        now = time.monotonic()
        # One statement may work on several tables or indexes, one after the other: each has a time of its own.
        what = (view, columns.get("relid"), columns.get("index_relid"))
        began = now - max(0.0, since_start or 0.0)
        before = self._seen.get(columns["pid"])
        if before is not None and began <= before.looked:
            began = before.began if before.what == what else before.looked
        self._seen[columns["pid"]] = _Seen(what, began, now)
        return doing_of(view, columns, name or "a table that is gone", now - began, indexes)

    def _tell(self, doings: list[Doing]) -> None:
        if self._ended.is_set():
            return
        finished, done = self._watch._news()
        self._say_finished(finished)
        for doing in doings:
            self._say(str(doing))
        running = sum(doing.share or 0.0 for doing in doings)
        if self._watch.total > 1 or not doings:
            self._say(overall(done, self._watch.total, running, time.monotonic() - self._started))

    def _say_finished(self, titles: list[str]) -> None:
        if len(titles) > _NAMED:
            self._say(f"finished: {len(titles)}, the last {titles[-1]}")
            return
        for title in titles:
            self._say(f"finished: {title}")

    def _say(self, text: str) -> None:
        with self._writing:
            try:
                self._stream.write(f"{rfc3339(utc_now())} {one_line(text)}\n")
                self._stream.flush()
            except (OSError, ValueError) as error:
                # A full disk, or the file was closed before a late look came back.
                self._watch._note(f"the progress could not be written: {error}")
