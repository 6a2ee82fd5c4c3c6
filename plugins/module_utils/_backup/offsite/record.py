# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was compared, and when: a file of JSON for each site, so that nothing is read again that has not changed.

``backup_verify`` may read it too: it has, for each file at the site, the SHA-256 that was found there. The form is
``{"schema": 1, "site", "media", "offsite", "immutable", "files": {NAME: {...}}}``: docs/backups/offsite.md.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Copy, Site
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import Local, Seen
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, StateError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.files import ensure_directory, open_own, reason
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339

SCHEMA = 1
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Entry:
    """A file that was equal at ``checked_at``: as it was here, and as it was there."""

    sha256: str
    size: int
    mtime_ns: int
    far_size: int
    far_stamp: str
    checked_at: str
    how: str
    series: str


class Record:
    """The record at *path*. Reading raises nothing: what cannot be read is not believed, and ``problem`` says why."""

    def __init__(self, path: str, about: Mapping[str, Any]) -> None:
        self._path = path
        self._about = dict(about)
        self.problem = ""
        self._files: dict[str, Entry] = {}
        try:
            self._files = _entries(_content(path)) if os.path.lexists(path) else {}
        except (OSError, StateError, ValueError) as error:
            self.problem = f"{path} cannot be read: {error}"

    def equal(self, local: Local, seen: Seen, now: datetime, seconds: float) -> Entry | None:
        """Return what is remembered of *local*, when neither it nor its copy (*seen*) has changed, and not long ago."""
        one = self._files.get(local.name)
        if one is None or (one.size, one.mtime_ns) != (local.size, local.mtime_ns):
            return None
        if (one.far_size, one.far_stamp) != (seen.size, seen.stamp):
            return None
        if local.wanted_sha256 and local.wanted_sha256 != one.sha256:
            return None
        age = (now - parse_rfc3339(one.checked_at)).total_seconds()
        return one if 0 <= age < seconds else None

    def remember(self, local: Local, seen: Seen, sha256: str, how: str, series: str, now: datetime) -> None:
        """Write it down; when this returns, it is on the disk, or ``problem`` says why not."""
        self._files[local.name] = Entry(
            sha256, local.size, local.mtime_ns, seen.size, seen.stamp, rfc3339(now), how, series
        )
        self._write()

    def forget(self, name: str) -> None:
        """Believe no more that *name* is equal."""
        if self._files.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        plain = {
            "schema": SCHEMA,
            **self._about,
            "files": {name: asdict(one) for name, one in sorted(self._files.items())},
        }
        temporary = f"{self._path}.new"
        try:
            ensure_directory(os.path.dirname(self._path))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)  # of a killed run: the site is locked
            descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with open(descriptor, "wb") as stream:
                stream.write(json.dumps(plain, indent=1, sort_keys=True).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            self.problem = f"{self._path} cannot be written: {reason(error, self._path)}"
        except StateError as error:
            self.problem = error.message


def recorded_copy(site: Site, file: BackupFile, sha256: str) -> Copy:
    """Return what the record at ``site.path`` says of *file*, whose digest is *sha256* (empty when nobody knows).

    For places that this host does not see as a directory. Raises nothing.
    """

    def told(present: bool, equal: bool | None, why: str, immutable: bool = False) -> Copy:
        return Copy(site.name, site.path, site.media, site.offsite, present, equal, present and immutable, why)

    try:
        files = _entries(_content(site.path))
    except FileNotFoundError:
        return told(False, None, "is not known: nothing was compared there yet")
    except (OSError, StateError, ValueError) as error:
        return told(False, None, f"is not known: the record cannot be read: {error}")
    name = os.path.basename(file.path)
    one = files.get(name) or next(
        (files[key] for key in sorted(files) if key.endswith(f"/{name}") and file.path.endswith(f"/{key}")), None
    )
    if one is None:
        return told(False, False, "is not there")
    if one.size != file.size:
        return told(True, False, f"had {one.size} bytes at {one.checked_at}, and the backup has {file.size}")
    wanted = sha256 or file.wanted_sha256
    if not wanted:
        return told(True, None, "has the same size, and there is no digest to compare")
    if wanted != one.sha256:
        return told(True, False, f"had another SHA-256 at {one.checked_at}")
    return told(True, True, f"compared at {one.checked_at}: {one.how}", site.immutable)


def _content(path: str) -> bytes:
    with open(open_own(path, os.O_RDONLY), "rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError("it is far too large")
    return data


def _entries(data: bytes) -> dict[str, Entry]:
    """Return the files of a record. Raises ``ValueError`` when it is none."""
    try:
        plain = json.loads(data)
        if plain["schema"] != SCHEMA:
            raise ValueError(f"it has schema {plain['schema']!r}")
        files = {str(name): Entry(**one) for name, one in plain["files"].items()}
        for one in files.values():
            parse_rfc3339(one.checked_at)
    except (KeyError, TypeError, AttributeError, RecursionError, InvalidInput) as error:
        raise ValueError("it is no such record") from error
    return files
