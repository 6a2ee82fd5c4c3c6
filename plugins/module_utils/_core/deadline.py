# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time that is limited: a deadline for one thing, a budget for a queue of things."""

from __future__ import annotations

import time
from typing import Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration


class Deadline:
    """A point on the monotonic clock, *seconds* from now. ``None`` never comes. *clock* returns seconds."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._start = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def remaining(self) -> float | None:
        """Seconds left, never below 0; ``None`` when there is no limit."""
        return None if self.seconds is None else max(0.0, self.seconds - self.elapsed)

    @property
    def expired(self) -> bool:
        """True from the very instant on at which no time is left."""
        return self.remaining == 0.0

    def require(self, what: str) -> None:
        """Raise ``DeadlineExceeded`` naming *what* when the time is over."""
        if self.expired:
            raise DeadlineExceeded(
                f"{what} was not finished within {format_duration(self.seconds or 0.0)}.",
                "Give it more time, or less to do.",
            )


class Budget(Deadline):
    """Time for acting work: what has begun may finish, but nothing new starts once it is spent."""

    @property
    def spent(self) -> bool:
        """True when nothing new may start."""
        return self.expired
