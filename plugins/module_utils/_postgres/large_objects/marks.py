# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How old is a large object? PostgreSQL keeps no time of it, but the transaction that made it.

So each run notes where the counter of transactions stands, and the server's last checkpoint is another such note: what
an older transaction made is older than the note. Numbers of objects (oids) would say less: they wrap around after four
thousand million, which a busy cluster can use up in days, and start anew in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KEY = "large_objects"
_DAY = 86400.0
# Notes closer together than this, or than a tenth of their age, are thinned out; older ones than this are dropped.
_CLOSEST, _SHARE, _OLDEST = 3600.0, 0.1, 800 * _DAY
# Transactions are compared modulo 2^32, so half of that is as far as one can look back.
_HORIZON = (1 << 31) - 10_000_000
_FIRST_NORMAL = 3


@dataclass(frozen=True)
class Mark:
    """At ``time`` (epoch seconds) every transaction before ``xid`` (64 bits) had begun."""

    time: float
    xid: int

    @property
    def short(self) -> str:
        """The name of the transaction in 32 bits; the three that PostgreSQL keeps for itself are stepped over."""
        return str(max(self.xid % (1 << 32), _FIRST_NORMAL))


@dataclass(frozen=True)
class Clock:
    """What the server says of its transactions. ``commit_times``: it remembers when each was committed."""

    now: Mark
    checkpoint: Mark
    cluster: str
    commit_times: bool


def clock_of(
    now: float, xmin: int, checkpoint_at: float, next_xid: str, timeline: int, system: str, commit_times: bool
) -> Clock:
    """Return the clock of one row of ``CLOCK_QUERY``. ``next_xid`` is like ``0:745``."""
    epoch, _colon, number = next_xid.partition(":")
    checkpoint = Mark(checkpoint_at, (int(epoch) << 32) + int(number))
    # On another timeline the same transactions may have been others.
    return Clock(Mark(now, xmin), checkpoint, f"{system}/{timeline}", commit_times)


def limit(clock: Clock, marks: Iterable[Mark], min_age: float) -> str | None:
    """Return the transaction before which an object must have been made to be *min_age* seconds old.

    ``None`` when no note is that old: then nothing is known to be. Even with 0 seconds, what was made since the oldest
    transaction that still runs is too new: that one may be about to refer to it.
    """
    if min_age <= 0:
        return clock.now.short
    ends = clock.now.time - min_age
    newest = max((mark.xid for mark in (clock.checkpoint, *marks) if mark.time <= ends), default=None)
    if newest is None or clock.now.xid - newest > _HORIZON:
        return None
    return Mark(ends, min(newest, clock.now.xid)).short


def read(state: Mapping[str, Any], clock: Clock) -> list[Mark]:
    """Return the notes in the host's *state* about this cluster; what cannot be read counts as none."""
    kept = state.get(KEY)
    marks = kept.get(clock.cluster) if isinstance(kept, Mapping) else None
    entries = marks if isinstance(marks, list) else []
    return [Mark(float(entry[0]), int(entry[1])) for entry in entries if _is_mark(entry)]


def _is_mark(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, (int, float)) for part in entry)


def write(state: dict[str, Any], clock: Clock, marks: Iterable[Mark]) -> None:
    """Put *marks* and the present one into *state*. Those of other timelines of the cluster are dropped."""
    system = clock.cluster.partition("/")[0]
    kept = state.get(KEY)
    others = dict(kept) if isinstance(kept, Mapping) else {}
    others = {cluster: notes for cluster, notes in others.items() if cluster.partition("/")[0] != system}
    others[clock.cluster] = [[round(mark.time, 3), mark.xid] for mark in thinned([*marks, clock.now], clock.now.time)]
    state[KEY] = others


def thinned(marks: Iterable[Mark], now: float) -> list[Mark]:
    """Return *marks*, oldest first, at most about a hundred of them: the older, the fewer."""
    past = sorted((mark for mark in marks if now - _OLDEST <= mark.time <= now), key=lambda mark: mark.time)
    kept: list[Mark] = []
    for mark in past:
        # From old to new, so that a note stays until there is one that can stand for it.
        if not kept or mark.time - kept[-1].time >= max(_CLOSEST, (now - kept[-1].time) * _SHARE):
            kept.append(mark)
    return kept
