# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``prerequisites_info`` and ``prerequisites_virtualenv``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._prerequisites.libraries import LIBRARIES

INFO_SPEC: dict[str, Any] = {
    "libraries": {"type": "list", "elements": "str", "choices": sorted(LIBRARIES), "required": True},
    "virtualenv": {"type": "path"},
    "timeout": {"type": "str", "default": "30s"},
}

VIRTUALENV_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "requirements": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "str", "default": "10m"},
}
