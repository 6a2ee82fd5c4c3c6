# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding code of the domain, for the documentation and for whoever reads a report."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code

CODES: Mapping[str, Code] = {
    "pg.vacuum_needed": Code(
        "In check mode: a table passes a threshold and would be vacuumed or analysed.",
        "Run the task without check mode.",
    ),
    "pg.vacuum_blocked": Code(
        "A table was vacuumed, but its dead rows stay, or it could not be frozen, because something older may still "
        "see them: a session, a prepared transaction, a replication slot or a standby. The task never ends these.",
        "Take the step that the finding names for that holder, then run the task again.",
    ),
    "pg.vacuum_no_effect": Code(
        "A table was vacuumed and still has its dead rows, though nothing that holds them was there any more.",
        "Run the task again; when it stays so, look at how fast the table is written to.",
    ),
    "pg.autovacuum_at_work": Code(
        "A table needs work, and autovacuum is doing it right now. Our lock would cancel it.",
        "Let it end: the next run sees what it has left.",
    ),
    "pg.wraparound_blocked": Code(
        "A database runs out of transaction ids, and something old keeps its tables from being frozen. Nothing else "
        "helps before that is gone.",
        "Take the step that the finding names for each holder, then run the task again.",
    ),
    "pg.wraparound_emergency": Code(
        "A database has used more than half of the transaction or multixact ids that there are. When they are used up, "
        "the server refuses every change.",
        "Run the task with mode freeze over the whole database; end first what pg.wraparound_blocked names.",
    ),
    "pg.wraparound_averted": Code(
        "A database had used more than half of its transaction or multixact ids; this run has frozen its old tables.",
        "Find out why autovacuum did not keep up.",
    ),
    "pg.parallel_limited": Code(
        "More parallel workers were asked for than the server's settings allow; VACUUM goes on with fewer.",
        "Lower parallel or jobs, or raise max_parallel_maintenance_workers and max_parallel_workers.",
    ),
    "pg.standby_left": Code(
        "The server is a standby, and on_standby says to leave it.",
        "Nothing: what is vacuumed on the primary is vacuumed there.",
    ),
    "pg.server_lost": Code(
        "The connection to the server, or the server itself, was lost during the work, and did not come back.",
        "Look into the server's log, then run the task again: it goes on from there.",
    ),
    "pg.table_locked": Code(
        "A table needs work, but another session held a lock on it through all attempts.",
        "Find the session with pg_blocking_pids, or raise lock_retries and lock_retry_delay.",
    ),
    "pg.not_permitted": Code(
        "A table needs work that the role may not do. No statement was sent for it.",
        "Let its owner or a superuser run the task, or (from PostgreSQL 17 on) GRANT MAINTAIN on it to the role.",
    ),
    "pg.catalogs_not_permitted": Code(
        "System catalogs need work that only a superuser or the owner of the database may do.",
        "Let one of these run the task, or set include_catalogs to false.",
    ),
    "pg.vacuum_failed": Code(
        "The server refused the statement for a table, or broke it off.",
        "Run the statement by hand with psql, which shows all that the server says.",
    ),
    "pg.vacuum_unproven": Code(
        "The statement for a table ended well, but the server's counters did not move: it is not known to be done.",
        "Run the statement by hand with psql, which shows the server's warnings.",
    ),
    "pg.vacuum_no_room": Code(
        "The server had no memory left for the work on a table (the memory for locks counts too), with fewer "
        "connections and in further attempts neither.",
        "Lower jobs, or give the server more memory; for locks that is max_locks_per_transaction.",
    ),
    "pg.vacuum_timed_out": Code(
        "The statement for a table took longer than statement_timeout.",
        "Raise statement_timeout, or set it to 0.",
    ),
    "pg.vacuum_cancelled": Code(
        "Somebody cancelled the statement for a table; it was not tried again.",
        "Ask who cancelled it and why, then run the task again.",
    ),
    "pg.corruption": Code(
        "The server met damaged data while it worked on a table.",
        "Stop writing to it, keep a copy of the data directory, run pg_amcheck, and restore the table from a backup.",
    ),
    "pg.disk_full": Code(
        "The server ran out of space; nothing more was started.",
        "Free space on the server's file system, then run the task again.",
    ),
    "pg.out_of_time": Code(
        "Tables that need work were left, because the time limit was over.",
        "Give the task more time (time_limit) or more connections (jobs), or run it more often.",
    ),
    "pg.run_stopped": Code(
        "Tables that need work were left, because an earlier error stopped the run.",
        "Mend what the other finding names, then run the task again.",
    ),
    "pg.other_run": Code(
        "Another run is at work in the database, so nothing was done there.",
        "Wait for that run to end; the message names its session.",
    ),
    "pg.counters_off": Code(
        "The server does not count what happens to its tables, so it cannot be known which need work.",
        "Set track_counts = on in postgresql.conf and reload the server.",
    ),
    "pg.database_unreachable": Code(
        "A database that was named could not be looked into.",
        "Follow the step that the finding names, or leave the database out of databases.",
    ),
    "pg.nothing_examined": Code(
        "No table or index was looked at, because the filters leave none, or nobody was let into a database.",
        "Correct databases, schemas, tables and indexes, or let the role in, as the finding says.",
    ),
}
