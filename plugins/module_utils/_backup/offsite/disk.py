# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory that this host sees: another disk, or a file system of another host."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import (
    Local,
    Seen,
    Settled,
    Unreachable,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_CHUNK = 1 << 20
# What may pass by itself: a file system of another host that does not answer for a moment.
_PASSING = (errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EAGAIN)
# A file system without hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Directory:
    """Copies with the means of the operating system. ``path`` must be there: it is never made."""

    resumes = True

    def __init__(self, path: str, bytes_per_second: int) -> None:
        self.target = path
        self._path = path
        self._rate = bytes_per_second

    def look(self, names: list[str], deadline: Deadline) -> dict[str, Seen]:
        with _telling():
            if not os.path.isdir(self._path):
                raise Unreachable(f"{self._path} is no directory")
            found = {}
            for name in names:
                deadline.require("Looking at the other place")
                try:
                    status = os.lstat(self._of(name))
                except FileNotFoundError:
                    continue
                found[name] = Seen(status.st_size, str(status.st_mtime_ns), stat.S_ISREG(status.st_mode))
            return found

    def digest(self, name: str, deadline: Deadline) -> tuple[str, str]:
        digest = hashlib.sha256()
        with _telling(), open(os.open(self._of(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
            # What is on the disk counts, and not what the cache has of it.
            _forget(stream.fileno())
            for piece in iter(lambda: stream.read(_CHUNK), b""):
                deadline.require("Comparing a copy")
                digest.update(piece)
        return digest.hexdigest(), "its bytes were read back"

    def send(self, local: Local, name: str, deadline: Deadline) -> int | None:
        path = self._of(name)
        with _telling():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(path, flags, 0o600), "r+b", buffering=0) as far, open(local.path, "rb") as near:
                begun = os.fstat(far.fileno()).st_size
                if begun > local.size:
                    begun = 0
                    os.ftruncate(far.fileno(), 0)
                far.seek(begun)
                near.seek(begun)
                for piece in self._braked(iter(lambda: near.read(_CHUNK), b""), deadline):
                    _write(far.fileno(), piece)
                os.fsync(far.fileno())
                sent = far.tell() - begun
            os.utime(path, ns=(local.mtime_ns, local.mtime_ns))
        return sent

    def _braked(self, pieces: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
        began, sent = time.monotonic(), 0
        for piece in pieces:
            deadline.require("Copying")
            yield piece
            sent += len(piece)
            ahead = sent / self._rate - (time.monotonic() - began) if self._rate else 0.0
            if ahead > 0:
                left = deadline.remaining
                time.sleep(ahead if left is None else min(ahead, left))

    def settle(self, temporary: str, name: str, sha256: str, deadline: Deadline) -> Settled:
        digest, how = self.digest(temporary, deadline)
        if digest != sha256:
            return Settled(digest, how, None)
        self._accept(temporary, name)
        return Settled(digest, how, self.look([name], deadline).get(name))

    def _accept(self, temporary: str, name: str) -> None:
        source, target = self._of(temporary), self._of(name)
        with _telling():
            try:
                os.link(source, target, follow_symlinks=False)
                os.unlink(source)
            except FileExistsError:
                raise Unreachable(f"{name} has come to be there meanwhile") from None
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if os.path.lexists(target):
                    raise Unreachable(f"{name} has come to be there meanwhile") from None
                os.rename(source, target)
            _sync_directory(os.path.dirname(target))

    def discard(self, temporary: str, deadline: Deadline) -> None:
        with _telling(), contextlib.suppress(FileNotFoundError):
            os.unlink(self._of(temporary))

    def _of(self, name: str) -> str:
        return os.path.join(self._path, name)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreachable(
            f"{error.filename or 'the directory'}: {error.strerror or error}", error.errno in _PASSING
        ) from error


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _forget(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # not every network file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
