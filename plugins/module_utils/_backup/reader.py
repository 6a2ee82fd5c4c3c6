# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read one backup from its first byte to its last, once, and say what it is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model, sqlite
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.containers import Report, Sink
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.content import Inspection
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.detect import SQLITE
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.members import Listing
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Content, Failure, Reading
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

READ_BYTES = 1 << 18
_QUEUED_READS = 4

_ENDS_EARLY = ("backup.truncated", "backup.incomplete_dump")

# A file that ends too early may still be growing: when it is this young, it gets a moment to show it.
YOUNG_SECONDS = 60.0
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Wanted:
    """What is known of a file before it is read, and so what to look at besides.

    ``sha256`` is what its maker wrote down of it, ``plain_sha256`` of what is inside. ``counting`` asks for rows.
    ``digest_members`` asks for the members of an archive of files, ``members_path`` is the maker's list of them.
    ``parts`` are the files of a directory with their digests.
    """

    sha256: str = ""
    plain_sha256: str = ""
    counting: bool = False
    digest_members: bool = False
    members_path: str = ""
    parts: tuple[tuple[str, str], ...] = ()


NOTHING_WANTED = Wanted()


def read_content(
    path: str, reading: Reading, deadline: Deadline, wanted: Wanted = NOTHING_WANTED
) -> tuple[Content | None, Failure | None]:
    """Return what one pass over *path* showed, or why it came to no end.

    A file whose digest is wanted is read to its end even when its content turns out bad before. What is inside is
    compared with what its maker dumped, at the level structure always; below it only when the file is another than the
    one that was written, to see whether it was but packed anew, and then the file is read once more.
    """
    compared = bool(wanted.plain_sha256) and reading.level == model.STRUCTURE
    content, failure = _pass(path, reading, deadline, wanted, plain_digest=compared)
    if content is None or not wanted.plain_sha256:
        return content, failure
    if not compared and content.stored_sha256 not in ("", wanted.sha256):
        content, failure = _pass(path, reading, deadline, wanted, plain_digest=True)
    if content is None or not content.plain_sha256:
        return content, failure
    return replace(content, plain_equal=content.plain_sha256 == wanted.plain_sha256), failure


def _pass(
    path: str, reading: Reading, deadline: Deadline, wanted: Wanted, plain_digest: bool
) -> tuple[Content | None, Failure | None]:
    with _lines_of(wanted.members_path) as expected:
        inspection = Inspection(
            os.path.basename(path),
            reading,
            deadline,
            listing=Listing(wanted.digest_members, expected),
            counting=wanted.counting,
            plain_digest=plain_digest,
        )
        return run(path, inspection, reading, deadline, to_the_end=bool(wanted.sha256))


@contextlib.contextmanager
def _lines_of(path: str) -> Iterator[Iterator[bytes] | None]:
    """Yield the lines of the maker's list at *path*; ``None`` when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if path else -1
    except OSError:
        descriptor = -1  # the digest of all lines still says whether all is as it was
    if descriptor < 0:
        yield None
        return
    with open(descriptor, "rb") as stream:
        yield iter(stream)


def run(
    path: str, inspection: Inspection, reading: Reading, deadline: Deadline, to_the_end: bool
) -> tuple[Content | None, Failure | None]:
    """Return what *inspection* finds in the file *path*, or why it came to no end. Closes it."""
    reader = (_Reader if reading.alone else _ThreadedReader)(path, reading.bytes_per_second)
    try:
        for piece in reader.pieces(deadline):
            inspection.feed(piece)
            if inspection.over and not to_the_end:
                break
        else:
            inspection.finish()
        content = inspection.result(reader.sha256, reader.bytes_read, deadline.elapsed)
        if content.chain == (SQLITE,) and reading.level == model.STRUCTURE and not content.problems:
            content = _with_database(path, content, deadline)
    except OSError as error:
        return None, Failure(model.UNREADABLE, f"cannot be read: {error.strerror or error}", path)
    except DeadlineExceeded:
        reason = f"was not read to its end within {format_duration(deadline.seconds or 0.0)}"
        return None, Failure(model.TIMED_OUT, reason, path, {"bytes_read": reader.bytes_read})
    finally:
        reader.stop()
        inspection.close()
    ends_early = any(problem.code in _ENDS_EARLY for problem in content.problems)
    if reader.changed or (ends_early and _is_growing(path, reader, deadline)):
        reason = "changed while it was read: it is still being written, or is written anew in place"
        return None, Failure(model.CHANGING, reason, path, {"bytes_read": reader.bytes_read})
    return content, None


def _with_database(path: str, content: Content, deadline: Deadline) -> Content:
    problems, dump = sqlite.check_database(path, deadline)
    unproven = tuple(what for what in content.unproven if what != model.CONTENT)
    return replace(content, problems=tuple(problems), dump=dump, unproven=unproven, seconds=deadline.elapsed)


def read_part(
    path: str, reading: Reading, deadline: Deadline, within: Callable[[Report], Sink], counting: bool
) -> tuple[Content | None, Failure | None]:
    """Return what one pass over *path*, a file of a backup that is a directory, showed: *within* knows what it is."""
    inspection = Inspection(os.path.basename(path), reading, deadline, counting=counting, within=within)
    return run(path, inspection, reading, deadline, to_the_end=True)


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


class _Reader:
    """Reads and hashes a file, and notes whether it changed meanwhile."""

    def __init__(self, path: str, bytes_per_second: int = 0) -> None:
        self._path = path
        self._rate = bytes_per_second
        self._stopped = threading.Event()
        self._hash = hashlib.sha256()
        self._began = time.monotonic()
        self.bytes_read = 0
        self.at_end = False
        self.changed = False
        self.status: os.stat_result | None = None

    def pieces(self, deadline: Deadline) -> Iterator[bytes]:
        """Yield the file piece by piece; raise ``OSError``, or ``DeadlineExceeded`` when the time is over."""
        for piece in self._read():
            deadline.require("Reading it")
            yield piece

    @property
    def sha256(self) -> str:
        """The digest of the whole file; empty when it was not read to its end."""
        return self._hash.hexdigest() if self.at_end else ""

    def stop(self) -> None:
        self._stopped.set()

    def _read(self) -> Iterator[bytes]:
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
                yield piece
                self._brake()
            self.changed = _fingerprint(os.fstat(descriptor)) != _fingerprint(self.status)
        finally:
            os.close(descriptor)

    def _brake(self) -> None:
        """Wait until what was read took as long as it should."""
        if self._rate:
            ahead = self.bytes_read / self._rate - (time.monotonic() - self._began)
            if ahead > 0:
                self._stopped.wait(ahead)


@dataclass(frozen=True)
class _Ended:
    """The last thing that a reading thread says."""

    error: Exception | None = None


class _ThreadedReader(_Reader):
    """Reads in a thread of its own: one that hangs (a dead mount) hangs there.

    Whoever waits for it goes on when the time is over, and the thread keeps no process from ending. The two threads
    get in each other's way, so that a process that is there for one file alone does without.
    """

    def __init__(self, path: str, bytes_per_second: int = 0) -> None:
        super().__init__(path, bytes_per_second)
        self._queue: queue.Queue[bytes | _Ended] = queue.Queue(_QUEUED_READS)
        threading.Thread(target=self._run, name=f"read {path}", daemon=True).start()

    def pieces(self, deadline: Deadline) -> Iterator[bytes]:
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

    def _run(self) -> None:
        try:
            for piece in self._read():
                self._put(piece)
        except OSError as error:
            self._put(_Ended(error))
        else:
            self._put(_Ended())

    def _put(self, piece: bytes | _Ended) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(piece, timeout=0.5)
            except queue.Full:
                continue
            return
