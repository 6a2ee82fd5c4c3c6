# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the removal of old backups."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "backup.prune_no_policy": Code(
        "A series has no keep, and there is none for all, so that nothing of it is removed.",
        "Say in keep of the series what should stay, or leave the series out.",
    ),
    "backup.prune_unproven": Code(
        "Fewer backups are known to be whole than must never be removed (keep_verified), so nothing was removed.",
        "Find out why the backups do not pass (backup_verify says it of each), and take a new one.",
    ),
    "backup.prune_stale": Code(
        "The newest backup that is known to be whole is too old, so nothing was removed: there may be no other.",
        "Mend the job that takes the backups, and run it; the next run removes what is too many then.",
    ),
    "backup.prune_too_few": Code(
        "Fewer verified backups than min_count would stay, so nothing was removed.",
        "Let keep hold more than min_count, or lower min_count.",
    ),
    "backup.prune_clock": Code(
        "A backup, or the verification of one, lies in the future, so nothing was removed: the clock may have jumped.",
        "Compare the clock of the host with the truth (timedatectl), and rename or remove what has a wrong time.",
    ),
    "backup.prune_overlap": Code(
        "Backups of several series would be counted as one, so nothing of those was removed.",
        "Write patterns that match one series each: the evidence names what is matched twice, or made for another.",
    ),
    "backup.prune_mixed": Code(
        "The names that a pattern matches differ by more than their times, so that it may hold several things; nothing "
        "was removed.",
        "Write one series for each, or set mixed_names when all of it is one thing.",
    ),
    "backup.prune_blind": Code(
        "A directory of the series could not be looked at, so nothing was removed: the best backups may be there.",
        "Run the task as an account that may list it, or mount what is missing.",
    ),
    "backup.prune_bad": Code(
        "Backups are not whole, or nobody can say whether they are. They do not count, and push no other out.",
        "Look at what backup_verify says of them; a broken one goes when the retention would not keep it anyway.",
    ),
    "backup.prune_untimed": Code(
        "What the pattern matches carries no time, so that it is not known which of them is old; it stays.",
        "Set time_pattern or time_from; or move what was put there by hand to a place of its own.",
    ),
    "backup.prune_unknown_directory": Code(
        "A directory that the pattern matches holds more than is known to be a backup; it stays.",
        "Let the pattern match the files in it, or remove by hand what does not belong there.",
    ),
    "backup.prune_link": Code(
        "The pattern leads through a symbolic link, or to what is no file; what lies there stays and does not count.",
        "Write the real directory into the pattern.",
    ),
    "backup.prune_deferred": Code(
        "More backups are too many than one run removes (max_remove, max_remove_share); the oldest go first.",
        "Run it again, or raise the limits once it is sure that the plan is right.",
    ),
    "backup.prune_changed": Code(
        "A backup changed after it was decided that it goes, or one that must stay is gone; it was left alone.",
        "Find out who else changes files there; the next run plans anew.",
    ),
    "backup.prune_failed": Code(
        "A backup could not be removed.",
        "Run the task as an account that may change that directory; chattr -i clears the flag of an immutable file.",
    ),
    "backup.prune_leftover": Code(
        "Unfinished files, or digests and manifests of backups that are gone, were left by runs that have ended.",
        "Look at them; with leftovers set to remove, those go that are older than leftover_age and not open.",
    ),
    "backup.prune_cut_off": Code(
        "A run was killed while it removed backups, and what is left of those was not removed: the series was refused.",
        "Once the cause is mended the next run finishes it. Until then .NAME.upkeep-removing is the whole backup NAME.",
    ),
}
