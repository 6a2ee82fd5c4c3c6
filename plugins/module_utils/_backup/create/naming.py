# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backups of a series are called, and what a killed run leaves that is called so. Pure.

``SERIES-20261122T020000Z.dump.zst.age``: ``backup_verify`` reads the time out of it. Where one call makes several
(databases, globals), each has a series of its own, ``SERIES.DATABASE``, so that no pattern takes one for another.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import (
    CUSTOM,
    DIRECTORY,
    FILES,
    GZIP,
    MONGODB,
    PLAIN,
    REDIS,
    ZSTD,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.manifest import MEMBERS_SUFFIX, SUFFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import folder_name

PARTIAL = ".partial"
SIGNATURES = (".minisig", ".sig", ".asc")
COMPANIONS = (SUFFIX, *(SUFFIX + one for one in SIGNATURES), MEMBERS_SUFFIX, ".sha256")
GLOBALS_PART = "globals"

_STAMP = r"20\d{6}T\d{6}Z(?:-\d+)?"
_SERIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_OF_KIND = {FILES: ".tar", REDIS: ".rdb", MONGODB: ".archive"}
_OF_FORM = {CUSTOM: ".dump", PLAIN: ".sql", DIRECTORY: ".dir"}
_OF_COMPRESSION = {ZSTD: ".zst", GZIP: ".gz"}


def is_series(name: str) -> bool:
    """Whether a series may be called so: no dot, which parts the databases, and nothing that looks like a time."""
    return bool(_SERIES.match(name)) and not re.search(_STAMP, name)


def part_of(series: str, part: str) -> str:
    """Return the series of one database among several of *series*; different databases have different ones."""
    if not part:
        return series
    # A database may be called as the part with the roles is.
    return f"{series}.{folder_name(part) if part != GLOBALS_PART else '%67lobals'}"


def globals_of(series: str) -> str:
    """Return the series of the roles and tablespaces that belong to *series*."""
    return f"{series}.{GLOBALS_PART}"


def extension_of(kind: str, form: str, outer: str, encrypted_by: str) -> str:
    """Return the end of the name: what is inside, the compression around it, the encryption around that."""
    inner = _OF_KIND.get(kind) or _OF_FORM[form]
    return inner + _OF_COMPRESSION.get(outer, "") + (f".{encrypted_by}" if encrypted_by else "")


def name_of(series: str, taken_at: datetime, extension: str, there: Container[str]) -> str:
    """Return a name that nothing in the directory (*there*) has, nor any companion of it."""
    stamp = taken_at.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        name = f"{series}-{stamp}{f'-{number}' if number > 1 else ''}{extension}"
        if not any(name + end in there for end in ("", PARTIAL, *COMPANIONS, *(one + PARTIAL for one in COMPANIONS))):
            return name
        number += 1


def backups_of(series: str, names: Iterable[str]) -> list[str]:
    """Return those of *names* that are backups of *series*, the newest name first."""
    pattern = re.compile(rf"{re.escape(series)}-({_STAMP})\.[A-Za-z0-9.]+\Z")
    found = [name for name in names if pattern.match(name) and not name.endswith((PARTIAL, *COMPANIONS))]
    return sorted(found, key=lambda name: (_order(pattern, name), name), reverse=True)


def _order(pattern: re.Pattern[str], name: str) -> tuple[str, int]:
    match = pattern.match(name)
    stamp, _dash, number = (match[1] if match else "").partition("-")
    return stamp, int(number or 1)


def leftovers_of(series: str, names: Iterable[str]) -> list[str]:
    """Return those of *names* that only a run of *series* which was killed can have left.

    They are the unfinished files, and the companions of one that stands beside them: those get their final names
    before the backup does.
    """
    unfinished = re.compile(rf"{re.escape(series)}(?:\.[^/]+)?-{_STAMP}\.[A-Za-z0-9.]+{re.escape(PARTIAL)}\Z")
    listed = set(names)
    partial = {name for name in listed if unfinished.match(name)}
    begun = {name[: -len(PARTIAL)] for name in partial}
    companions = {name + end for name in begun if name not in listed for end in COMPANIONS}
    return sorted(partial | (companions & listed))
