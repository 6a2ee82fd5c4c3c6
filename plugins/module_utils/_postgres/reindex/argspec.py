# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pg_reindex."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import (
    CONNECTION_OPTIONS,
    JOB_OPTIONS,
    SESSION_OPTIONS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    BLOAT_METHODS,
    CONCURRENTLY,
    INVALID_CHOICES,
    PLAIN,
    REPORTS,
    SKIP_REASONS,
)

_NAMES: dict[str, Any] = {"type": "list", "elements": "str", "default": []}

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    **SESSION_OPTIONS,
    **JOB_OPTIONS,
    "schemas": _NAMES,
    "exclude_schemas": _NAMES,
    "tables": _NAMES,
    "exclude_tables": _NAMES,
    "indexes": _NAMES,
    "exclude_indexes": _NAMES,
    "include_catalogs": {"type": "bool", "default": False},
    "when": {"type": "str", "default": "needed", "choices": ["needed", "always"]},
    "bloat_ratio": {"type": "float", "default": 0.3},
    "min_size": {"type": "str", "default": "1MB"},
    "max_size": {"type": "str"},
    "bloat_method": {"type": "str", "default": "auto", "choices": list(BLOAT_METHODS)},
    "exact_max_size": {"type": "str", "default": "1GB"},
    "invalid": {"type": "str", "default": "rebuild", "choices": list(INVALID_CHOICES)},
    "method": {"type": "str", "default": CONCURRENTLY, "choices": [CONCURRENTLY, PLAIN]},
    "skip_unsafe_minor": {"type": "bool", "default": True},
    "tablespace": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    "hard_time_limit": {"type": "str"},
    # What is right depends on the method: see options.py.
    "lock_timeout": {"type": "str"},
    "lock_retries": {"type": "int", "default": 3},
    "blocker_age": {"type": "str", "default": "5m"},
    "disk_headroom": {"type": "float", "default": 1.2},
    "free_bytes": {"type": "str"},
    "force_without_disk_check": {"type": "bool", "default": False},
    "fail_on_skipped": {"type": "list", "elements": "str", "default": ["permission"], "choices": list(SKIP_REASONS)},
    "report": {"type": "str", "default": "changed", "choices": list(REPORTS)},
}
