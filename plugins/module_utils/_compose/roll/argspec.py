# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``compose_rolling_update``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._compose.project import PROJECT_OPTIONS

PROBE_OPTIONS: dict[str, Any] = {
    "type": {"type": "str", "choices": ["http", "tcp", "exec"], "default": "http"},
    "port": {"type": "int"},
    "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
    "path": {"type": "str", "default": "/"},
    "headers": {"type": "dict", "default": {}},
    "expect": {"type": "list", "elements": "str", "default": ["2xx", "3xx"]},
    "query": {"type": "str"},
    "value": {"type": "raw"},
    "command": {"type": "list", "elements": "str", "default": []},
    "interval": {"type": "str", "default": "500ms"},
    "timeout": {"type": "str", "default": "2s"},
    "successes": {"type": "int", "default": 3},
}
PROBE_RULES: dict[str, Any] = {
    "required_if": [["type", "http", ["port"]], ["type", "tcp", ["port"]], ["type", "exec", ["command"]]]
}

TRAFFIC_OPTIONS: dict[str, Any] = {
    "mode": {"type": "str", "choices": ["none", "dns_gate", "hook", "nginx"], "default": "none"},
    "hook": {"type": "list", "elements": "str", "default": []},
    "service": {"type": "str"},
    "file": {"type": "path"},
    "server": {"type": "str", "default": "server {address}:{port} max_fails=0;"},
    "port": {"type": "int"},
    "settle": {"type": "str", "default": "1s"},
    "timeout": {"type": "str", "default": "30s"},
}

DRAIN_OPTIONS: dict[str, Any] = {
    "command": {"type": "list", "elements": "str", "default": []},
    "file": {"type": "str"},
    "signal": {"type": "str"},
    "inflight": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "str", "default": "0"},
    "timeout": {"type": "str", "default": "30s"},
}

SMOKE_OPTIONS: dict[str, Any] = {
    "name": {"type": "str"},
    "url": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "expect": {"type": "list", "elements": "str", "default": ["2xx", "3xx"]},
    "query": {"type": "str"},
    "value": {"type": "raw"},
    "verify": {"type": "bool", "default": True},
    "command": {"type": "list", "elements": "str", "default": []},
    "service": {"type": "str"},
    "attempts": {"type": "int", "default": 3},
    "interval": {"type": "str", "default": "1s"},
    "timeout": {"type": "str", "default": "10s"},
}

# What may differ from service to service: at the top for all, in ``policies`` for one.
SERVICE_OPTIONS: dict[str, Any] = {
    "order": {"type": "str", "choices": ["auto", "start-first", "stop-first"]},
    "parallelism": {"type": "int"},
    "delay": {"type": "str"},
    "health_timeout": {"type": "str"},
    "no_healthcheck": {"type": "str", "choices": ["running", "probe", "fail"]},
    "probe": {"type": "dict", "options": PROBE_OPTIONS, **PROBE_RULES},
    "fail_fast": {"type": "bool"},
    "monitor": {"type": "str"},
    "traffic": {"type": "dict", "options": TRAFFIC_OPTIONS},
    "drain": {"type": "dict", "options": DRAIN_OPTIONS},
    "stop_timeout": {"type": "str"},
    "max_failure_ratio": {"type": "float"},
    "anonymous_volumes": {"type": "str", "choices": ["inherit", "renew"]},
}

ARGUMENT_SPEC: dict[str, Any] = {
    **PROJECT_OPTIONS,
    "definition": {"type": "dict"},
    "services": {"type": "list", "elements": "str", "default": []},
    "pull": {"type": "str", "choices": ["never", "missing", "always"], "default": "never"},
    "build": {"type": "str", "choices": ["never", "always"], "default": "never"},
    "force": {"type": "bool", "default": False},
    "scale": {"type": "dict", "default": {}},
    "peers": {"type": "list", "elements": "list", "default": []},
    "on_conflict": {"type": "str", "choices": ["stop_first", "fail"], "default": "stop_first"},
    "exclusive_volumes": {"type": "list", "elements": "str", "default": []},
    **SERVICE_OPTIONS,
    "policies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"service": {"type": "str", "required": True}, **SERVICE_OPTIONS},
    },
    "failure_action": {"type": "str", "choices": ["rollback", "pause", "continue"]},
    "smoke": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": SMOKE_OPTIONS,
        "required_one_of": [["url", "command"]],
        "mutually_exclusive": [["url", "command"]],
    },
    "keep_old": {"type": "str", "choices": ["until_commit", "none"], "default": "until_commit"},
    "keep_images": {"type": "int", "default": 3},
    "rename": {"type": "bool", "default": True},
    "resume": {"type": "str", "choices": ["auto", "rollback", "fail"], "default": "auto"},
    "min_free": {"type": "str", "default": "256MiB"},
    "show_logs": {"type": "bool", "default": True},
    "lock_timeout": {"type": "str", "default": "0"},
    "timeout": {"type": "str", "default": "30m"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

RULES: dict[str, Any] = {
    "required_one_of": [["project_src", "definition"]],
    "required_by": {"definition": ["project_name"]},
}
