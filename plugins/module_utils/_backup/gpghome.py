# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The home of ``gpg``: the one that was named, or an empty one of our own. Nothing of it outlives the run.

An agent that was not there before is ended. A home that a killed run left behind is removed by the next: whoever uses
one holds a lock on it, which ends with its process.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import stat
import subprocess
import tempfile
import time

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter

PREFIX = "upkeep-gpg-"
_AGENT_SECONDS = 10.0
# It gets its name when it is locked. One without may be locked in a moment by whoever has just made it.
_UNNAMED = ".upkeep-gpg-new-"
_YOUNG_SECONDS = 60.0


class GpgHome:
    """``path`` is the home; ``close`` leaves nothing of ours behind. Raises ``OSError`` where it cannot be made."""

    def __init__(self, named: str) -> None:
        self._lock = -1
        self._temporary = ""
        if not named:
            sweep()
            self._temporary, self._lock = _made()
        self.path = named or self._temporary
        self._agent_was_there = bool(named) and _agent(self.path, "GETINFO pid")

    def close(self) -> None:
        if not self._agent_was_there:
            _agent(self.path, "KILLAGENT")
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = ""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def sweep() -> list[str]:
    """Remove the homes of runs that were killed; return them. Touches nobody else's, and none that is in use."""
    removed = []
    top = tempfile.gettempdir()
    for path in [path for prefix in (PREFIX, _UNNAMED) for path in glob.glob(os.path.join(top, f"{prefix}*"))]:
        try:
            status = os.lstat(path)
        except OSError:
            continue  # somebody else has just removed it
        young = os.path.basename(path).startswith(_UNNAMED) and time.time() - status.st_mtime < _YOUNG_SECONDS
        if young or not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            continue
        lock = _locked(path)
        if lock >= 0:
            _agent(path, "KILLAGENT")
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            removed.append(path)
    return removed


def _made() -> tuple[str, int]:
    """Make a home that is locked as soon as it has its name; return its path, and what holds the lock."""
    unnamed = tempfile.mkdtemp(prefix=_UNNAMED)
    lock = _locked(unnamed)
    path = os.path.join(os.path.dirname(unnamed), PREFIX + os.path.basename(unnamed)[len(_UNNAMED) :])
    os.rename(unnamed, path)
    return path, lock


def _locked(path: str) -> int:
    """Return the descriptor that holds the lock on the directory *path*; -1 when somebody else has it."""
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return -1
    return descriptor


def _agent(home: str, command: str) -> bool:
    """Return whether the agent of *home* was there and took *command*; starts none."""
    program = adapter.program("gpg-connect-agent")
    if program is None:
        return False
    argv = [program, "--homedir", home, "--no-autostart", command, "/bye"]
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_AGENT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    # It ends with 0 when there is no agent, too.
    return any(line.startswith(b"OK") for line in ended.stdout.splitlines())
