# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain, from the jobs that use them."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.cleanup.codes import CODES as CLEANUP_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.downtime.codes import CODES as DOWNTIME_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.health.codes import CODES as HEALTH_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.migrate.codes import CODES as MIGRATE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.release.codes import CODES as RELEASE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._compose.roll.codes import CODES as ROLL_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    **HEALTH_CODES,
    **ROLL_CODES,
    **CLEANUP_CODES,
    **RELEASE_CODES,
    **MIGRATE_CODES,
    **DOWNTIME_CODES,
}
