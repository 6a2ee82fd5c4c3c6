# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mutation at a time: a kernel lock that says who holds it and since when."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from datetime import datetime
from types import TracebackType
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import rfc3339, utc_now


class HostLock:
    """``flock`` on *path* as a context manager; the kernel frees it when the process ends, however it ends.

    Raises ``LockHeld`` with the holder's pid, run id and start when another process has it for longer than
    *wait* seconds, and ``StateError`` when the file cannot be opened.
    """

    def __init__(self, path: str, run_id: str, wait: float = 0.0, now: datetime | None = None) -> None:
        self.path = path
        self.run_id = run_id
        self.wait = wait
        self._now = now
        self._descriptor: int | None = None

    def __enter__(self) -> HostLock:
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            # O_CLOEXEC is Python's default: a child that outlives us must not keep the lock.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(
                f"The lock {self.path} cannot be opened: {error.strerror}.",
                "Make its directory writable for the user that runs the task, or set another state directory.",
            ) from error
        try:
            self._acquire(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        holder = {"pid": os.getpid(), "run_id": self.run_id, "started_at": rfc3339(self._now or utc_now())}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        return self

    def _acquire(self, descriptor: int) -> None:
        give_up = time.monotonic() + self.wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise StateError(f"The lock {self.path} cannot be taken: {error.strerror}.") from error
            if time.monotonic() >= give_up:
                raise self._held(read_holder(self.path))
            time.sleep(min(0.05, self.wait))

    def _held(self, holder: dict[str, Any]) -> LockHeld:
        who = (
            f"run {holder['run_id'] or 'without an id'} (pid {holder['pid']}) since {holder['started_at']}"
            if holder
            else "a process that has not said its name yet"
        )
        return LockHeld(
            f"The lock {self.path} is held by {who}.", "Wait for that run to end, then start again.", {"holder": holder}
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read_holder(path: str) -> dict[str, Any]:
    """Return ``{pid, run_id, started_at}`` as the last holder wrote it; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            holder = json.load(stream)
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) and {"pid", "run_id", "started_at"} <= set(holder) else {}
