# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon has that could be cleared away, and what is wanted."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import (
    CACHE,
    CONTAINERS,
    DANGLING,
    IMAGES,
    NETWORKS,
    VOLUMES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import parse_duration

# How each kind is called in a sentence.
WORDS = {
    CONTAINERS: "container",
    DANGLING: "image without a name",
    IMAGES: "image",
    CACHE: "piece of build cache",
    NETWORKS: "network",
    VOLUMES: "volume",
}


@dataclass(frozen=True)
class Policy:
    """The options, read once. Ages are in seconds."""

    kinds: frozenset[str]
    ages: Mapping[str, float]
    compose_containers: bool
    keep: tuple[str, ...]
    only_labels: tuple[str, ...]
    keep_label: str
    keep_per_repository: int
    volumes: tuple[str, ...]
    host: str
    time_limit: float

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Policy:
        """Return the policy in validated *params*. Raises ``InvalidInput`` for what cannot be understood."""
        if params["keep_per_repository"] < 0:
            raise InvalidInput("keep_per_repository is negative.", "Give 0 or more.")
        patterns = [name for name in params["volumes"] if not name or set(name) & set("*?[]/ ")]
        if patterns:
            raise InvalidInput(
                f"{patterns[0]!r} is no name of a volume: volumes are removed by their exact name alone.",
                "List them (docker volume ls) and name each.",
            )
        return cls(
            kinds=frozenset(params["kinds"]),
            ages={
                CONTAINERS: parse_duration(params["containers_older_than"]),
                DANGLING: parse_duration(params["dangling_older_than"]),
                IMAGES: parse_duration(params["images_older_than"]),
                CACHE: parse_duration(params["cache_older_than"]),
                NETWORKS: parse_duration(params["networks_older_than"]),
                VOLUMES: 0.0,
            },
            compose_containers=params["compose_containers"],
            keep=tuple(params["keep"]),
            only_labels=tuple(params["only_labels"]),
            keep_label=params["keep_label"],
            keep_per_repository=params["keep_per_repository"],
            volumes=tuple(dict.fromkeys(params["volumes"])),
            host=params["docker_host"] or "",
            time_limit=parse_duration(params["time_limit"]),
        )

    def wants(self, kind: str) -> bool:
        return kind in self.kinds or (kind == VOLUMES and bool(self.volumes))

    def keeps(self, names: tuple[str, ...], labels: Mapping[str, str]) -> str:
        """Return why an object with these names and labels is kept, or nothing."""
        if labels.get(self.keep_label, "false").lower() != "false":
            return f"it has the label {self.keep_label}"
        for wanted in self.only_labels:
            name, equals, value = wanted.partition("=")
            if name not in labels or (equals and labels[name] != value):
                return f"it lacks the label {wanted}"
        for name in names:
            for pattern in self.keep:
                if fnmatch.fnmatchcase(name, pattern):
                    return f"keep has {pattern}"
        return ""


@dataclass(frozen=True)
class Thing:
    """One object of the daemon. ``since`` is when its age begins, None when nobody knows.

    ``bytes`` is what its removal frees: of an image, the layers that no other image has. ``busy`` says by whom it is
    used, or what else forbids to touch it, whatever the options are.
    """

    kind: str
    id: str
    names: tuple[str, ...]
    bytes: int
    since: Optional[datetime]
    labels: Mapping[str, str]
    busy: str = ""
    image_id: str = ""  # of a container
    project: str = ""
    one_off: bool = False
    state: str = ""

    @property
    def name(self) -> str:
        return self.names[0] if self.names else self.id.rpartition(":")[2][:12]

    @property
    def repositories(self) -> frozenset[str]:
        """The names of an image without their tags."""
        return frozenset(name.partition("@")[0] if "@" in name else name.rpartition(":")[0] for name in self.names)


@dataclass(frozen=True)
class Snapshot:
    """What was found of the kinds that are wanted. ``users`` has the containers of each image, by their ids."""

    things: tuple[Thing, ...]
    users: Mapping[str, tuple[str, ...]]  # id of an image -> ids of containers
    container_names: Mapping[str, str]  # by id
    absent_volumes: tuple[str, ...] = ()
    anonymous_volumes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """An object that stays, and why."""

    thing: Thing
    reason: str


@dataclass(frozen=True)
class Plan:
    """What goes, in that order, and what stays."""

    remove: tuple[Thing, ...]
    kept: tuple[Kept, ...]
