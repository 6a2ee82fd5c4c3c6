# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the PostgreSQL modules. Those of the connection are named as in community.postgresql."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import (
    MODES,
    REPORTS,
    SKIP_REASONS,
    SSL_MODES,
)

# Shared by every module of the domain.
CONNECTION_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "login_host": {"type": "str", "default": ""},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "login_unix_socket": {"type": "str", "default": ""},
    "login_db": {"type": "str", "default": "postgres"},
    "ssl_mode": {"type": "str", "default": "prefer", "choices": list(SSL_MODES)},
    "ca_cert": {"type": "path"},
    "ssl_cert": {"type": "path"},
    # The name of a file, not a secret.
    "ssl_key": {"type": "path", "no_log": False},
    "connect_params": {"type": "dict", "default": {}},
    "session_role": {"type": "str"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    "mode": {"type": "str", "default": "vacuum_analyze", "choices": list(MODES)},
    "databases": {"type": "list", "elements": "str"},
    "schemas": {"type": "list", "elements": "str", "default": []},
    "exclude_schemas": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "exclude_tables": {"type": "list", "elements": "str", "default": []},
    "include_catalogs": {"type": "bool", "default": True},
    "when": {"type": "str", "default": "needed", "choices": ["needed", "always"]},
    "dead_ratio": {"type": "float", "default": 0.1},
    "dead_min": {"type": "int", "default": 1000},
    "mod_ratio": {"type": "float", "default": 0.05},
    "mod_min": {"type": "int", "default": 500},
    "missing_stats": {"type": "bool", "default": True},
    "skip_if_vacuumed_within": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    "batch_pages": {"type": "int", "default": 128},
    "time_limit": {"type": "str"},
    "hard_time_limit": {"type": "str"},
    "lock_timeout": {"type": "str", "default": "2s"},
    "lock_retries": {"type": "int", "default": 3},
    "lock_retry_delay": {"type": "str", "default": "10s"},
    "statement_timeout": {"type": "str", "default": "0"},
    "synchronous_commit": {"type": "str", "default": "off", "choices": ["off", "keep"]},
    "on_error": {"type": "str", "default": "continue", "choices": ["continue", "stop"]},
    "fail_on_skipped": {"type": "list", "elements": "str", "default": ["permission"], "choices": list(SKIP_REASONS)},
    "report": {"type": "str", "default": "changed", "choices": list(REPORTS)},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}
