# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at backups: what is there, what stands beside it, and every byte of what is to be read. Changes nothing."""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.content import Inspection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.find import Finder, Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    BackupFile,
    Content,
    Failure,
    Found,
    Policy,
    Series,
    Sidecar,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import (
    LARGEST,
    LISTS,
    SUFFIXES,
    Digests,
    parse,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

READ_BYTES = 1 << 18
_QUEUED_READS = 4

_ENDS_EARLY = ("backup.truncated", "backup.incomplete_dump")

# A file that ends too early may still be growing: when it is this young, it gets a moment to show it.
YOUNG_SECONDS = 60.0
SETTLE_SECONDS = 1.0


def collect(policy: Policy, now: datetime) -> Snapshot:
    """Return what there is of every series of *policy*, read as far as its level and the time allow.

    What cannot be looked at is a ``Failure`` of that file or series; nothing is raised for it.
    """
    deadline = Deadline(policy.seconds)
    finder = Finder()
    collector = _Collector(policy, finder, deadline)
    found = [collector.found(series, finder.find(series), now) for series in policy.series]
    # The newest of every series comes first, so that it is the old ones for which no time is left.
    order = sorted(
        ((rank, at, file) for at, one in enumerate(found) for rank, file in enumerate(one.selected)),
        key=lambda entry: entry[:2],
    )
    looked_at = {(at, file.path): collector.look(found[at].series, file) for _rank, at, file in order}
    return Snapshot(
        tuple(
            replace(one, files=tuple(looked_at.get((at, file.path), file) for file in one.files))
            for at, one in enumerate(found)
        )
    )


class _Collector:
    def __init__(self, policy: Policy, finder: Finder, deadline: Deadline) -> None:
        self._policy = policy
        self._finder = finder
        self._deadline = deadline
        self._lists: dict[str, Digests | str] = {}
        self._contents: dict[str, tuple[Content | None, Failure | None]] = {}

    def found(self, series: Series, listing: Listing, now: datetime) -> Found:
        """Return the files of *listing* newest first, the chosen ones marked."""
        files = sorted(listing.files, key=lambda file: (file.taken_at, file.path), reverse=True)
        believed = [file for file in files if file.taken_at <= now + model.FUTURE_TOLERANCE]
        latest = (believed or files)[:1]
        chosen = files if self._policy.select == model.ALL else latest
        paths = {file.path for file in chosen}
        return Found(
            series=series,
            files=tuple(replace(file, selected=file.path in paths) for file in files),
            partials=tuple(listing.partials),
            stale_sidecars=tuple(listing.stale_sidecars),
            failures=tuple(listing.failures),
            missing_directory=listing.missing_directory,
        )

    def look(self, series: Series, file: BackupFile) -> BackupFile:
        """Return *file* with its sidecar and, where the level asks for it, its content."""
        if file.kind != model.FILE:
            return file
        sidecar = self._sidecar_of(file.path)
        if series.level == model.PRESENCE or not file.size:
            return replace(file, sidecar=sidecar)
        if file.path not in self._contents:
            to_the_end = sidecar is not None and not sidecar.problem
            self._contents[file.path] = self._read(file.path, to_the_end)
        content, failure = self._contents[file.path]
        return replace(file, sidecar=sidecar, content=content, failure=failure)

    def _read(self, path: str, to_the_end: bool) -> tuple[Content | None, Failure | None]:
        remaining = self._deadline.remaining or 0.0
        if not remaining:
            reason = f"was not begun: the timeout of {format_duration(self._policy.seconds)} for all files was over"
            return None, Failure(model.TIMED_OUT, reason, path)
        seconds = min(remaining, self._policy.seconds_per_file)
        return read_content(path, self._policy, Deadline(seconds), to_the_end)

    def _sidecar_of(self, path: str) -> Sidecar | None:
        """Return the first sidecar that there is for *path*, whether it can be used or not."""
        directory = os.path.dirname(path)
        try:
            names = self._finder.names(directory)
        except OSError:
            return None
        for suffix in SUFFIXES:
            if os.path.basename(path) + suffix in names:
                return self._sidecar(path, path + suffix, own=True)
        for name in LISTS:
            if name in names:
                sidecar = self._sidecar(path, os.path.join(directory, name), own=False)
                if sidecar is not None:
                    return sidecar
        return None

    def _sidecar(self, path: str, sidecar: str, own: bool) -> Sidecar | None:
        """Return what *sidecar* says of *path*; ``None`` when it is a list that does not speak of it."""
        if sidecar not in self._lists:
            self._lists[sidecar] = _digests_in(sidecar)
        digests = self._lists[sidecar]
        mtime = _mtime_of(sidecar)
        if isinstance(digests, str):
            return Sidecar(sidecar, "", mtime, problem=digests)
        entry = digests.of(path, own)
        if entry is not None:
            other = entry.name if entry.name and entry.basename != os.path.basename(path) else ""
            return Sidecar(sidecar, entry.sha256, mtime, other_name=other)
        if own:
            return Sidecar(sidecar, "", mtime, problem="holds digests that contradict one another")
        return None


def _digests_in(path: str) -> Digests | str:
    """Return what a sidecar says, or why it says nothing."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return "is not a regular file"
            data = stream.read(LARGEST + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(data) > LARGEST:
        return "is far too large for a list of digests"
    entries = parse(data.decode("utf-8", "replace"))
    return Digests(entries) if entries else "holds no SHA-256 digest in the form of sha256sum"


def _mtime_of(path: str) -> datetime:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, timezone.utc)
    except OSError:
        return datetime.fromtimestamp(0, timezone.utc)


def read_content(
    path: str, policy: Policy, deadline: Deadline, to_the_end: bool
) -> tuple[Content | None, Failure | None]:
    """Return what one pass over *path* showed, or why it came to no end.

    *to_the_end* asks for the digest of all of it, even when its content turns out bad before.
    """
    reader = _Reader(path)
    inspection = Inspection(os.path.basename(path), policy.limits, deadline)
    try:
        for piece in reader.pieces(deadline):
            inspection.feed(piece)
            if inspection.over and not to_the_end:
                break
        else:
            inspection.finish()
    except OSError as error:
        return None, Failure(model.UNREADABLE, f"cannot be read: {error.strerror or error}", path)
    except DeadlineExceeded:
        reason = f"was not read to its end within {format_duration(deadline.seconds or 0.0)}"
        return None, Failure(model.TIMED_OUT, reason, path, {"bytes_read": reader.bytes_read})
    finally:
        reader.stop()
    content = inspection.result(reader.sha256, reader.bytes_read, deadline.elapsed)
    ends_early = any(problem.code in _ENDS_EARLY for problem in content.problems)
    if reader.changed or (ends_early and _is_growing(path, reader, deadline)):
        reason = "changed while it was read: it is still being written, or is written anew in place"
        return None, Failure(model.CHANGING, reason, path, {"bytes_read": reader.bytes_read})
    return content, None


def _is_growing(path: str, reader: _Reader, deadline: Deadline) -> bool:
    """True when a young file that is not whole changes within a moment."""
    if reader.status is None or not reader.at_end or time.time() - reader.status.st_mtime > YOUNG_SECONDS:
        return False
    remaining = deadline.remaining
    time.sleep(min(SETTLE_SECONDS, SETTLE_SECONDS if remaining is None else remaining))
    try:
        return _fingerprint(os.stat(path)) != _fingerprint(reader.status)
    except OSError:
        return True


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class _Ended:
    """The last thing that a reading thread says."""

    error: Exception | None = None


class _Reader:
    """Reads and hashes a file in a thread of its own, beside the unfolding.

    Both release the interpreter's lock, so two processors share the work. And a read that hangs (a dead mount) hangs
    there: whoever waits for it goes on when its time is over, and the thread keeps no process from ending.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._queue: queue.Queue[bytes | _Ended] = queue.Queue(_QUEUED_READS)
        self._stopped = threading.Event()
        self._hash = hashlib.sha256()
        self.bytes_read = 0
        self.at_end = False
        self.changed = False
        self.status: os.stat_result | None = None
        threading.Thread(target=self._run, name=f"read {path}", daemon=True).start()

    def pieces(self, deadline: Deadline) -> Iterator[bytes]:
        """Yield the file piece by piece; raise ``OSError``, or ``DeadlineExceeded`` when the time is over."""
        while True:
            deadline.require("Reading it")
            try:
                piece = self._queue.get(timeout=deadline.remaining)
            except queue.Empty:
                continue
            if isinstance(piece, _Ended):
                if piece.error is not None:
                    raise piece.error
                return
            yield piece

    @property
    def sha256(self) -> str:
        """The digest of the whole file; empty when it was not read to its end."""
        return self._hash.hexdigest() if self.at_end else ""

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        try:
            self._read()
        except OSError as error:
            self._put(_Ended(error))
        else:
            self._put(_Ended())

    def _read(self) -> None:
        # Neither a device nor a pipe that took the file's place may hold us up.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            self.status = os.fstat(descriptor)
            if not stat.S_ISREG(self.status.st_mode):
                raise OSError(0, "it is not a regular file any more")
            while not self._stopped.is_set():
                piece = os.read(descriptor, READ_BYTES)
                if not piece:
                    self.at_end = True
                    break
                self._hash.update(piece)
                self.bytes_read += len(piece)
                self._put(piece)
            self.changed = _fingerprint(os.fstat(descriptor)) != _fingerprint(self.status)
        finally:
            os.close(descriptor)

    def _put(self, piece: bytes | _Ended) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(piece, timeout=0.5)
            except queue.Full:
                continue
            return
