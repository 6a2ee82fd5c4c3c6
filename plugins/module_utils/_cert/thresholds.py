# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of its life a certificate may have left before somebody must act: the sooner of days and percent."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration, parse_percent

SHORT_LIVED = timedelta(days=10)
# No certificate is watched for a thousand years; further from now there are no dates to reckon with.
LONGEST_SECONDS = 366_000 * 86_400.0


@dataclass(frozen=True)
class Limit:
    """Either ``seconds`` of time or a ``share`` (0 to 1) of the lifetime."""

    seconds: Optional[float] = None
    share: Optional[float] = None


def parse_limit(text: str) -> Limit:
    """Return the limit that *text* writes: ``30d``, ``36h``, ``25%``. Raises ``InvalidInput``, naming the text."""
    if not text.strip().endswith("%"):
        seconds = parse_duration(text)
        if seconds > LONGEST_SECONDS:
            raise InvalidInput(f"{text!r} is more than a thousand years.", "Write less.")
        return Limit(seconds=seconds)
    share = parse_percent(text)
    if share > 1:
        raise InvalidInput(f"{text!r} is more than the whole lifetime.", "Write at most 100%.")
    return Limit(share=share)


def threshold(not_before: datetime, not_after: datetime, limits: Iterable[Limit]) -> float:
    """Return the seconds of remaining time at which the first of *limits* that comes is reached.

    The sooner rule wins: the smallest remaining time. Never negative; 0 when there is no limit, so that only the
    end itself counts.
    """
    lifetime = max(0.0, (not_after - not_before).total_seconds())
    return _soonest(lifetime, tuple(limits))


@functools.lru_cache(maxsize=1024)  # asked several times of each of many thousand certificates, which live alike
def _soonest(lifetime: float, limits: tuple[Limit, ...]) -> float:
    return min((_seconds(limit, lifetime) for limit in limits), default=0.0)


def renewal(not_before: datetime, not_after: datetime, limit: Optional[Limit]) -> datetime:
    """Return the instant from which renewal is due.

    None is certbot's rule: when a third of the lifetime is left, or half of one below ten days.
    """
    lifetime = not_after - not_before
    if limit is None:
        return not_after - (lifetime / 2 if lifetime < SHORT_LIVED else lifetime / 3)
    # Before it began, nothing is due; and before the first year of the calendar is no instant.
    return not_after - min(timedelta(seconds=threshold(not_before, not_after, (limit,))), max(lifetime, timedelta(0)))


def _seconds(limit: Limit, lifetime: float) -> float:
    return limit.seconds if limit.seconds is not None else (limit.share or 0.0) * lifetime
