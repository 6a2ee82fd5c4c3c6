# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose itself, asked for the model of a project: which services there are to be, and what each is made of.

What it says holds the secrets of the project's environment: only what is named here is taken from it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._core.command import Completed, run
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    CommandFailed,
    DeadlineExceeded,
    InvalidInput,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.redact import redact

# The options that say which project is meant; their names are those of community.docker.
PROJECT_OPTIONS: dict[str, Any] = {
    "project_src": {"type": "path"},
    "project_name": {"type": "str"},
    "files": {"type": "list", "elements": "path", "default": []},
    "env_files": {"type": "list", "elements": "path", "default": []},
    "profiles": {"type": "list", "elements": "str", "default": []},
    "docker_host": {"type": "str"},
    "cli": {"type": "str", "default": "docker"},
}

# A model of a hundred services has a few hundred kilobytes.
_MODEL_BYTES = 16 * 1024 * 1024
_ALL_PROFILES = "*"


class ModelRefused(UpkeepError):
    """Compose does not accept the files of the project, or they are not there; the message is its own."""


@dataclass(frozen=True)
class Files:
    """Where a project is written down; all paths are absolute. ``name`` may be empty: then Compose makes one.

    ``definition`` is a model itself, as JSON: Compose reads it from its standard input instead of from ``files``.
    """

    directory: str
    name: str = ""
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    definition: str = ""

    @property
    def arguments(self) -> list[str]:
        """The arguments of ``docker compose`` that name the project."""
        pairs = [("--file", "-")] if self.definition else []
        pairs += [("--file", path) for path in self.files] + [("--env-file", path) for path in self.env_files]
        pairs += [("--profile", profile) for profile in self.profiles]
        words = [word for pair in pairs for word in pair]
        return ["--project-directory", self.directory, *words, *(["--project-name", self.name] if self.name else [])]


@dataclass(frozen=True)
class Service:
    """One service of a model, without its environment."""

    name: str
    image: str
    replicas: int
    restart: str
    hash: str
    awaited_end: bool = False  # another service waits until it has completed

    @property
    def may_end(self) -> bool:
        """True when the model itself says that its containers are meant to end well."""
        return self.awaited_end or self.restart.startswith("on-failure")


@dataclass(frozen=True)
class Model:
    """What Compose makes of the files: the project's name and its services, those of inactive profiles left out."""

    name: str
    services: Mapping[str, Service]


def files_of(params: Mapping[str, Any]) -> Optional[Files]:
    """Return what the options of ``PROJECT_OPTIONS`` name; None when no files are named.

    Raises ``InvalidInput`` for files without the directory to which they belong.
    """
    if not params["project_src"]:
        for name in ("files", "env_files", "profiles"):
            if params[name]:
                raise InvalidInput(f"{name} belongs to project_src, which is not there.", "Give the project's folder.")
        return None
    directory = os.path.abspath(params["project_src"])

    def absolute(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(os.path.normpath(os.path.join(directory, path)) for path in paths)

    return Files(
        directory,
        params["project_name"] or "",
        absolute(params["files"]),
        absolute(params["env_files"]),
        tuple(params["profiles"]),
    )


class Compose:
    """``docker compose`` for one project. *host* is the daemon, as for ``DOCKER_HOST``."""

    def __init__(self, files: Files, cli: str, host: str, seconds: float) -> None:
        self.files = files
        self._cli = cli
        self._environment = {"DOCKER_HOST": host} if host else {}
        self._seconds = seconds

    def run(self, *arguments: str, seconds: float = 0.0, cap: int = _MODEL_BYTES) -> Completed:
        """Run ``docker compose`` with these arguments, whatever its status."""
        return run(
            self._argv(arguments),
            seconds or self._seconds,
            environment=self._environment,
            stdin=self.files.definition.encode(),
            cap=cap,
        )

    def model(self) -> Model:
        """Return the model. Raises ``ModelRefused`` with Compose's own message."""
        config = self.config()
        return model_of(config, self.hashes(config))

    def config(self) -> dict[str, Any]:
        """Return the resolved model as Compose prints it, secrets and all. Raises ``ModelRefused``."""
        return self._json("config", "--format", "json")

    def hashes(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Return the hash that Compose gives the containers of each service of a resolved model.

        Compose before 2.27 leaves ``env_file`` out of what ``config --hash`` prints, but not out of the label: only of
        a model in which the variables are resolved does it print what it will write.
        """
        whole = Compose(
            Files(self.files.directory, str(config.get("name") or ""), profiles=(_ALL_PROFILES,), definition="-"),
            self._cli,
            self._environment.get("DOCKER_HOST", ""),
            self._seconds,
        )
        said = whole._raw("config", "--hash", "*", stdin=json.dumps(config))
        return dict(line.rsplit(" ", 1) for line in said.splitlines() if " " in line)

    def every_service(self) -> frozenset[str]:
        """Return the names of all services, those of inactive profiles too."""
        return frozenset(self._required("--profile", _ALL_PROFILES, "config", "--services").split())

    def images_of(self, path: str) -> Mapping[str, str]:
        """Return the image of each service in a file that has the form of a Compose file, in YAML or JSON."""
        lock = Compose(Files(os.path.dirname(path), "lock", (path,)), self._cli, "", self._seconds)
        config = lock._json("config", "--format", "json", "--no-interpolate", "--no-consistency")
        services = config.get("services") or {}
        return {name: str(service.get("image") or "") for name, service in services.items()}

    def _json(self, *arguments: str) -> dict[str, Any]:
        try:
            found = json.loads(self._raw(*arguments, stdin=self.files.definition))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ModelRefused("docker compose config printed no JSON.", "Update Compose: 2.18 or newer is needed.")
        return found

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return [self._cli, "compose", *self.files.arguments, *arguments]

    def _required(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        if ended.status == 0:
            return ended.output
        raise self._refused(ended.errors.strip() or ended.output, ended.status)

    def _raw(self, *arguments: str, stdin: str = "") -> str:
        """Return what Compose prints as it is: in a model without its secrets, hashes and images would be others."""
        argv = self._argv(arguments)
        try:
            ended = subprocess.run(
                argv,
                input=stdin.encode(),
                capture_output=True,
                timeout=self._seconds,
                check=False,
                env={**os.environ, "LC_ALL": "C", **self._environment},
            )
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(
                f"docker compose {arguments[0]} had not ended after {self._seconds:g} s.",
                "Give it more time, or find out what it waits for.",
            ) from None
        except OSError as error:
            raise CommandFailed(
                f"{argv[0]} cannot be started: {os.strerror(error.errno or 0)}.",
                "Install Docker's client with its compose plugin, or name it in cli.",
            ) from None
        if ended.returncode == 0:
            return ended.stdout.decode("utf-8", errors="replace")
        raise self._refused(redact((ended.stderr or ended.stdout).decode("utf-8", errors="replace")), ended.returncode)

    def _refused(self, said: str, status: int) -> ModelRefused:
        words = " ".join(said.split()) or "it printed nothing"
        return ModelRefused(
            f"Compose does not accept the project in {self.files.directory}: {words[:500]}",
            f"Correct the files; see `{self._cli} compose config -q` in {self.files.directory}.",
            {"directory": self.files.directory, "status": status},
        )


def model_of(config: Mapping[str, Any], hashes: Mapping[str, str]) -> Model:
    """Return the model in the JSON of ``docker compose config``."""
    found: Mapping[str, Any] = config.get("services") or {}
    awaited = {
        name
        for service in found.values()
        for name, how in (service.get("depends_on") or {}).items()
        if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully"
    }
    project = str(config.get("name") or "")
    return Model(
        project,
        {
            name: Service(
                name,
                # Compose names what it builds itself.
                str(service.get("image") or f"{project}-{name}"),
                _replicas(service),
                _restart(service),
                hashes.get(name, ""),
                name in awaited,
            )
            for name, service in found.items()
        },
    )


def _replicas(service: Mapping[str, Any]) -> int:
    deploy = service.get("deploy") or {}
    wanted = deploy.get("replicas", service.get("scale"))
    return 1 if wanted is None else int(wanted)


def _restart(service: Mapping[str, Any]) -> str:
    policy = ((service.get("deploy") or {}).get("restart_policy") or {}).get("condition")
    return str(service.get("restart") or policy or "no")
