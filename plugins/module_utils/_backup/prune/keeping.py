# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups may go, when only those that are verified count. Pure.

A backup may go when the retention would not keep it, were it whole, beside those that are known to be whole: whatever
it could be wanted for, a newer verified one is there for the same. So a broken backup never takes the place of a good
one, and one of which nothing is known goes only when it does not matter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import accumulate

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import UNKNOWN, VERIFIED
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import retained

NEWEST = "one of the newest verified"
_EVERY = Keep(daily=1, weekly=1, monthly=1, yearly=1)


@dataclass(frozen=True)
class Verdict:
    """``why`` names the rule that keeps a backup, empty when none does. ``prove`` are the indexes worth a look."""

    why: tuple[str, ...]
    prove: tuple[int, ...]


def verdict(
    instants: Sequence[datetime], states: Sequence[str], keep: Keep, keep_verified: int, zone: tzinfo | None = None
) -> Verdict:
    """Judge backups taken at *instants*, newest first, of which *states* say what is known.

    ``prove`` has those of unknown state whose proof would let another go; it is empty when nothing more can go.
    """
    periods = [retained([instant], _EVERY, zone).covered for instant in instants]
    now = _Judge(instants, states, periods, keep, keep_verified, zone)
    if UNKNOWN not in states:
        return Verdict(now.why, ())
    hoped = [VERIFIED if state == UNKNOWN else state for state in states]
    hopeful = _Judge(instants, hoped, periods, keep, keep_verified, zone)
    blocked = [index for index, why in enumerate(hopeful.why) if not why and now.why[index]]
    return Verdict(now.why, tuple(sorted(now.worth_proving(blocked))))


class _Judge:
    def __init__(
        self,
        instants: Sequence[datetime],
        states: Sequence[str],
        periods: Sequence[frozenset[str]],
        keep: Keep,
        keep_verified: int,
        zone: tzinfo | None,
    ) -> None:
        self._states = states
        self._keep = keep
        self._keep_verified = keep_verified
        self._periods = periods
        verified = [index for index, state in enumerate(states) if state == VERIFIED]
        # How many verified ones are newer than each.
        self._newer = [0, *accumulate(int(state == VERIFIED) for state in states)]
        whole = retained([instants[index] for index in verified], keep, zone)
        self._rule = {verified[index]: rule for index, rule in whole.why.items()}
        # How far back the rules reach is counted from the newest verified one, and ends with the oldest of all.
        reach = retained([*(instants[index] for index in verified), *instants[-1:]], keep, zone) if verified else whole
        self._wanted = {*reach.covered, *reach.missing}
        self._holder: dict[str, int] = {}  # the newest verified one of each period
        for index in verified:
            for period in self._periods[index]:
                self._holder.setdefault(period, index)
        self.why = tuple(self._reason(index) for index in range(len(states)))

    def _reason(self, index: int) -> str:
        """Return the rule by which *index* stays; an empty text when it may go."""
        newer = self._newer[index]
        if self._states[index] == VERIFIED:
            return NEWEST if newer < self._keep_verified else self._rule.get(index, "")
        if newer < max(self._keep_verified, self._keep.last):
            return f"{NEWEST}, were it whole"
        open_ones = [period for period in self._periods[index] & self._wanted if self._is_open(period, index)]
        return f"{min(open_ones)}, were it whole" if open_ones else ""

    def _is_open(self, period: str, index: int) -> bool:
        """True when no verified backup newer than *index* stands for *period*."""
        return self._holder.get(period, index) >= index

    def worth_proving(self, blocked: Sequence[int]) -> set[int]:
        """Return those of unknown state that stand in the way of *blocked*, which would go if all were whole."""
        unknown = [index for index, state in enumerate(self._states) if state == UNKNOWN]
        picked: set[int] = set()
        if not blocked:
            return picked
        need = max(self._keep_verified, self._keep.last)
        newest_of: dict[str, int] = {}
        for index in unknown:
            for period in self._periods[index]:
                newest_of.setdefault(period, index)
        # From the newest is counted back, so what it is decides about all.
        picked.update(index for index in unknown[:1] if not self._newer[index])
        for index in blocked:
            lacking = max(0, need - self._newer[index])
            picked.update(unknown[: min(lacking, bisect_left(unknown, index))])
            for period in self._periods[index] & self._wanted:
                if self._is_open(period, index) and newest_of.get(period, index) < index:
                    picked.add(newest_of[period])
        return picked
