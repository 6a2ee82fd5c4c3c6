# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dump a database of PostgreSQL: one snapshot for the dump and for all that is counted beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import model, statements
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.chain import chosen_compression
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.codes import finding
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.far import CopyDiffers, FarDump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Facts, Job, Poured
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.programs import Client
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.pump import Source, Statuses
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.server import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.session import Asker
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Source as Origin
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import table_name
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line

# So many tables are counted by one statement: no plan gets too large, and none of many small ones takes a round trip.
_AT_A_TIME = 50
_ZSTD_INSIDE = 16
_PROBE_SECONDS = 20.0
_PATIENCE = 10.0
# However well a dump is packed, it takes so much of its database.
_LEAST_SHARE = 0.02
# What `files[].chain` of backup_verify calls them.
_FORMATS = {model.CUSTOM: "pgdump-custom", model.PLAIN: "pgdump-plain", model.DIRECTORY: "pgdump-directory"}


@dataclass(frozen=True)
class Compression:
    """How a dump is packed: by ``pg_dump`` itself (``inner``, its option), or by a program behind it (``outer``)."""

    inner: str
    outer: str

    @property
    def packed(self) -> bool:
        return self.outer in (model.ZSTD, model.GZIP) or self.inner not in ("", "--compress=0")


def compression_of(job: Job, client: Client, server: Server) -> Compression:
    """Return how the dump is packed.

    What ``pg_restore`` is to read with several jobs it must read without unpacking: so ``pg_dump`` packs that itself,
    wherever it can, and what it writes can be looked into here.
    """
    if job.form == model.PLAIN:
        return Compression("--compress=0", chosen_compression(job))
    if job.compress == model.NONE:
        return Compression("--compress=0", "")
    inside = client.major >= _ZSTD_INSIDE and adapter.frame_decoder("zstd") is not None
    if job.compress in (model.AUTO, model.ZSTD) and inside and _has_zstd(client, server):
        return Compression(f"--compress=zstd:{job.level or 3}", "")
    if job.compress == model.ZSTD and job.form == model.CUSTOM:
        return Compression("--compress=0", model.ZSTD)
    if job.compress == model.ZSTD:
        raise BackupFailed(
            f"pg_dump {client.version} cannot pack a directory by zstd, or what it packs cannot be looked into here.",
            "Choose gzip, or install python3-zstandard and a pg_dump of 16 or later that has zstd.",
        )
    return Compression(f"--compress={job.level or 6}", "")


def _has_zstd(client: Client, server: Server) -> bool:
    """Whether this ``pg_dump`` was built with it: it says so before it looks for a server."""
    argv = [
        client.path("pg_dump"),
        "--format=custom",
        "--compress=zstd:1",
        "--dbname=host=/nonexistent",
        "--no-password",
    ]
    ended = server.place.run(argv, _PROBE_SECONDS) if server.place is not None else run(argv, _PROBE_SECONDS)
    return "/nonexistent" in ended.errors and "not support" not in ended.errors


@dataclass
class Counted:
    """The rows of each table, once they were counted; ``error`` says why they were not."""

    rows: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    error: UpkeepError | None = None


class Counting:
    """Counts the rows in the snapshot of the dump, while that runs. ``result`` waits for it."""

    def __init__(self, asker: Asker, fingerprint: bool) -> None:
        self._asker, self._fingerprint = asker, fingerprint
        self._counted = Counted()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, name="count rows", daemon=True)
        self._thread.start()

    def _count(self) -> None:
        try:
            tables = self._asker.ask(statements.TABLES)
            if self._fingerprint:
                self._hash([(schema, table) for schema, table, _quoted, condition in tables if not condition])
                tables = [entry for entry in tables if table_name(entry[0], entry[1]) not in self._counted.rows]
            for start in range(0, len(tables), _AT_A_TIME):
                if self._stop.is_set():
                    return
                some = tables[start : start + _AT_A_TIME]
                counts = self._asker.ask(statements.counts([(quoted, condition) for _s, _t, quoted, condition in some]))
                names = (table_name(schema, table) for schema, table, _quoted, _condition in some)
                self._counted.rows.update(zip(names, counts))
        except UpkeepError as error:
            self._counted.error = error

    def _hash(self, tables: Sequence[tuple[str, str]]) -> None:
        """Count and hash, by the statement by which a restore is compared with it."""
        self._asker.run(sql.FINGERPRINT_SETTINGS)
        for schema, table in tables:
            if self._stop.is_set():
                return
            _schema, _table, count, hashed = self._asker.ask(statements.as_text(sql.fingerprint(schema, table)))
            self._counted.rows[table_name(schema, table)] = count
            self._counted.fingerprints[table_name(schema, table)] = hashed

    def result(self, deadline: Deadline) -> Counted:
        while self._thread.is_alive():
            deadline.require("Counting the rows")
            self._thread.join(0.25)
        if self._counted.error is not None:
            raise self._counted.error
        return self._counted

    @property
    def error(self) -> UpkeepError | None:
        return self._counted.error

    def stop(self) -> None:
        """End it, when it has not ended: the dump has failed, and nobody waits for what was counted."""
        self._stop.set()
        if self._thread.is_alive():
            self._asker.abort()
            self._thread.join(_PATIENCE)


class DatabaseDump:
    """One database, or (``database`` empty) the roles and tablespaces of the cluster: ready to be dumped."""

    def __init__(self, job: Job, server: Server, database: str, facts: Facts, client: Client, snapshot: str) -> None:
        self.job, self.server, self.database = job, server, database
        self.facts, self.client, self.snapshot = facts, client, snapshot
        is_globals = not database
        self.compression = (
            Compression("", chosen_compression(job)) if is_globals else compression_of(job, client, server)
        )
        self.program = "pg_dumpall" if is_globals else "pg_dump"
        self.form = model.PLAIN if is_globals else job.form
        self.kind = model.GLOBALS if is_globals else model.POSTGRES
        self.inner_format = "pgdumpall" if is_globals else _FORMATS[job.form]
        self._asker: Asker | None = None
        self._counting: Counting | None = None
        self._far: FarDump | None = None
        self._far_side = contextlib.ExitStack()
        self._far_statuses: Statuses = []

    def counting(self, asker: Asker) -> None:
        self._asker = asker

    def argv(self, target: str) -> list[str]:
        """Return the command that dumps into the file *target*, or to its output when that is empty."""
        command = [self.client.path(self.program), "--no-password", f"--dbname={self.server.conninfo(self.database)}"]
        if self.database:
            command += [f"--format={self.form}", f"--snapshot={self.snapshot}", self.compression.inner]
        else:
            command += ["--globals-only", *([] if self.server.reads_passwords else ["--no-role-passwords"])]
        if self.form == model.DIRECTORY:
            command += [f"--jobs={self.job.jobs}"]
        if self.server.role:
            command += [f"--role={self.server.role}"]
        command += [f"--lock-wait-timeout={max(1, round(self.job.lock_timeout * 1000))}"]
        return command + ([f"--file={target}"] if target else [])

    def pour(self, sink: Sink | None, target: str, deadline: Deadline) -> Poured:
        """Dump into *sink*, or, in the format directory, into *target*; count beside it.

        After ``CopyDiffers`` it may be called once more: what lies on the far side is copied again, into another sink.
        """
        statuses: Statuses = []
        with contextlib.ExitStack() as stack:
            # A program is started before the thread that counts is: a fork takes no other thread along.
            source = self._source(stack, target) if self.server.place is None or sink is None else None
            if self._counting is None and self._asker is not None:
                self._counting = Counting(self._asker, self.job.fingerprint)
            try:
                if source is not None:
                    source.pour(sink or _Nowhere(), deadline, statuses)
                elif sink is not None:
                    statuses += self._pour_far(sink, deadline)
            except CopyDiffers:
                raise
            except BackupFailed:
                if self._counting is not None and self._counting.error is not None:
                    raise self._counting.error from None  # it has taken the snapshot away from the dump
                raise
        counted = self._counting.result(deadline) if self._counting is not None else None
        if counted is None:
            return Poured(tuple(statuses), findings=self._left_out())
        return Poured(tuple(statuses), counted.rows, counted.fingerprints)

    def close(self) -> None:
        """End what still counts, and remove what lies on the far side."""
        if self._counting is not None:
            self._counting.stop()
        self._far_side.close()

    def _source(self, stack: contextlib.ExitStack, target: str) -> Source:
        environment, descriptors = stack.enter_context(self.server.login())
        source = Source(
            self.program,
            self.argv(target if self.form == model.DIRECTORY else ""),
            environment=environment,
            descriptors=descriptors,
            secrets=self.server.secrets,
        )
        stack.callback(source.close)
        return source

    def _left_out(self) -> tuple[Finding, ...]:
        if self.database or self.server.reads_passwords:
            return ()
        message = f"{self.facts.subject}: the role may not read the passwords of others, so they are not in the backup."
        return (finding("backup.passwords_left_out", self.facts.subject, Severity.INFO, message),)

    def _pour_far(self, sink: Sink, deadline: Deadline) -> Statuses:
        if self._far is None:
            self._far = self._dumped_far(deadline)
        self._far.fetch(sink, deadline)
        self._far_side.close()
        return self._far_statuses

    def _dumped_far(self, deadline: Deadline) -> FarDump:
        """Dump into a file on the far side."""
        place, job = self.server.place, self.job
        if place is None:
            raise ValueError("there is no far side")
        far = self._far_side.enter_context(FarDump(place, job.far_directory, job.mark, job.copy_retries))
        free = far.free_bytes()
        if free is not None and self.facts.bytes and free < self.facts.bytes * _LEAST_SHARE:
            raise BackupFailed(
                f"There is no room for the dump in {place.title}: {job.far_directory} has {free} bytes left.",
                "Name a directory with more room there: far_directory.",
                {"class": "scratch_full", "free": free, "database_bytes": self.facts.bytes},
            )
        prefix = ["env", "LC_ALL=C"]
        if self.server.password:
            prefix.append(f"PGPASSFILE={far.keep('password', self.server.password_file)}")
        far.dump(self.program, [*prefix, *self.argv(far.path)], deadline, self._far_statuses)
        return far


class _Nowhere:
    """A sink for the output of a program that has none."""

    def feed(self, data: bytes) -> None:
        """Let it pass."""

    def finish(self) -> None:
        """Nothing to end."""


@contextlib.contextmanager
def opened(job: Job, server: Server, database: str, now: datetime, deadline: Deadline) -> Iterator[DatabaseDump]:
    """Yield the dump of *database* (empty for the globals), its snapshot held open as long as the block lasts."""
    with server.asker(database or server.database, deadline) as asker:
        client = server.client
        if database:
            asker.run(statements.BEGIN)
            snapshot = asker.ask(statements.SNAPSHOT)["snapshot"]
        else:
            snapshot = ""
        said = asker.ask(statements.FACTS)
        dump = DatabaseDump(job, server, database, _facts(server, client, said, database, now), client, snapshot)
        if job.count_rows and database:
            dump.counting(asker)
        try:
            yield dump
        finally:
            dump.close()


def _facts(server: Server, client: Client, said: Mapping[str, Any], database: str, now: datetime) -> Facts:
    return Facts(
        subject=one_line(f"{server.label}: {database or 'globals'}"),
        taken_at=now,
        source=Origin(
            host=server.label,
            database=database,
            server_version=said["server_version"],
            system_identifier=server.identifier,
            encoding=said["encoding"] if database else "",
            bytes=said["bytes"] if database else 0,
        ),
        bytes=said["bytes"] if database else 0,
        extensions=tuple(said["extensions"]) if database else None,
        tools={"pg_dump" if database else "pg_dumpall": client.version},
    )
