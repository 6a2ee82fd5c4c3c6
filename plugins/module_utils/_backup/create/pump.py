# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move a dump from the program that makes it to the disk: digested, compressed, encrypted, in constant memory.

A chain of sinks. Each program is waited for, and its exit status is kept; the first that fails ends the whole.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Damage, Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed, NoRoom
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Limits
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.pipes import Ended, Piped
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

_CHUNK = 1 << 18
_KEPT = 1 << 14
_TICK_MILLISECONDS = 250
_PATIENCE = 10.0
# How often it is looked whether what others need is still free.
_LOOK_BYTES = 64 << 20
_PR_SET_PDEATHSIG = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# What pg_dump says behind its own error.
_FROM_SERVER = "Error message from server: "

Statuses = list[tuple[str, int]]


class Track(Report):
    """What ``Piped`` tells of a stream that is made and not read: only the deadline counts."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__(Limits(max_expanded=1 << 62, max_ratio=1e18, max_depth=6), deadline)
        self.deadline = deadline

    def unfolded(self, layer: str, taken: int, given: int) -> None:
        self.deadline.require("The backup")

    def close(self) -> None:
        """End the programs that still run."""
        while self.opened:
            self.opened.pop().close()


class Digest:
    """Counts and digests what passes on to *sink*."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    def feed(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._sink.feed(data)

    def finish(self) -> None:
        self._sink.finish()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Tee:
    """Shows what passes on to *sink* to somebody else too, who never stops it."""

    def __init__(self, sink: Sink, look: Callable[[bytes], None]) -> None:
        self._sink, self._look = sink, look

    def feed(self, data: bytes) -> None:
        self._look(data)
        self._sink.feed(data)

    def finish(self) -> None:
        self._sink.finish()


class File:
    """Writes to a descriptor. Stops before it takes from the disk what is to stay free; raises ``NoRoom``."""

    def __init__(self, descriptor: int, path: str, min_free: int) -> None:
        self._descriptor, self._path, self._min_free = descriptor, path, min_free
        self.size = 0
        self._next_look = 0

    def feed(self, data: bytes) -> None:
        directory = os.path.dirname(self._path)
        if self.size >= self._next_look:
            self._next_look = self.size + _LOOK_BYTES
            free = shutil.disk_usage(directory).free
            if free < self._min_free:
                what = f"after {format_size(self.size)} only {format_size(free)} are free, and min_free keeps "
                raise NoRoom(directory, f"{what}{format_size(self._min_free)}", {"written": self.size, "free": free})
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self.size += written
                view = view[written:]
        except OSError as error:
            raise self._failed(error, directory) from None

    def _failed(self, error: OSError, directory: str) -> Exception:
        if error.errno in FULL:
            what = f"{error.strerror} after {format_size(self.size)}"
            return NoRoom(directory, what, {"written": self.size, "errno": error.errno})
        return BackupFailed(
            f"{self._path} cannot be written: {error.strerror}.",
            "Look at the disk and its mount.",
            {"errno": error.errno},
        )

    def finish(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error, os.path.dirname(self._path)) from None


class Filter(Piped):
    """A program between two sinks, whose end is noted in *statuses*. Raises ``BackupFailed`` when it fails."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        track: Track,
        sink: Sink,
        statuses: Statuses,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program, self._noted, self._over = name, statuses, False
        try:
            super().__init__(name, argv, track, sink, self._note, environment=environment)
        except Damage:
            raise BackupFailed(f"{name} cannot be started: {argv[0]}.", f"Install {name}.") from None

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if not self._writing:
            self.finish()  # it has ended before its input has; its status says why
            raise BackupFailed(f"{self._program} ended before it had read everything.", "Run it by hand to see more.")

    def _note(self, ended: Ended) -> None:
        self._noted.append((self._program, ended.status))
        if ended.status:
            raise failed(self._program, ended.status, ended.errors)


def failed(program: str, status: int, errors: str, secrets: Sequence[str] = ()) -> BackupFailed:
    """Return the error for a program that ended with *status*, in its own words."""
    said = redact(errors, secrets).strip()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line.lower() or "FATAL" in line] or lines[-1:]
    how = f"status {status}" if status >= 0 else f"signal {-status}"
    words = telling[0][:500].rstrip(".") if telling else "it said nothing"
    cause = next((line.partition(_FROM_SERVER)[2] for line in lines if _FROM_SERVER in line), "")
    words += f" ({cause[:300].rstrip('.')})" if cause else ""
    evidence = {"program": program, "status": status, "errors": "\n".join(lines[-20:])[-2000:]}
    if os.strerror(errno.ENOSPC) in said:
        evidence["class"] = "scratch_full"
    return BackupFailed(
        f"{program} failed with {how}: {words}.",
        "Mend what it names, and start again; nothing of this backup was kept.",
        evidence,
    )


def die_with_parent() -> None:
    """For a child, before it becomes another program: the kernel ends it when we are killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Source:
    """A program whose output is the dump. ``pour`` moves it on; ``close`` ends it, whatever it does."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        secrets: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.name = name
        self._secrets = tuple(secrets)
        self._errors = b""
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(descriptors),
                env={**os.environ, "LC_ALL": "C", **(environment or {})},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise CommandFailed(
                f"{argv[0]} cannot be started: {why}.", f"Install {name}, or correct its path."
            ) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def errors(self) -> str:
        return self._errors.decode("utf-8", "replace")

    def pour(self, sink: Sink, deadline: Deadline, statuses: Statuses) -> None:
        """Move all of it into *sink* and note how it ended. Raises ``BackupFailed`` unless that was well."""
        try:
            self._move(sink, deadline)
            status = self._wait(deadline)
        finally:
            self.close()
        statuses.append((self.name, status))
        if status:
            raise failed(self.name, status, self.errors, self._secrets)

    def _move(self, sink: Sink, deadline: Deadline) -> None:
        streams: list[Any] = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        poller = select.poll()
        left = {stream.fileno() for stream in streams}
        output = streams[0].fileno()
        for descriptor in left:
            poller.register(descriptor, select.POLLIN)
        while left:
            deadline.require("The backup")
            for descriptor, _event in poller.poll(_TICK_MILLISECONDS):
                data = os.read(descriptor, _CHUNK)
                if not data:
                    poller.unregister(descriptor)
                    left.discard(descriptor)
                elif descriptor == output:
                    sink.feed(data)
                else:
                    self._errors = (self._errors + data)[-_KEPT:]

    def _wait(self, deadline: Deadline) -> int:
        remaining = deadline.remaining
        try:
            return self._process.wait(_PATIENCE if remaining is None else max(0.1, min(remaining, _PATIENCE)))
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(
                f"{self.name} closed its output, but did not end.", "Find out what it waits for."
            ) from None

    def close(self) -> None:
        """End the program and whatever it started."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it has just ended
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
