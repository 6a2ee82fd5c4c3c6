# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pg_vacuum."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import (
    CONNECTION_OPTIONS,
    JOB_OPTIONS,
    SESSION_OPTIONS,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.argspec import REWRITE_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import OWN_SKIP_REASONS
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    INDEX_CLEANUPS,
    MODES,
    REPORTS,
    SKIP_REASONS,
)

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    **SESSION_OPTIONS,
    **JOB_OPTIONS,
    **REWRITE_OPTIONS,
    "mode": {"type": "str", "default": "vacuum_analyze", "choices": list(MODES)},
    "schemas": {"type": "list", "elements": "str", "default": []},
    "exclude_schemas": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "exclude_tables": {"type": "list", "elements": "str", "default": []},
    "include_catalogs": {"type": "bool"},
    "when": {"type": "str", "default": "needed", "choices": ["needed", "always"]},
    "dead_ratio": {"type": "float", "default": 0.1},
    "dead_min": {"type": "int", "default": 1000},
    "mod_ratio": {"type": "float", "default": 0.05},
    "mod_min": {"type": "int", "default": 500},
    "missing_stats": {"type": "bool", "default": True},
    "use_autovacuum_thresholds": {"type": "bool", "default": False},
    "xid_age": {"type": "int", "default": 150_000_000},
    "mxid_age": {"type": "int", "default": 300_000_000},
    "emergency": {"type": "str", "default": "auto", "choices": ["auto", "true", "false"]},
    "skip_if_vacuumed_within": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    "batch_pages": {"type": "int", "default": 128},
    "hard_time_limit": {"type": "str"},
    "lock_retries": {"type": "int", "default": 3},
    "cost_delay": {"type": "str"},
    "cost_limit": {"type": "int"},
    "buffer_usage_limit": {"type": "str"},
    "parallel": {"type": "int"},
    "index_cleanup": {"type": "str", "choices": list(INDEX_CLEANUPS)},
    "truncate": {"type": "bool"},
    "process_main": {"type": "bool"},
    "process_toast": {"type": "bool"},
    "disable_page_skipping": {"type": "bool"},
    "skip_database_stats": {"type": "bool"},
    "fail_on_skipped": {
        "type": "list",
        "elements": "str",
        "default": ["permission"],
        "choices": list({**SKIP_REASONS, **OWN_SKIP_REASONS}),
    },
    "fail_on_blocked": {"type": "bool", "default": False},
    "report": {"type": "str", "default": "changed", "choices": list(REPORTS)},
}
