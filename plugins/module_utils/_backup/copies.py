# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the other places where the same backups should be, and compare. Changes nothing."""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import os
import stat

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Copy, Site
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.record import recorded_copy
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.sidecar import (
    LARGEST,
    LISTS,
    SUFFIXES,
    Digests,
    parse,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

_CHUNK = 1 << 20
# The place is not seen from here: what backup_offsite compared there counts.
RECORDED = "recorded"
# FS_IOC_GETFLAGS of Linux, and the two flags that keep a file from being changed or removed.
_GETFLAGS = 0x80086601
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20


def is_immutable(path: str) -> bool | None:
    """Return whether not even root can change the file without a further step; ``None`` when nobody can say."""
    flags = array.array("L", [0])
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.ioctl(descriptor, _GETFLAGS, flags, True)
    except OSError:
        return None  # the file system has no such flags
    finally:
        os.close(descriptor)
    return bool(flags[0] & (_IMMUTABLE | _APPEND_ONLY))


def copy_at(site: Site, file: BackupFile, sha256: str, deadline: Deadline) -> Copy:
    """Return whether *site* has *file*, whose digest is *sha256* (empty when nobody knows).

    Raises ``DeadlineExceeded``.
    """
    if site.mode == RECORDED:
        return recorded_copy(site, file, sha256)
    path = os.path.join(site.path, os.path.basename(file.path))

    def told(present: bool, equal: bool | None, why: str = "") -> Copy:
        immutable = site.immutable and is_immutable(path) is not False
        return Copy(site.name, path, site.media, site.offsite, present, equal, present and immutable, why)

    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return told(False, False, "is not there")
        return told(False, None, f"cannot be looked at: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return told(True, None, "is no file, and directories are not compared")
    if status.st_size != file.size:
        return told(True, False, f"has {status.st_size} bytes instead of {file.size}")
    if site.mode == "stat":
        return told(True, True)
    wanted = sha256 or file.wanted_sha256
    if not wanted:
        return told(True, None, "has the same size, and there is no digest to compare")
    try:
        found = _digest_beside(path) if site.mode == "digest" else _digest_of(path, deadline)
    except OSError as error:
        return told(True, None, f"cannot be read: {error.strerror}")
    if not found:
        return told(True, None, "has the same size, and no digest stands beside it there")
    beside = "by the digest that stands beside it: its own bytes were not read" if site.mode == "digest" else ""
    return told(True, found == wanted, beside if found == wanted else "has another SHA-256")


def _digest_beside(path: str) -> str:
    directory = os.path.dirname(path)
    for place, own in [
        *((path + suffix, True) for suffix in SUFFIXES),
        *((os.path.join(directory, one), False) for one in LISTS),
    ]:
        try:
            with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
                entries = parse(stream.read(LARGEST).decode("utf-8", "replace"))
        except FileNotFoundError:
            continue
        entry = Digests(entries).of(path, own)
        if entry is not None:
            return entry.sha256
    return ""


def _digest_of(path: str, deadline: Deadline) -> str:
    digest = hashlib.sha256()
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            deadline.require("Comparing a copy")
            digest.update(chunk)
    return digest.hexdigest()
