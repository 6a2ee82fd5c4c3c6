# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is here to be copied, newest first. Changes nothing, reads no backup."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import Finder
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Limits, Policy, Series
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import Backup, Local, Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.survey import (
    as_seen,
    base_of,
    companions_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import is_companion
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.tree import files_in


def backups_of(wanted: Wanted, now: datetime) -> list[tuple[Series, list[Backup], str]]:
    """Return of each series its backups, newest first, and what could not be looked at."""
    bare = tuple(as_seen(series, model.PRESENCE) for series in wanted.series)
    policy = Policy(
        series=bare, select=model.ALL, seconds=wanted.seconds, seconds_per_file=60.0, limits=Limits(1 << 40, 250.0, 6)
    )
    snapshot = collect(policy, now)
    finder = Finder()
    found = []
    for series, one in zip(wanted.series, snapshot.found):
        listed = {file.path for file in one.files}
        backups = [_backup(series, file, listed, finder, wanted, now) for file in one.files]
        backups.sort(key=lambda backup: (backup.taken_at, backup.local.path), reverse=True)
        chosen = backups[: wanted.newest] if wanted.newest else backups
        failure = next((f"{each.path} {each.reason}" for each in one.failures), "")
        found.append((series, chosen, failure))
    return found


def _backup(
    series: Series, file: BackupFile, listed: set[str], finder: Finder, wanted: Wanted, now: datetime
) -> Backup:
    base = base_of(series.pattern)
    name = os.path.relpath(file.path, base)
    empty = Local(file.path, name, 0, 0)
    try:
        status = os.lstat(file.path)
    except OSError as error:
        return Backup(series.name, empty, file.taken_at, skipped=f"cannot be looked at: {error.strerror}")
    skipped = _why_not(file, status, wanted, now) or _strange(name)
    local = Local(file.path, name, status.st_size, status.st_mtime_ns, file.wanted_sha256)
    parts: tuple[Local, ...] = ()
    if stat.S_ISDIR(status.st_mode) and not skipped:
        try:
            parts = _parts(file, name)
            local = Local(file.path, name, sum(part.size for part in parts), 0, file.wanted_sha256)
            skipped = _moving(file, [part.mtime_ns / 1e9 for part in parts], wanted, now)
            if not finder.is_backup_directory(file.path):
                skipped = "is a directory, and no backup that is known"
        except OSError as error:
            skipped = f"is a directory {error.strerror}"
    if skipped:
        return Backup(series.name, local, file.taken_at, skipped=skipped)
    directory = os.path.dirname(file.path)
    backups = {os.path.basename(one) for one in listed if os.path.dirname(one) == directory}
    beside = [
        Local(path, os.path.join(os.path.dirname(name), one), found.st_size, found.st_mtime_ns)
        for one in companions_of(os.path.basename(file.path), finder.names(directory), backups)
        for path, found in [_looked_at(os.path.join(directory, one))]
        if found is not None and stat.S_ISREG(found.st_mode)
    ]
    own = frozenset(part.name for part in parts if not is_companion(os.path.basename(part.name)))
    return Backup(series.name, local, file.taken_at, tuple(beside), parts=parts, own=own)


def _parts(file: BackupFile, name: str) -> tuple[Local, ...]:
    """Return the files of a directory. Raises ``OSError`` for one that cannot be listed, or is not of files alone."""
    listed = {part.name: part.sha256 for part in file.manifest.parts} if file.manifest is not None else {}
    parts = []
    for below, status in files_in(file.path):
        if not stat.S_ISREG(status.st_mode) or _strange(below):
            raise OSError(0, f"with something in it that is no plain file: {below[:100]!r}")
        path, far = os.path.join(file.path, below), f"{name}/{below}"
        parts.append(Local(path, far, status.st_size, status.st_mtime_ns, listed.get(below, "")))
    if not parts:
        raise OSError(0, "without a file in it")
    missing = sorted(set(listed) - {part.name[len(name) + 1 :] for part in parts})
    if missing:
        raise OSError(0, f"that lacks files of its manifest, such as {missing[0]}")
    return tuple(sorted(parts, key=lambda part: part.name))


def _looked_at(path: str) -> tuple[str, os.stat_result | None]:
    try:
        return path, os.lstat(path)
    except OSError:
        return path, None


def _why_not(file: BackupFile, status: os.stat_result, wanted: Wanted, now: datetime) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    is_directory = stat.S_ISDIR(status.st_mode)
    if not is_directory and (not stat.S_ISREG(status.st_mode) or not status.st_size):
        return "is empty, or no file"
    return _moving(file, [status.st_mtime], wanted, now)


def _moving(file: BackupFile, changed: list[float], wanted: Wanted, now: datetime) -> str:
    """Say when it *changed* (seconds since 1970) so lately that somebody may still write it."""
    # A manifest is written when the backup is whole: then nobody needs to wait.
    idle = now.timestamp() - max(changed)
    if file.manifest is None and -wanted.settle < idle < wanted.settle:
        return "was written a moment ago, and may not be whole"
    return ""


def _strange(name: str) -> str:
    return "has a line break in its name" if "\n" in name or "\r" in name else ""


def as_it_is_now(local: Local) -> Local:
    """Return *local* as it is now."""
    status = os.lstat(local.path)
    return replace(local, size=status.st_size, mtime_ns=status.st_mtime_ns)
