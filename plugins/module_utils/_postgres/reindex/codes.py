# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of pg_reindex that is not pg_vacuum's too."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.reindex_needed": Code(
        "In check mode: an index passes a threshold and would be built anew.",
        "Run the task without check mode.",
    ),
    "pg.reindex_index_invalid": Code(
        "An index is invalid: no query uses it, every write pays for it, and a unique one may not be relied on.",
        "REINDEX INDEX CONCURRENTLY builds it anew, DROP INDEX CONCURRENTLY drops it; pg_reindex does the one or the "
        "other (invalid: rebuild or drop).",
    ),
    "pg.reindex_leftover": Code(
        "A concurrent rebuild that was interrupted has left an invalid copy of an index.",
        "Run pg_reindex with invalid set to rebuild or drop, or drop it by hand with DROP INDEX CONCURRENTLY.",
    ),
    "pg.reindex_blocked": Code(
        "An index needs work, but a transaction that has been open for long would hold up its rebuild, which waits for "
        "all of them. Nothing was started, so nothing is left over. The task never ends a session.",
        "Take the step that the finding names for that transaction, or raise blocker_age; then run the task again.",
    ),
    "pg.reindex_being_built": Code(
        "Another session is building or rebuilding an index of the table, so it was left alone.",
        "Wait for that session to end, then run the task again.",
    ),
    "pg.reindex_not_concurrent": Code(
        "An index needs to be built anew, and the server can do that only without CONCURRENTLY: it belongs to a system "
        "catalog or to an exclusion constraint.",
        "Run the task with method set to plain at a time when the table may be locked.",
    ),
    "pg.reindex_unsafe_minor": Code(
        "PostgreSQL 14.0 to 14.3 may damage an index that they rebuild concurrently while its table is written to.",
        "Upgrade to the newest 14, then rebuild every index that was built or rebuilt concurrently before.",
    ),
    "pg.reindex_toast_not_permitted": Code(
        "Indexes of TOAST tables need work, and the role may not use the schema they are in.",
        "Let a superuser run the task, or rebuild all indexes of the table: REINDEX TABLE CONCURRENTLY.",
    ),
    "pg.reindex_no_room": Code(
        "An index needs to be built anew, and there is too little disk space for a second one beside it.",
        "Free space on the server's file system, or put the new index elsewhere with the option tablespace.",
    ),
    "pg.reindex_room_unknown": Code(
        "Large indexes need to be built anew, and it is not known how much disk space is free.",
        "Run the task on the server's own host, or say how much is free (free_bytes), or set force_without_disk_check.",
    ),
    "pg.reindex_duplicates": Code(
        "A unique index could not be built anew, because its table has rows that are alike. Where the old index was "
        "valid (critical), it let them in: it is damaged, or the sort order of its texts has changed with the system's "
        "libraries.",
        "Find the rows by a query that does not use the index (SET enable_indexscan = off, enable_indexonlyscan = off, "
        "enable_bitmapscan = off), decide which ones stay, then run the task again.",
    ),
    "pg.reindex_failed": Code(
        "The server refused the statement for an index, or broke it off.",
        "Run the statement by hand with psql, which shows all that the server says.",
    ),
    "pg.reindex_unproven": Code(
        "The statement for an index ended well, but the index has the same file as before, or is still invalid.",
        "Run the statement by hand with psql, which shows the server's warnings.",
    ),
    "pg.reindex_no_effect": Code(
        "An index was built anew for its bloat and is about as large as before: the estimate was wrong.",
        "Set bloat_method to exact (it needs the extension pgstattuple), or list the index in exclude_indexes.",
    ),
    "pg.reindex_timed_out": Code(
        "The statement for an index took longer than statement_timeout.",
        "Raise statement_timeout, or set it to 0.",
    ),
    "pg.reindex_cancelled": Code(
        "Somebody cancelled the statement for an index; it was not tried again.",
        "Ask who cancelled it and why, then run the task again.",
    ),
}
