# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``app_release``."""

from __future__ import annotations

from typing import Any

CHECKED, FETCHED, COMMITTED, RESTORED = "checked", "fetched", "committed", "restored"
# What stands for the generation before the one that runs.
PREVIOUS = "previous"

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": [CHECKED, FETCHED, COMMITTED, RESTORED], "default": CHECKED},
    "path": {"type": "path", "required": True},
    "remote": {"type": "str", "default": "origin"},
    "version": {"type": "str", "default": ""},
    "tags": {"type": "str", "default": "v*"},
    "commit": {"type": "str", "default": ""},
    "require_signature": {"type": "bool", "default": False},
    "submodules": {"type": "bool", "default": False},
    "migration_paths": {
        "type": "list",
        "elements": "str",
        "default": ["*alembic/versions/*", "*migrations/versions/*", "*/migrations/*"],
    },
    "project_name": {"type": "str", "default": ""},
    "docker_host": {"type": "str"},
    "revision": {"type": "str", "default": ""},
    "backups": {"type": "list", "elements": "path", "default": []},
    "keep": {"type": "int", "default": 3},
    "timeout": {"type": "str", "default": "2m"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}
