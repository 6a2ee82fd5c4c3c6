# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of a planned downtime."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "app.downtime": Code(
        "Services were, or would be, stopped on purpose: nobody is served until they run again.",
        "Announce it, or update without downtime: app_update_downtime: [].",
    ),
    "app.not_back": Code(
        "A container that was stopped for a downtime does not run, or is not healthy, after its end.",
        "Look at it now: docker logs --tail 50 CONTAINER; then docker start CONTAINER.",
    ),
}
