# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of clearing up."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "compose.reclaimable": Code(
        "Check mode alone: how much a run would clear away.",
        "Look through the planned actions, then run it without check mode.",
    ),
    "compose.not_removed": Code(
        "The daemon failed to remove an object that nobody uses.",
        "Read the message, and the daemon's log: journalctl -u docker.",
    ),
    "compose.volume_in_use": Code(
        "A volume that was named for removal is used by a container, and was left alone.",
        "Take its name out of the list, or remove the container first.",
    ),
    "compose.anonymous_volumes": Code(
        "There are volumes that nobody named and no container uses. They may hold data, and are never removed unasked.",
        "Look into them, then name those that nobody needs in volumes: docker volume ls -f dangling=true.",
    ),
}
