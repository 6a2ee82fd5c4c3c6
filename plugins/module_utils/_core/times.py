# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants are aware datetimes in UTC; their text is RFC 3339 with a Z."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

CADENCES = ("daily", "weekly", "monthly", "quarterly", "yearly")

# What datetime.fromisoformat takes differs between Python 3.9 and 3.11, and goes beyond RFC 3339 in each.
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(timezone.utc)


def rfc3339(instant: datetime) -> str:
    """Return *instant* (aware) to the second, like ``2026-11-22T04:13:00Z``. Raises ``ValueError`` for a naive one."""
    return _utc(instant).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def parse_rfc3339(text: object) -> datetime:
    """Return the aware instant of *text*. Raises ``InvalidInput`` when it is none or has no zone."""
    match = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(f"{str(text)[:80]!r} is not an instant.", "Write it like 2026-11-22T04:13:00Z.")
    day, time, fraction, zone = match.groups()
    if zone is None:
        raise InvalidInput(f"{text!r} has no time zone.", "Write it like 2026-11-22T04:13:00Z.")
    offset = "+00:00" if zone in "Zz" else zone
    try:
        return _utc(datetime.fromisoformat(f"{day}T{time}.{(fraction or '0')[:6].ljust(6, '0')}{offset}"))
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is not an instant.", "Write it like 2026-11-22T04:13:00Z.") from None


def period_of(cadence: str, instant: datetime) -> str:
    """Return the name of the period of *cadence* that holds *instant* (aware), in UTC.

    ``2026-11-22`` (daily), ``2026-W47`` (weekly, ISO 8601), ``2026-11``, ``2026-Q4``, ``2026``. Raises
    ``InvalidInput`` for another cadence.
    """
    day = _utc(instant).date()
    if cadence == "daily":
        return day.isoformat()
    if cadence == "weekly":
        year, week, _weekday = day.isocalendar()
        return f"{year:04d}-W{week:02d}"
    if cadence == "monthly":
        return f"{day.year:04d}-{day.month:02d}"
    if cadence == "quarterly":
        return f"{day.year:04d}-Q{(day.month + 2) // 3}"
    if cadence == "yearly":
        return f"{day.year:04d}"
    raise InvalidInput(f"{cadence!r} is no cadence.", f"Use one of {', '.join(CADENCES)}.")


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        # astimezone would take it for local time, which is another instant on every host.
        raise ValueError(f"{instant.isoformat()} has no time zone")
    return instant.astimezone(timezone.utc)
