# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is restored for people, what stands there now, and how each step ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import BackupFile, Decrypt
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import ServerOptions

DATABASE, TREE = "database", "tree"


@dataclass(frozen=True)
class Job:
    """What is asked for: paths absolute, ``seconds`` for all of it. ``host`` is how its user calls this host."""

    path: str
    confirm: str
    host: str
    database: str
    destination: str
    server: ServerOptions
    user: str
    bin_dir: str
    owners: bool
    jobs: int
    fingerprint: str
    safety_backup: bool
    safety_directory: str
    seconds: float
    run_id: str
    decrypt: Decrypt = field(default_factory=Decrypt)


@dataclass(frozen=True)
class Backup:
    """The backup, verified up to its structure."""

    file: BackupFile
    kind: str
    chain: tuple[str, ...]
    decoded_bytes: int
    rows: Mapping[str, int] | None
    source_bytes: int
    database: str = ""

    @property
    def taken_at(self) -> datetime:
        return self.file.taken_at


@dataclass(frozen=True)
class Present:
    """What stands where the backup is to go. ``rows`` are estimates of the server; None where nobody has counted."""

    exists: bool
    bytes: int = 0
    sessions: int = 0
    rows: Mapping[str, int | None] = field(default_factory=dict)
    slots: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    prepared: int = 0
    server_version: str = ""
    files: int = 0


@dataclass(frozen=True)
class Names:
    """What the new one is called until it is whole, and the old one after that."""

    target: str
    fresh: str
    before: str
