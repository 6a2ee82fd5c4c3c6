# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the backups of one series: look, decide, clear up, dump, look at what was written, and only then name it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import far, model, postgres
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.chain import Wrapping
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import (
    BackupFailed,
    NoRoom,
    size_words,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.far import CopyDiffers
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.files import FileArchive
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Facts, Job, Made, Poured
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.mongodb import MongoDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.naming import (
    COMPANIONS,
    PARTIAL,
    extension_of,
    globals_of,
    name_of,
    part_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.options import job_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.plan import (
    expected_bytes,
    room_short,
    why_not_needed,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import (
    FULL,
    Digest,
    File,
    Statuses,
    Tee,
    Track,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.redis import RedisDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.report import Created, report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.seal import check, inspection, seal
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.server import Server, server_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.sign import require_program
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.store import Store, sync_tree
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import (
    MEMBERS_SUFFIX,
    Manifest,
    Part,
    directory_sha256,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Content
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import DONE, FAILED, PLANNED, SKIPPED
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState, directory_of

MADE_BY = "cadence.upkeep backup_create"
# So many earlier ones are looked at: the newest decides, the others stand in where that is broken.
_EARLIER = 3


class Dump(Protocol):
    """What can be backed up, once it is known: ``pour`` writes it into a sink, or into files at the target."""

    kind: str
    form: str
    inner_format: str
    program: str
    facts: Facts
    compression: postgres.Compression

    def pour(self, sink: Sink | None, target: str, deadline: Deadline) -> Poured: ...


@dataclass
class Written:
    """What lies on the disk under an unfinished name."""

    manifest: Manifest
    poured: Poured
    passed: Content | None


def create(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Created:
    """Make the backups that *params* (validated) ask for; with *check_mode* only say which those would be.

    Raises ``UpkeepError`` when nothing could be looked at; a backup that failed is in the result, and is a failure.
    """
    started = time.monotonic()
    job = job_of(params)
    run = _Run(job, params, now, check_mode)
    with nullcontext() if check_mode else _lock(job, now):
        made = run.all()
    return report(job, made, run.removed, run.planned_removals, now, time.monotonic() - started)


def _lock(job: Job, now: datetime) -> HostLock:
    """Return the lock that keeps two runs of one series apart on this host."""
    directory = directory_of(job.state_dir, os.environ, os.geteuid())
    path = HostState(directory, job.series).lock_path(f"backup {os.path.realpath(job.directory)} {job.series}")
    return HostLock(path, job.run_id, now=now)


class _Run:
    def __init__(self, job: Job, params: Mapping[str, Any], now: datetime, check_mode: bool) -> None:
        self._job, self._params, self._now, self._check_mode = job, params, now, check_mode
        self._store = Store(job.directory)
        self._deadline = Deadline(job.seconds)
        self.removed: list[str] = []
        self.planned_removals: list[str] = []

    def _at(self) -> datetime:
        """Return the present, on the clock that the run was given."""
        return self._now + timedelta(seconds=self._deadline.elapsed)

    def all(self) -> list[Made]:
        require_program(self._job.signing)
        if not self._check_mode:
            self._store.prepare(self._job.mode)
        self._clear_up()
        if self._job.kind in (model.POSTGRES, model.GLOBALS):
            return self._databases()
        return [self._guarded(self._job.series, self._job.series, self._other)]

    def _clear_up(self) -> None:
        leftovers = self._store.leftovers(self._job.series)
        if self._check_mode:
            self.planned_removals += map(self._store.path, leftovers)
            return
        for name in leftovers:
            self._store.remove(name)
            self.removed.append(self._store.path(name))

    # --- what there is to back up

    def _databases(self) -> list[Made]:
        job = self._job
        server = server_of(job, self._params, self._deadline, None if self._check_mode else self.removed)
        if server.place is not None and not self._check_mode:
            swept = far.sweep(server.place, job.far_directory, job.mark)
            self.removed += [f"{server.place.title}: {path}" for path in swept]
        if job.kind == model.GLOBALS:
            return [self._guarded(job.series, f"{server.label}: globals", lambda: self._opened(server, "", job.series))]
        alone = len(server.databases) == 1 and set(job.databases) <= set(server.databases)
        made = []
        for database in server.databases:
            series = job.series if alone else part_of(job.series, database)
            made.append(
                self._guarded(series, one_line(f"{server.label}: {database}"), self._database(server, database, series))
            )
        if job.globals:
            series = globals_of(job.series)
            made.append(self._guarded(series, f"{server.label}: globals", self._database(server, "", series)))
        return made

    def _database(self, server: Server, database: str, series: str) -> Any:
        return lambda: self._opened(server, database, series)

    def _opened(self, server: Server, database: str, series: str) -> Made:
        subject = one_line(f"{server.label}: {database or 'globals'}")
        reason = self._why_not(series)
        if reason:
            return Made(series, subject, SKIPPED, reason)
        started = time.monotonic()
        with postgres.opened(self._job, server, database, self._at(), self._deadline) as dump:
            return self._one(series, dump, time.monotonic() - started)

    def _other(self) -> Made:
        job = self._job
        reason = self._why_not(job.series)
        if reason:
            return Made(job.series, job.series, SKIPPED, reason)
        started = time.monotonic()
        host = self._params["name"] or socket.gethostname()
        dump: Dump
        with contextlib.ExitStack() as stack:
            if job.kind == model.FILES:
                dump = FileArchive(job, self._at(), host)
            elif job.kind == model.REDIS:
                dump = stack.enter_context(RedisDump(job, self._params, self._at(), self._deadline))
            else:
                dump = MongoDump(job, self._params, self._at(), self._deadline)
                if dump.place is not None and not self._check_mode:
                    swept = far.sweep(dump.place, job.far_directory, job.mark)
                    self.removed += [f"{dump.place.title}: {path}" for path in swept]
            return self._one(job.series, dump, time.monotonic() - started)

    def _why_not(self, series: str) -> str:
        return why_not_needed(self._job, self._store.earlier(series, _EARLIER), self._at())

    def _guarded(self, series: str, subject: str, make: Any) -> Made:
        """Return what *make* makes; one that fails does not keep the others from being made."""
        started = time.monotonic()
        try:
            if self._deadline.expired:
                raise DeadlineExceeded("It was not begun: the time limit of the run was over.", "Raise time_limit.")
            made: Made = make()
            return made
        except UpkeepError as error:
            failure = error.as_failure()
        except OSError as error:
            failure = self._refused(error).as_failure()
        seconds = {"total": time.monotonic() - started}
        return Made(series, subject, FAILED, reason=failure["msg"], seconds=seconds, error=failure)

    def _refused(self, error: OSError) -> UpkeepError:
        if error.errno in FULL:
            return NoRoom(self._job.directory, error.strerror or str(error), {"errno": error.errno})
        where = f" ({error.filename})" if error.filename else ""
        return BackupFailed(f"The system refused: {error.strerror}{where}.", "Look at the disk.")

    # --- one backup

    def _one(self, series: str, dump: Dump, look_seconds: float) -> Made:
        job, facts = self._job, dump.facts
        wrapping = Wrapping(dump.compression.outer, job.level, job.encryption)
        wrapping.require_programs()
        earlier = self._store.earlier(series, _EARLIER)
        expected = expected_bytes(job, facts, earlier, dump.compression.packed)
        self._require_room(expected)
        extension = extension_of(dump.kind, dump.form, dump.compression.outer, job.encryption.by)
        name = name_of(series, facts.taken_at, extension, frozenset(self._store.names()))
        tools = " | ".join([dump.program, *wrapping.programs])
        made = Made(series, facts.subject, PLANNED, path=self._store.path(name), expected_bytes=expected, program=tools)
        if self._check_mode:
            return made
        named: list[str] = []
        try:
            return self._make(made, dump, wrapping, name, look_seconds, named)
        except BaseException:
            self._undo(name, named)
            raise

    def _make(
        self, made: Made, dump: Dump, wrapping: Wrapping, name: str, look_seconds: float, named: list[str]
    ) -> Made:
        clock = time.monotonic()
        written = self._written(made.series, dump, wrapping, name)
        dumped = time.monotonic()
        checked = check(self._store, name + PARTIAL, written.manifest, self._job, written.passed, self._deadline)
        verified = time.monotonic()
        companions = seal(self._store, name + PARTIAL, written.manifest, self._job, self._deadline, named)
        ended = time.monotonic()
        findings = [replace(one, subject=made.subject) for one in (*written.poured.findings, *checked.findings)]
        return replace(
            made,
            status=DONE,
            manifest_path=companions[0],
            manifest=written.manifest,
            signature=next((path for path in companions if path.endswith((".minisig", ".sig", ".asc"))), ""),
            content_checked=checked.how,
            findings=tuple(findings),
            seconds={
                "look": look_seconds,
                "dump": dumped - clock,
                "verify": verified - dumped,
                "seal": ended - verified,
                "total": look_seconds + ended - clock,
            },
        )

    def _require_room(self, expected: int) -> None:
        free = self._store.free()
        lacking = room_short(self._job, expected, free)
        if lacking:
            what = (
                f"{size_words(expected, free)} (headroom {self._job.headroom:g}, min_free {self._job.min_free} bytes)"
            )
            raise NoRoom(self._job.directory, what, {"expected": expected, "free": free, "lacking": lacking})

    def _undo(self, name: str, named: list[str]) -> None:
        """Remove what there is of a backup that will not be: only what this run has made."""
        for one in (*named, *(end for end in (name + one + PARTIAL for one in COMPANIONS)), name + PARTIAL):
            self._store.remove(one)

    # --- dump

    def _written(self, series: str, dump: Dump, wrapping: Wrapping, name: str) -> Written:
        if dump.form == model.DIRECTORY:
            return self._directory_written(series, dump, name)
        for attempt in range(self._job.copy_retries + 1):
            try:
                return self._stream_written(series, dump, wrapping, name)
            except CopyDiffers:
                self._undo(name, [])
                if attempt == self._job.copy_retries:
                    raise
        raise BackupFailed("No attempt was made to copy the dump.")

    @contextlib.contextmanager
    def _members_file(self, dump: Dump, name: str) -> Iterator[None]:
        if not isinstance(dump, FileArchive):
            yield
            return
        with os.fdopen(self._store.create(name + MEMBERS_SUFFIX + PARTIAL, self._job.mode), "wb") as stream:
            dump.members_stream = stream
            yield
            stream.flush()
            os.fsync(stream.fileno())

    def _stream_written(self, series: str, dump: Dump, wrapping: Wrapping, name: str) -> Written:
        job, deadline = self._job, self._deadline
        track, statuses = Track(deadline), Statuses()
        look = None
        if job.encrypted and not job.opens:
            look = inspection("", deadline, job.count_rows, dump.kind == model.FILES)
        descriptor = self._store.create(name + PARTIAL, job.mode)
        try:
            stored = Digest(File(descriptor, self._store.path(name + PARTIAL), job.min_free))
            sink = wrapping.around(stored, track, statuses)
            plain = Digest(sink if look is None else Tee(sink, look.feed))
            with self._members_file(dump, name):
                poured = dump.pour(plain, "", deadline)
            plain.finish()
            passed = None
            if look is not None:
                look.finish()
                passed = look.result(plain.sha256, plain.size, deadline.elapsed)
        finally:
            track.close()
            if look is not None:
                look.close()
            os.close(descriptor)
        poured = replace(poured, statuses=(*poured.statuses, *statuses))
        manifest = self._manifest(series, dump, name, poured, (*wrapping.chain, dump.inner_format))
        manifest = replace(
            manifest,
            stored_size=stored.size,
            stored_sha256=stored.sha256,
            plain_size=plain.size,
            plain_sha256=plain.sha256,
        )
        return Written(manifest, poured, passed)

    def _directory_written(self, series: str, dump: Dump, name: str) -> Written:
        target = self._store.path(name + PARTIAL)
        poured = dump.pour(None, target, self._deadline)
        os.chmod(target, 0o700 if not self._job.mode & 0o060 else 0o750)
        sync_tree(target, self._job.mode)
        parts = []
        for path, _status in files_in(target):
            digest = Digest(_Ignored())
            with open(os.path.join(target, path), "rb") as stream:
                for data in iter(lambda: stream.read(1 << 20), b""):
                    self._deadline.require("The backup")
                    digest.feed(data)
            parts.append(Part(path, digest.size, digest.sha256))
        manifest = self._manifest(series, dump, name, poured, (dump.inner_format,))
        manifest = replace(
            manifest,
            stored_size=sum(part.size for part in parts),
            stored_sha256=directory_sha256(parts),
            parts=tuple(sorted(parts, key=lambda part: part.name)),
        )
        return Written(manifest, poured, None)

    def _manifest(self, series: str, dump: Dump, name: str, poured: Poured, formats: tuple[str, ...]) -> Manifest:
        facts = dump.facts
        return Manifest(
            name=name,
            kind=dump.kind,
            taken_at=facts.taken_at,
            finished_at=self._at(),
            stored_size=0,
            stored_sha256="",
            series=series,
            made_by=MADE_BY,
            formats=formats,
            source=facts.source,
            tools=facts.tools,
            statuses=poured.statuses,
            rows=poured.rows,
            fingerprints=poured.fingerprints,
            extensions=facts.extensions,
            members=poured.members,
            recipients=self._job.encryption.recipients,
        )


class _Ignored:
    """The end of a chain that only digests."""

    def feed(self, data: bytes) -> None:
        """Let it pass."""

    def finish(self) -> None:
        """Nothing to end."""
