# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_create``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import (
    ALWAYS,
    AUTO,
    COMPRESSIONS,
    CUSTOM,
    FORMATS,
    KINDS,
    MINISIGN,
    NEEDED,
    OPENPGP,
    POSTGRES,
    SSH,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.argspec import CONNECTION_OPTIONS

ENCRYPT: dict[str, Any] = {
    "age_recipients": {"type": "list", "elements": "str"},
    "age_recipients_file": {"type": "path"},
    "gpg_recipients": {"type": "list", "elements": "str"},
    "gpg_homedir": {"type": "path"},
}

# Names of files, not secrets.
DECRYPT: dict[str, Any] = {
    "gpg_homedir": {"type": "path"},
    "passphrase_file": {"type": "path", "no_log": False},
    "age_identity_file": {"type": "path"},
}

SIGN: dict[str, Any] = {
    "kind": {"type": "str", "choices": [MINISIGN, SSH, OPENPGP], "required": True},
    "key": {"type": "str", "required": True, "no_log": False},
    "gpg_homedir": {"type": "path"},
    "passphrase_file": {"type": "path", "no_log": False},
    "ssh_namespace": {"type": "str", "default": "file"},
}

POD: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "container": {"type": "str"},
    "context": {"type": "str"},
    "kubeconfig": {"type": "path"},
    "kubectl": {"type": "str", "default": "kubectl"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **CONNECTION_OPTIONS,
    "series": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "kind": {"type": "str", "default": POSTGRES, "choices": list(KINDS)},
    "databases": {"type": "list", "elements": "str"},
    "format": {"type": "str", "default": CUSTOM, "choices": list(FORMATS)},
    "compress": {"type": "str", "default": AUTO, "choices": list(COMPRESSIONS)},
    "compress_level": {"type": "int"},
    "jobs": {"type": "int", "default": 1},
    "globals": {"type": "bool", "default": True},
    "count_rows": {"type": "bool", "default": True},
    "fingerprint": {"type": "str", "default": "none", "choices": ["none", "hash"]},
    "paths": {"type": "list", "elements": "path"},
    "exclude": {"type": "list", "elements": "str"},
    "encrypt": {"type": "dict", "options": ENCRYPT},
    "decrypt": {"type": "dict", "options": DECRYPT},
    "sign": {"type": "dict", "options": SIGN},
    "when": {"type": "str", "default": NEEDED, "choices": [NEEDED, ALWAYS]},
    "every": {"type": "str", "default": "24h"},
    "grace": {"type": "str"},
    "pod": {"type": "dict", "options": POD},
    "programs": {"type": "str", "default": "auto", "choices": ["auto", "host", "container"]},
    "far_directory": {"type": "str", "default": "/tmp"},
    "copy_retries": {"type": "int", "default": 3},
    "bin_dir": {"type": "path"},
    "auth_database": {"type": "str"},
    "headroom": {"type": "float", "default": 1.2},
    "min_free": {"type": "str", "default": "100MiB"},
    "lock_timeout": {"type": "str", "default": "1m"},
    "time_limit": {"type": "str", "default": "4h"},
    "mode": {"type": "str", "default": "0600"},
    "run_id": {"type": "str", "default": ""},
    "state_dir": {"type": "path"},
}
