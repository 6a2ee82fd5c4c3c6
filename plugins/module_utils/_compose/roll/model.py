# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rolling update is about: services as they are wanted, containers as they are, and how to go from one to the
other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

START_FIRST, STOP_FIRST = "start-first", "stop-first"

# How a run ends.
UNCHANGED, UPDATED, RESUMED = "unchanged", "updated", "resumed"
ROLLED_BACK, ROLLBACK_FAILED, PAUSED, INCOMPLETE = "rolled_back", "rollback_failed", "paused", "incomplete"
SUCCESSES = (UNCHANGED, UPDATED, RESUMED)

_ANONYMOUS = re.compile(r"[0-9a-f]{64}\Z")


class RollFailed(UpkeepError):
    """A step of an update failed: ``kind`` says in one word why, ``service`` and ``container`` whose it was."""

    def __init__(
        self,
        kind: str,
        message: str,
        remedy: str = "",
        *,
        service: str = "",
        container: str = "",
        evidence: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__(message, remedy, {"kind": kind, **(evidence or {})})
        self.kind = kind
        self.service = service
        self.container = container


class Interfered(UpkeepError):
    """Somebody else changed the containers of the project while they were being rolled."""


class Interrupted(UpkeepError):
    """A signal asked this run to end."""


# --- what is wanted


@dataclass(frozen=True)
class Hook:
    """A program that Compose runs in a container after its start or before its stop."""

    command: tuple[str, ...]
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpdateConfig:
    """``deploy.update_config`` of a service; None is what it does not say. Times in seconds."""

    parallelism: Optional[int] = None
    delay: Optional[float] = None
    order: str = ""
    monitor: Optional[float] = None
    failure_action: str = ""
    max_failure_ratio: Optional[float] = None


@dataclass(frozen=True)
class Volume:
    """A volume with a name in a service; ``source`` is its key in the model, ``name`` that at the daemon."""

    source: str
    name: str
    target: str
    exclusive: bool = False


@dataclass(frozen=True)
class Wanted:
    """One service as the model wants it. ``replicas`` is None when the model does not say how many."""

    name: str
    image: str
    hash: str
    replicas: Optional[int] = None
    container_name: str = ""
    built: bool = False
    one_shot: bool = False
    depends_on: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    anonymous: tuple[str, ...] = ()
    update: UpdateConfig = field(default_factory=UpdateConfig)
    stop_grace: Optional[float] = None
    health_seconds: float = 0.0
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    memory: int = 0

    @property
    def needs(self) -> frozenset[str]:
        """The services that Compose takes along when it is asked for this one."""
        return frozenset((*self.depends_on, *self.links, *self.shares)) - {self.name}


# --- what is there


@dataclass(frozen=True)
class Container:
    """One container of a service as the daemon describes it. Instants are as the daemon writes them."""

    id: str
    name: str
    service: str
    number: int
    hash: str
    image_id: str
    image: str
    state: str
    exit_code: int = 0
    oom: bool = False
    error: str = ""
    restarts: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)
    health: str = ""
    health_said: str = ""
    checked: bool = False
    started_at: str = ""
    created_at: str = ""
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def short(self) -> str:
        return self.id[:12]

    @property
    def anonymous(self) -> dict[str, str]:
        """Where volumes without a name of their own are mounted: target -> the daemon's name for the volume."""
        return {
            str(mount["Destination"]): str(mount["Name"])
            for mount in self.description.get("Mounts") or ()
            if mount.get("Type") == "volume" and _ANONYMOUS.match(str(mount.get("Name") or ""))
        }

    @property
    def address(self) -> str:
        """An address at which this host reaches it; empty without one."""
        if (self.description.get("HostConfig") or {}).get("NetworkMode") == "host":
            return "127.0.0.1"
        networks = (self.description.get("NetworkSettings") or {}).get("Networks") or {}
        found = [str(one.get("IPAddress") or one.get("GlobalIPv6Address") or "") for one in networks.values()]
        return next((address for address in found if address), "")

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.short,
            "name": self.name,
            "service": self.service,
            "image": self.image,
            "image_id": self.image_id,
            "hash": self.hash,
            "state": self.state,
            "health": self.health,
        }


# --- how to get there


@dataclass(frozen=True)
class Probe:
    """What must answer before a container counts as ready. Times in seconds."""

    type: str
    port: int = 0
    scheme: str = "http"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[str, ...] = ("2xx", "3xx")
    query: str = ""
    value: Any = None
    command: tuple[str, ...] = ()
    interval: float = 0.5
    timeout: float = 2.0
    successes: int = 3

    def __str__(self) -> str:
        if self.type == "exec":
            return f"exec {' '.join(self.command)}"
        return f"{self.scheme}://:{self.port}{self.path}" if self.type == "http" else f"tcp :{self.port}"


@dataclass(frozen=True)
class Traffic:
    """How a service's traffic is led to new containers and away from old ones."""

    mode: str = "none"
    hook: tuple[str, ...] = ()
    service: str = ""
    file: str = ""
    server: str = ""
    port: int = 0
    settle: float = 1.0
    timeout: float = 30.0


@dataclass(frozen=True)
class Drain:
    """What is done with a container between its last new request and its SIGTERM."""

    command: tuple[str, ...] = ()
    file: str = ""
    signal: str = ""
    inflight: tuple[str, ...] = ()
    wait: float = 0.0
    timeout: float = 30.0

    def __bool__(self) -> bool:
        return bool(self.command or self.file or self.signal or self.inflight or self.wait)


@dataclass(frozen=True)
class Policy:
    """How one service is rolled, after its own options, those for all, ``update_config`` and the defaults."""

    order: str = "auto"
    parallelism: int = 1
    delay: float = 0.0
    health_timeout: float = 120.0
    no_healthcheck: str = "running"
    probe: Optional[Probe] = None
    fail_fast: bool = False
    monitor: float = 5.0
    traffic: Traffic = field(default_factory=Traffic)
    drain: Drain = field(default_factory=Drain)
    stop_timeout: Optional[float] = None
    max_failure_ratio: float = 0.0
    failure_action: str = "rollback"
    anonymous_volumes: str = "inherit"


@dataclass(frozen=True)
class Smoke:
    """A test of the whole after all services are rolled. Times in seconds."""

    name: str
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[str, ...] = ("2xx", "3xx")
    query: str = ""
    value: Any = None
    verify: bool = True
    command: tuple[str, ...] = ()
    service: str = ""
    attempts: int = 3
    interval: float = 1.0
    timeout: float = 10.0


@dataclass(frozen=True)
class Options:
    """The rest of the options, parsed. Times in seconds, sizes in bytes."""

    services: tuple[str, ...] = ()
    pull: str = "never"
    build: str = "never"
    force: bool = False
    scale: Mapping[str, int] = field(default_factory=dict)
    peers: tuple[tuple[str, ...], ...] = ()
    on_conflict: str = "stop_first"
    exclusive_volumes: frozenset[str] = frozenset()
    smoke: tuple[Smoke, ...] = ()
    keep_old: bool = True
    keep_images: int = 3
    rename: bool = True
    resume: str = "auto"
    min_free: int = 0
    show_logs: bool = True
    timeout: float = 1800.0
