# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what goes. Pure: the time is a parameter."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import (
    CACHE,
    CONTAINERS,
    DANGLING,
    IMAGES,
    NETWORKS,
    VOLUMES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.model import (
    Kept,
    Plan,
    Policy,
    Snapshot,
    Thing,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import ROLLBACK_PREFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_ORDER = (CONTAINERS, DANGLING, IMAGES, CACHE, NETWORKS, VOLUMES)
_AT_REST = ("exited", "dead", "created")


def plan(snapshot: Snapshot, policy: Policy, now: datetime) -> Plan:
    """Return what goes, containers before their images, and what stays; *now* is aware."""
    going: list[Thing] = []
    kept: list[Kept] = []
    newest = newest_of(snapshot, policy)
    for thing in sorted(snapshot.things, key=lambda one: (_ORDER.index(one.kind), one.name)):
        gone = {one.id for one in going if one.kind == CONTAINERS}
        reason = reason_to_keep(thing, snapshot, policy, now, newest, gone)
        if reason:
            kept.append(Kept(thing, reason))
        else:
            going.append(thing)
    return Plan(tuple(going), tuple(kept))


def reason_to_keep(
    thing: Thing,
    snapshot: Snapshot,
    policy: Policy,
    now: datetime,
    newest: Collection[str],
    gone: Collection[str] = (),
) -> str:
    """Return why *thing* stays, or nothing. *gone* are the ids of containers that will have gone by then."""
    if thing.busy:
        return thing.busy
    reason = policy.keeps(thing.names, thing.labels) or _by_its_kind(thing, snapshot, policy, newest, gone)
    if reason or thing.kind == VOLUMES:  # a volume that is named is as old as it needs to be
        return reason
    if thing.since is None:
        return "since when it is here is not known"
    age, wanted = (now - thing.since).total_seconds(), policy.ages[thing.kind]
    return f"it is {format_duration(max(0.0, age))} old, less than {format_duration(wanted)}" if age < wanted else ""


def _by_its_kind(
    thing: Thing, snapshot: Snapshot, policy: Policy, newest: Collection[str], gone: Collection[str]
) -> str:
    if thing.kind == CONTAINERS:
        if thing.state not in _AT_REST:
            return f"it is {thing.state}"
        if thing.project and not thing.one_off and not policy.compose_containers:
            return f"it belongs to the Compose project {thing.project}"
    elif thing.kind in (DANGLING, IMAGES):
        users = [one for one in snapshot.users.get(thing.id, ()) if one not in gone]
        if users:
            return f"the container {snapshot.container_names.get(users[0], users[0][:12])} is made from it"
        if is_way_back(thing):
            return "an update can be taken back to it"
        if thing.kind == IMAGES and thing.id in newest:
            return f"it is among the {policy.keep_per_repository} newest of its name"
    return ""


def is_way_back(thing: Thing) -> bool:
    """True for an image to which an update can be taken back."""
    return any(name.rpartition(":")[2].startswith(ROLLBACK_PREFIX) for name in thing.names)


def newest_of(snapshot: Snapshot, policy: Policy) -> frozenset[str]:
    """Return the ids of the newest images of each repository, as many as are to stay."""
    by_repository: dict[str, list[Thing]] = {}
    for thing in snapshot.things:
        # What an update can be taken back to stays anyway, and got its name last: it would take the place of another.
        ranked = thing.kind == IMAGES and not is_way_back(thing)
        for repository in thing.repositories if ranked else ():
            by_repository.setdefault(repository, []).append(thing)
    found: set[str] = set()
    for members in by_repository.values():
        # One of unknown age may be the newest.
        members.sort(key=lambda one: (one.since is None, one.since.timestamp() if one.since else 0.0), reverse=True)
        found |= {one.id for one in members[: policy.keep_per_repository]}
    return frozenset(found)
