# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open our own files below a directory in which other users may write too.

What another user could have put there is refused: a run as root would otherwise write where that user points to, or
believe a record of work that was never done. Trusted are root and the user that runs the task.
"""

from __future__ import annotations

import errno
import os
import stat

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError

_REMEDY = "Give it to the user that runs the task, or set upkeep_state_dir to a directory of its own."


def ensure_directory(path: str, mode: int = 0o700) -> None:
    """Make *path*, unless it is there, and require that it can be trusted.

    Missing parents get the usual mode. Raises ``OSError``, and ``StateError`` for what ``require_trusted`` refuses.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        _require_owner(path, os.lstat(path))  # the kernel may refuse to follow a link of somebody else
        if not os.path.isdir(path):
            raise
    require_trusted(path)


def require_trusted(directory: str) -> None:
    """Raise ``StateError`` when somebody else owns *directory* or may replace what is in it.

    Owned by us or root, and writable by nobody else unless it is sticky like ``/tmp``. A symbolic link may lead to it
    when its owner is trusted. Raises ``OSError`` when it is not there.
    """
    require_owner(directory)
    found = os.stat(directory)
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise StateError(
            f"{directory} may be changed by other users (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"Run `chmod go-w {directory}`, or set upkeep_state_dir to another directory.",
            {"path": directory},
        )


def require_owner(path: str) -> None:
    """Raise ``StateError`` unless *path*, and what it links to, belongs to us or root; ``OSError`` when absent."""
    for look in (os.lstat, os.stat):
        _require_owner(path, look(path))


def open_own(path: str, flags: int) -> int:
    """Return a descriptor of the regular file *path*, made with mode 0600 when *flags* say so.

    Never waits (a FIFO), never follows a symbolic link. Raises ``OSError``, and ``StateError`` when the file is not
    regular, belongs to somebody else, or, opened for writing in a directory that others may write, has a second name.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _irregular(path) from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _irregular(path)
        _require_owner(path, found)
        if found.st_nlink > 1 and flags & os.O_ACCMODE != os.O_RDONLY and _is_shared(os.path.dirname(path) or "."):
            raise StateError(f"{path} is a second name of another file.", f"Remove {path}.", {"path": path})
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def reason(error: OSError, path: str) -> str:
    """Return why the system refused, with the place when that is not *path* itself."""
    place = f" ({error.filename})" if error.filename not in (None, path) else ""
    return f"{error.strerror}{place}"


def _is_shared(directory: str) -> bool:
    return bool(os.stat(directory).st_mode & 0o022)


def _irregular(path: str) -> StateError:
    return StateError(f"{path} is not a regular file.", f"Remove {path}.", {"path": path})


def _require_owner(path: str, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid not in (0, user):
        raise StateError(
            f"{path} belongs to uid {found.st_uid}, not to the user of this run (uid {user}) or root.",
            _REMEDY,
            {"path": path, "owner": found.st_uid, "user": user},
        )
