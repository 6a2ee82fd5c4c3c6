# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about the whole cluster, by version of the server. Nothing here touches a server."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import Question
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Policy

CONFLICTING_SLOTS = 160000
INVALIDATION_REASON = 170000
TOPLEVEL = "toplevel"
LISTED = 50

# What is read of the settings. Of those in the second tuple, which hold commands, addresses and passwords, only
# whether they are set.
SETTINGS = (
    "archive_mode",
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_multixact_freeze_max_age",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_max_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "data_checksums",
    "fsync",
    "full_page_writes",
    "hot_standby_feedback",
    "ignore_checksum_failure",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_slot_wal_keep_size",
    "old_snapshot_threshold",
    "pg_stat_statements.max",
    "reserved_connections",
    "superuser_reserved_connections",
    "track_activities",
    "track_counts",
    "vacuum_cost_limit",
    "vacuum_defer_cleanup_age",
    "zero_damaged_pages",
)
HIDDEN_SETTINGS = ("archive_command", "archive_library", "primary_conninfo", "synchronous_standby_names")

FACTS = """
SELECT json_build_object(
  'started', extract(epoch FROM pg_postmaster_start_time())::float8,
  'server_now', extract(epoch FROM clock_timestamp())::float8,
  -- A crash takes all counters; one that was reset by hand is younger than the others.
  'counters_since', extract(epoch FROM least((SELECT stats_reset FROM pg_stat_archiver),
    (SELECT stats_reset FROM pg_stat_bgwriter), (SELECT stats_reset FROM pg_stat_wal)))::float8,
  'settings', (
    SELECT json_object_agg(s.name, CASE WHEN s.name = ANY (%s) THEN (s.setting <> '')::text ELSE s.setting END)
    FROM pg_settings s WHERE s.name = ANY (%s)),
  'reads_all_stats', pg_has_role('pg_read_all_stats', 'USAGE'),
  'lists_archive', has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE'))
"""

DATABASES = """
SELECT json_agg(row_to_json(d)) FROM (
  SELECT d.datname AS name, d.datallowconn AS accepts_connections, d.datistemplate AS template,
         d.datconnlimit <> -2 AS valid, has_database_privilege(d.oid, 'CONNECT') AS may_connect,
         age(d.datfrozenxid) AS frozen_age, mxid_age(d.datminmxid) AS multixact_age,
         coalesce(s.numbackends, 0) AS backends, d.datconnlimit AS connection_limit,
         coalesce(s.blks_hit, 0) AS hits, coalesce(s.blks_read, 0) AS reads,
         coalesce(s.temp_files, 0) AS temp_files, coalesce(s.temp_bytes, 0) AS temp_bytes,
         s.checksum_failures, extract(epoch FROM s.checksum_last_failure)::float8 AS checksum_last_failure,
         extract(epoch FROM s.stats_reset)::float8 AS stats_reset
  FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid
  ORDER BY age(d.datfrozenxid) DESC, d.datname
) AS d
"""

# Catalogs that all databases share have counters of their own, which belong to none.
SHARED_CHECKSUMS = """
SELECT json_build_object('failures', s.checksum_failures,
                         'last', extract(epoch FROM s.checksum_last_failure)::float8)
FROM pg_stat_database s WHERE s.datid = 0
"""

SIZES = """
SELECT json_agg(row_to_json(d)) FROM (
  SELECT d.datname AS name,
         CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
              THEN pg_database_size(d.oid) END AS bytes
  FROM pg_database d ORDER BY 2 DESC NULLS LAST, 1
) AS d
"""

# Whoever may not see the type of a session sees its user, which background workers of the server have not.
CONNECTIONS = """
SELECT json_build_object(
  'used', count(*), 'active', count(*) FILTER (WHERE a.state = 'active'),
  'idle', count(*) FILTER (WHERE a.state = 'idle'),
  'idle_in_transaction', count(*) FILTER (WHERE a.state LIKE 'idle in transaction%%'),
  'disabled', count(*) FILTER (WHERE a.state = 'disabled'),
  'oldest_transaction', extract(epoch FROM max(clock_timestamp() - a.xact_start))::float8,
  'roles', (SELECT json_agg(row_to_json(r)) FROM (
     SELECT r.rolname AS role, r.rolconnlimit AS limit, count(*) AS used
     FROM pg_roles r JOIN pg_stat_activity b ON b.usesysid = r.oid
     WHERE r.rolconnlimit > 0 AND NOT r.rolsuper AND coalesce(b.backend_type, 'client backend') = 'client backend'
     GROUP BY r.oid, r.rolname, r.rolconnlimit) AS r))
FROM pg_stat_activity a
WHERE a.backend_type = 'client backend' OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL)
"""

_SESSION = """a.pid, a.datname AS database, a.usename AS user, a.application_name AS application,
         coalesce(host(a.client_addr), 'local') AS address, a.state,
         a.wait_event_type || ': ' || a.wait_event AS wait,
         extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds"""

_LISTED_SESSIONS = f"""
SELECT json_build_object('count', count(*), 'sessions', (array_agg(row_to_json(a)))[1:{LISTED}]) FROM (
  SELECT {_SESSION}, extract(epoch FROM clock_timestamp() - a.{{since}})::float8 AS seconds{{more}}
  FROM pg_stat_activity a {{join}}
  WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
    AND {{condition}} AND clock_timestamp() - a.{{since}} >= make_interval(secs => %s)
  ORDER BY a.{{since}}
) AS a
"""
# What takes long by its nature, and says so itself.
_LONG_JOBS = """LEFT JOIN (
    SELECT p.pid, 'VACUUM' AS doing FROM pg_stat_progress_vacuum p
    UNION SELECT p.pid, 'ANALYZE' FROM pg_stat_progress_analyze p
    UNION SELECT p.pid, coalesce(p.command, 'CLUSTER') FROM pg_stat_progress_cluster p
    UNION SELECT p.pid, coalesce(p.command, 'CREATE INDEX') FROM pg_stat_progress_create_index p
    UNION SELECT p.pid, coalesce(p.command, 'COPY') FROM pg_stat_progress_copy p
  ) AS j ON j.pid = a.pid"""
LONG_QUERIES = _LISTED_SESSIONS.format(
    since="query_start",
    more=", j.doing",
    join=_LONG_JOBS,
    condition="a.state IN ('active', 'fastpath function call')",
)
IDLE_IN_TRANSACTION = _LISTED_SESSIONS.format(
    since="state_change", more="", join="", condition="a.state LIKE 'idle in transaction%%'"
)

# Who waits is in pg_locks, which everybody may read. pg_blocking_pids stops all locking for a moment, so only those
# that have waited longest are looked at.
LOCK_WAITS = f"""
WITH waiting AS MATERIALIZED (
  SELECT l.pid, extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8 AS seconds,
         min(l.locktype || ', ' || l.mode) AS lock,
         min(CASE WHEN d.oid IS NOT NULL THEN l.relation END) AS relation
  FROM pg_locks l LEFT JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
  WHERE NOT l.granted AND l.pid IS NOT NULL
  GROUP BY l.pid ORDER BY 2 DESC NULLS LAST LIMIT {LISTED}
), tree AS MATERIALIZED (
  SELECT w.*, pg_blocking_pids(w.pid) AS blockers FROM waiting w
)
SELECT json_build_object(
  'count', (SELECT count(DISTINCT l.pid) FROM pg_locks l WHERE NOT l.granted),
  'waiters', (SELECT json_agg(row_to_json(t)) FROM (
    SELECT t.pid, t.seconds, t.lock, t.blockers,
           (SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = t.relation) AS relation
    FROM tree t ORDER BY t.seconds DESC NULLS LAST) AS t),
  'sessions', (SELECT json_agg(row_to_json(s)) FROM (
    SELECT {_SESSION}, extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS seconds
    FROM pg_stat_activity a
    WHERE a.pid IN (SELECT t.pid FROM tree t UNION SELECT unnest(t.blockers) FROM tree t)) AS s))
"""

XMIN_HOLDERS = f"""
SELECT json_agg(row_to_json(h)) FROM ({sql.HOLDERS_QUERY}) AS h(kind, id, database, xid_age, seconds)
"""

PREPARED_XACTS = """
SELECT json_agg(row_to_json(p)) FROM (
  SELECT p.gid, p.database, p.owner, extract(epoch FROM clock_timestamp() - p.prepared)::float8 AS seconds
  FROM pg_prepared_xacts p ORDER BY p.prepared
) AS p
"""

AUTOVACUUM_WORKERS = """
SELECT json_build_object(
  'workers', count(*), 'shortest', extract(epoch FROM min(clock_timestamp() - a.xact_start))::float8,
  'emergency', count(*) FILTER (WHERE a.query LIKE '%%(to prevent wraparound)'))
FROM pg_stat_activity a WHERE a.backend_type = 'autovacuum worker'
"""

REPLICATION = """
WITH here AS MATERIALIZED (
  SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
              ELSE pg_current_wal_lsn() END AS lsn
)
SELECT json_build_object(
  'standbys', (SELECT json_agg(row_to_json(s)) FROM (
    SELECT r.pid, r.application_name AS name, host(r.client_addr) AS address, r.state, r.sync_state,
           pg_wal_lsn_diff(here.lsn, r.replay_lsn)::float8 AS lag_bytes,
           extract(epoch FROM r.replay_lag)::float8 AS replay_lag,
           extract(epoch FROM clock_timestamp() - r.reply_time)::float8 AS silence
    FROM pg_stat_replication r, here
    -- A base backup that is being taken is no standby.
    WHERE r.state IS DISTINCT FROM 'backup' ORDER BY r.pid) AS s),
  'slots', (SELECT json_agg(row_to_json(s)) FROM (
    SELECT s.slot_name AS name, s.slot_type AS kind, s.database, s.active, s.temporary,
           pg_wal_lsn_diff(here.lsn, s.restart_lsn)::float8 AS retained, s.wal_status, s.safe_wal_size::float8,
           age(s.catalog_xmin) AS catalog_age{slots}
    FROM pg_replication_slots s, here ORDER BY s.slot_name) AS s),
  'receiver', CASE WHEN pg_is_in_recovery() THEN (SELECT row_to_json(w) FROM (
    SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS streaming, pg_is_wal_replay_paused() AS paused,
           pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::float8 AS lag_bytes,
           extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS lag_seconds) AS w) END)
"""
_SLOTS_16 = ", CASE WHEN s.conflicting THEN 'conflict with recovery' END AS invalidation"
_SLOTS_17 = """, s.invalidation_reason AS invalidation, s.synced,
           extract(epoch FROM clock_timestamp() - s.inactive_since)::float8 AS inactive_seconds"""

ARCHIVER = """
SELECT json_build_object(
  'archived', a.archived_count, 'failed', a.failed_count,
  'last_archived', extract(epoch FROM a.last_archived_time)::float8,
  'last_failed', extract(epoch FROM a.last_failed_time)::float8, 'last_failed_wal', a.last_failed_wal,
  'ready', {ready})
FROM pg_stat_archiver a
"""
_READY = "(SELECT count(*) FROM pg_ls_archive_statusdir() f WHERE f.name LIKE '%%.ready')"

# Where the extension is in this database, and what its view has: an upgraded server may still have an old view.
EXTENSION = """
SELECT json_build_object(
  'view', format('%%I.pg_stat_statements', n.nspname), 'schema', quote_ident(n.nspname), 'version', e.extversion,
  'columns', (SELECT json_agg(a.attname) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
              WHERE c.relnamespace = n.oid AND c.relname = 'pg_stat_statements' AND a.attnum > 0),
  'info', EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'pg_stat_statements_info'))
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
"""

# What was run in a database that is no more is nobody's concern.
STATEMENTS = """
WITH s AS MATERIALIZED (
  SELECT left(s.query, 2000) AS text, s.queryid, d.datname AS database, s.userid, s.calls, s.{total} / 1000 AS total,
         s.{mean} / 1000 AS mean, s.{longest} / 1000 AS longest, s.rows
  FROM {view} s JOIN pg_database d ON d.oid = s.dbid WHERE s.calls > 0{toplevel}
)
SELECT json_build_object(
  'since', {since}, 'total', (SELECT sum(s.total) FROM s),
  'slow_count', (SELECT count(*) FROM s WHERE s.mean >= %s AND s.calls >= %s),
  'slow', (SELECT json_agg(row_to_json(x)) FROM (
    SELECT {shown} FROM s LEFT JOIN pg_roles r ON r.oid = s.userid
    WHERE s.mean >= %s AND s.calls >= %s ORDER BY s.total DESC LIMIT %s) AS x),
  'top', (SELECT json_agg(row_to_json(x)) FROM (
    SELECT {shown} FROM s LEFT JOIN pg_roles r ON r.oid = s.userid ORDER BY s.total DESC LIMIT %s) AS x))
"""
_SHOWN = (
    "s.text, s.queryid, s.database, r.rolname AS user, s.calls, s.total::float8, s.mean::float8, "
    "s.longest::float8, s.rows"
)


def facts() -> Question:
    return Question("facts", FACTS, (list(HIDDEN_SETTINGS), [*SETTINGS, *HIDDEN_SETTINGS]))


def activity(policy: Policy) -> dict[str, Question]:
    """Return the questions about sessions, by the part that they are for."""
    return {
        question.name: question
        for question in (
            Question("connections", CONNECTIONS),
            Question("long_queries", LONG_QUERIES, (policy.long_query,)),
            Question("idle_in_transaction", IDLE_IN_TRANSACTION, (policy.idle_in_transaction,)),
            Question("lock_waits", LOCK_WAITS),
            Question("xmin_holders", XMIN_HOLDERS, ([],)),
            Question("prepared_xacts", PREPARED_XACTS),
            Question("autovacuum", AUTOVACUUM_WORKERS),
        )
    }


def replication(version: int) -> Question:
    slots = _SLOTS_17 if version >= INVALIDATION_REASON else _SLOTS_16 if version >= CONFLICTING_SLOTS else ""
    return Question("replication", REPLICATION.format(slots=slots))


def archiver(lists_archive: bool) -> Question:
    return Question("archiver", ARCHIVER.format(ready=_READY if lists_archive else "NULL"))


def statements(extension: dict[str, Any], policy: Policy) -> Question:
    """Return the question to pg_stat_statements, as it is installed where ``EXTENSION`` was asked."""
    old = "total_exec_time" not in extension["columns"]
    since = f"(SELECT extract(epoch FROM i.stats_reset)::float8 FROM {extension['schema']}.pg_stat_statements_info i)"
    query = STATEMENTS.format(
        view=_escaped(str(extension["view"])),
        total="total_time" if old else "total_exec_time",
        mean="mean_time" if old else "mean_exec_time",
        longest="max_time" if old else "max_exec_time",
        toplevel=" AND s.toplevel" if TOPLEVEL in extension["columns"] else "",
        since=_escaped(since) if extension["info"] else "NULL",
        shown=_SHOWN,
    )
    slow = (policy.slow_query, policy.slow_query_min_calls)
    return Question("slow_queries", query, (*slow, *slow, policy.top, policy.top))


def _escaped(name: str) -> str:
    """A percent sign in a name is no parameter."""
    return name.replace("%", "%%")
