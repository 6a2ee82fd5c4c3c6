# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clear up a daemon: look, decide, remove, tell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.apply import Removal, apply
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import VOLUMES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.model import (
    WORDS,
    Plan,
    Policy,
    Snapshot,
    Thing,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.plan import plan
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import (
    DONE,
    FAILED,
    PLANNED,
    SKIPPED,
    Action,
    Finding,
    Metric,
    Severity,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import directory_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_size, parse_duration

_MOST_NAMES = 5


@dataclass(frozen=True)
class Cleaned:
    """What became of it. ``failure`` is why it ended early, with the daemon lost; empty otherwise."""

    outcome: Outcome
    failure: str
    before: str
    after: str


def clean(params: Mapping[str, Any], now: datetime, check_mode: bool = False) -> Cleaned:
    """Clear up as *params* (validated ``ARGUMENT_SPEC``) say.

    Raises ``UpkeepError`` when that cannot be begun; what goes wrong with one object is in what is returned.
    """
    policy = Policy.from_params(params)
    budget = Budget(policy.time_limit)
    with ExitStack() as stack:
        if not check_mode:
            stack.enter_context(_lock_of(params))
        api = stack.enter_context(closing(Api(policy.host)))
        snapshot = collect(api, policy)
        planned = plan(snapshot, policy, now)
        done: list[Removal] = []
        failure = ""
        if check_mode:
            done = [Removal(thing, PLANNED) for thing in planned.remove]
        else:
            try:
                for removal in apply(planned, api, policy, now, budget):
                    done.append(removal)
            except UpkeepError as error:
                failure = str(error)
    return Cleaned(
        Outcome(
            domain="compose",
            examined=sorted(policy.kinds | ({VOLUMES} if policy.volumes else set())),
            findings=_findings(snapshot, planned, done, check_mode),
            observed_at=now,
            actions=_actions(planned, done, failure),
            metrics=_metrics(done),
            seconds=budget.elapsed,
            extra=_extra(planned, done, now),
        ),
        failure,
        _listed([*planned.remove]),
        _listed([one.thing for one in done if one.status not in (DONE, PLANNED)]),
    )


def _lock_of(params: Mapping[str, Any]) -> HostLock:
    directory = directory_of(params["state_dir"], os.environ, os.geteuid())
    path = os.path.join(directory, "locks", "docker-cleanup.lock")
    return HostLock(path, params["run_id"], parse_duration(params["lock_timeout"]))


def _actions(planned: Plan, done: Sequence[Removal], failure: str) -> list[Action]:
    told = [
        Action(
            f"remove {one.thing.kind} {one.thing.name}",
            f"Remove the {WORDS[one.thing.kind]} {one.thing.name} ({format_size(one.thing.bytes)})",
            one.status,
            one.reason,
            one.seconds,
        )
        for one in done
    ]
    return told + [
        Action(f"remove {thing.kind} {thing.name}", f"Remove the {WORDS[thing.kind]} {thing.name}", SKIPPED, failure)
        for thing in planned.remove[len(done) :]
    ]


def _findings(snapshot: Snapshot, planned: Plan, done: Sequence[Removal], check_mode: bool) -> list[Finding]:
    told = [
        _say(
            "compose.not_removed",
            one.thing.kind,
            Severity.WARNING,
            f"The {WORDS[one.thing.kind]} {one.thing.name} could not be removed: {one.reason}.",
            {"id": one.thing.id},
        )
        for one in done
        if one.status == FAILED
    ]
    told += [
        _say(
            "compose.volume_in_use",
            VOLUMES,
            Severity.WARNING,
            f"The volume {one.thing.name} was to be removed, and stays: {one.reason}.",
            {"volume": one.thing.name},
        )
        for one in planned.kept
        if one.thing.kind == VOLUMES
    ]
    if snapshot.anonymous_volumes:
        names = snapshot.anonymous_volumes
        told.append(
            _say(
                "compose.anonymous_volumes",
                VOLUMES,
                Severity.INFO,
                f"{len(names)} volumes without a name are used by no container; they were left alone.",
                {"count": len(names), "first": list(names[:_MOST_NAMES])},
            )
        )
    if check_mode and planned.remove:
        size = sum(thing.bytes for thing in planned.remove)
        message = f"{len(planned.remove)} objects with {format_size(size)} would be removed."
        evidence = {"objects": len(planned.remove), "bytes": size}
        told.append(_say("compose.reclaimable", planned.remove[0].kind, Severity.INFO, message, evidence))
    return told


def _say(code: str, subject: str, severity: Severity, message: str, evidence: Optional[dict[str, Any]]) -> Finding:
    return Finding(code, subject, severity, message, evidence or {}, CODES[code].remedy)


def _metrics(done: Sequence[Removal]) -> list[Metric]:
    told = []
    for kind in sorted({one.thing.kind for one in done}):
        mine = [one for one in done if one.thing.kind == kind]
        labels = {"kind": kind}
        freed = sum(one.bytes for one in mine)
        if any(one.status == PLANNED for one in mine):
            told.append(Metric("docker_reclaimable_bytes", sum(one.thing.bytes for one in mine), "bytes", labels))
        else:
            told.append(Metric("docker_reclaimed_bytes", freed, "bytes", labels))
            told.append(Metric("docker_removed", sum(one.status == DONE for one in mine), "count", labels))
    return told


def _extra(planned: Plan, done: Sequence[Removal], now: datetime) -> dict[str, Any]:
    return {
        "objects": [{**_record(one.thing, now), "state": one.status, "reason": one.reason} for one in done],
        "kept": [{**_record(one.thing, now), "reason": one.reason} for one in planned.kept],
        "reclaimed_bytes": sum(one.bytes for one in done),
        "reclaimable_bytes": sum(one.thing.bytes for one in done if one.status == PLANNED),
    }


def _record(thing: Thing, now: datetime) -> dict[str, Any]:
    return {
        "kind": thing.kind,
        "id": thing.id,
        "name": thing.name,
        "names": list(thing.names),
        "bytes": thing.bytes,
        "age_seconds": None if thing.since is None else round((now - thing.since).total_seconds()),
    }


def _listed(things: Sequence[Thing]) -> str:
    return "".join(f"{thing.kind}: {thing.name} ({format_size(thing.bytes)})\n" for thing in things)
