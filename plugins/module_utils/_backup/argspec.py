# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_verify``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    FROM_NAME,
    INTEGRITY,
    LATEST,
    LEVELS,
    SELECTIONS,
    TIME_SOURCES,
)

SIZE_BAND: dict[str, Any] = {
    "window": {"type": "int", "default": 14},
    "factor": {"type": "float", "default": 3.5},
    "min_abs": {"type": "str", "default": "10MiB"},
    "both_sides": {"type": "bool", "default": True},
}

SERIES: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "pattern": {"type": "str", "required": True},
    "time_from": {"type": "str", "choices": list(TIME_SOURCES), "default": FROM_NAME},
    "time_zone": {"type": "str", "default": "local"},
    "every": {"type": "str", "default": "24h"},
    "grace": {"type": "str", "default": "2h"},
    "max_age": {"type": "str"},
    "min_size": {"type": "str"},
    "min_count": {"type": "int", "default": 1},
    "gap_window": {"type": "int", "default": 7},
    "size_band": {"type": "dict", "options": SIZE_BAND},
    "level": {"type": "str", "choices": list(LEVELS)},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "paths": {"type": "list", "elements": "path"},
    "series": {"type": "list", "elements": "dict", "options": SERIES},
    "select": {"type": "str", "choices": list(SELECTIONS), "default": LATEST},
    "level": {"type": "str", "choices": list(LEVELS), "default": INTEGRITY},
    "max_age": {"type": "str"},
    "min_size": {"type": "str"},
    "size_band": {"type": "dict", "options": SIZE_BAND, "apply_defaults": True},
    "limits": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "max_expanded": {"type": "str", "default": "1TiB"},
            "max_ratio": {"type": "float", "default": 250.0},
            "max_depth": {"type": "int", "default": 6},
        },
    },
    "timeout": {"type": "str", "default": "1h"},
    "timeout_per_file": {"type": "str", "default": "30m"},
}

RULES: dict[str, Any] = {"required_one_of": [["paths", "series"]]}
