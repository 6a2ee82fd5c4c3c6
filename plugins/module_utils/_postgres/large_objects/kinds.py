# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which types can hold the number of a large object, and how. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    DIRECT,
    NESTED,
    NUMBER,
    NUMERIC,
    WORDS,
)

_INTEGERS = frozenset(("int2", "int4", "int8"))
# Beside the strings (category S), the types whose text may hold a number that means something to an application.
_DOCUMENTS = frozenset(("json", "jsonb", "xml", "hstore", "jsonpath"))


@dataclass(frozen=True)
class Leaf:
    """A type at the end of what a column's type (``root``) is made of. ``how`` is the way down to it."""

    root: int
    how: str
    name: str
    category: str
    builtin: bool


def kinds_of(leaves: Iterable[Leaf]) -> dict[int, str]:
    """Return how columns of each type may hold a number; types that cannot are left out."""
    by_root: dict[int, list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        by_root[leaf.root].append(leaf)
    found = {root: _kind_of(some) for root, some in by_root.items()}
    return {root: kind for root, kind in found.items() if kind is not None}


def _kind_of(leaves: list[Leaf]) -> str | None:
    ways = {leaf.how for leaf in leaves if leaf.builtin and leaf.name == "oid"}
    if ways:
        return ways.pop() if len(ways) == 1 else NESTED
    plain = [leaf for leaf in leaves if leaf.how == DIRECT]
    for leaf in plain:
        if leaf.builtin and leaf.name in _INTEGERS:
            return NUMBER
        if leaf.builtin and leaf.name == "numeric":
            return NUMERIC
    return WORDS if any(map(_may_hold_number, leaves)) else None


def _may_hold_number(leaf: Leaf) -> bool:
    if leaf.category == "S":
        return True
    return leaf.name in _DOCUMENTS or (leaf.builtin and (leaf.name in _INTEGERS or leaf.name == "numeric"))
