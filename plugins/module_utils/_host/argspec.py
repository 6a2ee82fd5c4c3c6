# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``host_health_info``: also the shape of the inventory variable ``host_policy``."""

from __future__ import annotations

from typing import Any

PARTS = ("filesystems", "memory", "load", "units", "reboot", "clock")

ARGUMENT_SPEC: dict[str, Any] = {
    "subset": {"type": "list", "elements": "str", "choices": list(PARTS), "default": list(PARTS)},
    "disk_warning": {"type": "str", "default": "80%"},
    "disk_critical": {"type": "str", "default": "90%"},
    "disk_free_warning": {"type": "str"},
    "disk_free_critical": {"type": "str"},
    "inode_warning": {"type": "str", "default": "80%"},
    "inode_critical": {"type": "str", "default": "90%"},
    "memory_warning": {"type": "str", "default": "85%"},
    "memory_critical": {"type": "str", "default": "95%"},
    "load_warning": {"type": "float", "default": 2.0},
    "load_critical": {"type": "float", "default": 4.0},
    "pressure_warning": {"type": "str", "default": "40%"},
    "pressure_critical": {"type": "str", "default": "80%"},
    "ignore_mounts": {"type": "list", "elements": "str", "default": []},
    "ignore_types": {"type": "list", "elements": "str", "default": []},
    "ignore_units": {"type": "list", "elements": "str", "default": []},
    "network_filesystems": {"type": "bool", "default": False},
    "timeout": {"type": "str", "default": "5s"},
}
