# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``checkup`` and ``run_record``."""

from __future__ import annotations

from typing import Any

# What both modules must know about the run that calls them.
RUN_OPTIONS: dict[str, Any] = {
    "run_id": {"type": "str", "default": ""},
    "cadence": {"type": "str", "default": ""},
    "host": {"type": "str"},
    "state_dir": {"type": "path"},
    "now": {"type": "str"},
}

CHECKUP_SPEC: dict[str, Any] = {
    "checks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "check": {"type": "str", "required": True},
            "params": {"type": "dict", "default": {}},
            "each": {"type": "list", "elements": "dict", "default": []},
            "account": {"type": "str", "default": ""},
            "deadline": {"type": "str", "default": "60s"},
            "period": {"type": "str", "default": ""},
            "digest": {"type": "str", "default": ""},
            "covers": {"type": "list", "elements": "str", "default": []},
        },
    },
    "acting": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "period": {"type": "str", "required": True},
            "digest": {"type": "str", "default": ""},
        },
    },
    "force": {"type": "bool", "default": False},
    "plan_only": {"type": "bool", "default": False},
    **RUN_OPTIONS,
}

RECORD_SPEC: dict[str, Any] = {
    # These three are for the action plugin, which turns them into tasks.
    "run": {"type": "dict"},
    "due": {"type": "list", "elements": "dict"},
    "failures": {"type": "dict"},
    "tasks": {"type": "list", "elements": "dict"},
    **RUN_OPTIONS,
}
