# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_offsite``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.offsite.model import METHODS

ARGUMENT_SPEC: dict[str, Any] = {
    # Validated by the series of backup_verify, so that one variable of the inventory serves both.
    "series": {"type": "list", "elements": "dict", "required": True},
    "site": {"type": "str", "required": True},
    "method": {"type": "str", "choices": list(METHODS), "required": True},
    "path": {"type": "str", "required": True},
    "media": {"type": "str", "default": ""},
    "offsite": {"type": "bool", "default": True},
    "immutable": {"type": "bool", "default": False},
    "same_disk": {"type": "bool", "default": False},
    "ssh": {
        "type": "dict",
        "options": {
            "host": {"type": "str", "required": True},
            "user": {"type": "str"},
            "port": {"type": "int", "default": 22},
            # Paths, no secrets.
            "identity_file": {"type": "path", "required": True, "no_log": False},
            "known_hosts": {"type": "path", "required": True},
            "connect_timeout": {"type": "str", "default": "15s"},
        },
    },
    "rclone": {
        "type": "dict",
        "options": {
            "config": {"type": "path"},
            "environment": {"type": "dict", "no_log": True},
            "program": {"type": "str", "default": "rclone"},
        },
    },
    "newest": {"type": "int", "default": 0},
    "settle": {"type": "str", "default": "1m"},
    "recheck_after": {"type": "str", "default": "30d"},
    "bwlimit": {"type": "str", "default": "0"},
    "time_limit": {"type": "str", "default": "4h"},
    "retries": {"type": "int", "default": 2},
    "retry_delay": {"type": "str", "default": "10s"},
    "lock_timeout": {"type": "str", "default": "0"},
    "run_id": {"type": "str", "default": ""},
    "state_dir": {"type": "path"},
}

RULES: dict[str, Any] = {"required_if": [["method", "rsync", ["ssh"]]]}
