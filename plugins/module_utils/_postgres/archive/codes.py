# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the job."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.wal_archive_removable": Code(
        "In check mode: the archive holds files that nobody needs any more.",
        "Run the task without check mode.",
    ),
    "pg.wal_archive_empty": Code(
        "The directory holds no WAL segment at all.",
        "Check that the archive is mounted there and that archive_command copies to it.",
    ),
    "pg.wal_archive_gap": Code(
        "Segments are missing between what is kept and the newest: no restore gets beyond them.",
        "Look for them in pg_wal of the server and its standbys, and take a base backup now.",
    ),
    "pg.wal_archive_history_missing": Code(
        "The history of the newest timeline is missing or cannot be read: no restore finds its way there.",
        "Copy the file from pg_wal of a server on that timeline into the archive.",
    ),
    "pg.wal_archive_damaged": Code(
        "Segments that are kept are empty or have the wrong size.",
        "Look for them in pg_wal of the server and its standbys, and take a base backup now.",
    ),
    "pg.wal_archive_duplicate": Code(
        "Segments that are kept are there more than once, for instance packed and not packed.",
        "Remove the copy that restore_command does not read.",
    ),
    "pg.wal_archive_irregular": Code(
        "Old segments are links or directories, which are never removed.",
        "Look where they lead, and remove them by hand.",
    ),
    "pg.wal_archive_backup_unusable": Code(
        "A base backup cannot be restored: the WAL that was written while it was taken is not whole. It does not count "
        "as one that is kept.",
        "Remove it when it is old; when it is new, find out where its WAL went.",
    ),
    "pg.wal_archive_backup_off_timeline": Code(
        "A base backup that is kept is on a timeline that the server has left before: nothing newer can be reached.",
        "Take a base backup of the server as it is now.",
    ),
    "pg.wal_archive_backup_unfinished": Code(
        "A base backup is not known to have ended. Its WAL is kept, and it does not count as one that is kept.",
        "Remove what a backup that was broken off left behind.",
    ),
    "pg.wal_archive_few_backups": Code(
        "Fewer base backups can be restored than keep_base_backups says.",
        "Take base backups as often as intended.",
    ),
    "pg.wal_archive_held": Code(
        "A replication slot, a standby or a consumer needs older WAL than every base backup.",
        "Let it catch up; when nobody uses it any more, drop it.",
    ),
    "pg.wal_archive_off": Code(
        "The server archives nothing (archive_mode is off).",
        "Set archive_mode = on and restart the server, or leave the archive out.",
    ),
    "pg.wal_archive_failing": Code(
        "The server's last attempt to archive a segment failed.",
        "Look into the server's log for what archive_command says, and mend it before pg_wal fills the disk.",
    ),
    "pg.wal_archive_lagging": Code(
        "Many segments of the server wait to be archived.",
        "Make archive_command faster.",
    ),
    "pg.wal_archive_behind": Code(
        "The server has archived newer segments than the directory holds.",
        "Check that archive_command copies there, or that what fills it from there still runs.",
    ),
    "pg.wal_archive_slot_lost": Code(
        "A replication slot has lost the WAL it needs, so what its consumer would read from the archive is not known.",
        "Name its standby in consumers, or drop the slot.",
    ),
    "pg.wal_archive_not_removed": Code(
        "A file could not be removed; nothing after it was tried.",
        "Look at the owner and the attributes of that file and directory.",
    ),
    "pg.wal_archive_left": Code(
        "Files that nobody needs were left, because max_delete or the time limit was reached.",
        "The next run goes on from there.",
    ),
}
