# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what was planned, one object at a time by its id, each looked at once more just before."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.api import SLOW_SECONDS, Api
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.argspec import (
    CACHE,
    CONTAINERS,
    NETWORKS,
    VOLUMES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.collect import again
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.model import Plan, Policy, Thing
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.plan import reason_to_keep
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import DONE, FAILED, SKIPPED

_CONFLICT = 409  # it is in use after all, or another object needs it


@dataclass(frozen=True)
class Removal:
    """What became of one object; ``bytes`` is what it gave back."""

    thing: Thing
    status: str
    reason: str = ""
    bytes: int = 0
    seconds: float = 0.0


def apply(plan: Plan, api: Api, policy: Policy, now: datetime, budget: Budget) -> Iterator[Removal]:
    """Yield what becomes of each object as it is done. Raises ``ConnectionFailed`` when the daemon is lost."""
    for thing in plan.remove:
        if budget.spent:
            yield Removal(thing, SKIPPED, "no time is left")
            continue
        started = time.monotonic()
        status, reason, freed = _remove(api, thing, policy, now)
        yield Removal(thing, status, reason, freed, time.monotonic() - started)


def _remove(api: Api, planned: Thing, policy: Policy, now: datetime) -> tuple[str, str, int]:
    found = again(api, planned)
    if found is None:
        return SKIPPED, "it has gone meanwhile", 0
    thing, users = found
    if thing.kind != planned.kind or thing.names != planned.names:
        return SKIPPED, "it has other names by now", 0
    # Whether it is among the newest of its name cannot have become worse: what came since is newer.
    reason = reason_to_keep(thing, users, policy, now, ())
    if reason:
        return SKIPPED, reason, 0
    if thing.kind == CACHE:
        return _prune_cache(api, thing, policy)
    status, words = _call(api, thing)
    if status == 404:
        return SKIPPED, "it has gone meanwhile", 0
    if status == _CONFLICT:
        return SKIPPED, words, 0
    return (FAILED, words, 0) if status >= 400 else (DONE, "", thing.bytes)


def _call(api: Api, thing: Thing) -> tuple[int, str]:
    if thing.kind == CONTAINERS:
        # Without its anonymous volumes: they may hold data.
        return api.remove(f"/containers/{thing.id}", v=0, force=0)
    if thing.kind == NETWORKS:
        return api.remove(f"/networks/{thing.id}")
    if thing.kind == VOLUMES:
        return api.remove(f"/volumes/{thing.id}", force=0)
    if len(thing.names) > 1:
        # An image with several names goes by its id only by force, which would not ask who uses it.
        for name in thing.names[1:]:
            owner = api.image(name)
            if owner is not None and owner["Id"] == thing.id:
                status, words = api.remove(f"/images/{quote(name, safe=':/@')}", force=0)
                if status >= 400:
                    return status, words
    return api.remove(f"/images/{thing.id}", force=0)


def _prune_cache(api: Api, thing: Thing, policy: Policy) -> tuple[str, str, int]:
    """Remove one record, if it is still unused for as long as is wanted: the daemon judges that itself."""
    filters = {"id": [f"^{re.escape(thing.id)}$"], "until": [f"{int(policy.ages[CACHE])}s"]}
    try:
        said = api.post("/build/prune", SLOW_SECONDS, all=1, filters=filters)
    except CommandFailed as error:
        return FAILED, error.message, 0
    removed = said.get("CachesDeleted") or ()
    if thing.id not in removed:
        return SKIPPED, "another piece is made of it, or a build uses it", 0
    return DONE, "", int(said.get("SpaceReclaimed") or 0)
