# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sizes and durations of a series go on: a straight line through what is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

_POINTS = 90
_NEEDED = 5
_DAY = 86400.0


@dataclass(frozen=True)
class Trend:
    """A line through *points* values: ``per_day`` is its slope, ``now`` its value at the newest point.

    ``spread`` is the median distance of the values from the line, so that one can see what a forecast is worth.
    """

    points: int
    now: float
    per_day: float
    spread: float

    def after(self, days: float) -> float:
        """Return the value that the line reaches so many days after the newest point, never below 0."""
        return max(0.0, self.now + self.per_day * days)


def trend(values: Sequence[tuple[datetime, float]]) -> Trend | None:
    """Return the trend of *values*, in any order, of which the newest 90 count; ``None`` for fewer than five.

    The slope is the median of the slopes between points that lie far apart (Theil and Sen, thinned out), so that one
    odd backup does not turn the line.
    """
    newest = sorted(values)[-_POINTS:]
    if len(newest) < _NEEDED:
        return None
    end = newest[-1][0]
    points = [((instant - end).total_seconds() / _DAY, value) for instant, value in newest]
    half = len(points) // 2
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in zip(points, points[half:])
        if later[0] > earlier[0]
    ]
    if not slopes:
        return None
    slope = median(slopes)
    now = median(value - slope * day for day, value in points)
    spread = median(abs(value - (now + slope * day)) for day, value in points)
    return Trend(len(points), now, slope, spread)
