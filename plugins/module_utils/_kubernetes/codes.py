# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code
from ansible_collections.cadence.upkeep.plugins.module_utils._kubernetes.rollout.codes import CODES as ROLLOUT_CODES

CODES: Mapping[str, Code] = {
    **ROLLOUT_CODES,
}
