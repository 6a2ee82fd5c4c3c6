# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and shell patterns, as users write them in databases, schemas, tables and indexes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

EVERYTHING = "*"
_WILDCARDS = frozenset("*?[")


def select(names: Iterable[str], patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the *names* that one of *patterns* fits, in their order, and the exact patterns that fit none."""
    known, wanted = list(names), list(patterns)
    chosen = [name for name in known if matches(name, wanted)]
    return chosen, [pattern for pattern in wanted if is_exact(pattern) and pattern not in known]


def is_exact(pattern: str) -> bool:
    return not _WILDCARDS & set(pattern)


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def chosen_by(*filters: Iterable[str]) -> tuple[str, ...]:
    """Return the names and patterns that choose among what is there: those that say more than "everything"."""
    return tuple(pattern for patterns in filters for pattern in patterns if pattern != EVERYTHING)
