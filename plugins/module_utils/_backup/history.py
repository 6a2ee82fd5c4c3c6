# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is remembered of verified files: a line of JSON for each, so that a run that is killed loses none.

From it come what has been verified lately and has not changed, the sizes and times of files that are gone, and which
of those should still be there. A line that a crash tore is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339

_KEPT = 8 << 20  # the newest lines; about 20,000 files
_SCHEMA = 1


@dataclass(frozen=True)
class Verified:
    """A file as it was verified. ``identity`` is its size and the time of its last change, in nanoseconds.

    ``target`` is empty unless it was restored to the end; then ``phases`` are the seconds that this took.
    """

    at: datetime
    series: str
    path: str
    taken_at: datetime
    size: int
    mtime_ns: int
    level: str
    status: str
    seconds: float
    sha256: str
    target: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)

    def as_line(self) -> bytes:
        plain = {
            **vars(self),
            "schema": _SCHEMA,
            "at": rfc3339(self.at),
            "taken_at": rfc3339(self.taken_at),
            "seconds": round(self.seconds, 6),
            "phases": {phase: round(seconds, 3) for phase, seconds in self.phases.items()},
        }
        return json.dumps(plain, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def read(path: str) -> list[Verified]:
    """Return what is remembered, oldest first; nothing when there is no file yet. Raises ``StateError``."""
    try:
        with open(open_own(path, os.O_RDONLY), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _KEPT))
            lines = stream.read().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _refused(path, "read", error) from error
    found = (_verified(line) for line in (lines[1:] if size > _KEPT else lines))
    return [one for one in found if one is not None]


def prepare(path: str) -> None:
    """Make sure that *path* can be written. Where only its own directory is missing, that is made.

    Raises ``StateError``.
    """
    try:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.mkdir(os.path.dirname(path), 0o700)
        os.close(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    except OSError as error:
        raise _refused(path, "written", error) from error


def append(path: str, one: Verified) -> None:
    """Remember *one*: when this returns, it is on the disk. Raises ``StateError``."""
    try:
        descriptor = open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            line = one.as_line()
            if _is_torn(path):
                line = b"\n" + line
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, "written", error) from error


def _is_torn(path: str) -> bool:
    with open(open_own(path, os.O_RDONLY), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - 1))
        return stream.read(1) not in (b"", b"\n")


def _refused(path: str, verb: str, error: OSError) -> StateError:
    return StateError(
        f"The state file {path} cannot be {verb}: {reason(error, path)}.",
        "Give the user that runs the task that directory, or set state_file to a file that it may write.",
        {"path": path, "errno": error.errno},
    )


def _verified(line: bytes) -> Verified | None:
    try:
        plain: Mapping[str, Any] = json.loads(line)
        if plain["schema"] != _SCHEMA:
            return None
        return Verified(
            at=parse_rfc3339(plain["at"]),
            series=str(plain["series"]),
            path=str(plain["path"]),
            taken_at=parse_rfc3339(plain["taken_at"]),
            size=int(plain["size"]),
            mtime_ns=int(plain["mtime_ns"]),
            level=str(plain["level"]),
            status=str(plain["status"]),
            seconds=float(plain["seconds"]),
            sha256=str(plain["sha256"]),
            # Who wrote the line may not have known these.
            target=str(plain.get("target", "")),
            phases={str(phase): float(seconds) for phase, seconds in plain.get("phases", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInput):
        return None
