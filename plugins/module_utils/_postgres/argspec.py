# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every PostgreSQL module has. Those of the connection are named as in community.postgresql."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SSL_MODES

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

# Shared by every module that changes something.
SESSION_OPTIONS: dict[str, Any] = {
    "lock_timeout": {"type": "str", "default": "2s"},
    "statement_timeout": {"type": "str", "default": "0"},
    "synchronous_commit": {"type": "str", "default": "off", "choices": ["off", "keep"]},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}
