# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers give way to which, in what order, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.journal import Batch, Old, Turn
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import (
    START_FIRST,
    STOP_FIRST,
    Container,
    Options,
    Policy,
    RollFailed,
    Wanted,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.names import repository_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

# What writes its own files and must not meet itself there.
_DATABASES = re.compile(
    r"(?:^|[/_-])(postgres|postgresql|postgis|timescaledb|mysql|mariadb|percona|mongo|mongodb|redis|valkey|keydb"
    r"|elasticsearch|opensearch|cassandra|scylla|clickhouse|influxdb|neo4j|couchdb|rabbitmq|kafka|zookeeper|etcd"
    r"|minio|mssql|oracle|cockroach|vault|consul|prometheus)(?:[-_][\w-]*)?$"
)
_BESIDE = re.compile(r"exporter|admin|client|backup|commander|insight|express|[-_]ui$|operator|proxy|bouncer")
_GRACE = 10.0
UNKNOWN_IMAGE = ""


@dataclass(frozen=True)
class Seen:
    """All that a plan is made of. ``images`` are the ids behind the references that services want; empty for one that
    is not there. ``volumes`` are the paths at which an image itself has volumes. ``boots`` are seconds from start to
    healthy of last time. ``unhealthy`` are the ids of containers whose own probes fail."""

    wanted: Mapping[str, Wanted]
    containers: Sequence[Container]
    images: Mapping[str, str]
    policies: Mapping[str, Policy]
    options: Options
    volumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclusive: frozenset[str] = frozenset()
    boots: Mapping[str, float] = field(default_factory=dict)
    probe_failing: frozenset[str] = frozenset()
    moving: bool = False  # images are going to be pulled or built: their ids are not known yet

    def of(self, service: str) -> list[Container]:
        return [one for one in self.containers if one.service == service]


@dataclass(frozen=True)
class Ordering:
    """Which comes first for a service, and why; ``conflicts`` are the reasons that allow no other."""

    order: str
    why: str
    conflicts: tuple[str, ...] = ()


def plan(seen: Seen) -> list[Turn]:
    """Return the turns of the services that need one, in the order in which they are taken.

    Raises ``InvalidInput`` for a service that is not there, and ``RollFailed`` (conflict) if ``on_conflict`` is fail.
    """
    _require_known(seen)
    chosen = {name for name in seen.wanted if not seen.options.services or name in seen.options.services}
    found: dict[str, Turn] = {}
    for name in in_order(seen.wanted, seen.options.peers, _unwell_first(seen)):
        wanted = seen.wanted[name]
        dragged = [other for other in wanted.shares if other in found and found[other].batches]
        if name not in chosen and not dragged:
            continue
        turn = turn_of(seen, wanted, dragged)
        if turn.batches:
            found[name] = turn
    return list(found.values())


def _require_known(seen: Seen) -> None:
    peers = [name for group in seen.options.peers for name in group]
    for option, names in (("services", seen.options.services), ("scale", seen.options.scale), ("peers", peers)):
        for name in names:
            if name not in seen.wanted:
                raise InvalidInput(
                    f"{option} names {name}, which is no service of the project, or one of an inactive profile.",
                    f"Its services are {', '.join(sorted(seen.wanted)) or 'none'}.",
                )


def _unwell_first(seen: Seen) -> Any:
    """Of peers, the ones that do not serve anyway are taken first."""

    def key(name: str) -> int:
        here = seen.of(name)
        return 0 if here and not any(one.running and one.health in ("", "healthy") for one in here) else 1

    return key


def closure(wanted: Mapping[str, Wanted], name: str) -> set[str]:
    """Return the services that one needs, and those that they need, without itself."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = {one for one in wanted[waiting.pop()].needs if one in wanted} - found - {name}
        found |= new
        waiting += new
    return found


def in_order(wanted: Mapping[str, Wanted], peers: Sequence[Sequence[str]] = (), key: Any = None) -> list[str]:
    """Return the services so that each comes after those that it depends on, and peers follow one another."""
    groups = {name: tuple(sorted(group, key=key) if key else group) for group in peers for name in group}
    result: list[str] = []

    def needs(name: str) -> set[str]:
        return {one for one in wanted[name].needs if one in wanted}

    waiting = list(wanted)
    while waiting:
        ready = [name for name in waiting if needs(name) <= set(result)]
        # Compose refuses a circle; whatever one slips through must not hang us.
        name = ready[0] if ready else waiting[0]
        for one in (*(peer for peer in groups.get(name, ()) if peer in ready), name):
            if one not in result:
                result.append(one)
                waiting.remove(one)
    return result


def turn_of(seen: Seen, wanted: Wanted, dragged: Sequence[str] = ()) -> Turn:
    """Return the turn of one service; without batches when there is nothing to do."""
    here, policy = seen.of(wanted.name), seen.policies[wanted.name]
    one_shot = wanted.one_shot
    may_end = one_shot or _has_ended_well(here)
    image_id = seen.images.get(wanted.image, UNKNOWN_IMAGE)
    replicas = replicas_of(wanted, here, seen.options.scale)
    reasons = list(reasons_of(wanted, here, image_id, replicas, may_end, seen.options.force, dragged))
    ordering = ordering_of(seen, wanted, policy, here)
    turn = Turn(
        wanted.name,
        ordering.order,
        ordering.why,
        reasons,
        wanted.hash,
        wanted.image,
        image_id,
        replicas,
        one_shot,
        may_end,
    )
    if not reasons:
        turn.keep = [one.id for one in here]
        return turn
    all_go = seen.options.force or bool(dragged)
    current = [] if all_go else [one for one in here if _is_current(wanted, one, image_id, may_end)]
    # Of too many, those stay that serve.
    stay = sorted(current, key=lambda one: (one.health == "unhealthy", one.number))[:replicas]
    turn.keep = [one.id for one in stay]
    leaving = sorted((one for one in here if one.id not in turn.keep), key=_worst_first)
    turn.batches = batches_of(leaving, replicas - len(stay), policy.parallelism, ordering.order)
    if turn.batches and ordering.conflicts and seen.options.on_conflict == "fail" and here:
        raise RollFailed(
            "conflict",
            f"{wanted.name} cannot run twice for a moment: {'; '.join(ordering.conflicts)}.",
            "Allow on_conflict=stop_first, or take away what only one container can have.",
            service=wanted.name,
        )
    turn.gap_expected = gap_of(seen, wanted, policy, turn, here)
    running = [one for one in here if one.running]
    turn.baseline_failing = bool(running) and all(one.health == "unhealthy" for one in running)
    turn.probe_failing = bool(running) and all(one.id in seen.probe_failing for one in running)
    return turn


def _is_current(wanted: Wanted, one: Container, image_id: str, may_end: bool) -> bool:
    if one.hash != wanted.hash or (image_id and one.image_id != image_id):
        return False
    return one.exit_code == 0 if may_end and one.state == "exited" else one.running


def _has_ended_well(here: Sequence[Container]) -> bool:
    """Whether what is there has done its work and was not meant to go on."""
    return bool(here) and all(
        one.state == "exited" and one.exit_code == 0 and one.policy.get("Name") in ("", "no", None) for one in here
    )


def replicas_of(wanted: Wanted, here: Sequence[Container], scale: Mapping[str, int]) -> int:
    """Return how many containers a service is to have: as asked, as its model says, else as many as run."""
    if wanted.name in scale:
        return scale[wanted.name]
    if wanted.replicas is not None:
        return wanted.replicas
    if wanted.container_name:
        return 1
    current, older = [one for one in here if one.hash == wanted.hash], [one for one in here if one.hash != wanted.hash]
    # Both generations side by side are what a roll left that was cut off.
    counted = older if current and older else here
    return max(1, sum(one.running for one in counted))


def reasons_of(
    wanted: Wanted,
    here: Sequence[Container],
    image_id: str,
    replicas: int,
    may_end: bool,
    force: bool,
    dragged: Sequence[str],
) -> Iterator[str]:
    """Yield, one word each, why a service needs a turn."""
    if any(one.hash != wanted.hash for one in here):
        yield "config_hash"
    if image_id and any(one.image_id != image_id for one in here):
        yield "image"
    if not here and replicas:
        yield "missing"
    elif len(here) != replicas and not (may_end and here):
        yield "scale"
    if any(not one.running and not (may_end and one.exit_code == 0) for one in here):
        yield "exited"
    if force:
        yield "forced"
    for other in dragged:
        yield f"shares_with:{other}"


def ordering_of(seen: Seen, wanted: Wanted, policy: Policy, here: Sequence[Container]) -> Ordering:
    """Return which comes first, the new container or the end of the old one."""
    conflicts = tuple(_conflicts(seen, wanted, policy, here))
    asked = "deploy.update_config says so" if wanted.update.order == policy.order else "order says so"
    if policy.order == STOP_FIRST:
        return Ordering(STOP_FIRST, "; ".join((asked, *conflicts)), conflicts)
    if conflicts:
        return Ordering(STOP_FIRST, "; ".join(conflicts), conflicts)
    if policy.order == START_FIRST:
        return Ordering(START_FIRST, asked)
    return Ordering(START_FIRST, "two of them can run side by side")


def _conflicts(seen: Seen, wanted: Wanted, policy: Policy, here: Sequence[Container]) -> Iterator[str]:
    yield from wanted.fixed
    for volume in wanted.volumes:
        if (
            volume.exclusive
            or volume.name in seen.exclusive
            or {volume.source, volume.name} & seen.options.exclusive_volumes
        ):
            yield f"volume {volume.source} is for one container at a time"
    if wanted.shares:
        yield f"it shares namespaces or volumes of {', '.join(wanted.shares)}"
    followers = [other.name for other in seen.wanted.values() if wanted.name in other.shares]
    if followers:
        yield f"{', '.join(followers)} shares its namespaces or volumes"
    anonymous = anonymous_of(seen, wanted, here)
    if anonymous and policy.anonymous_volumes == "inherit":
        yield f"the data in its volumes without a name ({', '.join(anonymous)}) goes to the new container"
    if is_database(wanted.image):
        yield f"{wanted.image} looks like a database, which must not meet itself on its files"
    if wanted.one_shot:
        yield "it runs to its end"


def anonymous_of(seen: Seen, wanted: Wanted, here: Sequence[Container]) -> list[str]:
    """Return where containers of a service have volumes without a name that hold what the next must not lose."""
    named = {volume.target for volume in wanted.volumes}
    places = {*wanted.anonymous, *seen.volumes.get(wanted.image, ())} | {path for one in here for path in one.anonymous}
    return sorted(places - named) if here else []


def is_database(image: str) -> bool:
    """Whether the name of an image is that of a known database or broker."""
    name = repository_of(image)[0]
    return bool(_DATABASES.search(name)) and not _BESIDE.search(name)


def batches_of(leaving: Sequence[Container], new: int, size: int, order: str) -> list[Batch]:
    """Return the steps by which *leaving* go and *new* containers come, at most *size* at a time (0 for all)."""
    size = size or max(len(leaving), new, 1)
    leftover, waiting = [], list(leaving)
    while waiting and new < len(leaving) and _is_leftover(waiting[0], leaving) and len(waiting) > new:
        leftover.append(waiting.pop(0))
    found = [Batch(old=[replace(old_of(one), leftover=True) for one in leftover])] if leftover else []
    while waiting or new > 0:
        old, waiting = waiting[:size], waiting[size:]
        count = min(size, max(0, new))
        new -= count
        found.append(Batch(old=[old_of(one) for one in old], count=count))
    return found


def _is_leftover(one: Container, leaving: Sequence[Container]) -> bool:
    """Whether it neither serves nor is needed: others of its service run."""
    return (not one.running or one.health == "unhealthy") and any(
        other.running for other in leaving if other is not one
    )


def old_of(one: Container) -> Old:
    return Old(
        one.id, one.name, one.number, one.image_id, one.image, one.hash, dict(one.policy), one.running, one.health
    )


def _worst_first(one: Container) -> tuple[bool, bool, int, str]:
    """What does not run, what is unhealthy, what restarts, and then the oldest."""
    return one.running, one.health != "unhealthy", -one.restarts, one.created_at


def gap_of(seen: Seen, wanted: Wanted, policy: Policy, turn: Turn, here: Sequence[Container]) -> str:
    """Return in words for how long nobody serves; empty when somebody does all the time."""
    serving = [one for one in here if one.running]
    if turn.order == START_FIRST or turn.one_shot or not serving or not turn.batches:
        return ""
    together = max(len(batch.old) for batch in turn.batches)
    if len(serving) > together:
        return ""
    beside = [name for group in seen.options.peers if wanted.name in group for name in group if name != wanted.name]
    if any(one.running for name in beside for one in seen.of(name)):
        return ""
    grace = stop_seconds(wanted, policy, serving[0])
    boot = seen.boots.get(wanted.name)
    told = f"about {format_duration(boot)} last time" if boot is not None else "as long as it takes to boot"
    return f"from the stop of the old container (up to {format_duration(grace)}) until the new one is ready ({told})"


def stop_seconds(wanted: Wanted, policy: Policy, one: Optional[Container]) -> float:
    """Return how long a container may take to end after SIGTERM."""
    if policy.stop_timeout is not None:
        return policy.stop_timeout
    own = ((one.description.get("Config") or {}).get("StopTimeout")) if one else None
    return float(own) if own is not None else wanted.stop_grace if wanted.stop_grace is not None else _GRACE


def described(turns: Iterable[Turn], seen: Seen) -> list[dict[str, Any]]:
    """Return the plan as results show it."""
    return [
        {
            "service": turn.service,
            "reason": turn.reasons,
            "order": turn.order,
            "why": turn.why,
            "replicas": turn.replicas,
            "downtime_expected": turn.gap_expected or "none",
            "from": _from(turn),
            "to": {
                "image": turn.image,
                "image_id": "unknown until pulled or built" if seen.moving or not turn.image_id else turn.image_id,
                "hash": turn.hash,
            },
            "steps": list(_steps(turn)),
        }
        for turn in turns
    ]


def _from(turn: Turn) -> list[dict[str, str]]:
    found = {(old.image, old.image_id, old.hash) for batch in turn.batches for old in batch.old}
    return [{"image": image, "image_id": image_id, "hash": hash_} for image, image_id, hash_ in sorted(found)]


def _steps(turn: Turn) -> Iterator[str]:
    for batch in turn.batches:
        names = ", ".join(old.name for old in batch.old)
        new = f"{batch.count} new container{'s' if batch.count > 1 else ''}"
        come = [f"create and start {new}, wait until {'they are' if batch.count > 1 else 'it is'} ready"] * bool(
            batch.count
        )
        go = [f"drain and stop {names}"] * bool(batch.old)
        yield "; ".join(come + go if turn.order == START_FIRST else go + come)
