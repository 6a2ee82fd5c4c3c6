# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one run was asked to do: read once, before any host is touched."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339, rfc3339, utc_now
from ansible_collections.cadence.upkeep.plugins.plugin_utils.catalogue import Catalogue, Entry, read_catalogue
from ansible_collections.cadence.upkeep.plugins.plugin_utils.inputs import read_bool, read_mapping, read_words
from ansible_collections.cadence.upkeep.plugins.plugin_utils.resolver import Selection, select, why_not


@dataclass(frozen=True)
class Request:
    """A validated request for one host (overrides may differ between hosts)."""

    catalogue: Catalogue
    selection: Selection
    force: bool

    def wanted(self) -> list[Entry]:
        """Return the entries that the selection keeps, whether or not they apply to the host."""
        return [entry for entry in self.catalogue.values() if why_not(entry, self.selection) is None]


def read_request(options: Mapping[str, Any], variables: Mapping[str, Any]) -> Request:
    """Return the request in *options* ``{cadence, overrides, only, skip, force}``.

    *variables* are Ansible's own: ``--tags`` and ``--skip-tags`` narrow the run as ``only`` and ``skip`` do. Raises
    ``InvalidInput`` for the first thing that cannot be understood.
    """
    catalogue = read_catalogue(read_mapping("upkeep_overrides", options.get("overrides")))
    selection = select(
        str(options.get("cadence") or ""),
        read_words("upkeep_only", options.get("only")),
        read_words("upkeep_skip", options.get("skip")),
        list(variables.get("ansible_run_tags") or ()),
        list(variables.get("ansible_skip_tags") or ()),
        catalogue,
    )
    return Request(catalogue, selection, read_bool("upkeep_force", options.get("force")))


def open_run(request: Request, now: str) -> dict[str, str]:
    """Return ``{id, cadence, started_at}`` of a new run; *now* (RFC 3339) stands in for the clock when given."""
    instant: datetime = parse_rfc3339(now) if now else utc_now()
    cadence = request.selection.cadence
    return {
        "id": f"{instant:%Y%m%dT%H%M%SZ}-{cadence}-{secrets.token_hex(2)}",
        "cadence": cadence,
        "started_at": rfc3339(instant),
    }
