# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of an application: the generations that ran, and the update that is under way."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.model import Generation, Pending
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import folder_name

_SCHEMA = 1


@dataclass(frozen=True)
class Remembered:
    """The generations, oldest first, and the update under way."""

    generations: tuple[Generation, ...] = ()
    pending: Optional[Pending] = None

    @property
    def running(self) -> Optional[Generation]:
        return self.generations[-1] if self.generations else None


class Memory:
    """The record of one application below the state directory; raises ``StateError``."""

    def __init__(self, directory: str, name: str) -> None:
        self.folder = os.path.join(directory, "apps", folder_name(name))
        self.path = os.path.join(self.folder, "releases.json")

    def lock(self, run_id: str, wait: float) -> HostLock:
        """Return the lock of the application."""
        return HostLock(os.path.join(self.folder, "release.lock"), run_id, wait)

    def load(self) -> Remembered:
        """Return what is remembered; nothing when there is no record yet."""
        try:
            with open(open_own(self.path, os.O_RDONLY), encoding="utf-8") as stream:
                record = json.load(stream)
            if record["schema"] != _SCHEMA:
                raise ValueError(f"its schema is {record['schema']}")
            pending = record["pending"]
            return Remembered(
                tuple(Generation.from_dict(one) for one in record["generations"]),
                Pending.from_dict(pending) if pending else None,
            )
        except FileNotFoundError:
            return Remembered()
        except OSError as error:
            raise self._unusable("read", reason(error, self.path)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._unusable("read", str(error)) from error

    def save(self, generations: Sequence[Generation], pending: Optional[Pending]) -> None:
        """Replace the record; it is on the disk when this returns."""
        record: dict[str, Any] = {
            "schema": _SCHEMA,
            "generations": [one.as_dict() for one in generations],
            "pending": pending.as_dict() if pending is not None else None,
        }
        partial = f"{self.path}.new"
        try:
            ensure_directory(self.folder)
            descriptor = open_own(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(record, stream, sort_keys=True, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, self.path)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unusable("written", reason(error, self.path)) from error

    def _unusable(self, verb: str, why: str) -> StateError:
        return StateError(
            f"The record of the releases {self.path} cannot be {verb}: {why}.",
            "Mend it, or move it away: then it is not known any more which generations there were.",
            {"path": self.path},
        )
