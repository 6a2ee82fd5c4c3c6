# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding codes of mode full of pg_vacuum."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.rewrite_needed": Code(
        "In check mode: a table is bloated beyond the limits, or was asked for, and would be rewritten.",
        "Run the task without check mode, in a window in which the table may be locked.",
    ),
    "pg.rewrite_no_effect": Code(
        "A table was rewritten, and is not much smaller for it.",
        "End what the finding names, then run the task again; or the estimate was wrong: see bloat_method.",
    ),
    "pg.rewrite_held": Code(
        "A table is bloated, but a rewrite would have to copy its dead rows, because something older may still see "
        "them. It was not rewritten.",
        "Take the step that the finding names for that holder, then run the task again.",
    ),
    "pg.bloat_unknown": Code(
        "How much a rewrite of a table would free is not known well enough to lock it for that.",
        "Run ANALYZE on the table, install pgstattuple, or rewrite it with when: always.",
    ),
    "pg.rewrite_no_space": Code(
        "A table needs a rewrite, and the disk has too little room for a second copy of it.",
        "Free or add disk space; rewrite smaller tables first; or let pgcompacttable shrink it in place.",
    ),
    "pg.disk_unknown": Code(
        "Tables need a rewrite, but how much disk space is free could not be found out, so none was rewritten.",
        "Run the task on the server's own host as a user that may read its data directory, or give free_bytes.",
    ),
    "pg.wraparound_vacuum": Code(
        "A table needs a rewrite, but an autovacuum against wraparound works on it and does not give way.",
        "Wait until it has ended, then run the task again.",
    ),
    "pg.repack_impossible": Code(
        "A table needs a rewrite, and cannot be rewritten by the method that was asked for.",
        "Mend what the finding names, or use rewrite_method auto.",
    ),
    "pg.rewrite_standby": Code(
        "The server is a standby: its tables are those of its primary, and nothing was done (on_standby: skip).",
        "Run the task against the primary.",
    ),
    "pg.server_lost": Code(
        "The server went away before the work was done. What was under way was undone by the server.",
        "Look into the server's log, then run the task again.",
    ),
    "pg.orphaned_files": Code(
        "The database's directory has files that belong to no table: a crash during a rewrite leaves its unfinished "
        "copy behind, and nothing ever removes that.",
        "Compare the list with pg_relation_filenode once more, keep a backup, and remove the files while the server is "
        "stopped.",
    ),
    "pg.repack_leftovers": Code(
        "pg_repack was interrupted and left its trigger or its tables behind; each write to such a table is then "
        "made twice.",
        "When no pg_repack is running, drop the extension with CASCADE and create it again.",
    ),
}
