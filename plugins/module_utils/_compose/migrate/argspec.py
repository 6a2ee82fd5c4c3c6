# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``alembic_migrate``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import PROJECT_OPTIONS

CHECKED, PREPARED, UPGRADED, DOWNGRADED = "checked", "prepared", "upgraded", "downgraded"

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": [CHECKED, PREPARED, UPGRADED, DOWNGRADED], "default": UPGRADED},
    "revision": {"type": "str", "default": ""},
    **PROJECT_OPTIONS,
    "service": {"type": "str"},
    "image": {"type": "str", "default": ""},
    "pull": {"type": "str", "choices": ["never", "missing", "always"], "default": "never"},
    "build": {"type": "str", "choices": ["never", "always"], "default": "never"},
    "build_timeout": {"type": "str", "default": "30m"},
    "command": {"type": "list", "elements": "str", "default": ["alembic"]},
    "chdir": {"type": "path"},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "database_service": {"type": "str"},
    "psql": {"type": "list", "elements": "str", "default": []},
    "psql_environment": {"type": "dict", "default": {}, "no_log": True},
    "lock": {"type": "bool", "default": True},
    "wait_for_lock": {"type": "str", "default": "0"},
    "lock_timeout": {"type": "str", "default": "5s"},
    "statement_timeout": {"type": "str", "default": "0"},
    "timeout": {"type": "str", "default": "10m"},
}

RULES: dict[str, Any] = {
    "mutually_exclusive": [["service", "chdir"], ["database_service", "psql"]],
    "required_one_of": [["service", "chdir"]],
    "required_if": [["state", DOWNGRADED, ["revision"]]],
    "required_by": {"service": ["project_src"], "database_service": ["project_src"]},
}
