# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of backups, and what was seen of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

PRESENCE, INTEGRITY = "presence", "integrity"
LEVELS = (PRESENCE, INTEGRITY)

LATEST, ALL = "latest", "all"
SELECTIONS = (LATEST, ALL)

FROM_NAME, FROM_MTIME = "name", "mtime"
TIME_SOURCES = (FROM_NAME, FROM_MTIME)

FULL, PARTIAL = "full", "partial"

# What `unproven` says of a file: each is explained in docs/backups.md.
CONTENT, PRODUCER_DIGEST, VALUES, TOC = "content", "producer_digest", "values", "toc"

# What stands where a backup is expected.
FILE, DIRECTORY, FIFO, SOCKET, DEVICE, DANGLING = "file", "directory", "fifo", "socket", "device", "dangling_link"

# Clocks of hosts differ by a little; a backup that lies further ahead is not believed.
FUTURE_TOLERANCE = timedelta(minutes=10)

# Why a file, or a directory, could not be looked at.
UNREADABLE, TIMED_OUT, CHANGING = "unreadable", "timeout", "changing"


@dataclass(frozen=True)
class SizeBand:
    """How far the newest size may be from the ``window`` before it. ``min_abs`` is in bytes."""

    window: int
    factor: float
    min_abs: int
    both_sides: bool


@dataclass(frozen=True)
class Series:
    """Backups of one thing, taken again and again. Times in seconds, sizes in bytes; 0 switches a rule off.

    An entry of ``paths`` is a series without a rhythm: not ``named``, and its ``name`` is the path as it was given.
    ``zone`` is that of times in names which carry none; ``None`` stands for the host's own.
    """

    name: str
    pattern: str
    named: bool = True
    level: str = INTEGRITY
    time_from: str = FROM_NAME
    zone: tzinfo | None = None
    every: float = 0.0
    grace: float = 0.0
    max_age: float = 0.0
    min_size: int = 0
    min_count: int = 1
    gap_window: int = 0
    size_band: SizeBand | None = None

    @property
    def warning_age(self) -> float:
        """The age past which the newest backup is late; 0 when there is no rhythm."""
        return self.every + self.grace if self.every else 0.0

    @property
    def critical_age(self) -> float:
        """The age past which the newest backup is far too old; 0 when nothing limits it."""
        # A grace longer than the rhythm must not make a backup critical before it is late.
        rhythm = max(2 * self.every, self.warning_age) if self.every else 0.0
        return min(filter(None, (rhythm, self.max_age)), default=0.0)


@dataclass(frozen=True)
class Limits:
    """How much a file may unfold to: bytes, times its stored size, containers in one another."""

    max_expanded: int
    max_ratio: float
    max_depth: int


@dataclass(frozen=True)
class Policy:
    """Everything that is wanted. ``seconds`` is for all files, ``seconds_per_file`` for each."""

    series: tuple[Series, ...]
    select: str
    limits: Limits
    seconds: float
    seconds_per_file: float


@dataclass(frozen=True)
class Failure:
    """Why something could not be looked at: ``kind`` is a stable word, ``reason`` the end of a sentence."""

    kind: str
    reason: str
    path: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is wrong inside a file: ``what`` is a sentence without its subject, ``offset`` in bytes of that layer.

    ``fatal`` is false where the content can still be restored.
    """

    code: str
    layer: str
    what: str
    offset: int | None = None
    fatal: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dump:
    """What a dump says of itself; ``complete`` is None when that could not be found out."""

    database: str | None = None
    server_version: str | None = None
    tool_version: str | None = None
    tables: int | None = None
    complete: bool | None = None


@dataclass(frozen=True)
class Content:
    """What one pass over the bytes of a file showed. ``whole`` means that the pass went through to the end."""

    chain: tuple[str, ...]
    problems: tuple[Problem, ...]
    unproven: tuple[str, ...]
    dump: Dump | None
    whole: bool
    stored_sha256: str
    bytes_read: int
    bytes_decoded: int
    seconds: float


@dataclass(frozen=True)
class Sidecar:
    """The digest that stands beside a file. ``problem`` says why there is none in it after all.

    ``other_name`` is the name that the sidecar gives when that is not the file's: it was renamed, or is of another.
    """

    path: str
    sha256: str
    mtime: datetime
    other_name: str = ""
    problem: str = ""


@dataclass(frozen=True)
class BackupFile:
    """One backup as it stands in the file system. ``exposed`` means that every account of the host can read it."""

    path: str
    kind: str
    size: int
    mtime: datetime
    mode: int
    taken_at: datetime
    taken_from: str
    exposed: bool = False
    selected: bool = False
    sidecar: Sidecar | None = None
    content: Content | None = None
    failure: Failure | None = None

    @property
    def counts(self) -> bool:
        """False for what is there but cannot be a backup: it closes no gap and is not one of the number wanted."""
        return self.kind in (FILE, DIRECTORY) and self.size > 0


@dataclass(frozen=True)
class Leftover:
    """A file that is no backup: an unfinished one, or the digest of a file that is gone."""

    path: str
    mtime: datetime


@dataclass(frozen=True)
class Found:
    """What there is of one series: ``files`` newest first."""

    series: Series
    files: tuple[BackupFile, ...] = ()
    partials: tuple[Leftover, ...] = ()
    stale_sidecars: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    missing_directory: str = ""

    @property
    def selected(self) -> tuple[BackupFile, ...]:
        return tuple(file for file in self.files if file.selected)


@dataclass(frozen=True)
class Snapshot:
    """Everything that was seen, in the order of the policy's series."""

    found: tuple[Found, ...]
