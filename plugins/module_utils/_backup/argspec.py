# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_verify``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import (
    ALLOWANCES,
    FROM_NAME,
    LATEST,
    LEVELS,
    SELECTIONS,
    STRUCTURE,
    TIME_SOURCES,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.argspec import RESTORE

SIZE_BAND: dict[str, Any] = {
    "window": {"type": "int", "default": 14},
    "factor": {"type": "float", "default": 3.5},
    "min_abs": {"type": "str", "default": "10MiB"},
    "both_sides": {"type": "bool", "default": True},
}

KEEP: dict[str, Any] = {
    period: {"type": "int", "default": 0} for period in ("last", "daily", "weekly", "monthly", "yearly")
}

SCHEDULE: dict[str, Any] = {"cron": {"type": "str"}, "timer": {"type": "str"}}

COPIES: dict[str, Any] = {
    "site": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "media": {"type": "str", "default": ""},
    "offsite": {"type": "bool", "default": False},
    "immutable": {"type": "bool", "default": False},
    "mode": {"type": "str", "choices": ["stat", "digest", "full", "recorded"], "default": "full"},
}

TABLE: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "min_rows": {"type": "int"},
    "max_rows": {"type": "int"},
}

EXPECT: dict[str, Any] = {
    "database": {"type": "str"},
    "server_major": {"type": "int"},
    "extensions": {"type": "list", "elements": "str"},
    "tables": {"type": "list", "elements": "dict", "options": TABLE},
    "row_tolerance": {"type": "str", "default": "0%"},
}

SERIES: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "pattern": {"type": "str", "required": True},
    "time_from": {"type": "str", "choices": list(TIME_SOURCES), "default": FROM_NAME},
    "time_pattern": {"type": "str"},
    "time_zone": {"type": "str", "default": "local"},
    "every": {"type": "str", "default": "24h"},
    "grace": {"type": "str", "default": "2h"},
    "max_age": {"type": "str"},
    "min_size": {"type": "str"},
    "min_count": {"type": "int", "default": 1},
    "keep": {"type": "dict", "options": KEEP},
    "gap_window": {"type": "int", "default": 7},
    "size_band": {"type": "dict", "options": SIZE_BAND},
    "level": {"type": "str", "choices": list(LEVELS)},
    "owner": {"type": "str"},
    "immutable": {"type": "bool", "default": False},
    "media": {"type": "str", "default": ""},
    "globals": {"type": "str"},
    "schedule": {"type": "dict", "options": SCHEDULE, "required_one_of": [["cron", "timer"]]},
    "copies": {"type": "list", "elements": "dict", "options": COPIES},
    "expect": {"type": "dict", "options": EXPECT},
}

OPENSSL: dict[str, Any] = {
    "cipher": {"type": "str", "default": "aes-256-cbc"},
    "kdf": {"type": "str", "choices": ["pbkdf2", "evp_bytes_to_key"], "default": "pbkdf2"},
    "iterations": {"type": "int", "default": 10000},
    "digest": {"type": "str", "default": "sha256"},
    "pass_file": {"type": "path", "required": True},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "paths": {"type": "list", "elements": "path"},
    "series": {"type": "list", "elements": "dict", "options": SERIES},
    "select": {"type": "str", "choices": list(SELECTIONS), "default": LATEST},
    "rolling": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "parts": {"type": "int", "default": 30},
            "period": {"type": "str", "default": "1d"},
            "reverify_after": {"type": "str", "default": "0"},
        },
    },
    "level": {"type": "str", "choices": list(LEVELS), "default": STRUCTURE},
    "count_rows": {"type": "bool", "default": False},
    "max_age": {"type": "str"},
    "min_size": {"type": "str"},
    "size_band": {"type": "dict", "options": SIZE_BAND, "apply_defaults": True},
    "manifest": {"type": "str", "default": "auto"},
    "require_manifest": {"type": "bool", "default": False},
    "require_signature": {"type": "bool", "default": False},
    "signers": {
        "type": "dict",
        "options": {
            "minisign": {"type": "list", "elements": "str"},
            "ssh_allowed_signers": {"type": "path"},
            "ssh_identity": {"type": "str"},
            "ssh_namespace": {"type": "str", "default": "file"},
            "gpg_homedir": {"type": "path"},
            "gpg_fingerprints": {"type": "list", "elements": "str"},
        },
    },
    "decrypt": {
        "type": "dict",
        "options": {
            "gpg_homedir": {"type": "path"},
            "passphrase_file": {"type": "path"},
            "age_identity_file": {"type": "path"},
            "openssl": {"type": "dict", "options": OPENSSL},
        },
    },
    "limits": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "max_expanded": {"type": "str", "default": "1TiB"},
            "max_ratio": {"type": "float", "default": 250.0},
            "max_depth": {"type": "int", "default": 6},
            "max_members": {"type": "int", "default": 1000000},
            "allow": {"type": "list", "elements": "str", "choices": list(ALLOWANCES), "default": []},
        },
    },
    "restore": {"type": "dict", "options": RESTORE},
    "parallel": {"type": "int", "default": 0},
    "nice": {"type": "int", "default": 10},
    "ionice": {"type": "str", "choices": ["idle", "none"], "default": "none"},
    "bwlimit": {"type": "str", "default": "0"},
    "timeout": {"type": "str", "default": "1h"},
    "timeout_per_file": {"type": "str", "default": "30m"},
    "state_file": {"type": "path"},
}

RULES: dict[str, Any] = {"required_one_of": [["paths", "series"]]}
