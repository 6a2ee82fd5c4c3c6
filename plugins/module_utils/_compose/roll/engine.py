# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update asks of the daemon. Each call may be made again: what is so already is no failure.

A daemon that is being restarted is waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional
from urllib.parse import quote

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container, RollFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import ONE_OFF, PROJECT, SERVICE, label_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

LABEL = "com.docker.compose."
# How long a daemon that went away may take to come back.
PATIENCE = 60.0
_PAUSE = 0.25
_POLL = 0.05
_ANSWER = 30.0
_LOG_LINES, _LOG_BYTES = 50, 8192
_HEADER = 8


class Engine(Api):
    """The daemon of one project. ``losses`` counts how often it went away and came back."""

    losses = 0

    # --- look

    @property
    def api_version(self) -> str:
        return str(self._api.api_version)

    def project(self, project: str, service: str = "", skip: Collection[str] = ()) -> list[Container]:
        """Return the containers of a project's services, or of one, whatever they do; one-off ones do not count.

        *skip* are the ids of those that are not asked for.
        """
        labels = [f"{PROJECT}={project}", *([f"{SERVICE}={service}"] if service else [])]
        listed = self._listed(labels)
        found = [self.look(identity) for identity in listed if identity not in skip]
        return sorted((one for one in found if one is not None), key=lambda one: (one.service, one.number, one.id))

    def ids(self, project: str, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self._listed([f"{PROJECT}={project}", f"{SERVICE}={service}"])

    def _listed(self, labels: Sequence[str]) -> list[str]:
        filters = quote(json.dumps({"label": list(labels)}))
        _status, listed = self.ask("GET", f"/containers/json?all=1&filters={filters}")
        return [str(one["Id"]) for one in listed if label_of(one, ONE_OFF) != "True"]

    def look(self, identity: str) -> Optional[Container]:
        """Return a container; None when it is gone."""
        status, found = self.ask("GET", f"/containers/{identity}/json", accepted=(404,))
        return None if status == 404 else container_of(found)

    def image_id(self, reference: str) -> str:
        """Return the id of an image; empty when there is none."""
        status, found = self.ask("GET", f"/images/{quote(reference, safe=':/@')}/json", accepted=(404,))
        return "" if status == 404 else str(found["Id"])

    def image_config(self, reference: str) -> Mapping[str, Any]:
        """Return the settings in an image (``Volumes``, ``Cmd``, ``Healthcheck`` ...); empty when there is none."""
        status, found = self.ask("GET", f"/images/{quote(reference, safe=':/@')}/json", accepted=(404,))
        config: Mapping[str, Any] = {} if status == 404 else (found.get("Config") or {})
        return config

    def info(self) -> Mapping[str, Any]:
        """Return what the daemon says of itself (``ID``, ``DockerRootDir``, ``MemTotal`` ...)."""
        found: Mapping[str, Any] = self.ask("GET", "/info")[1]
        return found

    def hashed_networks(self, project: str) -> list[str]:
        """Return the networks of a project that Compose compares with its files, which it does since 2.31."""
        filters = quote(json.dumps({"label": [f"{PROJECT}={project}", f"{LABEL}config-hash"]}))
        return sorted(str(one["Name"]) for one in self.ask("GET", f"/networks?filters={filters}")[1])

    def volume_labels(self, name: str) -> Mapping[str, str]:
        status, found = self.ask("GET", f"/volumes/{quote(name, safe='')}", accepted=(404,))
        return {} if status == 404 else (found.get("Labels") or {})

    def logs(self, identity: str) -> str:
        """Return the last lines that a container wrote, without secrets; empty when they cannot be read."""
        path = f"/containers/{identity}/logs?stdout=1&stderr=1&tail={_LOG_LINES}"
        try:
            with self._asked():
                answer = self._api.get(self._url(path), timeout=_ANSWER)
                raw = answer.content if answer.status_code == 200 else b""
        except ConnectionFailed:
            return ""  # what is to be told of it must not keep the rest from being brought back
        return redact(_text(raw))[-_LOG_BYTES:]

    # --- change

    def start(self, container: Container) -> None:
        """Start it. Raises ``RollFailed`` with the daemon's reason."""
        status, said = self.ask("POST", f"/containers/{container.id}/start", accepted=(304, 400, 404, 409, 500))
        if status in (204, 304):
            return
        words = _words(said)
        kind, remedy = "start_failed", f"Try it by hand: docker start {container.name}."
        if "port is already allocated" in words or "address already in use" in words:
            kind, remedy = "conflict", "Stop what has it (docker ps), or publish another one."
        elif "no space left on device" in words:
            kind, remedy = "no_space", "Make room on the disk of the daemon."
        raise RollFailed(
            kind,
            f"{container.name} cannot be started: {words}.",
            remedy,
            service=container.service,
            container=container.name,
        )

    def stop(self, identity: str, seconds: float) -> bool:
        """Stop it, by SIGKILL after *seconds*; return whether that was needed."""
        whole = max(0, round(seconds))
        begun = time.monotonic()
        self.ask("POST", f"/containers/{identity}/stop?t={whole}", accepted=(304, 404), seconds=whole + _ANSWER)
        left = self.look(identity)
        return left is not None and left.exit_code == 137 and not left.oom and time.monotonic() - begun >= whole

    def discard(self, identity: str, volumes: bool = False) -> None:
        """Remove it, running or not; *volumes* also removes those without a name that nobody else uses."""
        path = f"/containers/{identity}?force=1&v={int(volumes)}"
        status, said = self.ask("DELETE", path, accepted=(404, 409))
        if status != 409:
            return
        # It is being removed already, by whoever.
        deadline = time.monotonic() + _ANSWER
        while self.look(identity) is not None:
            if time.monotonic() > deadline:
                raise RollFailed("remove_failed", f"{identity[:12]} cannot be removed: {_words(said)}.")
            time.sleep(_PAUSE)

    def rename(self, container: Container, name: str) -> bool:
        """Give it that name; return whether it has it now."""
        found = self.look(container.id)
        if found is None or found.name == name:
            return found is not None
        path = f"/containers/{container.id}/rename?name={quote(name, safe='')}"
        return self.ask("POST", path, accepted=(404, 409))[0] < 400

    def set_restart(self, identity: str, policy: Mapping[str, Any]) -> None:
        """Give it that restart policy."""
        self.ask("POST", f"/containers/{identity}/update", {"RestartPolicy": dict(policy)}, accepted=(404,))

    def tag(self, image_id: str, repository: str, tag: str) -> bool:
        """Give an image one more name; return whether that went well."""
        path = f"/images/{image_id}/tag?repo={quote(repository, safe='/:')}&tag={quote(tag, safe='')}"
        return self.ask("POST", path, accepted=(400, 404, 409))[0] < 400

    def untag(self, reference: str) -> None:
        """Take a name from an image; without another one, and without containers, it is removed."""
        self.ask("DELETE", f"/images/{quote(reference, safe=':/@')}?noprune=1", accepted=(404, 409))

    def tags(self) -> dict[str, str]:
        """Return every name of an image with the id behind it."""
        listed = self.ask("GET", "/images/json")[1]
        return {tag: str(image["Id"]) for image in listed for tag in image.get("RepoTags") or ()}

    def connect(self, network: str, identity: str, settings: Mapping[str, Any]) -> None:
        body = {"Container": identity, "EndpointConfig": dict(settings)}
        self.ask("POST", f"/networks/{network}/connect", body, accepted=(403, 409))

    def disconnect(self, network: str, identity: str) -> None:
        self.ask("POST", f"/networks/{network}/disconnect", {"Container": identity, "Force": True}, accepted=(403, 404))

    def send(self, identity: str, name: str) -> None:
        """Send a signal to its first process, if there is one."""
        self.ask("POST", f"/containers/{identity}/kill?signal={quote(name, safe='')}", accepted=(404, 409))

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a container; its id. Raises ``RollFailed``."""
        status, said = self.ask(
            "POST", f"/containers/create?name={quote(name, safe='')}", body, accepted=(400, 404, 409, 500)
        )
        if status >= 400:
            kind = "no_space" if "no space left on device" in _words(said) else "create_failed"
            raise RollFailed(kind, f"The container {name} cannot be made: {_words(said)}.", container=name)
        return str(said["Id"])

    def call_in(self, identity: str, body: Mapping[str, Any], seconds: float) -> int:
        """Run what *body* says (``Cmd``, ``User`` ...) in a container; its exit status, -1 for none in time."""
        status, said = self.ask("POST", f"/containers/{identity}/exec", body, accepted=(404, 409))
        if status >= 400:
            return -1
        self.ask("POST", f"/exec/{said['Id']}/start", {"Detach": True}, accepted=(400, 404, 409))
        deadline = time.monotonic() + seconds
        while True:
            found = self.ask("GET", f"/exec/{said['Id']}/json", accepted=(404,))[1]
            if not found.get("Running") and found.get("ExitCode") is not None:
                return int(found["ExitCode"])
            if time.monotonic() > deadline:
                return -1
            time.sleep(_POLL)

    # --- how

    def ask(
        self,
        verb: str,
        path: str,
        body: Optional[Mapping[str, Any]] = None,
        *,
        accepted: Sequence[int] = (),
        seconds: float = _ANSWER,
    ) -> tuple[int, Any]:
        """Return status and answer. Raises ``RollFailed`` for a status from 400 on that is not among *accepted*,
        and ``ConnectionFailed`` when the daemon stays away."""
        status, said = self._patiently(verb, path, body, seconds)
        if status >= 400 and status not in accepted:
            raise RollFailed(
                "engine_refused",
                f"The Docker daemon refused {verb} {one_line(path.partition('?')[0])} with status {status}: "
                f"{_words(said)}.",
                "Look into its log: journalctl -u docker.",
                evidence={"status": status},
            )
        return status, said

    def _patiently(self, verb: str, path: str, body: Optional[Mapping[str, Any]], seconds: float) -> tuple[int, Any]:
        deadline, lost = time.monotonic() + PATIENCE, False
        while True:
            try:
                with self._asked():
                    answer = self._api.request(verb, self._url(path), json=body, timeout=seconds)
                    try:
                        said = answer.json()
                    except ValueError:
                        said = answer.text
                # A daemon that is just ending says so by 503.
                if answer.status_code != 503 or time.monotonic() > deadline:
                    self.losses += lost
                    return int(answer.status_code), said
            except ConnectionFailed:
                if time.monotonic() > deadline:
                    raise
            lost = True
            time.sleep(_PAUSE)

    def _url(self, path: str) -> str:
        return f"{self._api.base_url}/v{self._api.api_version}{path}"


def container_of(found: Mapping[str, Any]) -> Container:
    """Return what the daemon's description of a container says."""
    config, state, host = found.get("Config") or {}, found.get("State") or {}, found.get("HostConfig") or {}
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    number = str(labels.get(f"{LABEL}container-number") or "")
    said = [str(one.get("Output") or "").strip() for one in health.get("Log") or ()]
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return Container(
        id=str(found["Id"]),
        name=str(found.get("Name") or "").lstrip("/"),
        service=str(labels.get(SERVICE) or ""),
        number=int(number) if number.isdigit() else 0,
        hash=str(labels.get(f"{LABEL}config-hash") or ""),
        image_id=str(found.get("Image") or ""),
        image=str(config.get("Image") or ""),
        state=str(state.get("Status") or ""),
        exit_code=int(state.get("ExitCode") or 0),
        oom=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        restarts=int(found.get("RestartCount") or 0),
        policy=host.get("RestartPolicy") or {},
        health="" if test[:1] == ["NONE"] else str(health.get("Status") or ""),
        health_said=redact(said[-1][-500:]) if said else "",
        checked=test[:1] != ["NONE"],
        started_at=str(state.get("StartedAt") or ""),
        created_at=str(found.get("Created") or ""),
        description=found,
    )


def _words(said: Any) -> str:
    text = said.get("message", "") if isinstance(said, Mapping) else str(said)
    return one_line(redact(" ".join(str(text).split())))[:400].rstrip(".") or "no reason given"


def _text(raw: bytes) -> str:
    """Return the text of a log in the daemon's frames; a container with a terminal has none."""
    pieces, position = [], 0
    while (
        position + _HEADER <= len(raw) and raw[position] in (0, 1, 2) and raw[position + 1 : position + 4] == b"\0\0\0"
    ):
        size = int.from_bytes(raw[position + 4 : position + _HEADER], "big")
        pieces.append(raw[position + _HEADER : position + _HEADER + size])
        position += _HEADER + size
    return (b"".join(pieces) if pieces else raw).decode("utf-8", errors="replace")
