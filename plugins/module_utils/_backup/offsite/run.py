# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy backups to another place, newest first, and say of each whether what lies there is the same.

A copy goes to a temporary name, is read back there, and gets its name only when its digest is right. What stands beside
a backup goes first, so that nobody finds one without its manifest there. Nothing at the far side is ever overwritten.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import Part, directory_sha256
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.disk import Directory
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.host import Host
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.local import as_it_is_now, backups_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    COPIED,
    DIFFERENT,
    DIRECTORY,
    DOUBTFUL,
    EQUAL,
    FAILED,
    MISSING,
    PARTIAL,
    PLANNED,
    RCLONE,
    SKIPPED,
    SOURCE_BAD,
    Backup,
    Copied,
    Far,
    Local,
    Seen,
    Unreachable,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.options import lock_of, wanted_of
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.record import Record
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.report import Offsite, Run, Told, report
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.store import Store
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339

_CHUNK = 1 << 20
_IN_A_ROW = 3
_NO_TIME = "there was no time left for it"


def offsite(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Offsite:
    """Do what *params* (validated by the argument spec) ask for; in *check_mode* only compare.

    Raises ``UpkeepError`` when that cannot be begun, or another run copies to the same site.
    """
    wanted = wanted_of(params)
    if check_mode:
        return _Run(wanted, now, check_mode).execute()
    with lock_of(params):
        return _Run(wanted, now, check_mode).execute()


def far_of(wanted: Wanted) -> Far:
    """Return the other place. Raises ``Unreachable``."""
    if wanted.method == DIRECTORY:
        return Directory(wanted.path, wanted.bytes_per_second)
    if wanted.ssh is not None:
        return Host(wanted.ssh, wanted.path, wanted.bytes_per_second)
    return Store(wanted.rclone, wanted.path, wanted.bytes_per_second)


def temporary_name(name: str) -> str:
    """Return what the copy of *name* is called until it is whole."""
    folder, slash, base = name.rpartition("/")
    hidden = f".{base}{PARTIAL}"
    if len(os.fsencode(hidden)) > 255:
        hidden = f".{hashlib.sha256(os.fsencode(base)).hexdigest()}{PARTIAL}"
    return f"{folder}{slash}{hidden}"


class SourceChanged(Exception):
    """A backup is not what it was, or not what its maker wrote; the text is the end of a sentence."""


class _Run:
    def __init__(self, wanted: Wanted, now: datetime, check_mode: bool) -> None:
        self._wanted = wanted
        self._now = now
        self._check_mode = check_mode
        self._clock = Deadline(wanted.seconds)
        about = {"site": wanted.site, "media": wanted.media, "offsite": wanted.offsite, "immutable": wanted.immutable}
        self._record = Record(wanted.record, about)
        self._seen: dict[str, Seen] = {}
        self._stopped = ""
        self._failed_in_a_row = 0
        # A store that keeps every version would keep the temporary ones too; it makes a file visible only when whole.
        self._direct = wanted.immutable and wanted.method == RCLONE

    def execute(self) -> Offsite:
        found = backups_of(self._wanted, self._now)
        # The newest of every series first, so that it is the old ones for which no time is left.
        order = sorted(
            (
                (rank, at, backup)
                for at, (_series, backups, _failure) in enumerate(found)
                for rank, backup in enumerate(backups)
            ),
            key=lambda entry: entry[:2],
        )
        backups = [backup for _rank, _at, backup in order]
        target, unreachable = self._wanted.path, ""
        became: dict[tuple[int, str], Copied] = {}
        try:
            far = far_of(self._wanted)
            target = far.target
            self._require_another_disk(backups)
            self._look(far, backups)
        except Unreachable as error:
            unreachable = str(error)
        except DeadlineExceeded as error:
            unreachable = error.message.rstrip(".")
        for _rank, at, backup in order:
            became[at, backup.local.path] = (
                Copied(backup, DOUBTFUL, unreachable) if unreachable else self._one(far, backup)
            )
        told = [
            Told(series, tuple(became[at, backup.local.path] for backup in mine), failure)
            for at, (series, mine, failure) in enumerate(found)
        ]
        return report(
            Run(self._wanted, target, told, unreachable, self._record.problem), self._now, self._clock.elapsed
        )

    def _require_another_disk(self, backups: Sequence[Backup]) -> None:
        """Refuse a directory that shares the file system with the backups: most often its disk is not mounted."""
        wanted = self._wanted
        if wanted.method != DIRECTORY or wanted.same_disk:
            return
        try:
            device = os.stat(wanted.path).st_dev
        except OSError as error:
            raise Unreachable(f"{wanted.path}: {error.strerror}") from error
        for backup in backups:
            if os.path.exists(backup.local.path) and os.stat(backup.local.path).st_dev == device:
                raise Unreachable(
                    f"{wanted.path} is on the same file system as {backup.local.path} (same_disk is not set)"
                )

    def _look(self, far: Far, backups: Sequence[Backup]) -> None:
        wanted = {one.name for backup in backups if not backup.skipped for one in backup.files}
        names = sorted({*wanted, *map(temporary_name, wanted)})
        for attempt in range(self._wanted.retries + 1):
            try:
                self._seen = far.look(names, self._clock) if names else {}
                return
            except Unreachable as error:
                if not error.again or attempt == self._wanted.retries:
                    raise
                self._pause()

    def _pause(self) -> None:
        left = self._clock.remaining
        time.sleep(self._wanted.retry_delay if left is None else min(self._wanted.retry_delay, left))

    # --- one backup

    def _one(self, far: Far, backup: Backup) -> Copied:
        result = Copied(backup, EQUAL, backup.skipped)
        if backup.skipped:
            return Copied(backup, SKIPPED, backup.skipped)
        started = time.monotonic()
        try:
            for local in backup.files:
                self._file(far, backup, local, result)
                if result.what in (DIFFERENT, DOUBTFUL, MISSING):
                    break
            self._sum_up(backup, result)
            self._failed_in_a_row = 0
        except DeadlineExceeded:
            there = all(local.name in self._seen for local in backup.files)
            result.what, result.why = (DOUBTFUL if there else MISSING), _NO_TIME
        except SourceChanged as error:
            result.what, result.why = SOURCE_BAD, str(error)
        except Unreachable as error:
            result.what, result.why = FAILED, str(error)
            self._failed_in_a_row += 1
            if error.again or self._failed_in_a_row == _IN_A_ROW:
                self._stopped = f"an earlier step failed: {error}"
        result.seconds = time.monotonic() - started
        return result

    def _file(self, far: Far, backup: Backup, local: Local, result: Copied) -> None:
        """Bring one file to the far side, or compare it with the one that is there; *result* takes what became."""
        seen = self._seen.get(local.name)
        if seen is None:
            if self._stopped:
                result.what, result.why = MISSING, self._stopped
            elif self._check_mode:
                result.what = PLANNED
            else:
                self._copy(far, backup, local, result)
                result.what = COPIED
            return
        if not seen.is_file or seen.size != local.size:
            self._differs(
                local, result, f"has {seen.size} bytes instead of {local.size}" if seen.is_file else "is no file"
            )
            return
        known = self._record.equal(local, seen, self._now, self._wanted.recheck_after)
        if known is not None:
            sha256, how, at = known.sha256, f"{known.how}; neither has changed since", known.checked_at
        elif self._stopped:
            result.what, result.why = DOUBTFUL, self._stopped
            return
        else:
            sha256 = self._digest_here(local)
            digest, how = self._again(lambda: far.digest(local.name, self._clock), result)
            if digest != sha256:
                self._differs(local, result, "has another SHA-256")
                return
            at = rfc3339(self._now)
            self._remember(local, seen, sha256, how, backup.series)
        self._clear_up(far, local)
        result.proofs[local.name] = sha256, how, at

    def _sum_up(self, backup: Backup, result: Copied) -> None:
        """Say by what the whole backup was compared: of a directory, the digest over its files, the oldest look."""
        if result.what not in (COPIED, EQUAL):
            result.sha256 = backup.local.wanted_sha256
            return
        if not backup.parts:
            result.sha256, result.how, result.checked_at = result.proofs[backup.local.name]
            return
        name = backup.local.name
        parts = [Part(one[len(name) + 1 :], 0, result.proofs[one][0]) for one in backup.own]
        sha256 = directory_sha256(parts)
        if backup.local.wanted_sha256 and sha256 != backup.local.wanted_sha256:
            raise SourceChanged("is not what its maker wrote: the files in it are others than those of its manifest")
        oldest = min((result.proofs[one.name] for one in backup.parts), key=lambda proof: proof[2])
        result.sha256, result.how, result.checked_at = sha256, oldest[1], oldest[2]
        self._remember(backup.local, Seen(backup.local.size), sha256, oldest[1], backup.series)

    def _clear_up(self, far: Far, local: Local) -> None:
        """Remove what a run left that was killed between giving the copy its name and taking the temporary one."""
        if temporary_name(local.name) in self._seen and not self._check_mode and not self._stopped:
            far.discard(temporary_name(local.name), self._clock)

    def _differs(self, local: Local, result: Copied, why: str) -> None:
        result.what, result.why = DIFFERENT, f"{local.name} at the other place {why}"
        if not self._check_mode:
            self._record.forget(local.name)

    def _copy(self, far: Far, backup: Backup, local: Local, result: Copied) -> None:
        sha256 = self._digest_here(local)
        if local.wanted_sha256 and sha256 != local.wanted_sha256:
            raise SourceChanged("is not what its maker wrote: its SHA-256 is not the one that stands beside it")
        name = local.name if self._direct else temporary_name(local.name)
        for attempt in range(2):
            sent = self._again(lambda: far.send(local, name, self._clock), result)
            result.sent = (result.sent or 0) + sent if sent is not None else result.sent
            self._require_unchanged(local)
            settled = self._again(lambda: far.settle(name, local.name, sha256, self._clock), result)
            if settled.digest == sha256:
                break
            # What an earlier run left there was of something else, or it was damaged on the way.
            far.discard(name, self._clock)
            if attempt:
                raise Unreachable("what arrived is not what was sent, twice: its SHA-256 is another")
        seen, how = settled.seen, settled.how
        if seen is None or seen.size != local.size:
            raise Unreachable("it is not there after it was copied")
        self._seen[local.name] = seen
        self._remember(local, seen, sha256, how, backup.series)
        result.proofs[local.name] = sha256, how, rfc3339(self._now)

    def _again(self, step: Any, result: Copied) -> Any:
        """Take *step*, and once more after a while when the line broke: it goes on where it was, if it can."""
        for attempt in range(self._wanted.retries + 1):
            result.attempts += int(attempt > 0)
            try:
                return step()
            except Unreachable as error:
                if not error.again or attempt == self._wanted.retries:
                    raise
                self._pause()
                self._clock.require("Copying")
        raise Unreachable("it was not tried")

    def _remember(self, local: Local, seen: Seen, sha256: str, how: str, series: str) -> None:
        if not self._check_mode:
            self._record.remember(local, seen, sha256, how, series, self._now)

    # --- the file here

    def _digest_here(self, local: Local) -> str:
        digest = hashlib.sha256()
        try:
            with open(os.open(local.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
                for piece in iter(lambda: stream.read(_CHUNK), b""):
                    self._clock.require("Reading a backup")
                    digest.update(piece)
        except OSError as error:
            raise SourceChanged(f"cannot be read: {error.strerror}") from error
        self._require_unchanged(local)
        return digest.hexdigest()

    @staticmethod
    def _require_unchanged(local: Local) -> None:
        try:
            now = as_it_is_now(local)
        except OSError as error:
            raise SourceChanged(f"cannot be looked at: {error.strerror}") from error
        if (now.size, now.mtime_ns) != (local.size, local.mtime_ns):
            raise SourceChanged("changed while it was copied")
