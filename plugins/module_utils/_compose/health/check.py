# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public entry: look at Compose projects and judge them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.collect import collect
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.evaluate import (
    evaluate,
    examined,
    is_one_shot,
    services_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.model import (
    Container,
    Policy,
    Project,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import Check
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Metric
from ansible_collections.cadence.upkeep.plugins.module_utils._core.outcome import Outcome


def check(params: Mapping[str, Any], now: datetime) -> Outcome:
    """Look at the projects that *params* (validated ``ARGUMENT_SPEC``) name, or at all, and judge them.

    Raises ``InvalidInput`` for options that cannot be understood, ``ConnectionFailed`` when the daemon cannot be asked
    and ``MissingLibrary`` without the Docker SDK; what cannot be seen of a project is a finding.
    """
    started = time.monotonic()
    policy = Policy.from_params(params)
    snapshot = collect(policy)
    return Outcome(
        domain="compose",
        # A project of which nothing is there, and whose files cannot be read, was looked for all the same.
        examined=examined(snapshot, policy)
        or [one.name for one in snapshot.projects if not one.containers and one.model is None],
        findings=evaluate(snapshot, policy, now),
        observed_at=now,
        metrics=metrics(snapshot, policy),
        seconds=time.monotonic() - started,
        extra={
            "projects": [
                {"name": one.name, "expected_known": one.model is not None, "containers": len(one.containers)}
                for one in snapshot.projects
            ],
            "services": [
                record(project, name, policy) for project in snapshot.projects for name in services_of(project, policy)
            ],
        },
    )


def record(project: Project, name: str, policy: Policy) -> dict[str, Any]:
    """Return the entry of ``services``, healthy or not."""
    wanted = project.model.services.get(name) if project.model else None
    containers = [one for one in project.containers if one.service == name]
    return {
        "project": project.name,
        "service": name,
        "expected": wanted.replicas if wanted is not None else None,
        "running": sum(one.running for one in containers),
        "one_shot": is_one_shot(project, name, policy),
        "containers": [_container(one) for one in sorted(containers, key=lambda one: one.name)],
    }


def _container(one: Container) -> dict[str, Any]:
    return {
        "name": one.name,
        "id": one.id[:12],
        "status": one.status,
        "health": one.health,
        "exit_code": one.exit_code,
        "restarts": one.restarts,
        "oom_killed": one.oom_killed,
        "started_at": one.started,
        "image": one.image,
        "image_id": one.image_id,
    }


def metrics(snapshot: Snapshot, policy: Policy) -> list[Metric]:
    """Return the numbers that are worth a trend."""
    told: list[Metric] = []
    for project in snapshot.projects:
        for name in services_of(project, policy):
            containers = [one for one in project.containers if one.service == name]
            labels = {"project": project.name, "service": name}
            told.append(Metric("compose_running", sum(one.running for one in containers), "count", labels))
            told.append(Metric("compose_restarts", sum(one.restarts for one in containers), "count", labels))
    return told


CHECK = Check("compose_health_info", ARGUMENT_SPEC, check)
