# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``compose_health_info``: also the shape of an element of ``compose_projects``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import PROJECT_OPTIONS

ARGUMENT_SPEC: dict[str, Any] = {
    **PROJECT_OPTIONS,
    "services": {"type": "list", "elements": "str", "default": []},
    "ignore_services": {"type": "list", "elements": "str", "default": []},
    "one_shots": {"type": "list", "elements": "str", "default": []},
    "lock_file": {"type": "path"},
    "require_healthcheck": {"type": "bool", "default": False},
    "restarts_warning": {"type": "int", "default": 1},
    "restarts_critical": {"type": "int", "default": 5},
    "window": {"type": "str", "default": "24h"},
    "starting_limit": {"type": "str", "default": "5m"},
    "timeout": {"type": "str", "default": "30s"},
}
