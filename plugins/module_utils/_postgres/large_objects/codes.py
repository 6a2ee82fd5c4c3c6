# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the job."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.large_objects_orphaned": Code(
        "Nothing in a column of type oid or lo refers to some large objects: they only take space.",
        "Find out how the application keeps their numbers; then state absent with confirm_no_text_references.",
    ),
    "pg.large_objects_removable": Code(
        "In check mode: large objects without a reference would be unlinked.",
        "Run the task without check mode.",
    ),
    "pg.large_objects_unseen": Code(
        "Which large objects nothing refers to is not known, because the look was not whole: it took too long, or the "
        "role may not read a column.",
        "Grant what the finding names, or raise look_limit.",
    ),
    "pg.large_objects_maybe_referenced": Code(
        "Numbers or texts equal the numbers of large objects without a reference: the application may keep them there.",
        "If it does, leave them; if the numbers are equal by chance, name the columns in exclude_columns.",
    ),
    "pg.large_objects_too_new": Code(
        "Large objects without a reference are not known to be older than min_age, and were left.",
        "Run the task again later: from this run on their age is known.",
    ),
    "pg.large_objects_not_permitted": Code(
        "Large objects without a reference belong to others; nothing was sent for them.",
        "Let their owner or a superuser run the task.",
    ),
    "pg.large_objects_busy": Code(
        "Transactions write where references are and did not end, so nothing could be unlinked safely.",
        "End those transactions, or run the task when less is written.",
    ),
    "pg.large_objects_left": Code(
        "Large objects were left for the next run: a limit was reached, or they were held, changed or referred to "
        "meanwhile.",
        "The next run goes on from there.",
    ),
    "pg.large_objects_failed": Code(
        "The server refused to unlink large objects, and the work ended.",
        "Mend what the server says, then run the task again.",
    ),
}
