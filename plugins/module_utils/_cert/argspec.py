# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``cert_expiry``: also the shape of the inventory variable ``certificates_inventory``."""

from __future__ import annotations

from typing import Any

ENDPOINT_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 443},
    "server_name": {"type": "str"},
    "ca_path": {"type": "path"},
    "expect_file": {"type": "path"},
    "expect_fingerprint": {"type": "str"},
    "verify": {"type": "str", "choices": ["chain", "none"], "default": "chain"},
    "timeout": {"type": "str"},
    "warning": {"type": "list", "elements": "str"},
    "critical": {"type": "list", "elements": "str"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "files": {"type": "list", "elements": "path"},
    "endpoints": {"type": "list", "elements": "dict", "options": ENDPOINT_OPTIONS},
    "recurse": {"type": "bool", "default": False},
    "max_depth": {"type": "int", "default": 8},
    "follow": {"type": "bool", "default": True},
    "patterns": {"type": "list", "elements": "str", "default": ["*.pem", "*.crt", "*.cer", "*.cert"]},
    "excludes": {
        "type": "list",
        "elements": "str",
        "default": ["*privkey*", "*.key", "*-key.pem", "dhparam*", "README"],
    },
    "max_files": {"type": "int", "default": 100000},
    "max_size": {"type": "str", "default": "1MiB"},
    "warning": {"type": "list", "elements": "str", "default": ["30d", "25%"]},
    "critical": {"type": "list", "elements": "str", "default": ["7d", "10%"]},
    "renew_at": {"type": "str", "default": "auto"},
    "names": {"type": "list", "elements": "str", "default": []},
    "chain": {"type": "str", "choices": ["leaf", "chain"], "default": "chain"},
    "ca_path": {"type": "path"},
    "at": {"type": "str"},
    "workers": {"type": "int", "default": 32},
    "timeout": {"type": "str", "default": "5s"},
    "deadline": {"type": "str", "default": "5m"},
    "report": {"type": "str", "choices": ["all", "problems"], "default": "all"},
}

RULES: dict[str, Any] = {"required_one_of": [["files", "endpoints"]]}
