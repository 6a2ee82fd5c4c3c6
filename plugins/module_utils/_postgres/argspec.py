# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every PostgreSQL module has. Those of the connection are named as in community.postgresql."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import SSL_MODES

# Shared by every module of the domain.
# What has no default here is taken, when the user leaves it out, from the container, the service file or libpq's
# environment, and only then from the defaults in options.py: a default here could not be told from what a user wrote.
CONNECTION_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "login_host": {"type": "str", "default": ""},
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "login_unix_socket": {"type": "str", "default": ""},
    "login_db": {"type": "str"},
    "ssl_mode": {"type": "str", "choices": list(SSL_MODES)},
    "ca_cert": {"type": "path"},
    "ssl_cert": {"type": "path"},
    # The name of a file, not a secret.
    "ssl_key": {"type": "path", "no_log": False},
    "connect_params": {"type": "dict", "default": {}},
    "session_role": {"type": "str"},
    "container": {"type": "str"},
    "compose_project": {"type": "str"},
    "compose_service": {"type": "str"},
    "docker_host": {"type": "str"},
}

# Shared by every module that changes something.
SESSION_OPTIONS: dict[str, Any] = {
    "lock_timeout": {"type": "str", "default": "2s"},
    "statement_timeout": {"type": "str", "default": "0"},
    "synchronous_commit": {"type": "str", "default": "off", "choices": ["off", "keep"]},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

# Shared by the modules that work on tables and indexes; the documentation is in the fragment postgres_job.
JOB_OPTIONS: dict[str, Any] = {
    "databases": {"type": "list", "elements": "str"},
    "window": {"type": "str"},
    "time_limit": {"type": "str"},
    "lock_retry_delay": {"type": "str", "default": "10s"},
    "on_standby": {"type": "str", "default": "fail", "choices": ["fail", "skip"]},
    "on_error": {"type": "str", "default": "continue", "choices": ["continue", "stop"]},
}
