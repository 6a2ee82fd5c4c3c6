# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup's name tells: when it was taken, and which format it claims to be. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

# shop-20261122T020000Z, backup_20261122_020000, 2026-11-22_02-00, 2026-11-22, 20261122020000; not 120261122.
# Dots part a time only when it has seconds: 2026_11_22_16.11 ends in a version. An offset from UTC follows only a time
# after a T: 2026-11-22_02-00-00-0001 ends in a number.
_STAMP = re.compile(
    r"(?<!\d)(?P<year>20\d\d)(?P<dash>[-_.]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:(?:(?P<iso>[Tt])|--|__|[-_. ]|)"
    r"(?P<hour>\d\d)(?:(?P<colon>[:_h-]?)(?P<minute>\d\d)(?:(?P=colon)(?P<second>\d\d))?"
    r"|\.(?P<minute_>\d\d)\.(?P<second_>\d\d))"
    r"(?P<zone>[Zz]|UTC|(?(iso)[+-]\d\d:?\d\d|(?!)))?)?(?!\d)"
)

# A job that is named by its day alone may end after midnight.
_DAY = timedelta(days=1)
_INTO_THE_NIGHT = timedelta(hours=6)

# What other programs write, told by what stands around it. Each has what ``time_pattern`` may have.
TIME_GROUPS = ("year", "month", "day", "hour", "minute", "second", "monthname", "week", "epoch", "zone")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FOREIGN = (
    # GitLab: 1763776800_2026_11_22_17.0.0_gitlab_backup.tar, and whatever else begins or ends in the seconds of Unix.
    r"(?<!\d)(?P<epoch>1[5-9]\d{8})(?!\d)",
    # kartoza/pg-backup: PG_shop.22-November-2026.dmp
    r"(?<!\d)(?P<day>\d\d)-(?P<monthname>[A-Z][a-z]{2,8})-(?P<year>20\d\d)(?!\d)",
    # autopostgresqlbackup: shop_2026-11-22_02h00m.Sunday.sql.gz
    r"(?<!\d)(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)_(?P<hour>\d\d)h(?P<minute>\d\d)m",
    # prodrigestivill/postgres-backup-local: weekly/shop-202647.sql.gz and monthly/shop-202611.sql.gz
    r"weekly/[^/]*?(?<!\d)(?P<year>20\d\d)(?P<week>[0-5]\d)(?!\d)",
    r"monthly/[^/]*?(?<!\d)(?P<year>20\d\d)(?P<month>[01]\d)(?!\d)",
)


@dataclass(frozen=True)
class NamedTime:
    """A time as a name has it: without a zone when the name has none, and to the day when ``to_the_day``.

    ``span`` is how long the day, the week or the month is that a name without an hour names.
    """

    instant: datetime
    to_the_day: bool
    span: timedelta = _DAY

    def in_utc(self, zone: tzinfo | None) -> datetime:
        """Return the instant in UTC; *zone* is that of names which carry none, ``None`` the host's own."""
        instant = self.instant
        if instant.tzinfo is None and zone is not None:
            instant = instant.replace(tzinfo=zone)
        return instant.astimezone(timezone.utc)


def time_in(components: Iterable[str]) -> NamedTime | None:
    """Return the time in the first of *components* (file name, its directory, ...) that has one.

    Of several in one component, one with an hour is taken before one without, and the last before the first.
    """
    for component in components:
        times = [time for time in map(_time_of, _STAMP.finditer(component)) if time is not None]
        exact = [time for time in times if not time.to_the_day]
        if times:
            return (exact or times)[-1]
    return None


def foreign_time(path: str, pattern: str = "") -> NamedTime | None:
    """Return the time that *pattern*, or without one the way of another program, finds in *path*."""
    for regex in [_compiled(pattern)] if pattern else map(_compiled, _FOREIGN):
        match = regex.search(path)
        time = _time_of_parts(match.groupdict()) if match is not None else None
        if time is not None:
            return time
    return None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _time_of_parts(part: dict[str, str | None]) -> NamedTime | None:
    """Return the time of the named groups of a match; ``None`` when they make no time."""
    try:
        if part.get("epoch"):
            return NamedTime(datetime.fromtimestamp(int(part["epoch"] or 0), timezone.utc), to_the_day=False)
        year = int(part["year"] or 0)
        year += 2000 if year < 100 else 0
        if part.get("week"):
            monday = datetime.fromisocalendar(year, int(part["week"] or 0), 1)
            return NamedTime(monday, to_the_day=True, span=timedelta(days=7))
        month = _month_of(part)
        day = datetime(year, month, int(part.get("day") or 1), tzinfo=_zone_of(part.get("zone") or ""))
        if not part.get("hour"):
            return NamedTime(day, to_the_day=True, span=_DAY if part.get("day") else timedelta(days=31))
        hour, minute, second = (int(part.get(unit) or 0) for unit in ("hour", "minute", "second"))
        return NamedTime(day.replace(hour=hour, minute=minute, second=second), to_the_day=False)
    except (ValueError, OverflowError, OSError):
        return None


def _month_of(part: dict[str, str | None]) -> int:
    name = part.get("monthname")
    return _MONTHS.index(name[:3].lower()) + 1 if name else int(part.get("month") or 1)


def _time_of(match: re.Match[str]) -> NamedTime | None:
    part = match.groupdict()
    try:
        day = datetime(int(part["year"]), int(part["month"]), int(part["day"]))  # noqa: DTZ001 (a day has no zone)
    except ValueError:
        return None
    if part["hour"] is None:
        return NamedTime(day, to_the_day=True)
    try:
        instant = day.replace(
            hour=int(part["hour"]),
            minute=int(part["minute"] or part["minute_"]),
            second=int(part["second"] or part["second_"] or 0),
            tzinfo=_zone_of(part["zone"] or ""),
        )
    except ValueError:
        return NamedTime(day, to_the_day=True)
    return NamedTime(instant, to_the_day=False)


def _zone_of(text: str) -> timezone | None:
    """Raises ``ValueError`` for an offset of a day or more."""
    if not text:
        return None
    if text[0] not in "+-":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def refined(day: datetime, mtime: datetime, span: timedelta = _DAY) -> datetime:
    """Return when a backup named by its *day* was taken: its *mtime* when that fits, else the day's beginning."""
    return mtime if day <= mtime < day + span + _INTO_THE_NIGHT else day


# The end of a name, and what the bytes must then be. A name that ends in none of these promises nothing.
CONTAINERS = {
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "bzip2",
    ".tbz2": "bzip2",
    ".xz": "xz",
    ".txz": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".lz4": "lz4",
    ".gpg": "openpgp",
    ".pgp": "openpgp",
    ".age": "age",
}
INNERMOST = {".sql": "sql", ".tar": "tar", ".pgdump": "pgdump-custom", ".sqlite": "sqlite", ".rdb": "redis-rdb"}
SHORT_FOR_TAR = (".tgz", ".tbz2", ".txz")


def promised_formats(name: str) -> list[str]:
    """Return the formats that *name* promises, outermost first: ``shop.sql.gz`` gives ``gzip``, ``sql``."""
    promised: list[str] = []
    lower = name.lower()
    while True:
        stem, dot, end = lower.rpartition(".")
        suffix = dot + end
        if suffix in INNERMOST:
            return [*promised, INNERMOST[suffix]]
        if not stem or suffix not in CONTAINERS:
            return promised
        promised.append(CONTAINERS[suffix])
        if suffix in SHORT_FOR_TAR:
            return [*promised, "tar"]
        lower = stem
