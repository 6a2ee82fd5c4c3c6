# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what a daemon has: all at once, and one object again just before its removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Optional

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import SLOW_SECONDS, Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import (
    CACHE,
    CONTAINERS,
    DANGLING,
    IMAGES,
    NETWORKS,
    VOLUMES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.model import Policy, Snapshot, Thing
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.collect import instant_of
from ansible_collections.cadence.upkeep.plugins.module_utils._core.containers import (
    ONE_OFF,
    PROJECT,
    Description,
    label_of,
    name_of,
)

_NETWORK = "com.docker.compose.network"
_ANONYMOUS = 64  # digits of the name of a volume that nobody named
# With older APIs, the whole is asked for.
_TYPES = {CONTAINERS: "container", DANGLING: "image", IMAGES: "image", CACHE: "build-cache", VOLUMES: "volume"}


def collect(api: Api, policy: Policy) -> Snapshot:
    """Return what there is of the kinds that *policy* wants. Raises ``ConnectionFailed``."""
    used = _disk_use(api, policy)
    listed = api.containers()
    sizes = {one["Id"]: int(one.get("SizeRw") or 0) for one in used.get("Containers") or ()}
    things: list[Thing] = []
    if policy.wants(CONTAINERS):
        things += [thing for one in listed for thing in _container(api, one["Id"], sizes.get(one["Id"], 0))]
    if policy.wants(DANGLING) or policy.wants(IMAGES):
        for one in used.get("Images") or ():
            things += [thing for thing in _image(api, one["Id"], _own_bytes(one)) if policy.wants(thing.kind)]
    if policy.wants(CACHE):
        things += [cache_of(one) for one in used.get("BuildCache") or ()]
    if policy.wants(NETWORKS):
        things += [
            thing
            for one in api.get("/networks", filters={"label": [_NETWORK]}) or ()
            for thing in _network(api, one["Id"], listed)
        ]
    volumes = {one["Name"]: one for one in used.get("Volumes") or ()}
    absent = []
    for name in policy.volumes:
        found = _volume(api, name, int(((volumes.get(name) or {}).get("UsageData") or {}).get("Size") or 0))
        things += found
        absent += [] if found else [name]
    users: dict[str, list[str]] = {}
    for one in listed:
        users.setdefault(str(one.get("ImageID") or ""), []).append(one["Id"])
    return Snapshot(
        tuple(things),
        {image: tuple(containers) for image, containers in users.items()},
        {one["Id"]: name_of({"Name": one["Names"][0]}) for one in listed if one.get("Names")},
        tuple(absent),
        tuple(_anonymous_volumes(api)),
    )


def again(api: Api, thing: Thing) -> Optional[tuple[Thing, Snapshot]]:
    """Return one object as it is now, with who uses it; None when it is gone."""
    listed = api.containers()
    found: list[Thing] = []
    if thing.kind == CONTAINERS:
        found = list(_container(api, thing.id, thing.bytes))
    elif thing.kind in (DANGLING, IMAGES):
        found = list(_image(api, thing.id, thing.bytes))
    elif thing.kind == NETWORKS:
        found = list(_network(api, thing.id, listed))
    elif thing.kind == VOLUMES:
        found = _volume(api, thing.id, thing.bytes)
    elif thing.kind == CACHE:
        found = [thing]  # the daemon itself looks at age and use within the one call that removes it
    users: dict[str, tuple[str, ...]] = {}
    for one in listed:
        image = str(one.get("ImageID") or "")
        users[image] = (*users.get(image, ()), one["Id"])
    names = {one["Id"]: name_of({"Name": one["Names"][0]}) for one in listed if one.get("Names")}
    if not found:
        return None
    return found[0], Snapshot((found[0],), users, names)


def _disk_use(api: Api, policy: Policy) -> Mapping[str, Any]:
    types = sorted({word for kind, word in _TYPES.items() if policy.wants(kind)})
    if not types:
        return {}
    found: Mapping[str, Any] = api.get("/system/df", SLOW_SECONDS, type=types) or {}
    return found


def _own_bytes(image: Mapping[str, Any]) -> int:
    return max(0, int(image.get("Size") or 0) - max(0, int(image.get("SharedSize") or 0)))


def _container(api: Api, identity: str, size: int) -> Iterator[Thing]:
    description = api.inspect(identity)
    if description is not None:
        yield container_of(description, size)


def container_of(description: Description, size: int) -> Thing:
    """Return a container by its description; its age begins when it ended, or was made."""
    state = description["State"]
    labels = (description.get("Config") or {}).get("Labels") or {}
    return Thing(
        CONTAINERS,
        str(description["Id"]),
        (name_of(description),),
        size,
        _latest(instant_of(state.get("FinishedAt")), instant_of(description.get("Created"))),
        labels,
        image_id=str(description.get("Image") or ""),
        project=str(labels.get(PROJECT, "")),
        one_off=labels.get(ONE_OFF) == "True",
        state="paused" if state.get("Paused") else str(state.get("Status") or "in no state"),
    )


def _image(api: Api, identity: str, size: int) -> Iterator[Thing]:
    description = api.image(identity)
    if description is not None:
        yield image_of(description, size)


def image_of(description: Mapping[str, Any], size: int) -> Thing:
    """Return an image by its description; its age begins when it was last given a name here."""
    tags = tuple(name for name in description.get("RepoTags") or () if not name.startswith("<none>"))
    digests = tuple(name for name in description.get("RepoDigests") or () if not name.startswith("<none>"))
    tagged = instant_of((description.get("Metadata") or {}).get("LastTagTime"))
    # An image from elsewhere was made long before it came here: without a time of its own, nobody knows when.
    foreign = digests and tagged is None
    since = None if foreign else _latest(tagged, instant_of(description.get("Created")))
    return Thing(
        IMAGES if tags or digests else DANGLING,
        str(description["Id"]),
        tags or digests,
        size,
        since,
        (description.get("Config") or {}).get("Labels") or {},
    )


def cache_of(record: Mapping[str, Any]) -> Thing:
    """Return a record of the build cache; its age begins when it was last used."""
    busy = "a build uses it" if record.get("InUse") else "an image is made of it" if record.get("Shared") else ""
    return Thing(
        CACHE,
        str(record["ID"]),
        (),
        int(record.get("Size") or 0),
        _latest(instant_of(record.get("LastUsedAt")), instant_of(record.get("CreatedAt"))),
        {},
        busy,
    )


def _network(api: Api, identity: str, listed: Sequence[Mapping[str, Any]]) -> Iterator[Thing]:
    description = api.get(f"/networks/{identity}")
    if description is None:
        return
    labels = description.get("Labels") or {}
    project = str(labels.get(PROJECT, ""))
    members = [one for one in listed if label_of(one, PROJECT) == project and project]
    busy = ""
    if description.get("Containers"):
        busy = "a container is connected to it"
    elif members or not project:
        busy = f"the Compose project {project} has containers" if project else "it belongs to no Compose project"
    elif any(identity == each.get("NetworkID") for one in listed for each in _networks_of(one)):
        busy = "a stopped container is connected to it"
    yield Thing(
        NETWORKS,
        identity,
        (str(description.get("Name") or identity[:12]),),
        0,
        instant_of(description.get("Created")),
        labels,
        busy,
        project=project,
    )


def _networks_of(listed: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(((listed.get("NetworkSettings") or {}).get("Networks") or {}).values())


def _volume(api: Api, name: str, size: int) -> list[Thing]:
    description = api.get(f"/volumes/{name}")
    if description is None:
        return []
    users = [one for one in api.containers() if any(name == each.get("Name") for each in one.get("Mounts") or ())]
    busy = f"the container {name_of({'Name': users[0]['Names'][0]})} mounts it" if users else ""
    return [
        Thing(
            VOLUMES,
            name,
            (name,),
            max(0, size),
            instant_of(description.get("CreatedAt")),
            description.get("Labels") or {},
            busy,
        )
    ]


def _anonymous_volumes(api: Api) -> Iterator[str]:
    """Yield the volumes that nobody named and nobody uses: only a person can tell whether their data are wanted."""
    found = api.get("/volumes", filters={"dangling": ["true"]}) or {}
    for one in found.get("Volumes") or ():
        name = str(one["Name"])
        if len(name) == _ANONYMOUS and not set(name) - set("0123456789abcdef"):
            yield name


def _latest(*instants: Optional[datetime]) -> Optional[datetime]:
    return max((instant for instant in instants if instant is not None), default=None)
