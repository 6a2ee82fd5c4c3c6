# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a snapshot: one verdict for each part that was asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health import (
    judge_copies,
    judge_database,
    judge_server,
    judge_sessions,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import (
    CLUSTER_PARTS,
    DATABASE_PARTS,
    PARTS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import (
    Place,
    Policy,
    Problem,
    Snapshot,
    Unseen,
    Verdict,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.words import combined, not_seen, pasteable
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import quote_name

ClusterJudge = Callable[[Snapshot, Policy, Any], Verdict]
PlaceJudge = Callable[[Snapshot, Policy, Place, Any], Verdict]

# Those that are made of the databases' own rows need nothing besides.
_CLUSTER_JUDGES: Mapping[str, ClusterJudge] = {
    "connections": judge_sessions.connections,
    "cache_hit": lambda snapshot, policy, _seen: judge_server.cache_hit(snapshot, policy),
    "long_queries": judge_sessions.long_queries,
    "idle_in_transaction": judge_sessions.idle_in_transaction,
    "lock_waits": judge_sessions.lock_waits,
    "xmin_holders": judge_sessions.xmin_holders,
    "wraparound": lambda snapshot, policy, _seen: judge_server.wraparound(snapshot, policy),
    "slow_queries": judge_server.slow_queries,
    "replication": judge_copies.replication,
    "archiver": judge_copies.archiver,
    "prepared_xacts": judge_sessions.prepared_xacts,
    "temp_files": lambda snapshot, policy, _seen: judge_server.temp_files(snapshot, policy),
    "checksums": lambda snapshot, _policy, seen: judge_server.checksums(snapshot, seen),
    "settings": lambda snapshot, _policy, _seen: judge_server.settings(snapshot),
    "autovacuum": judge_sessions.autovacuum,
    "sizes": lambda snapshot, _policy, seen: judge_server.sizes(snapshot, seen),
}
_PLACE_JUDGES: Mapping[str, PlaceJudge] = {
    "bloat": judge_database.bloat,
    "unused_indexes": judge_database.unused_indexes,
    "duplicate_indexes": lambda snapshot, _policy, place, seen: judge_database.duplicate_indexes(snapshot, place, seen),
    "invalid_indexes": lambda snapshot, _policy, place, seen: judge_database.invalid_indexes(snapshot, place, seen),
    "sequences": judge_database.sequences,
    "large_objects": lambda snapshot, _policy, place, seen: judge_database.large_objects(snapshot, place, seen),
    "last_vacuum": judge_database.last_vacuum,
    "autovacuum": lambda snapshot, _policy, place, seen: judge_database.autovacuum_off(snapshot, place, seen),
}


def evaluate(snapshot: Snapshot, policy: Policy) -> dict[str, Verdict]:
    """Return the verdict on each part that was asked for, in the order of the report."""
    return {part: _without(policy, snapshot, _judge(part, snapshot, policy)) for part in PARTS if part in policy.parts}


def _judge(part: str, snapshot: Snapshot, policy: Policy) -> Verdict:
    verdicts = []
    if part in _CLUSTER_JUDGES:
        verdicts.append(_of_cluster(part, snapshot, policy))
    if part in _PLACE_JUDGES:
        verdicts += [_of_place(part, snapshot, policy, place) for place in snapshot.places if part in place.parts]
    if part == "sizes":
        verdicts += [
            _sizes_of(snapshot, place) for place in snapshot.places if isinstance(place.parts.get(part), Unseen)
        ]
    return combined(verdicts)


def _of_cluster(part: str, snapshot: Snapshot, policy: Policy) -> Verdict:
    seen = snapshot.parts.get(part)
    if isinstance(seen, Unseen):
        return Verdict(problems=(not_seen(part, snapshot.subject(part), seen),))
    verdict = _CLUSTER_JUDGES[part](snapshot, policy, seen)
    disabled: Optional[Unseen] = snapshot.parts.get(f"{part}:disabled")
    if disabled is not None:
        more = not_seen(part, snapshot.subject(part), disabled)
        return replace(verdict, problems=(*verdict.problems, more))
    return verdict


def _of_place(part: str, snapshot: Snapshot, policy: Policy, place: Place) -> Verdict:
    seen = place.parts[part]
    if isinstance(seen, Unseen):
        return Verdict(problems=(not_seen(part, judge_database.place_subject(snapshot, place, part), seen),))
    verdict = _PLACE_JUDGES[part](snapshot, policy, place, seen)
    if not snapshot.in_recovery:
        return verdict
    return replace(verdict, problems=tuple(map(_on_primary, verdict.problems)))


def _on_primary(each: Problem) -> Problem:
    """What a standby has is its primary's, and is mended there."""
    if not each.sql:
        return each
    return replace(each, finding=replace(each.finding, remedy=f"On the primary: {each.finding.remedy}"))


def _sizes_of(snapshot: Snapshot, place: Place) -> Verdict:
    return Verdict(
        problems=(not_seen("sizes", judge_database.place_subject(snapshot, place, "sizes"), place.parts["sizes"]),)
    )


def _without(policy: Policy, snapshot: Snapshot, verdict: Verdict) -> Verdict:
    """Leave out what the user knows and has said so."""
    if not policy.ignore:
        return verdict
    kept = tuple(each for each in verdict.problems if not _is_ignored(policy, snapshot, each))
    return replace(verdict, problems=kept)


def _is_ignored(policy: Policy, snapshot: Snapshot, each: Problem) -> bool:
    name = each.finding.subject.removeprefix(f"{snapshot.label}: ")
    return any(fnmatchcase(name, pattern) for pattern in policy.ignore)


def examined(snapshot: Snapshot, policy: Policy) -> list[str]:
    """Return what was looked at, the healthy too: each part of the cluster, and each part of each database."""
    subjects = [snapshot.subject(part) for part in PARTS if part in policy.parts and part not in DATABASE_PARTS]
    subjects += [
        judge_database.place_subject(snapshot, place, part)
        for place in snapshot.places
        for part in PARTS
        if part in place.parts and part not in CLUSTER_PARTS
    ]
    return subjects


def unreachable(snapshot: Snapshot) -> list[Finding]:
    """Return a finding for each database that was asked for and does not let us in."""
    return [
        Finding(
            "pg.database_unreachable",
            snapshot.subject(quote_name(name)),
            Severity.UNKNOWN,
            f"Not seen: the database {one_line(quote_name(name))}; {why.rstrip('.')}.",
            {},
            "Leave it out of databases, or let the role in: "
            + pasteable(f"GRANT CONNECT ON DATABASE {quote_name(name)} TO {quote_name(snapshot.user)};"),
        )
        for name, why in snapshot.unreachable
    ]
