# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an application's versions, and how a list of commits is read."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SECURITY, FIX, FEATURE, OTHER = "security", "fix", "feature", "other"
GROUPS = (SECURITY, FIX, FEATURE, OTHER)

# Conventional Commits: `type(scope)!: subject`.
_HEAD = re.compile(r"(?P<type>[A-Za-z]+)(?:\((?P<scope>[^)]*)\))?(?P<breaking>!)?:\s")
_ADVISORY = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3})\b", re.IGNORECASE)
_SECURITY_TYPES = frozenset(("security", "sec", "vuln"))
_FIX_TYPES = frozenset(("fix", "bugfix", "hotfix", "revert", "perf"))
_FEATURE_TYPES = frozenset(("feat", "feature"))
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE:", re.MULTILINE)


@dataclass(frozen=True)
class Commit:
    """One commit: its hash, the instant of its author as git wrote it, its subject and the rest of its message."""

    hash: str
    date: str
    subject: str
    body: str = ""

    @property
    def group(self) -> str:
        """The group by commit convention; what follows none is ``other``, unless it names an advisory."""
        head = _HEAD.match(self.subject)
        kind = head.group("type").lower() if head else ""
        scope = (head.group("scope") or "").lower() if head else ""
        if (
            kind in _SECURITY_TYPES
            or "security" in scope.split(",")
            or _ADVISORY.search(f"{self.subject}\n{self.body}")
        ):
            return SECURITY
        if kind in _FIX_TYPES:
            return FIX
        return FEATURE if kind in _FEATURE_TYPES else OTHER

    @property
    def breaking(self) -> bool:
        head = _HEAD.match(self.subject)
        return bool(head and head.group("breaking")) or _BREAKING.search(self.body) is not None

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"commit": self.hash[:12], "date": self.date, "subject": self.subject}
        return {**told, "breaking": True} if self.breaking else told


def grouped(commits: Sequence[Commit]) -> dict[str, list[dict[str, Any]]]:
    """Return ``{security, fix, feature, other}``, every word present, the newest commit first."""
    return {group: [one.as_dict() for one in commits if one.group == group] for group in GROUPS}


def matching(paths: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return those of *paths* that a shell pattern matches; a leading ``*`` also matches nothing."""
    return [
        path
        for path in paths
        if any(fnmatch.fnmatchcase(path, one) or fnmatch.fnmatchcase(f"/{path}", one) for one in patterns)
    ]


@dataclass(frozen=True)
class Generation:
    """A version that ran here. ``images`` has name and id of the image of each service, ``tags`` what spares them."""

    number: int
    version: str
    commit: str
    committed_at: str
    revision: str = ""
    backups: tuple[str, ...] = ()
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "version": self.version,
            "commit": self.commit,
            "committed_at": self.committed_at,
            "revision": self.revision,
            "backups": list(self.backups),
            "images": {service: dict(image) for service, image in self.images.items()},
            "tags": list(self.tags),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Generation:
        return cls(**{**record, **{name: tuple(record.get(name) or ()) for name in ("backups", "tags")}})


@dataclass(frozen=True)
class Pending:
    """An update under way: where it came from (``branch`` is empty for a detached head), and where it goes.

    ``back`` is set when it goes to the version before, so that one that was cut off goes on to the same one.
    ``images`` has what the services ran before, so that their names can be given back: a build moves them.
    """

    version: str
    commit: str
    from_commit: str
    branch: str
    started_at: str
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    back: bool = False

    def as_dict(self) -> dict[str, Any]:
        images = {service: dict(image) for service, image in self.images.items()}
        return {**self.__dict__, "images": images, "tags": list(self.tags)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Pending:
        return cls(**{**record, "tags": tuple(record.get("tags") or ())})


def prune(generations: Sequence[Generation], keep: int) -> tuple[list[Generation], list[Generation]]:
    """Return the generations that stay, the last *keep* of them and at least one, and those that go."""
    count = max(1, keep)
    return list(generations[-count:]), list(generations[:-count])
