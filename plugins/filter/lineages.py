# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def lineages(deployments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what ``cert_renew`` is to renew of *deployments*: one entry for a lineage, however often it is deployed.

    Raises ``AnsibleFilterError`` for what is no list of mappings, and for a path that two deployments have: each would
    replace what the other one has put there, in every run.
    """
    found: dict[str, dict[str, Any]] = {}
    _require_own_paths(_mappings(deployments))
    for deployment in _mappings(deployments):
        renew = deployment.get("renew") or {}
        if deployment.get("lineage"):
            found.setdefault(str(deployment["lineage"]), {"name": deployment["lineage"]})
        elif renew:
            source = deployment.get("source") or {}
            name = renew.get("name") or deployment.get("name", "")
            found.setdefault(str(name), {"name": name, "fullchain": source.get("fullchain"), **renew})
    return list(found.values())


def _require_own_paths(deployments: Sequence[Mapping[str, Any]]) -> None:
    owners: dict[str, str] = {}
    for number, deployment in enumerate(deployments, 1):
        places = deployment.get("deploy")
        name = str(deployment.get("name", f"number {number}"))
        for path in filter(None, places.values() if isinstance(places, Mapping) else ()):
            owner = owners.setdefault(os.path.normpath(str(path)), name)
            if owner != name:
                raise AnsibleFilterError(
                    f"The deployments {owner} and {name} both have {path}: give each its own paths."
                )


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, (str, Mapping)) or not all(isinstance(entry, Mapping) for entry in value):
        raise AnsibleFilterError("The deployments of certificates are not a list of mappings.")
    return list(value)


class FilterModule:
    def filters(self) -> Mapping[str, Callable[..., Any]]:
        return {"lineages": lineages}
