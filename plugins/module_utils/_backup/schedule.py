# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out whether a backup job is really installed: in the crontabs, or as a systemd timer. Changes nothing.

A crontab is read as text; nothing in it is run. What is found is how far apart two runs are at most.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import adapter
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Planned, Schedule
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

CRONTABS = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*", "/etc/anacrontab")
FOLDERS = {
    "/etc/cron.hourly": 3600.0,
    "/etc/cron.daily": 86400.0,
    "/etc/cron.weekly": 604800.0,
    "/etc/cron.monthly": 2678400.0,
}
_LARGEST = 1 << 20
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_WORDS = {
    **{day: number for number, day in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))},
    **{
        month: number
        for number, month in enumerate(
            ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
        )
    },
}
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*=")
_LONGEST_SEARCH = 400  # days


def planned(schedule: Schedule, now: datetime, seconds: float, roots: str = "") -> Planned:
    """Return what is found of *schedule*. *roots* is put before every path that is looked at."""
    if schedule.timer:
        return _timer(schedule.timer, seconds)
    return _cron(schedule.cron, now, roots)


# --- cron


def _cron(text: str, now: datetime, roots: str) -> Planned:
    what = f"cron job {text!r}"
    off: list[str] = []
    unreadable: list[str] = []
    for path, line in _lines(roots, unreadable):
        if text not in line:
            continue
        stripped = line.strip()
        if stripped.startswith("#"):
            off.append(path)
            continue
        times = _times_of(stripped)
        if times is not None:
            return Planned(what, path, _longest_pause(times, now))
    for folder, pause in FOLDERS.items():
        for path in sorted(glob.glob(f"{roots}{folder}/*")):
            found = _script(path, text, unreadable)
            if found is not None:
                return Planned(what, path, pause, problem=found)
    if off:
        return Planned(what, off[0], problem="it stands in a comment")
    if unreadable:
        return Planned(what, unreadable[0], problem=f"{unreadable[0]} cannot be read", unknown=True)
    return Planned(what, problem="no crontab has it")


def _lines(roots: str, unreadable: list[str]) -> Iterator[tuple[str, str]]:
    for pattern in CRONTABS:
        for path in sorted(glob.glob(roots + pattern)):
            # cron itself passes over names with a dot, such as those of editors and packages.
            if os.path.isdir(path) or ("cron.d/" in path and "." in os.path.basename(path)):
                continue
            for line in _text_of(path, unreadable).splitlines():
                yield path, line


def _text_of(path: str, unreadable: list[str]) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            return stream.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        unreadable.append(path)
        return ""


def _script(path: str, text: str, unreadable: list[str]) -> str | None:
    """Return why the script at *path*, when it is the one, would not run; an empty text when it would."""
    name = os.path.basename(path)
    if text not in name and text not in _text_of(path, unreadable):
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return "run-parts passes over a name with a dot in it"
    return "" if os.access(path, os.X_OK) else "it is not executable"


def _times_of(line: str) -> tuple[frozenset[int], ...] | None:
    """Return minutes, hours, days, months and weekdays of a line of a crontab; ``None`` when it has none."""
    if _ASSIGNMENT.match(line):
        return None
    words = line.split(None, 5)
    if words and words[0] in _NICKNAMES:
        words = [*_NICKNAMES[words[0]].split(), "command"]
    if len(words) < 6:
        return None
    try:
        fields = [_values(word, *bounds) for word, bounds in zip(words, _FIELDS)]
    except ValueError:
        return None
    fields[4] = frozenset(day % 7 for day in fields[4])
    # When both days are limited, either is enough.
    either = not words[2].startswith("*") and not words[4].startswith("*")
    return (*fields, frozenset((1,)) if either else frozenset())


def _values(text: str, lowest: int, highest: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.lower().split(","):
        span, _slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        low, high = (lowest, highest) if span == "*" else (_number(first), _number(last or first))
        if step and not dash and span != "*":
            high = highest
        if not lowest <= low <= high <= highest:
            raise ValueError(text)
        values.update(range(low, high + 1, int(step or 1)))
    return frozenset(values)


def _number(word: str) -> int:
    return _WORDS[word] if word in _WORDS else int(word)


def _longest_pause(times: tuple[frozenset[int], ...], now: datetime) -> float | None:
    """Return the longest time between two runs within the next months; ``None`` when there are not two."""
    minutes, hours, days, months, weekdays, either = times
    at_day = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    day = now.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    before: datetime | None = None
    longest = 0.0
    for _day in range(_LONGEST_SEARCH):
        in_month, in_week = day.day in days, (day.weekday() + 1) % 7 in weekdays
        if day.month in months and ((in_month or in_week) if either else (in_month and in_week)):
            for minute in at_day if before is None or len(at_day) < 2 else (at_day[0], at_day[-1]):
                instant = day + timedelta(minutes=minute)
                if before is not None:
                    longest = max(longest, (instant - before).total_seconds())
                before = instant
        day += timedelta(days=1)
    within = max((later - earlier for earlier, later in zip(at_day, at_day[1:])), default=0) * 60.0
    across = (at_day[0] + 1440 - at_day[-1]) * 60.0 if at_day else 0.0
    daily = len(days) == 31 and len(weekdays) >= 7 and len(months) == 12
    longest = max(within, across) if daily else longest
    return longest or None


# --- systemd


def _timer(name: str, seconds: float) -> Planned:
    unit = name if name.endswith(".timer") else f"{name}.timer"
    what = f"timer {unit}"
    program = adapter.program("systemctl")
    if program is None:
        return Planned(what, problem="systemctl is not here", unknown=True)
    wanted = "LoadState,ActiveState,UnitFileState,NextElapseUSecRealtime,LastTriggerUSec,TimersCalendar,TimersMonotonic"
    try:
        ended = run([program, "show", "--no-pager", f"--property={wanted}", "--", unit], seconds)
    except UpkeepError as error:
        return Planned(what, problem=error.message, unknown=True)
    if ended.status != 0:
        return Planned(
            what, problem=(ended.errors.strip().splitlines() or ["systemctl failed"])[-1][:200], unknown=True
        )
    return timer_of(what, unit, ended.output)


def timer_of(what: str, unit: str, text: str) -> Planned:
    """Return what ``systemctl show`` says in *text* of the timer *unit*."""
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        return Planned(what, unit, problem="no such timer is installed")
    if told.get("ActiveState") != "active":
        return Planned(what, unit, problem=f"it is {told.get('ActiveState') or 'not active'}")
    next_run = told.get("NextElapseUSecRealtime", "")
    every = re.search(r"OnUnit(?:Active|Inactive)U?Sec=([^;]+?)\s*;", told.get("TimersMonotonic", ""))
    pause = _seconds_of(every[1]) if every else None
    if not next_run and not every:
        return Planned(what, unit, problem="it is active, and will never run again")
    enabled = told.get("UnitFileState", "")
    if enabled in ("disabled", "masked"):
        return Planned(what, unit, pause, next_run, problem=f"it runs now, but is {enabled}: not after a restart")
    return Planned(what, unit, pause, next_run)


def _seconds_of(text: str) -> float | None:
    """Return the seconds of a time as systemd writes it: ``1d 2h 30min``."""
    words = text.replace("min", "m").replace("us", "ms").split()
    try:
        return sum(parse_duration(word) for word in words)
    except UpkeepError:
        return None
