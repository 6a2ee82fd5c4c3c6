# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows as people write them: ``02:00-05:00``, ``sun 03:00-04:00``, ``first sun 22:00-02:00``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_EXAMPLES = "Write it like 02:00-05:00, sat,sun 22:00-04:00, or first sun 02:00-05:00 Europe/Berlin."
_WINDOW = re.compile(
    r"(?:(?:(?P<ordinal>[a-z]+)\s+)?(?P<days>[a-z]{3}(?:,[a-z]{3})*)\s+)?"
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>\S+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Window:
    """A span of each day, or of some weekdays (0 is Monday), that belongs to the day on which it starts.

    ``week`` is 1 for the first such weekday of a month, and so on; 0 for all. An ``end`` not after ``start`` lies on
    the next day.
    """

    text: str
    start: time
    end: time
    days: frozenset[int] = frozenset(range(7))
    week: int = 0
    zone: tzinfo = timezone.utc

    def left(self, instant: datetime) -> float | None:
        """Return the seconds until the window that is open at *instant* (aware) closes; ``None`` when none is open."""
        today = instant.astimezone(self.zone).date()
        for day in (today, today - timedelta(days=1)):
            opens, closes = self._on(day)
            if self._is_on(day) and opens <= instant < closes:
                return (closes - instant).total_seconds()
        return None

    def _on(self, day: date) -> tuple[datetime, datetime]:
        last = day if self.end > self.start else day + timedelta(days=1)
        # By way of UTC: two times of one zone are subtracted as if its clock were never put forward or back.
        opens, closes = (datetime.combine(*when, tzinfo=self.zone) for when in ((day, self.start), (last, self.end)))
        return opens.astimezone(timezone.utc), closes.astimezone(timezone.utc)

    def _is_on(self, day: date) -> bool:
        return day.weekday() in self.days and self.week in (0, (day.day + 6) // 7)


def parse_window(text: object) -> Window:
    """Return the window that *text* describes; without a zone it is in UTC.

    Raises ``InvalidInput``, which names the text, for anything else.
    """
    match = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(f"{str(text)[:80]!r} is no maintenance window.", _EXAMPLES)
    ordinal, days, start, end, zone = match.groups()
    return Window(
        text=match.group(),
        start=_time(match.group(), start),
        end=_time(match.group(), end),
        days=_days(match.group(), days),
        week=_week(match.group(), ordinal),
        zone=_zone(match.group(), zone),
    )


def _time(text: str, clock: str) -> time:
    try:
        return time.fromisoformat(clock)
    except ValueError:
        raise InvalidInput(f"{text!r} is no maintenance window: there is no {clock}.", _EXAMPLES) from None


def _days(text: str, days: str | None) -> frozenset[int]:
    if days is None:
        return frozenset(range(7))
    words = days.lower().split(",")
    for word in words:
        if word not in _DAYS:
            raise InvalidInput(f"{text!r} is no maintenance window: {word!r} is no day of the week.", _EXAMPLES)
    return frozenset(map(_DAYS.index, words))


def _week(text: str, ordinal: str | None) -> int:
    if ordinal is None:
        return 0
    if ordinal.lower() not in _ORDINALS:
        raise InvalidInput(f"{text!r} is no maintenance window: {ordinal!r} is none of first to fourth.", _EXAMPLES)
    return _ORDINALS[ordinal.lower()]


def _zone(text: str, zone: str | None) -> tzinfo:
    if zone is None or zone.upper() in ("UTC", "Z"):
        return timezone.utc
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"{text!r} is no maintenance window: this host knows no zone {zone!r}.", _EXAMPLES) from None
