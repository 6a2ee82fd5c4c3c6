# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at Compose projects through the daemon, and through Compose where their files can be read."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.model import (
    Container,
    Image,
    Policy,
    Project,
    Snapshot,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import Compose, Files
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    ONE_OFF,
    PROJECT,
    SERVICE,
    Description,
    label_of,
    name_of,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, UpkeepError
from ansible_collections.cadence.upkeep.plugins.module_utils._core.plain import one_line
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339

_FOLDER, _CONFIG_FILES, _ENV_FILES, _HASH = (
    f"com.docker.compose.{name}"
    for name in ("project.working_dir", "project.config_files", "project.environment_file", "config-hash")
)
_NEVER = "0001-01-01"
_PROBE_LETTERS = 200


def collect(policy: Policy, environ: Optional[Mapping[str, str]] = None) -> Snapshot:
    """Return the projects that *policy* names, or all of the daemon.

    Raises ``ConnectionFailed`` and ``MissingLibrary`` when the daemon cannot be asked.
    """
    api = Api(policy.host, environ)
    try:
        return Snapshot(tuple(_projects(api, policy)), api.url)
    finally:
        api.close()


def _projects(api: Api, policy: Policy) -> Iterable[Project]:
    if policy.files is not None:
        yield _look(api, policy, policy.project, policy.files)
        return
    listed = api.of_project(policy.project)
    names = sorted({label_of(one, PROJECT) for one in listed}) or ([policy.project] if policy.project else [])
    for name in names:
        yield _look(api, policy, name, _files_by_labels(name, _members(listed, name)))


def _look(api: Api, policy: Policy, name: str, files: Optional[Files]) -> Project:
    project = Project(name, (), demanded=policy.files is not None)
    if files is None:
        project = replace(project, unread="its containers name no files that can be read here")
    else:
        project = _with_model(project, Compose(files, policy.cli, policy.host, policy.timeout))
    name = project.name or os.path.basename(files.directory if files else "")
    containers = tuple(_containers(api, name))
    project = replace(project, name=name, containers=containers)
    if files is not None and project.model is not None:
        # A service that only a profile brings is no orphan.
        strangers = {one.service for one in containers} - set(project.model.services)
        if strangers:
            compose = Compose(files, policy.cli, policy.host, policy.timeout)
            project = replace(project, all_services=compose.every_service())
    if policy.lock_file:
        project = _with_lock(project, policy)
    return replace(project, images=_images(api, project), oom_events=_oom_events(api, name, policy.window))


def _with_model(project: Project, compose: Compose) -> Project:
    try:
        model = compose.model()
    except UpkeepError as error:
        return replace(project, unread=error.message, unread_remedy=error.remedy)
    return replace(project, name=model.name or project.name, model=model)


def _with_lock(project: Project, policy: Policy) -> Project:
    folder = policy.files.directory if policy.files is not None else "/"
    path = os.path.normpath(os.path.join(folder, policy.lock_file))
    try:
        if not os.path.isfile(path):
            raise InvalidInput(f"There is no file {path}.", "Make it: docker compose config --lock-image-digests.")
        compose = Compose(Files(os.path.dirname(path)), policy.cli, policy.host, policy.timeout)
        return replace(project, locked=compose.images_of(path))
    except (UpkeepError, ValueError) as error:
        return replace(project, lock_problem=str(error))


def _members(listed: Sequence[Mapping[str, Any]], project: str) -> list[Mapping[str, Any]]:
    return [one for one in listed if label_of(one, PROJECT) == project]


def _files_by_labels(name: str, listed: Sequence[Mapping[str, Any]]) -> Optional[Files]:
    """Return the files that a project was started from, as its newest container says, if they all are readable."""
    for one in sorted(listed, key=lambda one: -int(one.get("Created") or 0)):
        folder = label_of(one, _FOLDER)
        paths = tuple(path for path in label_of(one, _CONFIG_FILES).split(",") if path)
        env_files = tuple(path for path in label_of(one, _ENV_FILES).split(",") if path)
        if folder and paths and all(os.access(path, os.R_OK) for path in (folder, *paths, *env_files)):
            return Files(folder, name, paths, env_files)
    return None


def _containers(api: Api, project: str) -> Iterable[Container]:
    for listed in api.of_project(project) if project else ():
        if label_of(listed, ONE_OFF) != "True":
            description = api.inspect(listed["Id"])
            if description is not None:  # it may have gone since
                yield container_of(description)


def container_of(description: Description) -> Container:
    """Return what matters here of the description of a container."""
    state, config = description["State"], description["Config"]
    health = state.get("Health") or {}
    log = health.get("Log") or [{}]
    labels = config.get("Labels") or {}
    status = str(health.get("Status") or "")
    return Container(
        id=str(description["Id"]),
        name=name_of(description),
        service=str(labels.get(SERVICE, "")),
        status="paused" if state.get("Paused") else str(state.get("Status") or ""),
        health="" if status == "none" else status,
        failing=int(health.get("FailingStreak") or 0),
        probe=one_line(" ".join(str((log[-1] or {}).get("Output") or "").split()))[:_PROBE_LETTERS],
        exit_code=int(state.get("ExitCode") or 0),
        error=one_line(str(state.get("Error") or ""))[:_PROBE_LETTERS],
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(description.get("RestartCount") or 0),
        policy=str(((description.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"),
        started=instant_of(state.get("StartedAt")),
        finished=instant_of(state.get("FinishedAt")),
        image=str(config.get("Image") or ""),
        image_id=str(description.get("Image") or ""),
        hash=str(labels.get(_HASH, "")),
        one_shot=str(labels.get("upkeep.one-shot", "false")).lower() == "true",
    )


def instant_of(text: Any) -> Optional[datetime]:
    """Return the instant that the API wrote, to the microsecond; None for the one that stands for never."""
    if not text or str(text).startswith(_NEVER):
        return None
    # Nine digits of a second, more than Python has.
    return parse_rfc3339(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))


def _images(api: Api, project: Project) -> Mapping[str, Optional[Image]]:
    """Return what the names of the images that are wanted stand for now."""
    wanted = {service.image for service in (project.model.services.values() if project.model else ())}
    wanted |= {reference for reference in project.locked.values() if "@" not in reference}
    wanted |= {one.image_id for one in project.containers}
    found: dict[str, Optional[Image]] = {}
    for reference in sorted(wanted - {""}):
        image = api.image(reference)
        found[reference] = None if image is None else Image(str(image["Id"]), tuple(image.get("RepoDigests") or ()))
    return found


def _oom_events(api: Api, project: str, window: float) -> Mapping[str, int]:
    """Count how often the kernel killed a process of each container, as far back as the daemon remembers."""
    if not project:
        return {}
    now = time.time()
    events = api.events(now - window, now, {"event": ["oom"], "label": [f"{PROJECT}={project}"]})
    return Counter(str((event.get("Actor") or {}).get("ID") or "") for event in events)
