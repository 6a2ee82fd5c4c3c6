# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The finding codes of restores for people."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "backup.recovered": Code(
        "The backup was restored, compared with its manifest, and put in the place of what was there.",
        "Look at the application. When nobody needs the old one any more, drop what the evidence names under before.",
    ),
    "backup.recovery_planned": Code(
        "Check mode: this is what would be restored, where to, and what would be lost; nothing was touched.",
        "",
    ),
    "backup.recovery_loses": Code(
        "What was written since the backup was taken is not in it, and would be gone from the live place.",
        "Compare with the evidence; the old one is kept under another name, from which rows can be brought back.",
    ),
    "backup.recovery_attached": Code(
        "Replication slots, subscriptions or prepared transactions hang on the database; they stay with the old one.",
        "Stop what reads or feeds them, restore, and make them anew on the restored database.",
    ),
}
