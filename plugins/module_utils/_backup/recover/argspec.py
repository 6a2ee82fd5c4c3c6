# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_restore``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import COUNTS, HASH

KEEP, LEAVE_OUT = "keep", "leave_out"

# What is meant by these is told once, by backup_verify.
OF_VERIFY = ("decrypt", "limits", "signers", "manifest", "require_manifest", "require_signature")

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "confirm": {"type": "str", "default": ""},
    "host": {"type": "str"},
    "database": {"type": "str"},
    "destination": {"type": "path"},
    "login_host": {"type": "str", "default": ""},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "login_unix_socket": {"type": "str", "default": ""},
    "login_db": {"type": "str", "default": "postgres"},
    "user": {"type": "str"},
    "bin_dir": {"type": "path"},
    "owners": {"type": "str", "choices": [KEEP, LEAVE_OUT], "default": KEEP},
    "jobs": {"type": "int", "default": 0},
    "fingerprint": {"type": "str", "choices": [COUNTS, HASH], "default": COUNTS},
    "safety_backup": {"type": "bool", "default": True},
    "safety_directory": {"type": "path", "default": "/var/backups/upkeep/before-restore"},
    "time_limit": {"type": "str", "default": "6h"},
    "run_id": {"type": "str", "default": ""},
    **{name: VERIFY[name] for name in OF_VERIFY},
}
