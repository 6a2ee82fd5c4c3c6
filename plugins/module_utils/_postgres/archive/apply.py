# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what the plan names, oldest first, and list the directory again. The only step that changes anything."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import (
    BUDGET,
    CHANGED,
    STILL_THERE,
    STOPPED,
    TIME_LIMIT,
    VANISHED,
    Entry,
    Plan,
    Removed,
)

_SYNC_EVERY = 1000


@contextmanager
def opened(real: str) -> Iterator[int]:
    """Open the directory, so that what is looked at and removed lies in it, whatever becomes of its path."""
    descriptor = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove(real: str, plan: Plan, budget: Budget, most: int | None) -> Removed:
    """Remove the files of *plan* from the directory *real*, oldest first, until *most* are gone or *budget* is spent.

    Should this be killed at any moment, what is left is without a gap. The first file that cannot be removed ends it.
    """
    started = time.monotonic()
    gone: set[str] = set()
    left: dict[str, str] = {}
    failed = error_text = ""
    with opened(real) as directory:
        for entry in plan.remove:
            why = STOPPED if failed else _closed(len(gone), budget, most)
            if why:
                left[entry.name] = why
                continue
            try:
                why = _remove_one(directory, entry)
            except OSError as error:
                failed, error_text, why = entry.name, error.strerror or str(error), STOPPED
            if why:
                left[entry.name] = why
            else:
                gone.add(entry.name)
                if len(gone) % _SYNC_EVERY == 0:
                    _sync(directory)
        _sync(directory)
    return replace(_proven(real, gone, left), failed=failed, error=error_text, seconds=time.monotonic() - started)


def _closed(gone: int, budget: Budget, most: int | None) -> str:
    if most is not None and gone >= most:
        return BUDGET
    return TIME_LIMIT if budget.spent else ""


def _remove_one(directory: int, entry: Entry) -> str:
    """Remove one file, if it is still the one that was looked at; return why not. Raises ``OSError``."""
    try:
        found = os.stat(entry.name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or (found.st_ino, found.st_size, found.st_mtime) != (
            entry.inode,
            entry.size,
            entry.changed,
        ):
            return CHANGED
        os.unlink(entry.name, dir_fd=directory)
    except FileNotFoundError:
        return VANISHED
    return ""


def _sync(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems have no such thing for a directory.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise ArchiveRefused(
                "not_synced",
                f"What was removed may come back after a crash: the directory cannot be synced ({error.strerror}).",
                "Look at the file system of the archive.",
            ) from None


def _proven(real: str, gone: set[str], left: dict[str, str]) -> Removed:
    """Return what is gone by a new listing of the directory."""
    there = set(os.listdir(real))
    back = gone & there
    return Removed(frozenset(gone - back), {**left, **dict.fromkeys(back, STILL_THERE)})
