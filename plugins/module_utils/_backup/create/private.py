# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a secret to a program by a file that has no name: not in an argument, not in its environment, not on a disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import BackupFailed

_LONGEST = 4096


@contextlib.contextmanager
def nameless_file(text: str) -> Iterator[int]:
    """Yield a descriptor of a regular file that holds *text* and that only we may read: ``/dev/fd/N`` for a child.

    libpq takes a password file only when it is a regular one with mode 0600.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("upkeep", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as stream:
            descriptor = os.dup(stream.fileno())
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def password_line(password: str) -> str:
    """Return the line of a password file of libpq that is for every server."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def first_line(path: str, what: str) -> str:
    """Return the first line of the file *path*. Raises ``BackupFailed`` naming *what*."""
    try:
        with open(path, encoding="utf-8") as stream:
            line = stream.read(_LONGEST).split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BackupFailed(f"{what} {path} cannot be read: {why}.", "Correct the option.") from None
    if not line:
        raise BackupFailed(f"{what} {path} is empty.", "Put it on its first line.")
    return line
