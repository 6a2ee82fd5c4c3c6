# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``cert_deploy``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.argspec import ENDPOINT_OPTIONS
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.consumers import COMMAND, KINDS
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.model import STATES
from ansible_collections.cadence.upkeep.plugins.module_utils._cert.deploy.store import FILES, LAYOUTS, PUBLIC

SOURCE_OPTIONS: dict[str, Any] = {
    "fullchain": {"type": "path", "required": True},
    # A path, not the key.
    "privkey": {"type": "path", "required": True, "no_log": False},
}

PLACE_OPTIONS: dict[str, Any] = {key: {"type": "path", "no_log": False} for key in FILES}

CONSUMER_OPTIONS: dict[str, Any] = {
    "kind": {"type": "str", "choices": [*KINDS, COMMAND], "default": COMMAND},
    "name": {"type": "str"},
    "service": {"type": "str"},
    "config": {"type": "path"},
    "validate": {"type": "list", "elements": "str"},
    "reload": {"type": "list", "elements": "str"},
    "signal": {"type": "str"},
    "pid_file": {"type": "path"},
    "container": {"type": "str"},
    "compose_project": {"type": "str"},
    "compose_service": {"type": "str"},
}

# What cert_expiry judges besides the certificate itself is not what a deployment is about.
_LOOKED_AT = (
    *("name", "host", "port", "server_name", "starttls", "addresses", "proxy"),
    *("client_cert", "client_key", "ca_path", "timeout"),
)

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "default": STATES[0]},
    "lineage": {"type": "str"},
    "config_dir": {"type": "path", "default": "/etc/letsencrypt"},
    "source": {"type": "dict", "options": SOURCE_OPTIONS},
    "deploy": {"type": "dict", "required": True, "options": PLACE_OPTIONS, "required_one_of": [list(PUBLIC)]},
    "layout": {"type": "str", "choices": list(LAYOUTS), "default": LAYOUTS[0]},
    "store": {"type": "path"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    # As it was written: a text would hide that YAML has made a number of 0640, which is 416.
    "mode": {"type": "raw"},
    # How the file may be read, not a key.
    "key_mode": {"type": "raw", "no_log": False},
    "names": {"type": "list", "elements": "str", "default": []},
    "ca_path": {"type": "path"},
    "verify": {"type": "bool", "default": True},
    "min_remaining": {"type": "list", "elements": "str", "default": ["7d", "10%"]},
    "force": {"type": "bool", "default": False},
    "consumers": {"type": "list", "elements": "dict", "default": [], "options": CONSUMER_OPTIONS},
    "consumer_timeout": {"type": "str", "default": "30s"},
    "endpoints": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {key: ENDPOINT_OPTIONS[key] for key in _LOOKED_AT},
    },
    "settle": {"type": "str", "default": "10s"},
    "backup_dir": {"type": "path"},
    "backup_keep": {"type": "int", "default": 10},
    "backup": {"type": "str", "default": "latest"},
    "docker_host": {"type": "str"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

RULES: dict[str, Any] = {"mutually_exclusive": [["lineage", "source"]]}
