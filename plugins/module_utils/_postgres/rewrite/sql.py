# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of every statement of a rewrite, by version of the server. Nothing here touches a server.

Names enter statements only as ``Table.sql_name``, which the server itself quoted; all else is a parameter.
"""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import FULL, REPACK
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Table
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.sql import target

REPACK_SINCE = 190000
MAINTAIN_PRIVILEGE = 170000

# How tables are stored, without the lock on any of them. Nothing that a rewrite would wait for is waited for here.
FACTS_QUERY = """
SELECT c.oid::int8, format('%%I.%%I', n.nspname, c.relname), coalesce(pg_relation_filenode(c.oid), 0)::int8,
       c.reltoastrelid::int8, coalesce(pg_relation_filenode(nullif(c.reltoastrelid, 0)), 0)::int8,
       coalesce(pg_relation_filepath(c.oid), ''), coalesce(pg_relation_filepath(nullif(c.reltoastrelid, 0)), ''),
       c.relpersistence = 'p', greatest(c.relpages, 0)::int8, greatest(t.relpages, 0)::int8,
       {obstacle}, {keyless},
       EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
               WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.granted
                 AND a.backend_type = 'autovacuum worker' AND a.query LIKE '%%(to prevent wraparound)%%'
                 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
       EXISTS (SELECT FROM pg_locks l
               WHERE l.locktype = 'relation' AND l.relation = c.oid AND l.mode = 'AccessExclusiveLock'
                 AND l.pid <> pg_backend_pid()
                 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.oid = ANY (%s::oid[])
"""

INDEXES_QUERY = """
SELECT i.indrelid::int8, format('%%I.%%I', n.nspname, c.relname), coalesce(pg_relation_filepath(c.oid), ''),
       greatest(c.relpages, 0)::int8
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY (%s::oid[]) AND c.relkind = 'i' ORDER BY i.indexrelid
"""

# These wait for whoever has the table for himself.
SIZES_QUERY = """
SELECT c.oid::int8, pg_relation_size(c.oid), coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)
FROM pg_class c WHERE c.oid = ANY (%s::oid[])
"""
INDEX_SIZES_QUERY = """
SELECT i.indrelid::int8, format('%%I.%%I', n.nspname, c.relname), pg_relation_size(c.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY (%s::oid[]) AND c.relkind = 'i'
"""

# As check_concurrent_repack_requirements() of the server asks it.
_OBSTACLE = """
       CASE WHEN c.relkind <> 'r' THEN 'it is no table'
            WHEN n.nspname = 'pg_catalog' OR c.relisshared THEN 'it is a system catalog'
            WHEN c.relpersistence <> 'p' THEN 'it is unlogged'
            WHEN (SELECT m.amname FROM pg_am m WHERE m.oid = c.relam) <> 'heap' THEN 'its access method is not heap'
            WHEN c.reloptions && ARRAY['user_catalog_table=true', 'user_catalog_table=on'] THEN 'it is a catalog table'
            WHEN c.relreplident = 'n' THEN 'its replica identity is nothing'
            WHEN c.relreplident = 'f' THEN 'its replica identity is full'
            WHEN c.relreplident = 'i' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
              THEN ''
            WHEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate
                               AND i.indisvalid)
              THEN 'it has no replica identity index and no primary key that is not deferrable'
            WHEN NOT has_table_privilege(c.oid, 'MAINTAIN') THEN 'the role has no MAINTAIN privilege on it'
            ELSE '' END"""
_NO_REPACK = "'REPACK is a command of PostgreSQL 19 and later'"
_KEYLESS = """
       CASE WHEN c.relkind <> 'r' THEN 'it is no table'
            WHEN n.nspname IN ('pg_catalog', 'information_schema') THEN 'it is a system catalog'
            WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
                           AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
                           AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) k
                                           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k
                                           WHERE NOT a.attnotnull))
              THEN ''
            ELSE 'it has no primary key and no unique index over columns that are not null' END"""

# What earlier rewrites left. A file that no table has, that holds something, and that was last written before the
# oldest transaction there is began, can be nobody's: see the documentation of the mode.
MAY_LIST_QUERY = """
SELECT has_function_privilege('pg_ls_dir(text, boolean, boolean)', 'EXECUTE')
       AND has_function_privilege('pg_stat_file(text, boolean)', 'EXECUTE')
       AND pg_has_role('pg_read_all_stats', 'USAGE'),
       EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.database = current_database())
"""
FILES_QUERY = """
WITH place AS (
  SELECT 'base/' || d.oid AS folder FROM pg_database d WHERE d.datname = current_database()
  UNION ALL
  SELECT 'pg_tblspc/' || t.oid || '/' || v || '/' || d.oid
  FROM pg_tablespace t CROSS JOIN LATERAL pg_ls_dir('pg_tblspc/' || t.oid, true, false) v
  JOIN pg_database d ON d.datname = current_database()
  WHERE t.spcname NOT IN ('pg_default', 'pg_global')
    AND v LIKE 'PG\\_' || current_setting('server_version_num')::int / 10000 || '\\_%'
)
SELECT p.folder || '/' || f, substring(f FROM '^[0-9]+')::int8
FROM place p CROSS JOIN LATERAL pg_ls_dir(p.folder, true, false) f
WHERE f ~ '^[0-9]+(_(fsm|vm|init))?([.][0-9]+)?$'
"""
NODES_QUERY = """
SELECT pg_relation_filenode(c.oid)::int8 FROM pg_class c WHERE pg_relation_filenode(c.oid) IS NOT NULL
"""
OLDEST_QUERY = """
SELECT extract(epoch FROM least(min(a.xact_start), now()))::float8 FROM pg_stat_activity a
"""
STAT_QUERY = """
SELECT f, (s).size, extract(epoch FROM (s).modification)::float8
FROM unnest(%s::text[]) f CROSS JOIN LATERAL pg_stat_file(f, true) s WHERE (s).size > 0
"""
TEMPORARY_QUERY = """
SELECT t.name, t.size FROM pg_ls_tmpdir() t
WHERE t.name ~ '^pgsql_tmp[0-9]+[.]'
  AND substring(t.name FROM '^pgsql_tmp([0-9]+)')::int NOT IN (SELECT a.pid FROM pg_stat_activity a)
"""
MAY_LIST_TEMPORARY_QUERY = "SELECT has_function_privilege('pg_ls_tmpdir()', 'EXECUTE')"

REPACK_LOGS_QUERY = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'repack' AND c.relkind = 'r' AND c.relname ~ '^(log|table)_[0-9]+$'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                    AND (a.application_name ~ 'repack' OR a.query ~ 'repack[.]'))
ORDER BY 1
"""
REPACK_TRIGGERS_QUERY = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgname IN ('repack_trigger', 'z_repack_trigger') AND NOT t.tgisinternal
  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                    AND (a.application_name ~ 'repack' OR a.query ~ 'repack[.]'))
ORDER BY 1
"""


def facts_query(version: int) -> str:
    """Return the query about the tables whose oids are its parameter."""
    return FACTS_QUERY.format(obstacle=_OBSTACLE if version >= REPACK_SINCE else _NO_REPACK, keyless=_KEYLESS)


def rewrite_statement(method: str, table: Table, version: int, skip_locked: bool = False) -> str:
    """Return the statement that rewrites *table*; for pg_repack the one that a reader will understand."""
    if method == FULL:
        return f"VACUUM (FULL{', SKIP_LOCKED' if skip_locked else ''}) {target(table, version)}"
    if method == REPACK:
        return f"REPACK (CONCURRENTLY) {table.sql_name}"
    return f"pg_repack --no-order --no-kill-backend --table {table.sql_name}"


def analyze_statement(table: Table, version: int) -> str:
    return f"ANALYZE {target(table, version)}"
