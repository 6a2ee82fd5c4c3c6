# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make new containers of a service beside those that are there, as Compose itself would make them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Files
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.engine import LABEL, Engine
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container, RollFailed, Wanted
from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError

# By this variable the children of a killed run are known.
MARK = "UPKEEP_ROLL"
_CREATE_SECONDS = 120.0
_PATIENCE = 60.0
_FOUND = (("compose", "yaml"), ("compose", "yml"), ("docker-compose", "yml"), ("docker-compose", "yaml"))
_STOPPED = re.compile(r"((?:Container|Network) +\S+) +(?:Stopp|Remov)(?:ing|ped|ed)\b")
_SHORT_ID = re.compile(r"[0-9a-f]{12}\Z")


class Maker:
    """Makes containers of one project, in the run called *identity*."""

    def __init__(self, files: Files, project: str, cli: str, host: str, engine: Engine, identity: str) -> None:
        self._files = replace(files, name=project)
        self._cli = cli
        self._environment = {"DOCKER_HOST": host, MARK: identity} if host else {MARK: identity}
        self._engine = engine
        self._project = project

    def make(self, wanted: Wanted, counts: Mapping[str, int], count: int, named: Sequence[str]) -> None:
        """Have *count* more containers of a service than there are, not started. Raises ``RollFailed``.

        *counts* says how many there are of it, and of each service that it needs: Compose takes those along, because
        without them (``--no-deps``) it writes another hash on the container than it compares with later. *named* are
        the services among them that have a container_name.
        """
        scales = {**counts, wanted.name: counts.get(wanted.name, 0) + count}
        with self._files_for(named) as files:
            arguments = [
                *("up", "--no-start", "--no-recreate", "--no-build", "--pull", "never", "--quiet-pull"),
                *(word for name, number in scales.items() for word in ("--scale", f"{name}={number}")),
                wanted.name,
            ]
            self.require(files, arguments, _CREATE_SECONDS, "create_failed", wanted.name)

    def would_stop(self, services: Sequence[str], counts: Mapping[str, int]) -> str:
        """Return what Compose would stop or remove before it makes a container of these services; empty for nothing.

        It makes a network anew that is not as its files say, for which all that is on it has to stop.
        """
        scales = (word for name, number in counts.items() for word in ("--scale", f"{name}={number}"))
        words = ["--dry-run", "up", "--no-start", "--no-recreate", "--no-build", "--pull", "never", *scales, *services]
        said = self.require(self._files, words, _CREATE_SECONDS, "create_failed")
        return ", ".join(
            dict.fromkeys(" ".join(found.split()) for found in _STOPPED.findall(f"{said.output}\n{said.errors}"))
        )

    def require(
        self, files: Files, arguments: Sequence[str], seconds: float, kind: str, service: str = ""
    ) -> Completed:
        """Run Compose. Raises ``RollFailed`` of that kind with its own words."""
        argv = [self._cli, "compose", *files.arguments, *arguments]
        try:
            ended = run(argv, seconds, environment=self._environment, stdin=files.definition.encode())
        except UpkeepError as error:
            raise RollFailed(kind, error.message, error.remedy, service=service) from None
        if ended.status:
            words = _last_words(ended.errors or ended.output)
            full = "no space left on device" in words
            raise RollFailed(
                "no_space" if full else kind,
                f"docker compose {arguments[0]}{f' for {service}' if service else ''} failed: {words}",
                "Make room on the disk of the daemon." if full else "Mend what Compose says, then update again.",
                service=service,
                evidence={"status": ended.status},
            )
        return ended

    def acquire(self, verb: str, services: Sequence[str], seconds: float) -> None:
        """Pull or build the images of services. Raises ``RollFailed``."""
        words = ["pull", "--quiet", "--policy", "always"] if verb == "pull" else ["build", "--quiet"]
        if verb == "pull":
            words = ["pull", "--quiet"]
        self.require(self._files, [*words, *services], seconds, f"{verb}_failed")

    @contextlib.contextmanager
    def _files_for(self, named: Sequence[str]) -> Iterator[Files]:
        """Compose makes no second container of a service with container_name: for that moment it has none."""
        if not named:
            yield self._files
            return
        descriptor, path = tempfile.mkstemp(prefix="upkeep-", suffix=".yml")
        try:
            with os.fdopen(descriptor, "w") as stream:
                lines = [f"  {json.dumps(name)}:\n    container_name: !reset null\n" for name in named]
                stream.write(f"services:\n{''.join(lines)}")
            files = self._files
            if not files.files and not files.definition:
                files = replace(files, files=tuple(self._found_files()))
            yield replace(files, files=(*files.files, path))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _found_files(self) -> Iterator[str]:
        """Yield the files that Compose finds by itself, which it does only while none is named."""
        for stem, ending in _FOUND:
            path = os.path.join(self._files.directory, f"{stem}.{ending}")
            if not os.path.exists(path):
                continue
            yield path
            beside = [f"{path[: -len(ending)]}override.{other}" for other in dict.fromkeys((ending, "yml", "yaml"))]
            yield from [other for other in beside if os.path.exists(other)][:1]
            return

    def again(
        self,
        made: Container,
        *,
        name: str = "",
        hash_: str = "",
        number: int = 0,
        volumes: Mapping[str, str],
        bound: Mapping[str, Any],
    ) -> str:
        """Make a container once more, with what Compose cannot give it while the old one is there; return its id.

        *volumes* are those without a name that it takes over, by their place; *bound* is what it shares with another
        container, by the key in ``HostConfig``.
        """
        found = made.description
        config = dict(found["Config"])
        labels = dict(config.get("Labels") or {})
        if hash_:
            labels[f"{LABEL}config-hash"] = hash_
        if number:
            labels[f"{LABEL}container-number"] = str(number)
        files = labels.get(f"{LABEL}project.config_files", "")
        labels[f"{LABEL}project.config_files"] = ",".join(
            path for path in files.split(",") if not os.path.basename(path).startswith("upkeep-")
        )
        config["Labels"] = labels
        if config.get("Hostname") == made.short or bound.get("NetworkMode"):
            config.pop("Hostname", None)
        host = {**(found.get("HostConfig") or {}), **bound}
        kept = [one for one in host.get("Mounts") or () if one.get("Target") not in volumes]
        host["Mounts"] = [
            *kept,
            *({"Type": "volume", "Source": one, "Target": place} for place, one in volumes.items()),
        ]
        endpoints = {} if bound.get("NetworkMode") else endpoints_of(made, name or made.name)
        primary = next((one for one in endpoints if one == host.get("NetworkMode")), next(iter(endpoints), ""))
        body = {**config, "HostConfig": host}
        if primary:
            body["NetworkingConfig"] = {"EndpointsConfig": {primary: endpoints[primary]}}
        self._engine.discard(made.id, volumes=True)
        identity = self._engine.create(name or made.name, body)
        for network, settings in endpoints.items():
            if network != primary:
                self._engine.connect(network, identity, settings)
        return identity


def endpoints_of(container: Container, name: str = "") -> dict[str, dict[str, Any]]:
    """Return how a container is connected to each of its networks, in the form in which the daemon takes it."""
    found = (container.description.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        network: {
            "Aliases": [
                name if name and alias == container.name else alias
                for alias in endpoint.get("Aliases") or ()
                if not (_SHORT_ID.match(alias) and container.id.startswith(alias))
            ],
            "IPAMConfig": endpoint.get("IPAMConfig") or {},
            "Links": endpoint.get("Links"),
            "DriverOpts": endpoint.get("DriverOpts"),
        }
        for network, endpoint in found.items()
    }


def wait_for_children(identity: str, checkpoint: Callable[[], None]) -> None:
    """Return when no program that a killed run has started still works on its containers."""
    deadline = time.monotonic() + _PATIENCE
    while any(True for _pid in _children(identity)):
        checkpoint()
        if time.monotonic() > deadline:
            raise RollFailed(
                "unfinished_previous",
                f"A program that the run {identity} started still works on the project.",
                "Look for it (ps aux | grep compose), end it, then run the task again.",
            )
        time.sleep(0.1)


def _children(identity: str) -> Iterator[int]:
    wanted = f"{MARK}={identity}".encode()
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as stream:
                    if wanted in stream.read().split(b"\0"):
                        yield int(entry)
            except OSError:
                continue  # somebody else's, or it has ended meanwhile


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [
        line
        for line in lines
        if re.search(r"error|failed|denied|not found|no space|cannot|unable", line, re.IGNORECASE)
    ]
    return " ".join((told or lines or ["it printed nothing"])[-3:])[:600]
