# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a database whose transaction ids or multixacts run out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    EMERGENCY_AGE,
    LAST_AGE,
    Policy,
)

_SHOWN = 10


@dataclass(frozen=True)
class Ages:
    """How old the oldest transaction and the oldest multixact of a database are."""

    xid: int
    mxid: int

    @property
    def oldest(self) -> int:
        return max(self.xid, self.mxid)

    @property
    def alarming(self) -> bool:
        return self.oldest > EMERGENCY_AGE

    @property
    def text(self) -> str:
        what, old = ("multixact", self.mxid) if self.mxid > self.xid else ("unfrozen transaction", self.xid)
        left = max(0, LAST_AGE - old)
        return f"its oldest {what} is {old} old, and no data can be changed any more after {left} further ones"


def wraparound(
    subject: str, before: Ages, after: Ages | None, policy: Policy, holders: Sequence[Holder], left: Mapping[str, int]
) -> list[Finding]:
    """Return what is to be said of a database whose ids run out; nothing when they do not.

    *after* are the ages once the work is done. *holders* are those that its tables are held by, *left* the ages of
    the oldest tables that the run does not touch.
    """
    if not before.alarming:
        return []
    now = after or before
    evidence: dict[str, Any] = {"xid_age": now.xid, "mxid_age": now.mxid, "limit": EMERGENCY_AGE}
    if after is not None:
        evidence["xid_age_before"], evidence["mxid_age_before"] = before.xid, before.mxid
    if not now.alarming:
        text = f"{subject} was near the end of its transaction ids ({before.oldest} of 2147483648), and is {now.oldest}"
        remedy = (
            "Find out why autovacuum did not keep up: autovacuum = off, too few workers, or something that held it."
        )
        return [Finding("pg.wraparound_averted", subject, Severity.WARNING, f"{text} old now.", evidence, remedy)]
    found = []
    blocking = [holder for holder in holders if holder.xid_age >= policy.xid_age]
    if blocking:
        found.append(_blocked(subject, blocking))
    if left:
        evidence["left"] = dict(list(left.items())[:_SHOWN])
    if blocking:
        remedy = "First end what holds it (pg.wraparound_blocked), then run the task again."
    elif after is None and not left:
        remedy = "Run the task without check mode, in a mode that vacuums."
    elif left:
        remedy = f"Run the task with mode freeze and without filters: {', '.join(list(left)[:_SHOWN])} would be left."
    else:
        remedy = "Run the task with mode freeze, and more time (time_limit) or connections (jobs) where it was cut off."
    text = f"{subject} runs out of transaction ids: {now.text}."
    return [*found, Finding("pg.wraparound_emergency", subject, Severity.CRITICAL, text, evidence, remedy)]


def _blocked(subject: str, blocking: Sequence[Holder]) -> Finding:
    named = "; ".join(holder.title for holder in blocking[:_SHOWN])
    return Finding(
        "pg.wraparound_blocked",
        subject,
        Severity.CRITICAL,
        f"Nothing can be frozen in {subject} beyond what these still hold: {named}.",
        {"holders": [holder.as_dict() for holder in blocking[:_SHOWN]], "count": len(blocking)},
        " ".join(holder.hint for holder in blocking[:_SHOWN]),
    )


def out_of_reach(subject: str, ages: Ages, why: str) -> Finding:
    """Return the finding for a database whose ids run out and that this run does not work in, for the reason *why*."""
    return Finding(
        "pg.wraparound_emergency",
        subject,
        Severity.CRITICAL,
        f"{subject} runs out of transaction ids: {ages.text}. This run does not work there: {why}.",
        {"xid_age": ages.xid, "mxid_age": ages.mxid, "limit": EMERGENCY_AGE},
        "Name it in databases. One that accepts no connections is frozen by autovacuum alone, or after "
        "ALTER DATABASE ... ALLOW_CONNECTIONS true.",
    )
