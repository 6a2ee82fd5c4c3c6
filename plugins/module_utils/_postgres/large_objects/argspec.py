# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pg_large_object."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import (
    CONNECTION_OPTIONS,
    SESSION_OPTIONS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import STATES

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    **SESSION_OPTIONS,
    "state": {"type": "str", "default": "reported", "choices": list(STATES)},
    "databases": {"type": "list", "elements": "str"},
    "confirm_no_text_references": {"type": "bool", "default": False},
    "exclude_columns": {"type": "list", "elements": "str", "default": []},
    "min_age": {"type": "str", "default": "1d"},
    "sample_rows": {"type": "int", "default": 10000},
    "look_limit": {"type": "str", "default": "20s"},
    "batch_size": {"type": "int", "default": 1000},
    "max_objects": {"type": "int", "default": 100000},
    "time_limit": {"type": "str"},
}
