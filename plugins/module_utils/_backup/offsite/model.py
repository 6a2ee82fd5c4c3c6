# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be at another place, and what was found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Series
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline

DIRECTORY, RSYNC, RCLONE = "directory", "rsync", "rclone"
METHODS = (DIRECTORY, RSYNC, RCLONE)

# A copy under way: it is there for nobody until it was compared and renamed.
PARTIAL = ".upkeep-partial"

COPIED, EQUAL, DIFFERENT, MISSING, PLANNED = "copied", "equal", "different", "missing", "planned"
DOUBTFUL, FAILED, SKIPPED, SOURCE_BAD = "unknown", "failed", "skipped", "source_bad"


@dataclass(frozen=True)
class Ssh:
    """How the far host is reached. Paths, no secrets; ``connect_seconds`` is for the connection alone."""

    host: str
    user: str
    port: int
    identity_file: str
    known_hosts: str
    connect_seconds: int


@dataclass(frozen=True)
class Rclone:
    """How rclone is called: ``environment`` may hold secrets."""

    program: str = "rclone"
    config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Where what is to be. Times in seconds; ``bytes_per_second`` 0 for no limit."""

    site: str
    method: str
    path: str
    media: str
    offsite: bool
    immutable: bool
    same_disk: bool
    ssh: Ssh | None
    rclone: Rclone
    series: tuple[Series, ...]
    newest: int
    settle: float
    recheck_after: float
    bytes_per_second: int
    seconds: float
    retries: int
    retry_delay: float
    record: str


@dataclass(frozen=True)
class Local:
    """One file here. ``name`` is its path below the directory of the series, and below that of the site."""

    path: str
    name: str
    size: int
    mtime_ns: int
    wanted_sha256: str = ""


@dataclass(frozen=True)
class Backup:
    """A backup with what stands beside it. ``skipped`` says why it is not to be copied.

    One that is a directory has its files in ``parts``, and in ``own`` the names of those that its digest is over.
    """

    series: str
    local: Local
    taken_at: datetime
    beside: tuple[Local, ...] = ()
    skipped: str = ""
    parts: tuple[Local, ...] = ()
    own: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[Local, ...]:
        """What goes over the line, in this order: the manifest of a file before it, that of a directory after it.

        A file gets its name when it is whole; a directory cannot, so that its manifest says that it is.
        """
        return (*self.parts, *self.beside) if self.parts else (*self.beside, self.local)

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.files)


@dataclass(frozen=True)
class Seen:
    """A file at the far side. ``stamp`` changes when the file does, as far as the place can say."""

    size: int
    stamp: str = ""
    is_file: bool = True


@dataclass
class Copied:
    """What became of one backup. ``how`` says by what it was compared; ``sent`` is in bytes, where that is known."""

    backup: Backup
    what: str
    why: str = ""
    sha256: str = ""
    how: str = ""
    sent: int | None = None
    seconds: float = 0.0
    checked_at: str = ""
    attempts: int = 0
    proofs: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # SHA-256, how, when; by name


@dataclass(frozen=True)
class Settled:
    """What a copy turned out to be: ``seen`` is the file under its own name, None when its digest is another."""

    digest: str
    how: str
    seen: Seen | None


class Unreachable(Exception):
    """The far side did not do what it was asked; the text is the end of a sentence. ``again`` when it may yet."""

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


class Far(Protocol):
    """A place that may hold copies. Names are relative to it. All raise ``Unreachable`` and ``DeadlineExceeded``."""

    target: str
    resumes: bool

    def look(self, names: list[str], deadline: Deadline) -> dict[str, Seen]:
        """Return what is there of *names*; what is not there is left out."""

    def digest(self, name: str, deadline: Deadline) -> tuple[str, str]:
        """Return the SHA-256 of the bytes as they lie there, and how that was found out."""

    def send(self, local: Local, name: str, deadline: Deadline) -> int | None:
        """Copy *local* to *name*, going on with what is there of it; return the bytes that went over the line."""

    def settle(self, temporary: str, name: str, sha256: str, deadline: Deadline) -> Settled:
        """Read *temporary* back, and give it its *name* when it has that *sha256*, unless the name is taken."""

    def discard(self, temporary: str, deadline: Deadline) -> None:
        """Remove *temporary*, if it is there."""
