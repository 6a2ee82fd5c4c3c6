# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a WAL archive holds, who still needs some of it, and what may go: the words of the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.names import (
    PARTIAL,
    SEGMENT,
    lsn_text,
    segment_name,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions

DEFAULT_SUFFIXES = (".gz", ".zst", ".lz4", ".xz", ".bz2")

# Who needs WAL, in the words of the result.
BASE_BACKUP, SLOT, STANDBY, CONSUMER, REDO, KEEP_FROM = (
    "base_backup",
    "slot",
    "standby",
    "consumer",
    "redo",
    "keep_from",
)

# Why a file that could go was left.
VANISHED, CHANGED, BUDGET, TIME_LIMIT, STOPPED, STILL_THERE = (
    "vanished",
    "changed",
    "max_delete",
    "time_limit",
    "stopped",
    "still_there",
)


# --- what is asked for


@dataclass(frozen=True)
class Consumer:
    """Somebody who reads the archive: it says itself, in ``file``, ``keep_from`` or as a server, what it needs."""

    name: str
    file: str | None = None
    keep_from: str | None = None
    connection: ConnectionOptions | None = None


@dataclass(frozen=True)
class Options:
    """What the user asked for. ``segment_size`` is in bytes and 0 when it is to be found out; times are seconds."""

    label: str
    path: str
    base_backups: tuple[str, ...]
    keep_base_backups: int | None
    keep_from: str | None
    consumers: tuple[Consumer, ...]
    suffixes: tuple[str, ...]
    segment_size: int
    ask_server: bool
    remove_backup_history: bool
    allow_remove_all: bool
    max_delete: int | None
    time_limit: float | None
    run_id: str = ""
    state_dir: str | None = None


# --- what there is


@dataclass(frozen=True)
class Entry:
    """A file with a name of WAL. ``number`` is that of its segment; sizes are bytes, ``changed`` is epoch seconds.

    ``regular`` is false for whatever is no file of its own: a link, a directory. A link to a file that is there can be
    read all the same (``readable``), and has that one's size.
    """

    name: str
    kind: str
    timeline: int
    number: int
    suffix: str
    size: int
    inode: int
    changed: float
    regular: bool = True
    readable: bool = True
    offset: int = 0

    @property
    def order(self) -> tuple[int, int, int, str]:
        """By this they go, oldest first; what describes a segment goes before it."""
        return (self.number, self.timeline, {SEGMENT: 2, PARTIAL: 1}.get(self.kind, 0), self.name)


@dataclass(frozen=True)
class BaseBackup:
    """One base backup. ``start`` and ``stop`` are positions in WAL (bytes), ``first`` and ``last`` segment numbers.

    ``of_archive``: known by its history file in the archive alone. ``complete``: it is known to have ended.
    ``own_wal``: it brings the WAL that it needs to be consistent along.
    """

    id: str
    timeline: int
    start: int
    first: int
    last: int | None
    started: str
    of_archive: bool
    complete: bool
    own_wal: bool = False

    @property
    def needed_from(self) -> int:
        """The segment from which on a restore reads the archive: with WAL of its own, the last one of the backup."""
        return self.last if self.own_wal and self.last is not None else self.first


@dataclass(frozen=True)
class Slot:
    """A replication slot; ``restart`` is the oldest position it needs, ``None`` when the server no longer knows."""

    name: str
    restart: int | None
    status: str


@dataclass(frozen=True)
class Standby:
    """A connected receiver of WAL; ``position`` is ``None`` when the role may not see it."""

    name: str
    pid: int
    state: str
    position: int | None


@dataclass(frozen=True)
class Archiver:
    """How the server's archiver fares. Instants are epoch seconds; ``ready`` is ``None`` when it may not be seen."""

    mode: str
    last_archived: str
    archived_at: float | None
    failures: int
    last_failed: str
    failed_at: float | None
    ready: int | None

    @property
    def failing(self) -> bool:
        return self.failed_at is not None and (self.archived_at is None or self.failed_at > self.archived_at)


@dataclass(frozen=True)
class ServerView:
    """What a server says of its WAL. ``system`` is its system identifier, ``redo`` where a crash would begin.

    ``running_backups`` counts the base backups that are being taken from it, which do not say where they began.
    """

    label: str
    in_recovery: bool
    system: int
    segment_size: int
    redo: int
    timeline: int
    data_directory: str
    running_backups: int
    slots: tuple[Slot, ...]
    standbys: tuple[Standby, ...]
    archiver: Archiver


@dataclass(frozen=True)
class History:
    """The history of one timeline: where its ancestors end; ``branches`` is ``None`` when it cannot be read."""

    timeline: int
    branches: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True)
class Archive:
    """The archive as it was found. ``entries`` are its files with names of WAL, ``unknown`` counts the others.

    ``opaque``: the segments cannot be looked into (encrypted), so that their size says nothing. ``systems`` are the
    system identifiers that their clusters can be known by: one, or none.
    """

    path: str
    label: str
    segment_size: int
    entries: tuple[Entry, ...]
    histories: Mapping[int, History] = field(default_factory=dict)
    history_files: int = 0
    unknown: int = 0
    examples: tuple[str, ...] = ()
    opaque: bool = False
    systems: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"{self.label}: {self.path}"

    @property
    def segments(self) -> tuple[Entry, ...]:
        """The segments that can be read, in order."""
        return tuple(entry for entry in self.entries if entry.kind == SEGMENT and entry.readable)

    @property
    def newest(self) -> int | None:
        """The number of the newest segment, whole or partial."""
        return max((entry.number for entry in self.entries if entry.kind in (SEGMENT, PARTIAL)), default=None)

    def name_of(self, number: int, timeline: int) -> str:
        return segment_name(timeline, number, self.segment_size)


@dataclass(frozen=True)
class Snapshot:
    """All that a decision rests on."""

    archive: Archive
    backups: tuple[BaseBackup, ...]
    server: ServerView | None
    consumers: tuple[Need, ...]
    now: float


# --- what is decided


@dataclass(frozen=True)
class Need:
    """Somebody needs WAL from segment ``number`` on. ``position`` is the byte where that is known."""

    kind: str
    id: str
    number: int
    timeline: int | None = None
    position: int | None = None

    @property
    def title(self) -> str:
        """``the replication slot standby1``."""
        words = {
            BASE_BACKUP: "the base backup",
            SLOT: "the replication slot",
            STANDBY: "the connected standby",
            CONSUMER: "the consumer",
            REDO: "the last checkpoint of",
            KEEP_FROM: "keep_from",
        }
        return f"{words[self.kind]} {self.id}"

    def as_dict(self, archive: Archive) -> dict[str, Any]:
        timeline = self.timeline or max((entry.timeline for entry in archive.segments), default=1)
        return {
            "kind": self.kind,
            "id": self.id,
            "segment": archive.name_of(self.number, timeline),
            "lsn": None if self.position is None else lsn_text(self.position),
        }


@dataclass(frozen=True)
class Gap:
    """Segments that are missing between two that are there: ``count`` from ``first`` to ``last`` on one timeline."""

    timeline: int
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Chain:
    """What a restore to the newest state would read. ``broken_history`` names a timeline whose history is not there.

    ``since`` is the segment from which on it was looked at, ``until`` the newest of it. ``off`` are kept base backups
    from which no way leads to the newest state.
    """

    timeline: int
    since: int
    until: int | None
    gaps: tuple[Gap, ...] = ()
    broken_history: int | None = None
    off: tuple[BaseBackup, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What may go, oldest first, and why the rest stays.

    ``keep`` is the need that decides, ``needs`` are all of them, oldest first. ``kept`` are the base backups that are
    kept, ``unusable`` those that cannot be restored from this archive. ``irregular`` are files that would go, were they
    files of their own.
    """

    keep: Need
    needs: tuple[Need, ...]
    remove: tuple[Entry, ...]
    kept: tuple[BaseBackup, ...]
    unusable: tuple[BaseBackup, ...]
    pending: tuple[BaseBackup, ...]
    irregular: tuple[Entry, ...]
    chain: Chain


@dataclass(frozen=True)
class Removed:
    """What came of the plan: names that are gone by us, why others stay, and the one that ended the work."""

    names: frozenset[str] = frozenset()
    left: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""
    error: str = ""
    seconds: float = 0.0
