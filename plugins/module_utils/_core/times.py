# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants are aware datetimes in UTC; their text is RFC 3339 with a Z."""

from __future__ import annotations

from datetime import datetime, timezone

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

CADENCES = ("daily", "weekly", "monthly", "quarterly", "yearly")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def rfc3339(instant: datetime) -> str:
    """Return *instant* (aware) to the second, like ``2026-11-22T04:13:00Z``."""
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> datetime:
    """Return the aware instant of *text*. Raises ``InvalidInput`` when it is none or has no zone."""
    try:
        # Python before 3.11 does not read the Z.
        instant = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not an instant.", "Write it like 2026-11-22T04:13:00Z.") from None
    if instant.tzinfo is None:
        raise InvalidInput(f"{text!r} has no time zone.", "Write it like 2026-11-22T04:13:00Z.")
    return instant.astimezone(timezone.utc)


def period_of(cadence: str, instant: datetime) -> str:
    """Return the name of the period of *cadence* that holds *instant*, in UTC.

    ``2026-11-22`` (daily), ``2026-W47`` (weekly, ISO 8601), ``2026-11``, ``2026-Q4``, ``2026``.
    """
    day = instant.astimezone(timezone.utc).date()
    if cadence == "daily":
        return day.isoformat()
    if cadence == "weekly":
        year, week, _weekday = day.isocalendar()
        return f"{year}-W{week:02d}"
    if cadence == "monthly":
        return f"{day.year}-{day.month:02d}"
    if cadence == "quarterly":
        return f"{day.year}-Q{(day.month + 2) // 3}"
    if cadence == "yearly":
        return str(day.year)
    raise InvalidInput(f"{cadence!r} is no cadence.", f"Use one of {', '.join(CADENCES)}.")
