# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of Compose projects, and what is wanted of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Files, Model, files_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration


@dataclass(frozen=True)
class Policy:
    """The options, read once. Times are in seconds."""

    files: Optional[Files]
    project: str
    services: tuple[str, ...]
    ignored: tuple[str, ...]
    one_shots: tuple[str, ...]
    lock_file: str
    require_healthcheck: bool
    restarts_warning: int
    restarts_critical: int
    window: float
    starting_limit: float
    timeout: float
    host: str
    cli: str

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Policy:
        """Return the policy in validated *params*. Raises ``InvalidInput`` for what cannot be understood."""
        warning, critical = params["restarts_warning"], params["restarts_critical"]
        if not 1 <= warning <= critical:
            raise InvalidInput(
                f"restarts_warning ({warning}) must be 1 or more, and restarts_critical ({critical}) no less.",
                "Correct the two limits.",
            )
        if params["lock_file"] and not (params["project_src"] or params["project_name"]):
            raise InvalidInput("lock_file is of one project.", "Name it: project_src or project_name.")
        return cls(
            files=files_of(params),
            project=params["project_name"] or "",
            services=tuple(params["services"]),
            ignored=tuple(params["ignore_services"]),
            one_shots=tuple(params["one_shots"]),
            lock_file=params["lock_file"] or "",
            require_healthcheck=params["require_healthcheck"],
            restarts_warning=warning,
            restarts_critical=critical,
            window=parse_duration(params["window"]),
            starting_limit=parse_duration(params["starting_limit"]),
            timeout=parse_duration(params["timeout"]),
            host=params["docker_host"] or "",
            cli=params["cli"],
        )

    def wants(self, service: str) -> bool:
        """True when *service* is to be judged."""
        chosen = not self.services or any(fnmatch.fnmatchcase(service, pattern) for pattern in self.services)
        return chosen and not any(fnmatch.fnmatchcase(service, pattern) for pattern in self.ignored)

    def is_one_shot(self, service: str) -> bool:
        return any(fnmatch.fnmatchcase(service, pattern) for pattern in self.one_shots)


@dataclass(frozen=True)
class Container:
    """One container as the daemon described it. Instants are aware; None where it never came to that."""

    id: str
    name: str
    service: str
    status: str
    health: str  # healthy, unhealthy, starting; empty without a health check
    failing: int
    probe: str
    exit_code: int
    error: str
    oom_killed: bool
    restarts: int
    policy: str
    started: Optional[datetime]
    finished: Optional[datetime]
    image: str
    image_id: str
    hash: str
    one_shot: bool = False

    @property
    def running(self) -> bool:
        return self.status == "running"


@dataclass(frozen=True)
class Image:
    """A name of an image, and what it stands for on this host now."""

    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """One project: its containers, and its model where the files can be read; ``unread`` says why not."""

    name: str
    containers: tuple[Container, ...]
    model: Optional[Model] = None
    unread: str = ""
    unread_remedy: str = ""
    demanded: bool = False  # the user named the files, or this project
    all_services: frozenset[str] = frozenset()
    images: Mapping[str, Optional[Image]] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)
    lock_problem: str = ""
    oom_events: Mapping[str, int] = field(default_factory=dict)  # by the id of the container


@dataclass(frozen=True)
class Snapshot:
    """Every project that was asked for, and how the daemon calls itself."""

    projects: tuple[Project, ...]
    daemon: str
