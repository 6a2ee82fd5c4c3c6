# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the description of a container says, whichever domain asks.

Pure: descriptions are what the daemon's API returns (``GET /containers/{id}/json``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput

Description = Mapping[str, Any]

PROJECT, SERVICE, ONE_OFF = (f"com.docker.compose.{label}" for label in ("project", "service", "oneoff"))


@dataclass(frozen=True)
class Place:
    """Which container is meant: by name or id, or by its place in a Compose project. All empty is this host itself."""

    container: str = ""
    project: str = ""
    service: str = ""

    def __bool__(self) -> bool:
        return bool(self.container or self.service)

    def __str__(self) -> str:
        return self.container or f"{self.project}/{self.service}"


def place_of(params: Mapping[str, Any], what: str = "") -> Place:
    """Return the place in ``container``, ``compose_project`` and ``compose_service``.

    Raises ``InvalidInput``, which begins with *what*, when they contradict one another.
    """
    place = Place(params["container"] or "", params["compose_project"] or "", params["compose_service"] or "")
    if place.container and (place.project or place.service):
        raise InvalidInput(
            f"{what}container and compose_project with compose_service both say which container is meant.",
            "Leave one of them out.",
        )
    if bool(place.project) != bool(place.service):
        raise InvalidInput(
            f"{what}compose_project and compose_service belong together.",
            "Give both, or the container's name as container.",
        )
    return place


def name_of(description: Description) -> str:
    return str(description["Name"]).lstrip("/")


def require_running(description: Description) -> None:
    """Raise ``ConnectionFailed`` with state and exit code when nobody can answer in that container."""
    state = description["State"]
    name, status = name_of(description), str(state.get("Status") or "")
    if status == "running" and not state.get("Paused"):
        return
    code = state.get("ExitCode")
    said = f"; it said: {state['Error']}" if state.get("Error") else ""
    how, remedy = {
        "paused": ("is paused", f"Let it go on: docker unpause {name}."),
        "running": ("is paused", f"Let it go on: docker unpause {name}."),
        "created": (f"was made, but never started{said}", f"Start it: docker start {name}."),
        "restarting": (
            f"restarts again and again (exit code {code}, {description.get('RestartCount', 0)} restarts){said}",
            f"Look why: docker logs --tail 50 {name}.",
        ),
        "removing": ("is being removed", "Wait until it is made anew."),
    }.get(
        status,
        (
            f"does not run ({status or 'in no state'}, exit code {code}"
            f"{', killed for want of memory' if state.get('OOMKilled') else ''}){said}",
            f"Look why (docker logs --tail 50 {name}), and start it: docker start {name}.",
        ),
    )
    raise ConnectionFailed(
        f"The container {name} {how}.",
        remedy,
        {"container": name, "state": status, "exit_code": code, "restarts": description.get("RestartCount")},
    )


def label_of(container: Mapping[str, Any], label: str) -> str:
    """Return a label of a container in a listing; empty without it."""
    return str((container.get("Labels") or {}).get(label, ""))
