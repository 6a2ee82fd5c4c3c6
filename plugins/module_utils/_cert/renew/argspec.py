# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``cert_renew``."""

from __future__ import annotations

from typing import Any

LINEAGE_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "renew_command": {"type": "list", "elements": "str"},
    "dry_run_command": {"type": "list", "elements": "str"},
    "fullchain": {"type": "path"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "lineages": {
        "type": "list",
        "elements": "dict",
        "options": LINEAGE_OPTIONS,
        "required_by": {"renew_command": "fullchain", "dry_run_command": "renew_command"},
    },
    "config_dir": {"type": "path", "default": "/etc/letsencrypt"},
    "work_dir": {"type": "path"},
    "logs_dir": {"type": "path"},
    "certbot": {"type": "str", "default": "certbot"},
    "arguments": {"type": "list", "elements": "str", "default": []},
    "force": {"type": "bool", "default": False},
    "dry_run": {"type": "bool", "default": False},
    "critical": {"type": "list", "elements": "str", "default": ["7d", "10%"]},
    "timeout": {"type": "str", "default": "10m"},
    "time_limit": {"type": "str", "default": "30m"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}
