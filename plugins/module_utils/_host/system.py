# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where the host is touched: its files below a root, its commands, and two system calls."""

from __future__ import annotations

import collections
import ctypes
import errno
import itertools
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.isolate import Ended, Job, run_isolated

# What says nothing of the file system itself.
OUT_OF_REACH = frozenset((errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR))


@dataclass(frozen=True)
class System:
    """The running host. With another *root*, the files of a host as they were recorded below that folder."""

    root: str = "/"

    def path(self, path: str) -> str:
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> str:
        """Return the text of *path*; raise ``OSError``."""
        with open(self.path(path), encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()

    def read_or(self, path: str, otherwise: str = "") -> str:
        """Return the text of *path*, or *otherwise* when it is not there or may not be read."""
        try:
            return self.read(path)
        except OSError:
            return otherwise

    def exists(self, path: str) -> bool:
        return os.path.exists(self.path(path))

    def entries(self, path: str) -> list[str]:
        """Return the names in the folder *path*; none when it is not there or may not be read."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def link(self, path: str) -> str:
        """Return where the symbolic link *path* points; '' when that cannot be told."""
        try:
            return os.readlink(self.path(path))
        except OSError:
            return ""

    @property
    def name(self) -> str:
        return os.uname().sysname

    @property
    def kernel(self) -> str:
        return os.uname().release

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    @property
    def processors(self) -> int:
        return os.cpu_count() or 1

    def averages(self) -> tuple[float, float, float]:
        return os.getloadavg()

    def run(self, argv: Sequence[str], seconds: float) -> Completed:
        """Run a command in the C locale and in UTC; raise ``UpkeepError`` when it cannot be run to its end."""
        return run(argv, seconds, environment={"TZ": "UTC"})

    def isolated(self, jobs: Sequence[tuple[str, Callable[[], Any]]], seconds: float) -> list[Ended]:
        """Run each ``(name, call)`` in a process of its own, all side by side."""
        # More at a time than processors: they wait for disks, and one that hangs must not delay the others.
        return run_isolated([Job(name, call, seconds) for name, call in jobs], workers=32)

    def statvfs(self, points: Sequence[str]) -> dict[str, Any]:
        """Return the numbers of the file system at the first of *points* that is a folder and answers.

        ``{point, size, free, ...}``, or ``{point, errno}`` of the first that refused, or ``{}`` when all are files. One
        that is out of reach for us may be reached by another path; any other error is the file system's own.
        """
        refusal: dict[str, Any] = {}
        for point in points:
            path = self.path(point)
            try:
                if not stat.S_ISDIR(os.stat(path).st_mode):
                    continue
                numbers = os.statvfs(path)
                _touch(path)
            except OSError as error:
                refusal = refusal or {"point": point, "errno": error.errno}
                if error.errno not in OUT_OF_REACH:
                    return {"point": point, "errno": error.errno}
                continue
            return {
                "point": point,
                "size": numbers.f_blocks * numbers.f_frsize,
                "free": numbers.f_bfree * numbers.f_frsize,
                "available": numbers.f_bavail * numbers.f_frsize,
                "inodes": numbers.f_files,
                "inodes_free": numbers.f_ffree,
                "inodes_available": numbers.f_favail,
            }
        return refusal

    def adjtimex(self) -> tuple[int, int, int]:
        """Return ``(status, maxerror, esterror)`` of the kernel's clock, errors in microseconds; raise ``OSError``."""
        kernel = ctypes.CDLL(None, use_errno=True)
        if not hasattr(kernel, "adjtimex"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        answer = _Timex()  # modes 0: only read
        if kernel.adjtimex(ctypes.byref(answer)) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return answer.status, answer.maxerror, answer.esterror


def _touch(path: str) -> None:
    """Read some entries: a file system that was shut down after an error still answers ``statvfs`` from memory."""
    try:
        with os.scandir(path) as entries:
            collections.deque(itertools.islice(entries, 200), maxlen=0)
    except PermissionError:
        pass  # to know how full it is, one need not see what is in it


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2); the rest is room for what the kernel writes behind."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]
