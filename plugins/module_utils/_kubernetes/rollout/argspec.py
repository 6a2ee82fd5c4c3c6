# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``k8s_rollout``."""

from __future__ import annotations

from typing import Any

UPDATED, UNDONE = "updated", "undone"
UNDO, LEAVE = "undo", "leave"

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": [UPDATED, UNDONE], "default": UPDATED},
    "images": {"type": "dict", "default": {}},
    "require_digest": {"type": "bool", "default": True},
    "revision": {"type": "int"},
    "namespace": {"type": "str", "default": "default"},
    "context": {"type": "str"},
    "kubeconfig": {"type": "path"},
    "kubectl": {"type": "str", "default": "kubectl"},
    "on_failure": {"type": "str", "choices": [UNDO, LEAVE], "default": UNDO},
    "force": {"type": "bool", "default": False},
    "timeout": {"type": "str", "default": "10m"},
    "interval": {"type": "str", "default": "2s"},
    "lock_timeout": {"type": "str", "default": "0"},
    "state_dir": {"type": "path"},
    "run_id": {"type": "str", "default": ""},
}

RULES: dict[str, Any] = {"required_if": [["state", UPDATED, ["images"]]]}
