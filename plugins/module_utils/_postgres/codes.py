# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain, from the jobs that use them."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.codes import CODES as ARCHIVE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.codes import CODES as HEALTH_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.codes import (
    CODES as LARGE_OBJECT_CODES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.codes import CODES as REINDEX_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.codes import CODES as REWRITE_CODES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.codes import CODES as VACUUM_CODES

# What belongs to no single job.
COMMON_CODES: Mapping[str, Code] = {
    "pg.outside_window": Code(
        "Nothing was looked at or done, because the maintenance window is closed. The task is not done for its period.",
        "Schedule the run within the window, or change window.",
    ),
}

CODES: Mapping[str, Code] = {
    **COMMON_CODES,
    **HEALTH_CODES,
    **VACUUM_CODES,
    **REWRITE_CODES,
    **REINDEX_CODES,
    **ARCHIVE_CODES,
    **LARGE_OBJECT_CODES,
}
