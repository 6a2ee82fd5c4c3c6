# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove backups: the only step that changes anything, and one that may be killed at any point.

A backup is first renamed to ``.NAME.upkeep-removing``: from that instant on it is no backup any more, for anybody. Then
goes what stood beside it, and it itself last. So there is never a good backup without its manifest, and what a killed
run leaves says by its name what it is: the next run ends it.

All names are looked up from directories that were opened one below the other, no link followed: what somebody puts in
the way between the plan and the removal leads nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    CHANGED,
    FAILED,
    REMOVED,
    Candidate,
    Identity,
    Leftover,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.survey import (
    companions_of,
    fingerprint,
    identity_of,
    removed_name,
    removing_name,
)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not empty (two names for it), busy, or somebody else's: it stays.
_STAYS = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EPERM, errno.EACCES)


class Refused(Exception):
    """A backup is not what it was when it was decided that it goes; the text is the end of a sentence."""


def missing(guards: Iterable[Candidate]) -> str:
    """Return the path of the first of *guards* that is not there any more as it was; an empty text when all are."""
    for one in guards:
        try:
            status = os.lstat(one.path)
        except OSError:
            return one.path
        if _unlike(status, one.identity):
            return one.path
    return ""


def remove(candidate: Candidate, backups: set[str]) -> tuple[str, str]:
    """Remove *candidate* and what is its own beside it; return what became of it, and why if it is still there.

    *backups* are the paths of all others: never is one of those taken for a companion.
    """
    try:
        with _parent(candidate.base, candidate.path) as (directory, name):
            _hide(candidate, directory, name)
            listed = set(os.listdir(directory))
            place = os.path.dirname(candidate.path)
            others = {os.path.basename(one) for one in backups if os.path.dirname(one) == place}
            _finish(directory, name, listed, others)
    except Refused as error:
        return CHANGED, str(error)
    except FileNotFoundError:
        return CHANGED, "is gone already"
    except OSError as error:
        return FAILED, _why(error)
    _clear_above(candidate)
    return REMOVED, ""


def finish(leftover: Leftover, backups: set[str]) -> tuple[str, str]:
    """End the removal that was cut off, of which *leftover* is what is left."""
    name = removed_name(os.path.basename(leftover.path))
    try:
        with _parent(leftover.base, leftover.path) as (directory, hidden):
            if _unlike(os.lstat(hidden, dir_fd=directory), leftover.identity):
                return CHANGED, "is another file than before"
            listed = set(os.listdir(directory))
            place = os.path.dirname(leftover.path)
            others = {os.path.basename(one) for one in backups if os.path.dirname(one) == place}
            # When there is a new backup of that name, what stands beside it is its own.
            companions_go = name not in listed
            _finish(directory, name if companions_go else "", listed, others, hidden)
    except FileNotFoundError:
        return CHANGED, "is gone already"
    except OSError as error:
        return FAILED, _why(error)
    return REMOVED, ""


def discard(leftover: Leftover) -> tuple[str, str]:
    """Remove one file that a run left, unless it changed."""
    try:
        with _parent(leftover.base, leftover.path) as (directory, name):
            if _unlike(os.lstat(name, dir_fd=directory), leftover.identity):
                return CHANGED, "changed since it was looked at"
            os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return CHANGED, "is gone already"
    except OSError as error:
        return FAILED, _why(error)
    return REMOVED, ""


@contextlib.contextmanager
def _parent(base: str, path: str) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the directory of *path*, reached from *base* through no link, and the name in it."""
    # How one gets to the base is the user's own word: that may be a link.
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = path[len(base.rstrip("/")) + 1 :].split("/")
        for folder in folders:
            if folder in ("", ".", ".."):
                raise Refused("has a path that is not plain")
            below = os.open(folder, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)


def _hide(candidate: Candidate, directory: int, name: str) -> None:
    """Give the backup the name of one that goes. Raises ``Refused`` when it is another than was planned."""
    _require_same(candidate, os.lstat(name, dir_fd=directory))
    hidden = removing_name(name)
    if not hidden:
        return  # too long a name: it goes under its own
    with contextlib.suppress(FileNotFoundError):
        _remove_one(directory, hidden)  # of a killed run
    os.rename(name, hidden, src_dir_fd=directory, dst_dir_fd=directory)
    status = os.lstat(hidden, dir_fd=directory)
    if (status.st_dev, status.st_ino) != (candidate.identity.device, candidate.identity.inode):
        # Somebody put another file there in between; a newer one that took the name meanwhile is not replaced.
        if stat.S_ISDIR(status.st_mode):
            os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
        else:
            os.link(hidden, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            os.unlink(hidden, dir_fd=directory)
        raise Refused("was replaced while it was to be removed")


def _require_same(candidate: Candidate, status: os.stat_result) -> None:
    wanted = candidate.identity
    if _unlike(status, wanted) or (wanted.below and fingerprint(candidate.path) != wanted.below):
        raise Refused("changed since it was looked at")


def _unlike(status: os.stat_result, wanted: Identity) -> bool:
    found = identity_of(status, wanted.below)
    return (found.device, found.inode, found.size, found.mtime_ns) != (
        wanted.device,
        wanted.inode,
        wanted.size,
        wanted.mtime_ns,
    )


def _finish(directory: int, name: str, listed: set[str], others: set[str], hidden: str = "") -> None:
    """Remove what stands beside *name* (empty for nothing), and then the backup itself, as it is called now."""
    last = hidden or removing_name(name)
    if not last:
        # Too long a name to be hidden: the backup first, for one without its manifest must not be left.
        _remove_one(directory, name)
    for companion in companions_of(name, listed, others) if name else ():
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(os.lstat(companion, dir_fd=directory).st_mode):
                os.unlink(companion, dir_fd=directory)
    if last:
        _remove_one(directory, last)


def _remove_one(directory: int, name: str) -> None:
    """Remove a file, or a directory with all that is in it; no link is followed, and no other file system entered."""
    status = os.lstat(name, dir_fd=directory)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    below = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        if os.fstat(below).st_dev != os.fstat(directory).st_dev:
            raise OSError(errno.EXDEV, "another file system is mounted there", name)
        for entry in os.listdir(below):
            _remove_one(below, entry)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=directory)


def _clear_above(candidate: Candidate) -> None:
    """Remove the directories of a day that have become empty; one that has not, stays."""
    path = os.path.dirname(candidate.path)
    for _level in range(candidate.dated):
        try:
            with _parent(candidate.base, path) as (directory, name):
                os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (*_STAYS, errno.ENOENT):
                raise
            return
        path = os.path.dirname(path)


def _why(error: OSError) -> str:
    text = f"cannot be removed: {error.strerror or error}"
    if error.errno == errno.EPERM:
        return f"{text}; it may be immutable (lsattr)"
    return text
