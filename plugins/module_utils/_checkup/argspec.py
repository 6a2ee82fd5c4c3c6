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

CHECKS_OPTION: dict[str, Any] = {
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
        "after": {"type": "list", "elements": "str", "default": []},
    },
}

CHECKUP_SPEC: dict[str, Any] = {
    "checks": CHECKS_OPTION,
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
    # These are for the action plugin, which turns them into tasks and checks.
    "run": {"type": "dict"},
    "due": {"type": "list", "elements": "dict"},
    "failures": {"type": "dict"},
    "later": {"type": "list", "elements": "str"},
    "overrides": {"type": "raw"},
    "only": {"type": "raw"},
    "skip": {"type": "raw"},
    "force": {"type": "raw"},
    "tasks": {"type": "list", "elements": "dict"},
    "checks": CHECKS_OPTION,
    **RUN_OPTIONS,
}
