# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory for one test restore that is gone after it, whatever happened in between.

The one that keeps it holds a lock on the record in it for as long as it lives. A directory whose lock is free was left
by one that was killed: the next run ends what still runs in it, and removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import failed
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.processes import Account
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size

PREFIX = "upkeep-restore-"
RECORD = ".upkeep"
_NAME = re.compile(re.escape(PREFIX) + r"(\d+)-(\d+)-[0-9a-f]{8}\Z")
# A unix socket has room for 107 bytes on Linux, and for 103 on macOS.
_LONGEST_SOCKET = 103
_SOCKET = "/.s.PGSQL.5432"
_PLACES = ("/var/tmp", "/tmp")
_PATIENCE = 5.0
_HANDS = 4
_IPC_RMID = 0


def base_of(scratch_dir: str) -> str:
    """Return where scratch directories are made. Raises ``Failed`` when there is no such place."""
    for place in (scratch_dir,) if scratch_dir else _PLACES:
        if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
            return os.path.realpath(place)
    wanted = scratch_dir or " or ".join(_PLACES)
    what = f"was not restored: {wanted} is no directory that one may write to"
    raise failed("backup.target_unavailable", what, unknown=True, scratch_dir=wanted)


class Scratch:
    """One directory, 0700, of *account*. Made by the process that will remove it, which alone holds its lock."""

    def __init__(self, base: str, account: Account, run_id: str = "") -> None:
        self.path = os.path.join(base, f"{PREFIX}{os.getpid()}-{start_of(os.getpid())}-{secrets.token_hex(4)}")
        if len(os.fsencode(self.path + _SOCKET)) > _LONGEST_SOCKET:
            what = f"was not restored: {base} is too long a path for the socket of a server"
            raise failed("backup.target_unavailable", what, unknown=True, scratch_dir=base)
        os.mkdir(self.path, 0o700)
        self._lock = os.open(
            os.path.join(self.path, f"{RECORD}-new"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        record = {"run_id": run_id, "pid": os.getpid(), "start": start_of(os.getpid()), "boot": boot_id()}
        os.write(self._lock, json.dumps(record).encode())
        # Where the record is, its lock was taken before.
        os.rename(os.path.join(self.path, f"{RECORD}-new"), os.path.join(self.path, RECORD))
        account.give(self.path)

    def directory(self, name: str, account: Account) -> str:
        path = os.path.join(self.path, name)
        os.mkdir(path, 0o700)
        account.give(path)
        return path

    def remove(self) -> None:
        _clear(self.path)
        os.close(self._lock)


def sweep(base: str) -> list[str]:
    """Remove what runs that were killed have left in *base*, and end what still runs in it; return the paths."""
    removed = []
    for name in sorted(os.listdir(base)):
        match = _NAME.match(name)
        path = os.path.join(base, name)
        if match is None or not _is_ours(path) or start_of(int(match[1])) == match[2]:
            continue
        if _is_free(path):
            _clear(path)
            if not os.path.lexists(path):
                removed.append(path)
    return removed


def _is_ours(path: str) -> bool:
    """True for a directory that this account could have made: root gives its own to that of the server."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (os.geteuid() in (0, found.st_uid))


def _is_free(path: str) -> bool:
    """True when nobody holds the lock; that of a record which was not finished is nobody's, for its maker is gone."""
    try:
        descriptor = os.open(os.path.join(path, RECORD), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _clear(path: str) -> None:
    end_processes_in(path)
    for identity in _shared_memory_of(path):
        _remove_shared_memory(identity)
    # A process that is just ending may write once more.
    deadline = time.monotonic() + _PATIENCE
    while os.path.lexists(path) and time.monotonic() < deadline:
        _remove_files(path)
        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            end_processes_in(path)
            time.sleep(0.05)


def _remove_files(path: str) -> None:
    """Remove all files below *path*, several at a time: each waits for the disk and not for a processor."""
    files = [os.path.join(folder, name) for folder, _names, names in os.walk(path) for name in names]
    with ThreadPoolExecutor(_HANDS) as pool:
        list(pool.map(_remove_file, files))


def _remove_file(path: str) -> None:
    with contextlib.suppress(OSError):  # whoever removes the directory looks again
        os.unlink(path)


def end_processes_in(path: str) -> None:
    """Kill whatever has its working directory at or below *path*."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        there = [pid for pid in processes_in(path) if pid != os.getpid()]
        if not there:
            return
        for pid in there:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it has just ended
        time.sleep(0.02)


def processes_in(path: str) -> Iterator[int]:
    if not os.path.isdir("/proc/self"):
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                place = os.readlink(f"/proc/{name}/cwd")
            except OSError:
                continue
            place = place[: -len(" (deleted)")] if place.endswith(" (deleted)") else place
            if place == path or place.startswith(f"{path}/"):
                yield int(name)


def _shared_memory_of(path: str) -> Iterator[int]:
    """Yield the segments of System V shared memory that servers in *path* have noted; a killed one leaves its own."""
    for folder in _folders(path):
        try:
            with open(os.path.join(folder, "postmaster.pid"), encoding="ascii", errors="replace") as stream:
                words = stream.read(4096).splitlines()[6:7]
        except OSError:
            continue
        numbers = words[0].split() if words else []
        if len(numbers) == 2 and numbers[1].isdigit():
            yield int(numbers[1])


def _folders(path: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove_shared_memory(identity: int) -> None:
    if platform.system() == "Linux":
        ctypes.CDLL(None).shmctl(identity, _IPC_RMID, None)


def start_of(pid: int) -> str:
    """Return when the process started, in the kernel's ticks since boot; empty when there is none, or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
        # One that nobody has reaped yet is over all the same.
        return "" if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        return "" if os.path.isdir("/proc/self") or not _is_alive(pid) else "0"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def free_bytes(path: str) -> tuple[int, int]:
    """Return the free bytes and all bytes of the file system of *path*, as others than root have them."""
    numbers = os.statvfs(path)
    return numbers.f_bavail * numbers.f_frsize, numbers.f_blocks * numbers.f_frsize


def require_space(path: str, need: int, reserve: float) -> None:
    """Raise ``Failed`` when *need* bytes do not fit, or would leave less than *reserve* of the file system free."""
    free, size = free_bytes(path)
    left = int(size * reserve)
    if free - need < left:
        what = (
            f"was not restored: that needs about {format_size(need)}, and {path} has {format_size(free)} free, "
            f"of which {format_size(left)} are to stay free (scratch_reserve)"
        )
        evidence = {"need_bytes": need, "free_bytes": free, "reserve_bytes": left, "scratch_dir": path}
        raise failed("backup.scratch_full", what, unknown=True, **evidence)


def require_room_left(path: str, reserve: float) -> None:
    """Raise ``Failed`` when the file system has less than *reserve* of it free by now."""
    free, size = free_bytes(path)
    if free < size * reserve:
        what = f"was left half restored: only {format_size(free)} were free in {path} by then"
        raise failed("backup.scratch_full", what, unknown=True, free_bytes=free, scratch_dir=path)
