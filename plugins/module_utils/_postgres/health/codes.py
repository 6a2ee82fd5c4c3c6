# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of ``pg_health_info``: what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.connections_high": Code(
        "The server, or a role or a database with a limit of its own, has nearly as many connections as it allows.",
        "Look for sessions that are idle for long, use a pooler, or raise the limit that the finding names.",
    ),
    "pg.cache_hit_low": Code(
        "Many blocks are read from outside of the server's own cache.",
        "Give the server more memory (shared_buffers), or find the queries that read most: shared_blks_read in "
        "pg_stat_statements.",
    ),
    "pg.cache_hit_unknown": Code(
        "The server has read too few blocks since its counters began to say how well its cache does.",
        "Wait, or lower cache_hit_min_blocks.",
    ),
    "pg.long_query": Code(
        "A query has been running for long.",
        "Ask its owner, or end the query (pg_cancel_backend) or the session (pg_terminate_backend).",
    ),
    "pg.idle_in_transaction": Code(
        "A session has begun a transaction and does nothing in it; it keeps its locks, and dead rows of all tables.",
        "Mend the application, end the session, or set idle_in_transaction_session_timeout.",
    ),
    "pg.lock_wait": Code(
        "Sessions have been waiting for long for a lock that another one holds.",
        "Let the session at the root of the waiting end, or end it.",
    ),
    "pg.xmin_held": Code(
        "Something old may still see dead rows, so that no VACUUM can remove them.",
        "Take the step that the finding names for that holder.",
    ),
    "pg.wraparound": Code(
        "A database has used up much of the distance after which the server stops taking writes.",
        "Remove what holds old rows (pg.xmin_held), then VACUUM (FREEZE) its oldest tables.",
    ),
    "pg.bloat_high": Code(
        "A table or an index is mostly free space that only a rewrite gives back.",
        "Rebuild an index with REINDEX CONCURRENTLY (pg_reindex), a table with pg_vacuum in the mode full, at a quiet "
        "time.",
    ),
    "pg.bloat_unknown": Code(
        "Of large tables or indexes it cannot be estimated how much of them is free.",
        "Follow the reason that the finding gives: mostly ANALYZE, or a grant.",
    ),
    "pg.index_unused": Code(
        "A large index has not been read for long, and slows down every write.",
        "Make sure that no standby and no yearly job needs it, then DROP INDEX CONCURRENTLY.",
    ),
    "pg.index_usage_unknown": Code(
        "Large indexes have not been read, but the server has not been counting for long enough to tell.",
        "Wait until the counters are old enough, or lower unused_index_period.",
    ),
    "pg.index_duplicate": Code(
        "An index has the same keys as another one, and does nothing that the other does not.",
        "DROP INDEX CONCURRENTLY the one that the finding names; a constraint is dropped by ALTER TABLE.",
    ),
    "pg.index_prefix": Code(
        "The keys of an index are the first ones of another index, which can do its work.",
        "Consider DROP INDEX CONCURRENTLY; a much smaller index may be worth keeping.",
    ),
    "pg.index_invalid": Code(
        "An index is not used, mostly because building it was interrupted; writes may still have to maintain it.",
        "Rebuild it (REINDEX INDEX CONCURRENTLY), or drop what a failed rebuild has left.",
    ),
    "pg.index_incomplete": Code(
        "An index on a partitioned table is not valid, because a partition lacks its part.",
        "Create the index on that partition, and attach it (ALTER INDEX ... ATTACH PARTITION).",
    ),
    "pg.slow_query": Code(
        "A statement takes longer on average than it may.",
        "Look at its plan with EXPLAIN (ANALYZE, BUFFERS).",
    ),
    "pg.statements_missing": Code(
        "Nobody notes how long statements take, because pg_stat_statements is not there.",
        "Load it by shared_preload_libraries, and CREATE EXTENSION pg_stat_statements.",
    ),
    "pg.replication_lag": Code(
        "A standby is far behind, in bytes or in time.",
        "Look at the load, the disk and the network of the standby, and at long queries there.",
    ),
    "pg.replication_stopped": Code(
        "A standby gets nothing from its primary, or a primary that must wait for a standby has none.",
        "Read the log of the standby; commits may be waiting.",
    ),
    "pg.replay_paused": Code(
        "A standby does not replay what it gets, because somebody paused it.",
        "SELECT pg_wal_replay_resume() on the standby.",
    ),
    "pg.slot_lost": Code(
        "A replication slot has lost WAL that its consumer needs, or is about to.",
        "Build the consumer anew, and drop the slot: pg_drop_replication_slot.",
    ),
    "pg.slot_retains": Code(
        "A replication slot keeps much WAL on the disk of the server.",
        "Let its consumer catch up, or drop the slot; max_slot_wal_keep_size limits it.",
    ),
    "pg.slot_inactive": Code(
        "Nobody uses a replication slot, which keeps WAL all the same.",
        "Start its consumer, or drop the slot: pg_drop_replication_slot.",
    ),
    "pg.archiver_failing": Code(
        "WAL is not archived: the last attempt failed, or nothing is set up to do it.",
        "Run archive_command by hand as the server's account, and read the server's log.",
    ),
    "pg.archiver_behind": Code(
        "Many WAL segments wait to be archived.",
        "Make archive_command faster, or look for what holds it up.",
    ),
    "pg.sequence_near_end": Code(
        "A sequence has handed out nearly all numbers that it, or the column it fills, can hold.",
        "Make the column and the sequence bigint before it ends.",
    ),
    "pg.prepared_transaction_old": Code(
        "A prepared transaction waits for its end; it keeps its locks, and dead rows, also over a restart.",
        "COMMIT PREPARED or ROLLBACK PREPARED it, as its coordinator says.",
    ),
    "pg.large_objects_orphaned": Code(
        "There are large objects that no column of the type oid, lo or an array of these names.",
        "Look at them with pg_large_object, which also searches numbers and texts, before any is removed.",
    ),
    "pg.temp_files_high": Code(
        "Queries of a database write much to temporary files, because their memory does not do.",
        "Raise work_mem for the role that sorts most, or find the queries: temp_blks_written in pg_stat_statements.",
    ),
    "pg.checksum_failed": Code(
        "The server has read pages whose checksum is wrong: the storage has changed them.",
        "Stop writing, copy the data directory, check the disk and memory, and restore the data from a backup.",
    ),
    "pg.checksums_off": Code(
        "Pages have no checksums, so that damage by the storage goes unnoticed.",
        "Stop the server at a good time and run pg_checksums --enable.",
    ),
    "pg.autovacuum_off": Code(
        "Autovacuum is off for the whole server.",
        "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf().",
    ),
    "pg.autovacuum_table_off": Code(
        "Autovacuum is off for tables by a setting of their own.",
        "ALTER TABLE ... RESET (autovacuum_enabled), or see to these tables with pg_vacuum.",
    ),
    "pg.autovacuum_busy": Code(
        "All workers of autovacuum are busy, and have been for long: other tables wait.",
        "Raise autovacuum_max_workers together with autovacuum_vacuum_cost_limit.",
    ),
    "pg.vacuum_overdue": Code(
        "Tables have long passed the limit at which autovacuum should have vacuumed or analysed them.",
        "Run pg_vacuum, and find out why autovacuum does not come: off, busy, held up by a lock.",
    ),
    "pg.setting_harmful": Code(
        "A setting keeps VACUUM from doing its work, or puts data at risk.",
        "Set it as the finding says.",
    ),
    "pg.activities_off": Code(
        "The server does not track what sessions do, so long queries and open transactions cannot be seen.",
        "ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf().",
    ),
    "pg.standby_not_judged": Code(
        "On a standby this cannot be judged. That is no fault, but nothing is known about it.",
        "Look at the primary; to ask for less here, set the option subset.",
    ),
    "pg.health_not_permitted": Code(
        "The role may not see what has to be looked at.",
        "Let a superuser make the grant that the finding names.",
    ),
    "pg.health_timed_out": Code(
        "A question took longer than statement_timeout, or somebody cancelled it.",
        "Raise statement_timeout and time_limit, or ask for less with subset.",
    ),
    "pg.health_locked": Code(
        "A question would have had to wait for a lock.",
        "Run it again later; pg_locks shows who holds an AccessExclusiveLock.",
    ),
    "pg.health_out_of_time": Code(
        "The time of the whole check was over before this was asked.",
        "Raise time_limit, name fewer databases, or ask for less with subset.",
    ),
    "pg.health_unreadable": Code(
        "The server refused a question for a reason that is not foreseen.",
        "Follow the message; the server's log may say more.",
    ),
}
