# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mutation at a time: a kernel lock that says who holds it and since when."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from datetime import datetime
from types import TracebackType
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339, utc_now

_NAMELESS_SECONDS = 0.1  # the most that a new holder takes between getting the lock and writing its name


class HostLock:
    """``flock`` on *path* as a context manager; the kernel frees it when the process ends, however it ends.

    *now* is the start that others are told (default: the present). Raises ``LockHeld`` with the holder's pid, run id
    and start when another process has it for longer than *wait* seconds, and ``StateError`` when the file cannot be
    opened or trusted. Two locks on one path exclude each other within one process too.

    A forked child inherits the lock and keeps it until it ends or execs, should this process be killed: a step that
    goes on without us still excludes others. Leaving the block in this process frees it in every child; leaving it in
    a child changes nothing for us.
    """

    def __init__(self, path: str, run_id: str, wait: float = 0.0, now: datetime | None = None) -> None:
        self.path = path
        self.run_id = run_id
        self.wait = wait
        self._now = now
        self._descriptor: int | None = None
        self._pid = 0

    def __enter__(self) -> HostLock:
        give_up = time.monotonic() + self.wait
        while self._descriptor is None:
            descriptor = self._open()
            try:
                self._acquire(descriptor, give_up)
                if _is_file_at(descriptor, self.path):
                    self._descriptor, self._pid = descriptor, os.getpid()
            finally:
                # When somebody removed the file while we waited, the next one would lock another: again.
                if self._descriptor is None:
                    os.close(descriptor)
        self._say_who(self._descriptor)
        return self

    def _open(self) -> int:
        try:
            ensure_directory(os.path.dirname(self.path) or ".")
            # Not inheritable by exec: a program that outlives us must not keep the lock.
            return open_own(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StateError(
                f"The lock {self.path} cannot be opened: {reason(error, self.path)}.",
                "Make its directory writable for the user that runs the task, or set another state directory.",
                {"path": self.path, "errno": error.errno},
            ) from error

    def _acquire(self, descriptor: int, give_up: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise StateError(
                        f"The lock {self.path} cannot be taken: {error.strerror}.",
                        "Set a state directory on a local file system.",
                        {"path": self.path, "errno": error.errno},
                    ) from error
            left = give_up - time.monotonic()
            if left <= 0:
                raise self._held(_holder_by_name(self.path))
            time.sleep(min(0.05, left))

    def _say_who(self, descriptor: int) -> None:
        holder = {"pid": self._pid, "run_id": self.run_id, "started_at": rfc3339(self._now or utc_now())}
        # On a full disk the lock holds all the same: what cleans that disk must be able to run.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)

    def _held(self, holder: dict[str, Any]) -> LockHeld:
        who = (
            f"run {holder['run_id'] or 'without an id'} (pid {holder['pid']}) since {holder['started_at']}"
            if holder
            else "a process that has not said its name"
        )
        return LockHeld(
            f"The lock {self.path} is held by {who}.", "Wait for that run to end, then start again.", {"holder": holder}
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is None:
            return
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)  # so that nobody takes us for the next holder
            # Closing frees nothing while a forked child has a copy.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None


def read_holder(path: str) -> dict[str, Any]:
    """Return ``{pid, run_id, started_at}`` as the holder wrote it; empty when nobody did or it cannot be read.

    After a holder was killed its name stays until the next one: the lock itself says whether it is held.
    """
    try:
        with open(open_own(path, os.O_RDONLY), encoding="utf-8") as stream:
            holder = json.load(stream)
    except (OSError, ValueError, StateError):
        return {}
    return holder if isinstance(holder, dict) and {"pid", "run_id", "started_at"} <= set(holder) else {}


def _holder_by_name(path: str) -> dict[str, Any]:
    """Return who holds *path*: just after the change of holders, its file is empty or names one that was killed."""
    give_up = time.monotonic() + _NAMELESS_SECONDS
    while True:
        holder = read_holder(path)
        if (holder and _is_alive(holder["pid"])) or time.monotonic() >= give_up:
            return holder
        time.sleep(0.005)


def _is_alive(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError, TypeError, ValueError):
        return False
    return True


def _is_file_at(descriptor: int, path: str) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
