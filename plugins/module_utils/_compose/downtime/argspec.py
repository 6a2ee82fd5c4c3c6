# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``compose_downtime``."""

from __future__ import annotations

from typing import Any

BEGUN, ENDED = "begun", "ended"

ARGUMENT_SPEC: dict[str, Any] = {
    "project_name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": [BEGUN, ENDED], "required": True},
    "services": {"type": "list", "elements": "str"},
    "docker_host": {"type": "str"},
    "stop_timeout": {"type": "str", "default": "30s"},
    "health_timeout": {"type": "str", "default": "2m"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

RULES: dict[str, Any] = {"required_if": [["state", BEGUN, ["services"]]]}
