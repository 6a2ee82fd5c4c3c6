# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of a generation: which ones its containers have, names that spare them, and the way back to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Optional
from urllib.parse import quote

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import ROLLBACK_PREFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import ONE_OFF, SERVICE, label_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import folder_name


class Images:
    """The images of one application on one daemon; raises ``ConnectionFailed`` and ``CommandFailed``."""

    def __init__(self, api: Api, application: str, project: str) -> None:
        self._api = api
        self._application = application
        self._project = project

    def running(self) -> dict[str, dict[str, str]]:
        """Return name and id of the image of each service that runs."""
        found: dict[str, dict[str, str]] = {}
        for listed in self._api.of_project(self._project):
            if listed.get("State") == "running" and label_of(listed, ONE_OFF) != "True":
                description = self._api.inspect(listed["Id"])
                if description is not None:
                    name = str(description["Config"].get("Image") or "")
                    found[label_of(listed, SERVICE)] = {"name": name, "id": str(description["Image"])}
        return found

    def spare(self, mark: str, images: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
        """Give each image a name with which nothing clears it away, and return those names."""
        given = []
        # Those of compose_rolling_update go on with an instant, and it forgets its own alone.
        tag = f"{ROLLBACK_PREFIX}app-{folder_name(self._application).lower().replace('%', '_')[:60]}-{mark}"
        for identity, name in sorted({(one["id"], _repository(one["name"])) for one in images.values()}):
            if name:
                self._api.post(f"/images/{identity}/tag", repo=name, tag=tag)
                given.append(f"{name}:{tag}")
        return tuple(given)

    def release(self, tags: Sequence[str]) -> None:
        """Take the names of a generation away; whether an image without any goes is for docker_cleanup to say."""
        for name in tags:
            image = self._api.image(name)
            # Of its last name an image is removed with it: it keeps that one until it is cleared away by its age.
            if image is not None and len(image.get("RepoTags") or ()) > 1:
                self._api.remove(f"/images/{quote(name, safe=':/@')}", noprune=1)

    def missing(self, images: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Return the services whose image is not there any more."""
        return sorted(service for service, image in images.items() if self._api.image(image["id"]) is None)

    def bring_back(self, images: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Give images the names that their services use; return the names that were moved."""
        moved = []
        for name, identity in sorted({(one["name"], one["id"]) for one in images.values()}):
            repository, tag = _repository(name), _tag(name)
            found = self._api.image(name)
            # A digest always means the same image.
            if repository and (found is None or found["Id"] != identity):
                self._api.post(f"/images/{identity}/tag", repo=repository, tag=tag)
                moved.append(name)
        return moved


def _repository(name: str) -> str:
    """Return the name of an image without its tag; empty for what is an id or has a digest."""
    if not name or name.startswith("sha256:") or "@" in name:
        return ""
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


def _tag(name: str) -> str:
    head, colon, tail = name.rpartition(":")
    return tail if head and colon and "/" not in tail else "latest"


@contextmanager
def images_of(host: str, application: str, project: str) -> Iterator[Optional[Images]]:
    """Yield the images of a Compose project; None when there is no project."""
    if not project:
        yield None
        return
    with closing(Api(host)) as api:
        yield Images(api, application, project)
