# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The finding codes of restores."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "backup.restore_failed": Code(
        "The backup was restored for a test, and the program that did it failed: nobody could restore it here.",
        "Take a new backup now and verify it at the level restore; look into the evidence for the first error.",
    ),
    "backup.version_incompatible": Code(
        "No installed PostgreSQL is new enough for this dump: not its server, or not its pg_restore or psql.",
        "Install the major version that the evidence names, or name its programs in restore.bin_dir.",
    ),
    "backup.extension_missing": Code(
        "The dump needs extensions that are not installed here: it was not restored, and nothing is known of it.",
        "Install the packages that the evidence names for that PostgreSQL, here and wherever you would recover.",
    ),
    "backup.fingerprint_mismatch": Code(
        "Tables were restored with other content than their maker wrote down: the rows are there and differ.",
        "Do not rely on this backup: take a new one, and compare its manifest with the database.",
    ),
    "backup.assertion_failed": Code(
        "The restored data are not what you said they must be (restore.assertions).",
        "Run the query on the live database: if it fails there too, the data are wrong and not the backup.",
    ),
    "backup.index_corrupt": Code(
        "After the restore an index or a constraint is not valid, or amcheck found damage in a table or an index.",
        "Look for functions marked IMMUTABLE that are not, and for a collation that differs; REINDEX the live one.",
    ),
    "backup.sequence_behind": Code(
        "A sequence stands before the largest value in the column that it fills: the next inserts would fail.",
        "Set it on the live database (SELECT setval), and take a new backup.",
    ),
    "backup.rto_exceeded": Code(
        "The restore takes longer than max_rto allows.",
        "Restore with more jobs, use a faster disk, or take physical backups of a database of this size.",
    ),
    "backup.rto_at_risk": Code(
        "By the test restores of the series so far, the next one may take longer than max_rto allows.",
        "Restore with more jobs, use a faster disk, or take physical backups of a database of this size.",
    ),
    "backup.rpo_exceeded": Code(
        "The newest row in the backup is older than max_rpo allows: the backup is recent, and its data are not.",
        "Look whether the application still writes to this database, and whether the dump is of the right one.",
    ),
    # What kept us from restoring.
    "backup.scratch_full": Code(
        "There is not the disk space for a restore, or it ran out: a test says nothing, and what is live is as it was.",
        "Make room, for a live server where it has its data; for a test name a scratch_dir with the space it asks for.",
    ),
    "backup.target_unavailable": Code(
        "The place for a test restore could not be had: a server that does not start or answer, a missing image.",
        "Mend what the message names; the backup itself was not judged by this.",
    ),
    "backup.isolation_refused": Code(
        "Restoring there would have risked data that live there, so nothing was restored.",
        "Restore into a throwaway cluster (target: initdb), or name a server that is there for tests alone.",
    ),
    "backup.restore_planned": Code(
        "Check mode: this is what a test restore would do; nothing was restored.",
        "",
    ),
}
