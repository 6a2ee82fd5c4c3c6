# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this domain asks of a daemon beyond single containers: images, volumes, networks, build cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import quote

from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import PROJECT, Description
from ansible_collections.cadence.upkeep.plugins.module_utils._core.daemon import Daemon
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

# Sizes are counted by walking over the disk.
SLOW_SECONDS = 300


class Api(Daemon):
    """A daemon, asked by the paths of its API; raises ``ConnectionFailed`` like ``Daemon``."""

    def get(self, path: str, seconds: float = 0.0, **params: Any) -> Any:
        """Return what ``GET`` of *path* says; None when there is no such object. Raises ``CommandFailed``."""
        status, said = self._call("GET", path, params, seconds)
        return None if status == 404 else _require(said, status, path)

    def post(self, path: str, seconds: float = 0.0, **params: Any) -> Any:
        """Return what ``POST`` says. Raises ``CommandFailed`` when the daemon refuses."""
        status, said = self._call("POST", path, params, seconds)
        return _require(said, status, path)

    def delete(self, path: str, **params: Any) -> str:
        """Remove one object, and return why not, or nothing. What is gone already needs no removal."""
        status, said = self._call("DELETE", path, params, SLOW_SECONDS)
        return "" if status < 400 or status == 404 else _words(said)

    def remove(self, path: str, **params: Any) -> tuple[int, str]:
        """Remove one object; return the status (404: it was gone) and, from 400 on, what the daemon says."""
        status, said = self._call("DELETE", path, params, SLOW_SECONDS)
        return status, _words(said) if status >= 400 else ""

    def inspect(self, identity: str) -> Optional[Description]:
        """Return the description of the container with that whole id; None when it is gone."""
        found: Optional[Description] = self.get(f"/containers/{identity}/json")
        return found

    def image(self, reference: str) -> Optional[Mapping[str, Any]]:
        """Return the description of an image, by id or name; None when there is none."""
        found: Optional[Mapping[str, Any]] = self.get(f"/images/{quote(reference, safe=':/@')}/json")
        return found

    def of_project(self, project: str = "") -> list[Mapping[str, Any]]:
        """Return the containers of a Compose project, or of every one, in short."""
        return self.containers(f"{PROJECT}={project}" if project else PROJECT)

    def events(self, since: float, until: float, filters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return what the daemon remembers to have happened between two instants (seconds since 1970), both past."""
        with self._asked():
            return list(self._api.events(since=int(since), until=int(until), filters=dict(filters), decode=True))

    def _call(self, verb: str, path: str, params: Mapping[str, Any], seconds: float) -> tuple[int, Any]:
        plain = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in params.items()}
        with self._asked():
            answer = self._api.request(
                verb,
                f"{self._api.base_url}/v{self._api.api_version}{path}",
                params=plain,
                timeout=seconds or self._api.timeout,
            )
            try:
                said = answer.json()
            except ValueError:
                said = answer.text
        return int(answer.status_code), said


def _require(said: Any, status: int, path: str) -> Any:
    if status < 400:
        return said
    raise CommandFailed(
        f"The Docker daemon refused {one_line(path)} with status {status}: {_words(said)}.",
        "Look into its log: journalctl -u docker.",
        {"path": path, "status": status},
    )


def _words(said: Any) -> str:
    text = said.get("message", "") if isinstance(said, Mapping) else str(said)
    return one_line(redact(" ".join(str(text).split())))[:300].rstrip(".") or "no reason given"
