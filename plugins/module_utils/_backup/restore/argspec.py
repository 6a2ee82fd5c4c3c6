# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a test restore: the suboptions of ``restore`` of ``backup_verify``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.model import (
    AMCHECKS,
    COUNTS,
    FINGERPRINTS,
    INITDB,
    NONE,
    TARGETS,
)

SERVER: dict[str, Any] = {
    "host": {"type": "str"},
    "port": {"type": "int", "default": 5432},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "maintenance_db": {"type": "str", "default": "postgres"},
    "beside": {"type": "list", "elements": "str", "default": []},
}

ASSERTION: dict[str, Any] = {
    "sql": {"type": "str", "required": True},
    "expect": {"type": "str", "required": True},
}

RESTORE: dict[str, Any] = {
    "target": {"type": "str", "choices": list(TARGETS), "default": INITDB},
    "bin_dir": {"type": "path"},
    "user": {"type": "str"},
    "image": {"type": "str"},
    "docker_host": {"type": "str"},
    "server": {"type": "dict", "options": SERVER},
    "allow_server": {"type": "bool", "default": False},
    "jobs": {"type": "int", "default": 0},
    "timeout": {"type": "str", "default": "2h"},
    "assertions": {"type": "list", "elements": "dict", "options": ASSERTION},
    "fingerprint": {"type": "str", "choices": list(FINGERPRINTS), "default": COUNTS},
    "amcheck": {"type": "str", "choices": list(AMCHECKS), "default": NONE},
    "newest": {"type": "str"},
    "max_rpo": {"type": "str"},
    "max_rto": {"type": "str"},
    "scratch_dir": {"type": "path"},
    "scratch_reserve": {"type": "str", "default": "10%"},
}
