# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of containers and images. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.images import ROLLBACK_PREFIX
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.model import Container

_TAG = re.compile(r":([\w][\w.-]{0,127})\Z")
_OWN = re.compile(rf"{ROLLBACK_PREFIX}[0-9]{{8}}t[0-9]{{6}}z-[0-9a-f]{{4}}\Z")


def repository_of(reference: str) -> tuple[str, str]:
    """Return repository and tag of an image's name, whose digest is left out; the tag is ``latest`` unless it says."""
    name = reference.partition("@")[0]
    found = _TAG.search(name)
    # What follows a colon and has a slash behind it is the port of a registry.
    return (name[: found.start()], found[1]) if found else (name, "latest")


def reference(image: str, project: str, service: str) -> str:
    """Return the repository under which an image is kept: its own, or one after the service for a nameless one."""
    if not image or image.startswith("sha256:") or re.fullmatch(r"[0-9a-f]{12,64}", image):
        return f"{project}-{service}".lower()
    return repository_of(image)[0]


def outdated(tags: Iterable[str], repositories: Iterable[str], keep: int) -> list[str]:
    """Return, of the names that updates gave to old images of *repositories*, those beyond the newest *keep*.

    Names that begin so and go on otherwise are somebody else's, who counts them too.
    """
    found: dict[str, list[str]] = {repository: [] for repository in repositories}
    for name in tags:
        repository, tag = repository_of(name)
        if repository in found and _OWN.match(tag):
            found[repository].append(name)
    # Their ids begin with the time of the run.
    return [name for names in found.values() for name in sorted(names, reverse=True)[keep:]]


def renames(project: str, service: str, containers: Sequence[Container]) -> dict[str, str]:
    """Return the new name of each container (by id) that has none of those that Compose would give: 1 to N."""
    separators = [one.name[len(project)] for one in containers if one.name.startswith(f"{project}_{service}_")]
    separator = separators[0] if separators else "-"
    wanted = [f"{project}{separator}{service}{separator}{place}" for place in range(1, len(containers) + 1)]
    names: Mapping[str, str] = {one.id: one.name for one in containers}
    free = [name for name in wanted if name not in names.values()]
    strays = [one for one in sorted(containers, key=lambda one: (one.number, one.created_at)) if one.name not in wanted]
    return {one.id: name for one, name in zip(strays, free)}
