# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ``backup_prune``."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import ARGUMENT_SPEC as VERIFY_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.argspec import KEEP
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import INTEGRITY, STRUCTURE
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.prune.model import (
    EITHER,
    PROOFS,
    REMOVE,
    REPORT,
)

# How a backup is read is said as in backup_verify, and read by the same code.
READING = (
    *("manifest", "require_manifest", "require_signature", "signers", "decrypt", "limits"),
    *("parallel", "nice", "ionice", "bwlimit", "timeout", "timeout_per_file", "state_file"),
)

ARGUMENT_SPEC: dict[str, Any] = {
    # Validated by the series of backup_verify, so that one variable of the inventory serves both.
    "series": {"type": "list", "elements": "dict", "required": True},
    "keep": {"type": "dict", "options": KEEP},
    "keep_verified": {"type": "int", "default": 3},
    "max_age": {"type": "str"},
    "proof": {"type": "str", "choices": list(PROOFS), "default": EITHER},
    "proof_level": {"type": "str", "choices": [INTEGRITY, STRUCTURE], "default": INTEGRITY},
    "proof_age": {"type": "str", "default": "30d"},
    "max_remove": {"type": "int", "default": 50},
    "max_remove_share": {"type": "str", "default": "50%"},
    "mixed_names": {"type": "bool", "default": False},
    "leftovers": {"type": "str", "choices": [REPORT, REMOVE], "default": REPORT},
    "leftover_age": {"type": "str", "default": "7d"},
    "lock_timeout": {"type": "str", "default": "0"},
    "run_id": {"type": "str", "default": ""},
    "state_dir": {"type": "path"},
    **{option: VERIFY_SPEC[option] for option in READING},
}
