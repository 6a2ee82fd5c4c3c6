# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups a retention policy keeps, which are missing and which are too many. Pure.

``last`` keeps the newest; ``daily``, ``weekly``, ``monthly`` and ``yearly`` keep the newest of each of so many days,
weeks, months and years, counted back from the newest backup. A backup is kept when any rule keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep

_PERIODS: dict[str, Callable[[datetime], str]] = {
    "daily": lambda day: day.strftime("%Y-%m-%d"),
    "weekly": lambda day: "{:04d}-W{:02d}".format(*day.isocalendar()[:2]),
    "monthly": lambda day: day.strftime("%Y-%m"),
    "yearly": lambda day: day.strftime("%Y"),
}


@dataclass(frozen=True)
class Retention:
    """What should be there, and is. ``kept`` and ``surplus`` are indexes into the instants that were given.

    ``missing`` are the periods of which no backup is there, as ``daily 2026-11-20``, ``covered`` those of which there
    is one; ``why`` has, for each that is kept, the rule that keeps it.
    """

    expected: int
    kept: tuple[int, ...]
    missing: tuple[str, ...]
    surplus: tuple[int, ...]
    why: dict[int, str]
    covered: frozenset[str]


def retained(instants: Sequence[datetime], keep: Keep, zone: tzinfo | None = None) -> Retention:
    """Return what *keep* says of backups taken at *instants*, in any order. Days are those of *zone*, or the host."""
    order = sorted(range(len(instants)), key=lambda index: instants[index], reverse=True)
    why: dict[int, str] = {}
    for index in order[: keep.last]:
        why.setdefault(index, "last")
    missing: list[str] = []
    covered: set[str] = set()
    if order:
        local = [instants[index].astimezone(zone) for index in order]
        for rule, name_of in _PERIODS.items():
            count = getattr(keep, rule)
            newest_of: dict[str, int] = {}
            for index, instant in zip(order, local):
                newest_of.setdefault(name_of(instant), index)
            wanted = _periods(name_of, local[0], local[-1], count)
            for period in wanted:
                if period in newest_of:
                    why.setdefault(newest_of[period], f"{rule} {period}")
                    covered.add(f"{rule} {period}")
                else:
                    missing.append(f"{rule} {period}")
    kept = tuple(index for index in order if index in why)
    surplus = tuple(index for index in order if index not in why)
    return Retention(len(kept) + len(missing), kept, tuple(missing), surplus, why, frozenset(covered))


def _periods(name_of: Callable[[datetime], str], newest: datetime, oldest: datetime, count: int) -> list[str]:
    """Return the names of the last *count* periods up to *newest*, none before that of *oldest*."""
    names: list[str] = []
    # By calendar days at noon: a day is not always 24 hours long.
    day, first = newest.replace(hour=12, minute=0), oldest.replace(hour=0, minute=0, second=0, microsecond=0)
    while len(names) < count and day >= first:
        name = name_of(day)
        if name not in names[-1:]:
            names.append(name)
        day -= timedelta(days=1)
    return names
