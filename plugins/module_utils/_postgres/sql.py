# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of every job, by version of the server. Nothing here touches a server."""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server, SessionOptions

# The two keys of the advisory lock that all jobs which change a database share.
ADVISORY_KEYS = (0x55504B50, 1)


# Before 14 nothing here was tried; the features below are those of the versions that have them.
OLDEST_VERSION = 140000

MAINTAIN_PRIVILEGE = 170000
TRANSACTION_TIMEOUT = 170000
RESERVED_CONNECTIONS = 160000


SERVER_QUERY = """
SELECT pg_is_in_recovery(), r.rolname, r.rolsuper, current_setting('track_counts')::bool,
       extract(epoch FROM now())::float8,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - {reserved}
         - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       has_table_privilege('pg_statistic', 'SELECT') AND has_table_privilege('pg_statistic_ext_data', 'SELECT')
FROM pg_roles r WHERE r.rolname = current_user
"""


# So that the server ends what it does for a client that was killed; it can see that on Linux alone.
DEAD_CLIENT_QUERY = "SELECT set_config('client_connection_check_interval', '5s', false) WHERE version() ~ 'linux'"

# Which process of which server answers; nothing here is looked up in the search_path.
BACKEND_QUERY = "SELECT pg_catalog.pg_backend_pid()"
PROCESS_QUERY = f"{BACKEND_QUERY}, pg_catalog.pg_postmaster_start_time()::pg_catalog.text"


DATABASES_QUERY = """
SELECT datname, datallowconn, datistemplate, datconnlimit <> -2, has_database_privilege(oid, 'CONNECT'),
       age(datfrozenxid), mxid_age(datminmxid), datname = current_database()
FROM pg_database ORDER BY age(datfrozenxid) DESC, datname
"""


HOLDERS_QUERY = """
SELECT CASE WHEN a.backend_type = 'walsender' THEN 'standby_feedback'
            WHEN a.state LIKE 'idle in transaction%%' THEN 'idle_in_transaction' ELSE 'backend' END,
       a.pid::text, CASE WHEN a.backend_type = 'walsender' THEN '' ELSE coalesce(a.datname, '') END,
       greatest(age(a.backend_xmin), age(a.backend_xid)), extract(epoch FROM now() - a.xact_start)::float8
FROM pg_stat_activity a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.pid <> pg_backend_pid()
  AND a.pid <> ALL (%s::int[])
  -- A VACUUM holds nothing back, nor do the server's own processes, which have no user.
  AND a.usesysid IS NOT NULL AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)
UNION ALL
SELECT 'prepared', p.gid, p.database, age(p.transaction), extract(epoch FROM now() - p.prepared)::float8
FROM pg_prepared_xacts p
UNION ALL
SELECT 'slot', s.slot_name, '', age(s.xmin), NULL
FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
ORDER BY 4 DESC, 2
"""

LOCK_QUERY = "SELECT pg_try_advisory_lock(%s, %s)"


LOCK_HOLDER_QUERY = """
SELECT a.pid, a.application_name, a.usename, coalesce(a.client_addr::text, 'a local socket'),
       extract(epoch FROM a.backend_start)::float8
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s::oid AND l.objid = %s::oid AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


_OWNED = "pg_has_role(c.relowner, 'USAGE')"
_IN_OWN_DATABASE = (
    "(NOT c.relisshared AND "
    "(SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database()))"
)


def server_query(version: int) -> str:
    # 16 can keep some more connections back, for members of pg_use_reserved_connections.
    reserved = "current_setting('reserved_connections')::int" if version >= RESERVED_CONNECTIONS else "0"
    return SERVER_QUERY.format(reserved=reserved)


def permitted(server: Server) -> str:
    """Return the SQL condition under which the role may vacuum and analyse the table ``c``."""
    if server.superuser:
        return "true"
    # From 17 on an owner has the privilege like anybody who was granted it, and may have given it away.
    own = "has_table_privilege(c.oid, 'MAINTAIN')" if server.version >= MAINTAIN_PRIVILEGE else _OWNED
    return f"({own} OR {_IN_OWN_DATABASE})"


def session_settings(version: int, options: SessionOptions, role: str | None) -> list[tuple[str, str]]:
    """Return the settings of every session of ours, in order; those of the role or the database would break the run."""
    settings = [
        *options.settings,
        ("search_path", ""),
        ("lock_timeout", milliseconds(options.lock_timeout)),
        ("statement_timeout", milliseconds(options.statement_timeout)),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        # A warning for each table that was skipped would fill the memory of the client; the counters tell us.
        ("client_min_messages", "error"),
    ]
    if version >= TRANSACTION_TIMEOUT:
        settings.append(("transaction_timeout", "0"))
    if not options.keep_synchronous_commit:
        settings.append(("synchronous_commit", "off"))
    if options.read_only:
        settings += [
            ("default_transaction_read_only", "on"),
            # Serializable and deferrable would wait for a moment in which nobody else writes.
            ("default_transaction_isolation", "read committed"),
            # To compile a query on the catalogs takes longer than to run it, and a filtered table is not to look empty.
            ("jit", "off"),
            ("work_mem", "16MB"),
            ("row_security", "off"),
        ]
    if role:
        settings.append(("role", role))
    return settings


def settings_query(count: int) -> str:
    """Return the query that applies *count* settings in one round trip, whatever search_path is in force."""
    return "SELECT " + ", ".join(["pg_catalog.set_config(%s, %s, false)"] * count)


def owned_settings_query(count: int) -> str:
    """Return the query that applies *count* settings only in the server process whose pid it is given for each.

    The first column says which process answered. Through a pooler the settings would stay with a process that serves
    others next; ``CASE`` keeps ``set_config`` from being called there.
    """
    apply = ", ".join(
        ["CASE WHEN pg_catalog.pg_backend_pid() = %s THEN pg_catalog.set_config(%s, %s, false) END"] * count
    )
    return f"{BACKEND_QUERY}, {apply}"


# The largest setting of a time that a server takes.
MOST_MILLISECONDS = 2**31 - 1


def milliseconds(seconds: float) -> str:
    """Return *seconds* as PostgreSQL's milliseconds; something above 0 never becomes 0, which would be no limit.

    More than the server takes, 24 days, is as good as what it takes.
    """
    return str(min(max(1, round(seconds * 1000)), MOST_MILLISECONDS)) if seconds > 0 else "0"


# Where the server's files are, and what tells them from those of a copy, as far as the role may know it.
IDENTITY_QUERY = """
SELECT (SELECT s.setting FROM pg_settings s WHERE s.name = 'data_directory'),
       (SELECT c.system_identifier FROM pg_control_system() c), {mark}, pg_backend_pid()
"""
# One row: what decides what a rewrite needs.
SETUP_QUERY = """
SELECT current_setting('wal_level'),
       current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots)
         OR pg_size_bytes(current_setting('wal_keep_size')) > 0,
       pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('maintenance_work_mem')),
       coalesce((SELECT array_agg(t.oid::int8) FROM pg_tablespace t WHERE quote_ident(t.spcname) = ANY
                  (regexp_split_to_array(current_setting('temp_tablespaces'), '\\s*,\\s*'))), '{}'),
       (SELECT d.dattablespace::int8 FROM pg_database d WHERE d.datname = current_database()),
       coalesce(current_setting('max_repack_replication_slots', true)::int, 0),
       coalesce((SELECT x.extversion FROM pg_extension x WHERE x.extname = 'pg_repack'), '')
"""
MAY_READ_QUERY = "SELECT has_function_privilege('pg_read_file(text)', 'EXECUTE')"


def identity_query(may_read: bool) -> str:
    """Return the query about the server's files. *may_read* is whether the role may read one of them."""
    return IDENTITY_QUERY.format(mark="pg_read_file('postmaster.pid')" if may_read else "NULL::text")
