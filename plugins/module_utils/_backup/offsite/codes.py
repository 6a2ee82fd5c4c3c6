# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the copies elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "backup.offsite_missing": Code(
        "Backups are not at the other place yet: there was no time for them, or an earlier step failed.",
        "Run it again, in which it goes on where it was; give it more time_limit or bwlimit if it never gets done.",
    ),
    "backup.offsite_differs": Code(
        "At the other place there is another file of the same name. It was not overwritten.",
        "Find out which of the two is the backup (its manifest says the SHA-256), and move the other one away.",
    ),
    "backup.offsite_failed": Code(
        "A backup could not be copied, or the copy could not be compared with it.",
        "The message has what the far side said: mend the network, the account, the key or the space there.",
    ),
    "backup.offsite_unknown": Code(
        "Whether a copy is the same as the backup is not known.",
        "See that the far side can be read; with rclone the whole file is read back where the store has no SHA-256.",
    ),
    "backup.offsite_source_bad": Code(
        "A backup is not what its maker wrote down, so it was not copied: the other place would only have it twice.",
        "Verify it (backup_verify); take a new backup, or fetch it from the other place, should it be whole there.",
    ),
    "backup.offsite_skipped": Code(
        "Things that the pattern matches are not copied: links, directories that are no known backup, and files that "
        "are still being written.",
        "Pack other directories into archives; what was written a moment ago goes with the next run.",
    ),
    "backup.offsite_same_disk": Code(
        "The directory is on the same file system as the backups: it dies with them, or its disk is not mounted.",
        "Mount the disk; set same_disk if a second directory on one disk is really what you want.",
    ),
    "backup.offsite_nothing": Code(
        "There is no backup of a series that could be copied.",
        "See whether the pattern is right and the job that takes the backups runs.",
    ),
    "backup.offsite_record": Code(
        "What was compared could not be remembered, so that the next run reads it all again.",
        "Give the account of the run a state_dir that it may write.",
    ),
}
