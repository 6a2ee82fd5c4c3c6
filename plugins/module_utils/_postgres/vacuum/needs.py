# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one table needs, and the numbers against the thresholds that say so. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    EMERGENCY_AGE,
    FREEZE,
    MODE_ACTIONS,
    VACUUM,
    Autovacuum,
    Counters,
    Limit,
    Policy,
    Reason,
    Step,
    Table,
)

# pg_statistic itself: ANALYZE leaves it out without a word.
STATISTICS_CATALOG = 2619
_LACKING = {
    "all": "it has rows and no statistics",
    "columns": "a column has no statistics",
    "inherited": "it has no statistics over its children",
    "expressions": "an expression of an index has no statistics",
    "extended": "a statistics object (CREATE STATISTICS) has no data",
}
# The reasons for a FREEZE.
AGES = frozenset(("xid", "mxid"))
# The rank of the first reason that applies, after 1 for an age that is an emergency.
_RANKS = {"xid": 2, "mxid": 2, "dead": 3, "missing_stats": 4, "inserts": 5, "stats": 5, "always": 5}
OLDEST_FIRST = 2
# Of a table that came into being after its thresholds were read.
UNKNOWN_LIMITS = Autovacuum(Limit(math.inf, 0.0), Limit(math.inf, 0.0))
TOAST_ROWS = "rows of its TOAST table"


@dataclass
class Below:
    """The sums over the partitions or children of one table. ``modified`` leaves out those that we may not analyse."""

    live: int = 0
    modified: int = 0
    foreign: bool = False


NOTHING_BELOW = Below()


def heeds_rows(policy: Policy) -> bool:
    """Whether the mode vacuums for the sake of rows, and not of ages alone."""
    actions = MODE_ACTIONS[policy.mode]
    return VACUUM in actions and FREEZE not in actions


def row_reasons(table: Table, policy: Policy, part: Below) -> list[Reason]:
    """Return why the rows of a table need work, all its reasons but its age. *part* is what lies below it."""
    able = possible(table, policy)
    if policy.always:
        return [Reason("always", "asked for")] if able else []
    reasons: list[Reason] = []
    if VACUUM in able and heeds_rows(policy):
        reasons += dead_reasons(table, table.counters, policy) + _insert_reasons(table, policy)
    if ANALYZE in able:
        missing = _missing(table, policy, part)
        reasons += missing or _stale(table, policy, part)
    return reasons


def further_reasons(table: Table, policy: Policy, part: Below, known: Sequence[Reason]) -> list[Reason]:
    """Return the reasons that a table with the *known* ones will have after that work.

    Any work lets the server count the rows anew, and the thresholds of autovacuum are a share of them: without this, an
    ANALYZE after many deletes would be followed by a VACUUM in the next run.
    """
    if not policy.autovacuum or not known or table.partitioned:
        return []
    limits = table.autovacuum or UNKNOWN_LIMITS
    counted = replace(
        table,
        rows=float(table.counters.live),
        autovacuum=replace(limits, toast_rows=float(table.counters.toast_live)),
    )
    codes = {reason.code for reason in known}
    return [reason for reason in row_reasons(counted, policy, part) if reason.code not in codes]


def possible(table: Table, policy: Policy) -> tuple[str, ...]:
    """Return the actions of the mode that this table can be given."""
    actions = MODE_ACTIONS[policy.mode]
    vacuums = table.kind != "p" and (policy.heap or bool(table.toast))
    analyzes = table.oid != STATISTICS_CATALOG
    if vacuums and analyzes:
        return actions
    return tuple(action for action in actions if (analyzes if action == ANALYZE else vacuums))


def work_for(table: Table, policy: Policy, due: Sequence[Reason]) -> tuple[str, ...]:
    """Return the actions for the reasons that are *due*, in the order in which a statement names them."""
    return _actions_for(possible(table, policy), frozenset([reason.code for reason in due]))


@lru_cache(maxsize=128)
def _actions_for(able: tuple[str, ...], codes: frozenset[str]) -> tuple[str, ...]:
    wanted = set(able) if codes & {"dead", "always"} else set()
    if codes & AGES:
        wanted |= {VACUUM, FREEZE}
    if "inserts" in codes:
        wanted.add(VACUUM)
    if codes & {"stats", "missing_stats"}:
        wanted.add(ANALYZE)
    return tuple(action for action in (VACUUM, FREEZE, ANALYZE) if action in wanted)


def age_reasons(counters: Counters, policy: Policy) -> list[Reason]:
    """Return why a table with these counters needs a FREEZE: what is oldest in it, or in its TOAST table."""
    if VACUUM not in MODE_ACTIONS[policy.mode]:
        return []
    xid = max(policy.heap * counters.heap_xid_age, policy.toast * counters.toast_xid_age)
    mxid = max(policy.heap * counters.heap_mxid_age, policy.toast * counters.toast_mxid_age)
    reasons = []
    if xid >= policy.xid_age:
        reasons.append(Reason("xid", f"its oldest unfrozen transaction is {xid} old (limit {policy.xid_age})"))
    if mxid >= policy.mxid_age:
        reasons.append(Reason("mxid", f"its oldest multixact is {mxid} old (limit {policy.mxid_age})"))
    return reasons


def dead_reasons(table: Table, counters: Counters, policy: Policy) -> list[Reason]:
    """Return why the table, were these its counters, needs a VACUUM: itself, or its TOAST table."""
    if counters.dead <= 0 and counters.toast_dead <= 0:
        return []
    limits = table.autovacuum or UNKNOWN_LIMITS
    reasons = []
    for wanted, dead, live, what, limit, rows in (
        (policy.heap, counters.dead, counters.live, "rows", limits.dead, table.rows),
        (policy.toast, counters.toast_dead, counters.toast_live, TOAST_ROWS, limits.toast_dead, limits.toast_rows),
    ):
        if not wanted or dead <= 0:
            continue
        said = _limit_passed(dead, limit, rows) if policy.autovacuum else _share_passed(dead, live, policy)
        if said:
            reasons.append(Reason("dead", f"{dead} of {dead + live} {what} are dead{said}"))
    return reasons


def _limit_passed(count: int, limit: Limit | None, rows: float) -> str:
    """Return the limit of autovacuum in words when *count* is above it, else nothing."""
    return f" (limit of autovacuum {limit.of(rows):.0f})" if limit is not None and count > limit.of(rows) else ""


def _share_passed(dead: int, live: int, policy: Policy) -> str:
    share = dead / (dead + live)
    if dead < max(policy.dead_min, 1) or share < policy.dead_ratio:
        return ""
    return f", a share of {share:.3f} (limits {policy.dead_min} and {policy.dead_ratio:.4g})"


def _insert_reasons(table: Table, policy: Policy) -> list[Reason]:
    """Return why autovacuum would vacuum a table that is only added to: to freeze it, and for index-only scans."""
    if not policy.autovacuum:
        return []
    limits = table.autovacuum or UNKNOWN_LIMITS
    reasons = []
    for wanted, inserted, what, limit, rows in (
        (policy.heap, limits.inserted, "rows", limits.inserts, table.rows),
        (policy.toast, limits.toast_inserted, TOAST_ROWS, limits.toast_inserts, limits.toast_rows),
    ):
        said = _limit_passed(inserted, limit, rows) if wanted else ""
        if said:
            reasons.append(Reason("inserts", f"{inserted} {what} were inserted since VACUUM{said}"))
    return reasons


def _missing(table: Table, policy: Policy, part: Below) -> list[Reason]:
    # The server's own catalogs never get statistics for what they did not hold when the database was made.
    if not policy.missing_stats or not table.lacks or table.catalog:
        return []
    if max(table.counters.live, table.rows, part.live) <= 0:
        return []
    analysed = table.counters.analyzed_at is not None
    # A partitioned table's own counter of changes stays at 0, but it was empty when it was analysed.
    filled = table.counters.modified > 0 or (table.partitioned and table.rows <= 0)
    if table.lacks == "all" and analysed and not filled:
        return []
    return [Reason("missing_stats", _LACKING[table.lacks])]


def _stale(table: Table, policy: Policy, part: Below) -> list[Reason]:
    if is_uncounted(table):
        return [Reason("stats", "the server has lost its counts (a crash or a reset), and ANALYZE restores them")]
    changed, of = table.counters.modified, float(table.counters.live)
    text = "rows changed since ANALYZE"
    if table.partitioned:
        changed, of, text = part.modified, float(part.live), "rows of its partitions changed since ANALYZE"
        # Partitions that were analysed on their own have forgotten their changes; the number of their rows has not.
        grown = round(abs(part.live - table.rows))
        if table.rows >= 0 and grown > changed:
            changed, of, text = grown, table.rows, "rows more or fewer in its partitions than at its last ANALYZE"
    if policy.autovacuum:
        limits = table.autovacuum or UNKNOWN_LIMITS
        said = _limit_passed(changed, limits.changed, of if table.partitioned else table.rows)
        return [Reason("stats", f"{changed} {text}{said}")] if said else []
    if changed < max(policy.mod_min, 1) or changed < policy.mod_ratio * of:
        return []
    return [Reason("stats", f"{changed} {text} (limits {policy.mod_min} and {policy.mod_ratio:.4g} of {of:.0f})")]


def is_uncounted(table: Table) -> bool:
    """Whether a table that was vacuumed or analysed once has no counts at all. A new catalog has none either."""
    counters = table.counters
    counted = counters.live or counters.dead or counters.modified or counters.vacuumed_at or counters.analyzed_at
    return not counted and table.rows > 0 and not table.partitioned and not table.catalog


def is_recent(reason: Reason, table: Table, policy: Policy, now: datetime) -> bool:
    if policy.recent is None:
        return False
    only_analyze = reason.code in ("stats", "missing_stats") or VACUUM not in possible(table, policy)
    at = table.counters.analyzed_at if only_analyze else table.counters.vacuumed_at
    return at is not None and now.timestamp() - at < policy.recent


def rank(step: Step) -> int:
    """Return how urgent a step is: 1 and 2 ages, 3 dead rows, 4 missing statistics, 5 stale ones."""
    urgency = min([_RANKS[reason.code] for reason in step.reasons])
    return 1 if urgency == OLDEST_FIRST and age(step.table.counters) > EMERGENCY_AGE else urgency


def is_old(counters: Counters, policy: Policy) -> bool:
    return counters.xid_age >= policy.xid_age or counters.mxid_age >= policy.mxid_age


def age(counters: Counters) -> int:
    return max(counters.xid_age, counters.mxid_age)
