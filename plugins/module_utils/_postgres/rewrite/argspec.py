# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pg_vacuum that are for mode full alone."""

from __future__ import annotations

from typing import Any

BLOAT_METHODS = ("auto", "estimate", "exact")
REWRITE_METHODS = ("auto", "repack", "full", "pg_repack")

REWRITE_OPTIONS: dict[str, Any] = {
    "bloat_ratio": {"type": "float", "default": 0.5},
    "bloat_min_size": {"type": "str", "default": "100MB"},
    "bloat_method": {"type": "str", "default": "auto", "choices": list(BLOAT_METHODS)},
    "rewrite_method": {"type": "str", "default": "auto", "choices": list(REWRITE_METHODS)},
    "disk_headroom": {"type": "float", "default": 1.2},
    "free_bytes": {"type": "str"},
    "force_without_disk_check": {"type": "bool", "default": False},
}
