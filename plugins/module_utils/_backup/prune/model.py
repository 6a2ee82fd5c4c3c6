# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the backups of a series when it is decided which of them go, and what is decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep, Policy, Series

# What may prove that a backup is whole.
EITHER, NOW, RECORDED = "either", "now", "recorded"
PROOFS = (EITHER, NOW, RECORDED)

REPORT, REMOVE = "report", "remove"

# What is known of a backup.
#: ``doubtful`` is one that was read, and of which nobody can say whether it is whole.
VERIFIED, UNKNOWN, DOUBTFUL, BAD = "verified", "unknown", "doubtful", "bad"

KEPT, REMOVED, DEFERRED, CHANGED, FAILED = "kept", "removed", "deferred", "changed", "failed"


@dataclass(frozen=True)
class Rules:
    """What is wanted. Ages in seconds; ``share`` is the part of a series that may go in one run, as a ratio."""

    policy: Policy
    keep_verified: int
    proof: str
    proof_level: str
    proof_age: float
    max_remove: int
    share: float
    mixed_names: bool
    remove_leftovers: bool
    leftover_age: float


@dataclass(frozen=True)
class Identity:
    """By what a file is known again: a directory also by the digest over the names, sizes and times below it."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    below: str = ""


@dataclass(frozen=True)
class Candidate:
    """A backup that may go. ``path`` is below the directory ``base``; ``companions`` are the names beside it.

    ``bytes`` counts all of it; ``links`` are the names that the file has. ``state`` says whether it counts, ``why``
    where that is known from. ``dated`` is how many of the directories above it, nearest first, carry a time.
    """

    path: str
    base: str
    taken_at: datetime
    time_from: str
    identity: Identity
    directory: bool = False
    bytes: int = 0
    links: int = 1
    companions: tuple[str, ...] = ()
    state: str = UNKNOWN
    why: str = "nobody has verified it"
    of_series: str = ""
    dated: int = 0


@dataclass(frozen=True)
class Aside:
    """What the pattern leads to and is never touched: ``code`` names the finding, an empty one for none."""

    path: str
    reason: str
    code: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Leftover:
    """What a run that has ended left: ``kind`` is ``partial``, ``orphan`` or ``cut_off``; ``age`` in seconds."""

    path: str
    base: str
    kind: str
    age: float
    bytes: int
    identity: Identity
    busy: bool = False


@dataclass(frozen=True)
class Facts:
    """What there is of one series: ``candidates`` newest first. ``blind`` says what could not be looked at."""

    series: Series
    base: str = ""
    candidates: tuple[Candidate, ...] = ()
    asides: tuple[Aside, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    blind: str = ""
    ahead: str = ""
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why nothing of a series is removed."""

    code: str
    severity: str
    why: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What becomes of one backup, and why. ``removed`` is what is to be, until it was done."""

    candidate: Candidate
    what: str
    reason: str


@dataclass(frozen=True)
class SeriesPlan:
    """What becomes of a series: ``decisions`` newest first, whatever the refusal says."""

    facts: Facts
    decisions: tuple[Decision, ...] = ()
    refusal: Refusal | None = None
    keep: Keep | None = None

    @property
    def going(self) -> tuple[Decision, ...]:
        """What is to be removed, oldest first; nothing when it was refused."""
        if self.refusal is not None:
            return ()
        return tuple(one for one in reversed(self.decisions) if one.what == REMOVED)

    @property
    def guards(self) -> tuple[Candidate, ...]:
        """The verified ones that stay."""
        return tuple(one.candidate for one in self.decisions if one.what == KEPT and one.candidate.state == VERIFIED)
