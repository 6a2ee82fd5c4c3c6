# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge Compose projects. Pure: the time is a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.codes import CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.model import (
    Container,
    Image,
    Policy,
    Project,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Service
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Finding, Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import format_duration

_SHORT = 12
_MOST_NAMES = 5


def evaluate(snapshot: Snapshot, policy: Policy, now: datetime) -> list[Finding]:
    """Return what is not as it should be; *now* is aware."""
    return [finding for project in snapshot.projects for finding in _project(project, policy, now)]


def examined(snapshot: Snapshot, policy: Policy) -> list[str]:
    """Return the services that were judged, as findings name them."""
    return [_subject(project, name) for project in snapshot.projects for name in services_of(project, policy)]


def services_of(project: Project, policy: Policy) -> list[str]:
    """Return the services that are wanted, are there, or are named by the user."""
    names = {one.service for one in project.containers} | set(project.model.services if project.model else ())
    named = {name for name in policy.services if not any(letter in name for letter in "*?[")}
    return sorted(name for name in names | named if policy.wants(name))


def is_one_shot(project: Project, name: str, policy: Policy) -> bool:
    """True when containers of the service are meant to end: by the user, the model, or a label."""
    service = project.model.services.get(name) if project.model else None
    containers = _of(project, name)
    told = policy.is_one_shot(name) or any(one.one_shot or one.policy == "on-failure" for one in containers)
    return told or (service is not None and service.may_end)


def _project(project: Project, policy: Policy, now: datetime) -> Iterator[Finding]:
    if project.model is None and project.unread:
        why = project.unread.rstrip(".")
        if project.demanded:
            message = f"{project.name}: it is unknown what should run: {why}."
            yield _say("compose.model_unread", project.name, Severity.UNKNOWN, message, {}, project.unread_remedy)
        elif project.containers:
            message = (
                f"{project.name}: only what is there was judged, not what should be: {project.unread.rstrip('.')}."
            )
            yield _say("compose.expected_unknown", project.name, Severity.INFO, message, {}, project.unread_remedy)
    if project.lock_problem:
        message = f"{project.name}: no image was compared with the lock file: {project.lock_problem}"
        yield _say("compose.lock_unreadable", project.name, Severity.UNKNOWN, message)
    if not project.containers and project.model is None:
        message = f"There is no container of a project {project.name} on this daemon."
        yield _say("compose.project_missing", project.name, Severity.CRITICAL, message)
    for name in services_of(project, policy):
        yield from _service(project, name, policy, now)


def _service(project: Project, name: str, policy: Policy, now: datetime) -> Iterator[Finding]:
    containers, subject = _of(project, name), _subject(project, name)
    wanted = project.model.services.get(name) if project.model else None
    if project.model is not None and wanted is None and containers and name not in project.all_services:
        running = [one.name for one in containers if one.running]
        yield _say(
            "compose.orphan",
            subject,
            Severity.WARNING if running else Severity.INFO,
            f"{subject}: the model has no such service, but {_names(containers)} "
            f"{'runs' if running else 'is left over'}.",
            {"containers": [one.name for one in containers], "running": len(running)},
        )
        return
    if is_one_shot(project, name, policy):
        yield from _one_shot(subject, containers, wanted)
    else:
        yield from _count(subject, containers, wanted)
    yield from _ooms(project, subject, containers)
    for one in containers:
        yield from _container(subject, one, containers, policy, now)
    if wanted is not None:
        yield from _drift(project, subject, containers, wanted)
    if policy.lock_file and not project.lock_problem:
        yield from _lock(project, subject, name, containers)


# --- how many there are


def _one_shot(subject: str, containers: Sequence[Container], wanted: Optional[Service]) -> Iterator[Finding]:
    if not containers:
        if wanted is None or wanted.replicas:
            message = f"{subject}: it is meant to run once, and has no container: it has not run, or was cleared away."
            yield _say("compose.one_shot_missing", subject, Severity.WARNING, message)
        return
    # Of several runs, the last one counts.
    last = max(containers, key=lambda one: (one.started is not None, one.started or one.finished, one.name))
    if last.status in ("created", "dead"):
        message = f"{subject}: {last.name} never ran to its end ({last.status}){_error(last)}."
        yield _say("compose.one_shot_failed", subject, Severity.CRITICAL, message, _evidence(last))
    elif last.status == "exited" and last.exit_code:
        message = (
            f"{subject}: {last.name}, which is meant to end well, ended with status {last.exit_code}{_error(last)}."
        )
        yield _say("compose.one_shot_failed", subject, Severity.CRITICAL, message, _evidence(last))


def _count(subject: str, containers: Sequence[Container], wanted: Optional[Service]) -> Iterator[Finding]:
    # A paused one is told of by itself.
    running = [one for one in containers if one.status in ("running", "paused")]
    # Without a model, whatever has a container is meant to run.
    expected = wanted.replicas if wanted is not None else (1 if not containers or not running else len(running))
    evidence = {"expected": expected, "running": len(running), "containers": len(containers)}
    if not containers and expected:
        message = f"{subject}: {expected} should run, and there is no container."
        yield _say("compose.service_missing", subject, Severity.CRITICAL, message, evidence)
    elif expected and not [one for one in containers if one.status in ("running", "paused", "restarting")]:
        last = max(containers, key=lambda one: (one.finished is not None, one.finished or one.started, one.name))
        how = f"{last.name} is {last.status} (status {last.exit_code}){_error(last)}"
        message = f"{subject}: nothing of it runs; {how}."
        yield _say("compose.service_down", subject, Severity.CRITICAL, message, {**evidence, **_evidence(last)})
    elif len(running) < expected:
        others = [one for one in containers if not one.running]
        how = f"; {_names(others)} {'does' if len(others) == 1 else 'do'} not" if others else ""
        message = f"{subject}: {len(running)} of {expected} run{how}."
        yield _say("compose.replicas_missing", subject, Severity.WARNING, message, evidence)
    elif wanted is not None and len(running) > expected:
        message = f"{subject}: {len(running)} run, {expected} should."
        yield _say("compose.replicas_surplus", subject, Severity.INFO, message, evidence)


# --- how they are


def _container(
    subject: str, one: Container, peers: Sequence[Container], policy: Policy, now: datetime
) -> Iterator[Finding]:
    if one.status == "restarting":
        message = (
            f"{subject}: {one.name} restarts again and again ({one.restarts} restarts, last status {one.exit_code})"
            f"{_error(one)}."
        )
        yield _say("compose.restarting", subject, Severity.CRITICAL, message, _evidence(one))
        return
    if one.status == "paused":
        message = f"{subject}: {one.name} is paused: it answers nobody."
        yield _say("compose.paused", subject, Severity.WARNING, message, _evidence(one))
    if not one.running:
        return
    since = (now - one.started).total_seconds() if one.started is not None else 0.0
    if one.health == "unhealthy":
        well = [peer for peer in peers if peer.running and peer.health in ("", "healthy")]
        message = f"{subject}: {one.name} is unhealthy, {one.failing} probes in a row failed{_said(one)}."
        severity = Severity.WARNING if well else Severity.CRITICAL
        yield _say("compose.unhealthy", subject, severity, message, _evidence(one))
    elif one.health == "starting" and since > policy.starting_limit:
        message = (
            f"{subject}: {one.name} is not healthy yet {format_duration(since)} after its start "
            f"(limit {format_duration(policy.starting_limit)}){_said(one)}."
        )
        yield _say("compose.starting", subject, Severity.WARNING, message, _evidence(one))
    elif not one.health and policy.require_healthcheck:
        message = f"{subject}: {one.name} has no health check, so nobody knows whether it answers."
        yield _say("compose.no_healthcheck", subject, Severity.WARNING, message, _evidence(one))
    if one.restarts >= policy.restarts_warning and since < policy.window:
        severe = one.restarts >= policy.restarts_critical
        limit = policy.restarts_critical if severe else policy.restarts_warning
        message = (
            f"{subject}: {one.name} was restarted {one.restarts} times, the last time {format_duration(since)} ago "
            f"(limit {limit} within {format_duration(policy.window)})."
        )
        severity = Severity.CRITICAL if severe else Severity.WARNING
        yield _say("compose.restarts", subject, severity, message, _evidence(one))


def _ooms(project: Project, subject: str, containers: Sequence[Container]) -> Iterator[Finding]:
    for one in containers:
        kills = project.oom_events.get(one.id, 0)
        if not one.oom_killed and not kills:
            continue
        alive = one.running
        times = f" ({kills} times, as far back as the daemon remembers)" if kills > 1 else ""
        what = "a process in it was killed" if alive else "it was killed"
        message = f"{subject}: {one.name} came to the end of its memory, and {what}{times}."
        severity = Severity.WARNING if alive else Severity.CRITICAL
        yield _say("compose.oom_killed", subject, severity, message, {**_evidence(one), "kills": kills})


# --- whether they are what was meant


def _drift(project: Project, subject: str, containers: Sequence[Container], wanted: Service) -> Iterator[Finding]:
    alive = [one for one in containers if one.running]
    stale = [one for one in alive if wanted.hash and one.hash and one.hash != wanted.hash]
    if stale:
        message = f"{subject}: {_names(stale)} {_was(stale)} made from another configuration than the files have now."
        evidence = {
            "containers": [one.name for one in stale],
            "wanted": wanted.hash[:_SHORT],
            "is": stale[0].hash[:_SHORT],
        }
        yield _say("compose.config_drift", subject, Severity.WARNING, message, evidence)
    image = project.images.get(wanted.image)
    older = [one for one in alive if image is not None and one not in stale and one.image_id != image.id]
    if image is not None and older:
        message = (
            f"{subject}: {_names(older)} {_was(older)} made from an older image than the one that is called "
            f"{one_line(wanted.image)} here now."
        )
        evidence = {
            "containers": [one.name for one in older],
            "wanted": _short(image.id),
            "is": _short(older[0].image_id),
        }
        yield _say("compose.image_outdated", subject, Severity.WARNING, message, evidence)


def _lock(project: Project, subject: str, name: str, containers: Sequence[Container]) -> Iterator[Finding]:
    alive = [one for one in containers if one.running]
    locked = project.locked.get(name, "")
    if not alive:
        return
    if not locked:
        message = f"{subject}: the lock file has no image for it."
        yield _say("compose.not_locked", subject, Severity.WARNING, message, {"image": alive[0].image})
        return
    verdicts = [(one, _agrees(project, locked, one)) for one in alive]
    strangers = [one for one, agrees in verdicts if agrees is False]
    if strangers:
        message = f"{subject}: {_names(strangers)} {_was(strangers)} not made from the locked image {one_line(locked)}."
        digests = (project.images.get(strangers[0].image_id) or Image("")).digests
        evidence = {"locked": locked, "image_id": strangers[0].image_id, "digests": list(digests)[:3]}
        yield _say("compose.image_drift", subject, Severity.WARNING, message, evidence)
    unsure = [one for one, agrees in verdicts if agrees is None]
    if unsure:
        message = (
            f"{subject}: it cannot be told whether {_names(unsure)} {_was(unsure)} made from the locked image "
            f"{one_line(locked)}: that image, or its digest, is not known on this host."
        )
        yield _say("compose.image_unknown", subject, Severity.UNKNOWN, message, {"locked": locked})


def _agrees(project: Project, locked: str, one: Container) -> Optional[bool]:
    """Tell whether a container was made from the locked image; None when nobody knows."""
    if locked.startswith("sha256:"):
        return one.image_id == locked
    if "@" in locked:
        digest = locked.rpartition("@")[2]
        image = project.images.get(one.image_id)
        known = [each.rpartition("@")[2] for each in (image.digests if image is not None else ())]
        # An image that was built here has no digest: it is surely none that a registry gave.
        return digest in known if image is not None else None
    named = project.images.get(locked)
    return None if named is None else named.id == one.image_id


# --- words


def _of(project: Project, name: str) -> list[Container]:
    return sorted((one for one in project.containers if one.service == name), key=lambda one: one.name)


def _subject(project: Project, name: str) -> str:
    return f"{project.name}/{name}"


def _names(containers: Sequence[Container]) -> str:
    return ", ".join(one.name for one in containers[:_MOST_NAMES]) + (
        f" and {len(containers) - _MOST_NAMES} more" if containers[_MOST_NAMES:] else ""
    )


def _was(containers: Sequence[Container]) -> str:
    return "was" if len(containers) == 1 else "were"


def _error(one: Container) -> str:
    return f": {one.error}" if one.error else ""


def _said(one: Container) -> str:
    return f": {one.probe}" if one.probe else ""


def _short(identity: str) -> str:
    return identity.partition(":")[2][:_SHORT] or identity[:_SHORT]


def _evidence(one: Container) -> dict[str, Any]:
    return {
        "container": one.name,
        "status": one.status,
        "health": one.health,
        "exit_code": one.exit_code,
        "restarts": one.restarts,
        "started_at": one.started,
        "finished_at": one.finished,
    }


def _say(
    code: str,
    subject: str,
    severity: Severity,
    message: str,
    evidence: Optional[dict[str, Any]] = None,
    remedy: str = "",
) -> Finding:
    return Finding(code, subject, severity, message, evidence or {}, remedy or CODES[code].remedy)
