# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the next restore of a series will take, by those that were made for a test before. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import PHASES

_NEWEST = 90
#: With fewer restores nobody is warned: the slowest of them says little about the next.
ENOUGH = 5
# Making a server ready takes as long for a small backup as for a large one.
_FIXED = ("prepare",)


@dataclass(frozen=True)
class Rehearsal:
    """A restore for a test that came to its end: of a backup of *size* stored bytes, its phases in seconds."""

    taken_at: datetime
    size: int
    target: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    def scaled(self, size: int) -> dict[str, float]:
        """Return the phases as a backup of *size* bytes would take them on the same host."""
        ratio = size / self.size if self.size else 1.0
        return {
            phase: self.seconds[phase] * (1.0 if phase in _FIXED else ratio)
            for phase in PHASES
            if phase in self.seconds
        }


@dataclass(frozen=True)
class Forecast:
    """What *points* restores say of the next, in seconds: the middle (``p50``), and what 19 of 20 do not exceed."""

    points: int
    size: int
    p50: float
    p95: float
    phases: Mapping[str, tuple[float, float]]

    def as_plain(self) -> dict[str, Any]:
        return {
            "points": self.points,
            "size_bytes": self.size,
            "p50": round(self.p50, 3),
            "p95": round(self.p95, 3),
            "phases": {
                phase: {"p50": round(middle, 3), "p95": round(most, 3)} for phase, (middle, most) in self.phases.items()
            },
        }


def forecast(rehearsals: Sequence[Rehearsal], target: str, size: int) -> Forecast | None:
    """Return the forecast for a backup of *size* bytes; ``None`` when none of *rehearsals* went to *target*.

    The newest 90 count, in any order. A phase that some of them did not have took them no time.
    """
    there = sorted((one for one in rehearsals if one.target == target), key=lambda one: one.taken_at)[-_NEWEST:]
    scaled = [one.scaled(size) for one in there]
    if not scaled:
        return None
    totals = [sum(one.values()) for one in scaled]
    phases = {
        phase: (median(values), _p95(values))
        for phase in PHASES
        if any(values := [one.get(phase, 0.0) for one in scaled])
    }
    return Forecast(len(scaled), size, median(totals), _p95(totals), phases)


def _p95(values: Sequence[float]) -> float:
    """The least value that at least 95 percent of all do not exceed: the largest one, when there are fewer than 20."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]
