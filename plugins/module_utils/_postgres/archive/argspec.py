# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pg_wal_archive."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.model import DEFAULT_SUFFIXES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    "path": {"type": "path", "required": True},
    "base_backups": {"type": "list", "elements": "path"},
    "keep_base_backups": {"type": "int"},
    "keep_from": {"type": "str"},
    "consumers": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "file": {"type": "path"},
            "keep_from": {"type": "str"},
            "login_host": {"type": "str"},
            "login_port": {"type": "int"},
            "login_unix_socket": {"type": "str"},
        },
        "mutually_exclusive": [
            ["file", "keep_from", "login_host"],
            ["file", "login_port"],
            ["file", "login_unix_socket"],
            ["keep_from", "login_port"],
            ["keep_from", "login_unix_socket"],
        ],
        "required_one_of": [["file", "keep_from", "login_host", "login_port", "login_unix_socket"]],
    },
    "ask_server": {"type": "bool", "default": True},
    "suffixes": {"type": "list", "elements": "str", "default": list(DEFAULT_SUFFIXES)},
    "wal_segment_size": {"type": "str"},
    "remove_backup_history": {"type": "bool", "default": False},
    "allow_remove_all": {"type": "bool", "default": False},
    "max_delete": {"type": "int"},
    "time_limit": {"type": "str"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

# Something must say what is to be kept: slots and checkpoints alone know nothing of a restore.
RULES: dict[str, Any] = {
    "required_one_of": [["base_backups", "keep_base_backups", "keep_from", "consumers"]],
}
