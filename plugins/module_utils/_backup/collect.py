# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at backups: what is there, what stands beside it, and every byte of what is to be read. Changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import history, model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.beside import Beside
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.copies import copy_at, is_immutable
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import Finder, Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.header import dumped_at
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.judge import of_file
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import MEMBERS_SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Content,
    Copy,
    Earlier,
    Failure,
    Found,
    Policy,
    Series,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import Wanted, read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.forecast import Rehearsal
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import Restored, restored_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.run import Subject, prove
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import Retention, retained
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.schedule import planned
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.signature import verify
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import read_directory, size_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.work import Task, read_all
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

# Of so many directories the sizes are added up: those that the newest is compared with.
_SIZED = 30
_COPY_SECONDS = 600.0
_SMALL_STEP_SECONDS = 30.0


def collect(policy: Policy, now: datetime) -> Snapshot:
    """Return what there is of every series of *policy*, read as far as its level and the time allow.

    What cannot be looked at is a ``Failure`` of that file or series; nothing is raised for it.
    """
    deadline = Deadline(policy.seconds)
    collector = _Collector(policy, Finder(), deadline, now)
    found = [collector.found(series) for series in policy.series]
    # The newest of every series comes first, so that it is the old ones for which no time is left.
    order = sorted(
        ((rank, at, file) for at, one in enumerate(found) for rank, file in enumerate(one.selected)),
        key=lambda entry: entry[:2],
    )
    beside = [(at, collector.look_beside(found[at].series, file)) for _rank, at, file in order]
    read = collector.read([(found[at].series, file) for at, file in beside])
    looked_at = {(at, file.path): file for (at, _file), file in zip(beside, read)}
    whole = [
        replace(one, files=tuple(looked_at.get((at, file.path), file) for file in one.files))
        for at, one in enumerate(found)
    ]
    return Snapshot(tuple(collector.surroundings(one) for one in whole), collector.state_problem)


class _Collector:
    def __init__(self, policy: Policy, finder: Finder, deadline: Deadline, now: datetime) -> None:
        self._policy = policy
        self._finder = finder
        self._deadline = deadline
        self._now = now
        self._beside = Beside(policy, finder)
        self.state_problem = ""
        self._remembered = self._recall()
        self._latest = {one.path: one for one in self._remembered}

    def _recall(self) -> list[history.Verified]:
        path = self._policy.state_file
        if not path:
            return []
        try:
            if self._policy.write_state:
                history.prepare(path)
            return history.read(path)
        except StateError as error:
            self.state_problem = error.message
            return []

    # --- which

    def found(self, series: Series) -> Found:
        """Return the files of *series* newest first, the chosen ones marked."""
        listing = self._finder.find(series)
        files = [self._dated(series, file) for file in listing.files]
        files.sort(key=lambda file: (file.taken_at, file.path), reverse=True)
        files = self._sized(files)
        paths = self._chosen(series, files)
        return Found(
            series=series,
            files=tuple(replace(file, selected=file.path in paths) for file in files),
            partials=tuple(listing.partials),
            stale_sidecars=tuple(listing.stale_sidecars),
            failures=tuple(listing.failures),
            missing_directory=listing.missing_directory,
        )

    def _dated(self, series: Series, file: BackupFile) -> BackupFile:
        """Take the time from the manifest or the dump itself, where it is asked for or the name has none."""
        wanted = series.time_from
        if wanted == model.FROM_MANIFEST or (wanted == model.FROM_NAME and file.taken_from == model.FROM_MTIME):
            manifest = self._beside.described(file.path)
            if manifest is not None and manifest.manifest is not None and not manifest.other_name:
                return replace(file, taken_at=manifest.manifest.taken_at, taken_from=model.FROM_MANIFEST)
        if wanted == model.FROM_HEADER and file.kind == model.FILE:
            instant = dumped_at(file.path)
            if instant is not None:
                zoned = instant.replace(tzinfo=series.zone) if series.zone is not None else instant
                return replace(file, taken_at=zoned.astimezone(timezone.utc), taken_from=model.FROM_HEADER)
        return file

    @staticmethod
    def _sized(files: list[BackupFile]) -> list[BackupFile]:
        """Give the newest directories the size of what is in them."""
        return [
            replace(file, size=size_of(file.path)) if file.kind == model.DIRECTORY and rank < _SIZED else file
            for rank, file in enumerate(files)
        ]

    def _chosen(self, series: Series, files: list[BackupFile]) -> set[str]:
        believed = [file for file in files if file.taken_at <= self._now + model.FUTURE_TOLERANCE]
        latest = {file.path for file in (believed or files)[:1]}
        if self._policy.select == model.LATEST:
            return latest
        if self._policy.select == model.ALL:
            return latest | {file.path for file in files if not self._is_recent(file)}
        part = int(self._now.timestamp() // self._policy.rolling_seconds) % self._policy.rolling_parts
        return latest | {file.path for file in files if self._part_of(file) == part and not self._is_recent(file)}

    def _part_of(self, file: BackupFile) -> int:
        """The name decides, so that a file stays in its part, and every part is read once in as many periods."""
        digest = hashlib.sha256(os.path.basename(file.path).encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self._policy.rolling_parts

    def _is_recent(self, file: BackupFile) -> bool:
        earlier = self._earlier(file)
        if earlier is None or not self._policy.reverify_after:
            return False
        ago = (self._now - earlier.at).total_seconds()
        # What was remembered by a clock that ran ahead proves nothing.
        in_the_past = ago >= -model.FUTURE_TOLERANCE.total_seconds()
        return in_the_past and ago < self._policy.reverify_after and earlier.status in ("ok", "info")

    def _earlier(self, file: BackupFile) -> Earlier | None:
        """Return what is remembered of *file*, when it has not changed since."""
        one = self._latest.get(file.path)
        if one is None or (one.size, one.mtime_ns) != (file.size, _nanoseconds(file)):
            return None
        return Earlier(one.at, one.status, one.level, one.sha256)

    # --- what stands beside them, and what is in them

    def look_beside(self, series: Series, file: BackupFile) -> BackupFile:
        """Return *file* with its sidecar, manifest and signature."""
        if file.kind not in (model.FILE, model.DIRECTORY):
            return file
        described = self._beside.described(file.path)
        sidecar = self._beside.sidecar(file)
        file = replace(file, described=described, sidecar=sidecar, earlier=self._earlier(file))
        if series.immutable:
            file = replace(file, immutable=is_immutable(file.path))
        if self._policy.signers.named:
            found = self._beside.signature(file)
            if found is not None:
                seconds = min(_SMALL_STEP_SECONDS, self._deadline.remaining or 0.0)
                file = replace(file, signed=verify(*found, self._policy.signers, seconds))
        return file

    def read(self, files: list[tuple[Series, BackupFile]]) -> list[BackupFile]:
        """Return *files*, in their order, with their content where the level asks for it. Each is read once."""
        tasks: dict[str, Task] = {}
        for series, file in files:
            if self._is_read(series, file):
                tasks.setdefault(file.path, self._task(series, file))
        results = dict(zip(tasks, read_all(list(tasks.values()), self._policy, self._deadline)))
        nothing: tuple[Content | None, Failure | None] = (None, None)
        return [
            replace(file, content=results.get(file.path, nothing)[0], failure=results.get(file.path, nothing)[1])
            if self._is_read(series, file)
            else file
            for series, file in files
        ]

    @staticmethod
    def _is_read(series: Series, file: BackupFile) -> bool:
        if series.level == model.PRESENCE or not file.size:
            return False
        return file.kind in (model.FILE, model.DIRECTORY)

    def _task(self, series: Series, file: BackupFile) -> Task:
        reading, wanted, path = self._policy.reading(series.level), self._wanted(series, file), file.path
        read = read_directory if file.kind == model.DIRECTORY else read_content

        restores = series.level == model.RESTORE
        subject = self._subject(series, file, wanted) if restores else None

        def call(deadline: Deadline) -> tuple[Content | None, Failure | None]:
            if subject is None:
                content, failure = read(path, reading, deadline, wanted)
            else:
                content, failure = self._proven(subject, lambda: read(path, reading, deadline, wanted))
            self._remember(series, replace(file, content=content, failure=failure))
            return content, failure

        return Task(path, file.size, call, self._policy.restore.seconds if restores else 0.0)

    def _proven(
        self, subject: Subject, read: Callable[[], tuple[Content | None, Failure | None]]
    ) -> tuple[Content | None, Failure | None]:
        policy = self._policy
        # What nobody has signed is not even looked at by a server before it was judged.
        early = not policy.require_signature
        return prove(subject, policy.restore, read, self._deadline, only_plan=policy.only_plan, early=early)

    def _subject(self, series: Series, file: BackupFile, wanted: Wanted) -> Subject:
        manifest = file.manifest
        return Subject(
            path=file.path,
            size=file.size,
            decrypt=self._policy.decrypt,
            globals_path=self._globals_of(series),
            source_bytes=manifest.source.bytes if manifest is not None else 0,
            system_identifier=manifest.source.system_identifier if manifest is not None else "",
            rows=manifest.rows if manifest is not None else None,
            fingerprints=manifest.fingerprints if manifest is not None else {},
            extensions=(manifest.extensions or ()) if manifest is not None else (),
            taken_at=rfc3339(file.taken_at),
            tolerance=series.expect.row_tolerance,
            members_path=wanted.members_path,
            parts=wanted.parts,
        )

    def _globals_of(self, series: Series) -> str:
        """Return the newest dump of roles and tablespaces; an empty text when there is none."""
        if not series.globals:
            return ""
        found = [file for file in self._finder.find(replace(series, pattern=series.globals)).files if file.counts]
        return max(found, key=lambda file: file.taken_at).path if found else ""

    def _remember(self, series: Series, file: BackupFile) -> None:
        """Write down how *file* was found, as soon as that is known: a run that is killed loses nothing."""
        if not self._policy.write_state or self.state_problem or file.content is None:
            return
        findings = of_file(file, series, self._policy)
        worst = max((finding.severity for finding in findings), default=Severity.OK)
        restored = _ended(file)
        try:
            history.append(
                self._policy.state_file,
                history.Verified(
                    at=self._now,
                    series=series.name,
                    path=file.path,
                    taken_at=file.taken_at,
                    size=file.size,
                    mtime_ns=_nanoseconds(file),
                    level=series.level,
                    status=worst.word,
                    seconds=file.content.seconds,
                    sha256=file.content.stored_sha256,
                    target=restored.target if restored is not None else "",
                    phases=dict(restored.seconds) if restored is not None else {},
                ),
            )
        except StateError as error:
            self.state_problem = error.message  # in a process of its own nobody hears it, but it was tried before

    def _wanted(self, series: Series, file: BackupFile) -> Wanted:
        manifest = file.manifest
        parts = self._beside.parts(file)
        members = file.path + MEMBERS_SUFFIX
        return Wanted(
            sha256=file.wanted_sha256,
            plain_sha256=manifest.plain_sha256 if manifest is not None else "",
            counting=bool(series.expect.tables)
            or (manifest is not None and manifest.rows is not None)
            or series.level == model.RESTORE,
            digest_members=manifest is not None and manifest.members is not None,
            members_path=members if self._beside.is_there(members) else "",
            parts=tuple(parts.items()),
        )

    # --- what is around them

    def surroundings(self, found: Found) -> Found:
        """Return *found* with its copies, its job, the space that is left, and what is remembered of it."""
        series = found.series
        if not series.named:
            return found
        newest = next((file for file in found.files if file.selected), None)
        seconds = min(_SMALL_STEP_SECONDS, self._deadline.remaining or 0.0)
        mine = [one for one in self._remembered if one.series == series.name]
        return replace(
            found,
            copies=self._copies(series, newest),
            planned=planned(series.schedule, self._now, seconds) if series.schedule is not None else None,
            globals_at=self._globals_at(series),
            free_bytes=_free_bytes(newest.path) if newest is not None else None,
            lost=self._lost(found, mine),
            durations=tuple((one.taken_at, one.seconds) for one in mine if one.seconds),
            rehearsals=_rehearsals(mine, found),
        )

    def _copies(self, series: Series, newest: BackupFile | None) -> tuple[Copy, ...]:
        if newest is None:
            return ()
        sha256 = newest.content.stored_sha256 if newest.content is not None else ""
        copies = []
        for site in series.sites:
            seconds = min(_COPY_SECONDS, self._deadline.remaining or 0.0)
            try:
                copies.append(copy_at(site, newest, sha256, Deadline(seconds)))
            except DeadlineExceeded:
                why = "was not compared to its end in time"
                copies.append(Copy(site.name, site.path, site.media, site.offsite, True, None, False, why))
        return tuple(copies)

    def _globals_at(self, series: Series) -> datetime | None:
        if not series.globals:
            return None
        listing: Listing = self._finder.find(replace(series, pattern=series.globals))
        return max((file.taken_at for file in listing.files if file.counts), default=None)

    def _lost(self, found: Found, mine: list[history.Verified]) -> tuple[str, ...]:
        """Return the backups that were good, that the retention keeps, and that are gone."""
        keep = found.series.keep
        if keep is None or found.failures or found.missing_directory:
            return ()
        there = {file.path for file in found.files}
        gone = {one.path: one for one in mine if one.path not in there and one.status in ("ok", "info", "warning")}
        instants = [file.taken_at for file in found.files if file.counts]
        there_now = retained(instants, keep, found.series.zone)
        with_gone = retained([*instants, *(one.taken_at for one in gone.values())], keep, found.series.zone)
        return tuple(
            path
            for index, path in enumerate(gone, len(instants))
            if index in with_gone.why and _is_missed(with_gone.why[index], there_now, len(instants) < keep.last)
        )


def _ended(file: BackupFile) -> Restored | None:
    """Return what came of the test restore of *file*, when it came to its end."""
    plain = file.content.restored if file.content is not None else None
    return restored_of(plain) if plain is not None and plain["finished"] else None


def _rehearsals(mine: Sequence[history.Verified], found: Found) -> tuple[Rehearsal, ...]:
    before = [Rehearsal(one.taken_at, one.size, one.target, one.phases) for one in mine if one.target]
    now = [(file, _ended(file)) for file in found.selected]
    return (
        *before,
        *(Rehearsal(file.taken_at, file.size, one.target, one.seconds) for file, one in now if one is not None),
    )


def _is_missed(rule: str, there_now: Retention, too_few: bool) -> bool:
    """True when no other backup stands for the period for which *rule* would have kept one that is gone."""
    return too_few if rule == "last" else rule not in there_now.covered


def _nanoseconds(file: BackupFile) -> int:
    return round(file.mtime.timestamp() * 1_000_000) * 1000


def _free_bytes(path: str) -> int | None:
    try:
        return shutil.disk_usage(os.path.dirname(path)).free
    except OSError:
        return None
