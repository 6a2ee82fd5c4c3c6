# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``cert_expiry``: also the shape of the inventory variable ``certificates_inventory``."""

from __future__ import annotations

from typing import Any

TLS_VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
STARTTLS = ["smtp", "lmtp", "imap", "pop3", "ftp", "sieve", "ldap", "postgres", "mysql", "xmpp", "xmpp-server"]

CONTENT_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "content": {"type": "str", "required": True, "no_log": True},
}

ENDPOINT_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "host": {"type": "str", "required": True},
    "port": {"type": "int"},
    "server_name": {"type": "str"},
    "starttls": {"type": "str", "choices": STARTTLS},
    "addresses": {"type": "str", "choices": ["any", "all"], "default": "any"},
    "proxy": {"type": "str"},
    "client_cert": {"type": "path"},
    # A path, not the key.
    "client_key": {"type": "path", "no_log": False},
    "ca_path": {"type": "path"},
    "expect_file": {"type": "path"},
    "expect_fingerprint": {"type": "str"},
    "verify": {"type": "str", "choices": ["chain", "none"], "default": "chain"},
    "timeout": {"type": "str"},
    "warning": {"type": "list", "elements": "str"},
    "critical": {"type": "list", "elements": "str"},
    "hsts": {"type": "bool"},
    "tls_versions": {"type": "bool"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "files": {"type": "list", "elements": "path"},
    "endpoints": {"type": "list", "elements": "dict", "options": ENDPOINT_OPTIONS},
    "content": {"type": "list", "elements": "dict", "options": CONTENT_OPTIONS},
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
    "renew_grace": {"type": "str"},
    "max_lifetime": {"type": "str"},
    "names": {"type": "list", "elements": "str", "default": []},
    "allow_cn": {"type": "bool", "default": False},
    "chain": {"type": "str", "choices": ["leaf", "chain", "verified"], "default": "chain"},
    "ca_path": {"type": "path"},
    # Whether to look, not a key.
    "check_key": {"type": "bool", "default": False, "no_log": False},
    "passphrases": {"type": "list", "elements": "str", "default": [], "no_log": True},
    "min_rsa_bits": {"type": "int", "default": 2048},
    "min_ec_bits": {"type": "int", "default": 224},
    "weak_signatures": {"type": "list", "elements": "str", "default": ["md5", "sha1"]},
    "min_tls": {"type": "str", "choices": TLS_VERSIONS, "default": "TLSv1.2"},
    "tls_versions": {"type": "bool", "default": False},
    "hsts": {"type": "bool", "default": False},
    "min_hsts": {"type": "str", "default": "180d"},
    "at": {"type": "str"},
    "workers": {"type": "int", "default": 64},
    "timeout": {"type": "str", "default": "5s"},
    "deadline": {"type": "str", "default": "5m"},
    "report": {"type": "str", "choices": ["all", "problems"], "default": "all"},
}

RULES: dict[str, Any] = {"required_one_of": [["files", "endpoints", "content"]]}
