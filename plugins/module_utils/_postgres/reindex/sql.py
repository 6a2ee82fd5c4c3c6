# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of every statement, by version of the server. Nothing here touches a server.

Names enter statements only as the server itself quoted them; all else is a parameter.
"""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import DROP, Index
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import MAINTAIN_PRIVILEGE

# 14.4 is the first 14 whose REINDEX CONCURRENTLY does not lose rows of a table that is written to meanwhile.
UNSAFE_MINORS = range(140000, 140004)
NULLS_NOT_DISTINCT = 150000

# Locks of others on relations of this database. `strong` are those of which a table has one holder at most beside
# readers and writers: VACUUM, ANALYZE, the commands that build indexes, and all that change the table.
_LOCKS = """
WITH locks AS MATERIALIZED (
  SELECT l.relation, l.pid, l.granted, l.mode = 'AccessExclusiveLock' AS exclusive,
         l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock') AS strong
  FROM pg_locks l
  WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
), building AS MATERIALIZED (
  SELECT l.relation FROM locks l
  WHERE l.granted AND l.strong AND l.pid IN (SELECT p.pid FROM pg_stat_progress_create_index p)
)"""

# The size of a relation cannot be read while somebody has, or waits for, an exclusive lock on it: we would wait too.
_SIZE = """CASE WHEN i.relkind <> 'i' OR i.oid IN (SELECT l.relation FROM locks l WHERE l.exclusive) THEN NULL
            ELSE pg_relation_size(i.oid) END"""

# What an index indexes, in a form in which an index and its rebuilt copy are equal. Taken from the catalog as it is:
# the functions that write it as SQL wait for locks on the table. Where in its command an expression stood is no part,
# and neither is what only the rebuilt one gets in the end: that it is a constraint's, deferrable, the primary key's.
_SHAPE = """concat_ws(chr(1), i.relam, x.indnatts, x.indnkeyatts, x.indisunique{nulls},
         x.indkey, x.indclass, x.indcollation, x.indoption,
         regexp_replace(coalesce(x.indexprs::text, ''), ' :(location|stmt_location|stmt_len) -?[0-9]+', '', 'g'),
         regexp_replace(coalesce(x.indpred::text, ''), ' :(location|stmt_location|stmt_len) -?[0-9]+', '', 'g'))"""

INDEXES_QUERY = f"""{_LOCKS}
SELECT i.oid, hn.nspname, i.relname, quote_ident(n.nspname) || '.' || quote_ident(i.relname),
       t.oid, hn.nspname, h.relname, quote_ident(hn.nspname) || '.' || quote_ident(h.relname),
       am.amname, {_SIZE}, CASE WHEN i.relkind = 'i' THEN coalesce(pg_relation_filenode(i.oid), 0) ELSE 0 END,
       x.indisvalid AND x.indisready AND x.indislive, x.indisexclusion,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid),
       x.indisprimary OR x.indisreplident OR x.indisclustered OR i.relispartition,
       x.indexprs IS NULL AND x.indpred IS NULL, i.relkind = 'I', i.relpersistence = 't', t.oid < 16384,
       t.relkind = 't', i.relisshared, h.reltuples::float8, coalesce(pg_stat_get_mod_since_analyze(h.oid), 0),
       CASE WHEN x.indrelid IN (SELECT w.indrelid FROM pg_index w WHERE NOT w.indisvalid) THEN {{shape}} ELSE '' END,
       t.oid IN (SELECT b.relation FROM building b), {{permitted}}, {{droppable}},
       coalesce(pg_relation_filepath(i.oid), ''), i.relpersistence = 'p', h.oid
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = i.relnamespace
JOIN pg_am am ON am.oid = i.relam
JOIN pg_class t ON t.oid = x.indrelid
LEFT JOIN pg_class m ON t.relkind = 't' AND m.reltoastrelid = t.oid
JOIN pg_class h ON h.oid = coalesce(m.oid, t.oid)
JOIN pg_namespace hn ON hn.oid = h.relnamespace
"""

# What names there are, so that one which is written out and does not exist can be told from one without an index.
TABLES_QUERY = """
SELECT c.oid, n.nspname, c.relname, c.relkind IN ('p', 'I')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'p', 'I')
"""
PARENTS_QUERY = """
SELECT p.inhrelid, p.inhparent FROM pg_inherits p JOIN pg_class c ON c.oid = p.inhrelid WHERE c.relispartition
"""
SCHEMAS_QUERY = "SELECT nspname FROM pg_namespace"

STATE_COLUMNS = f"""
       i.oid, quote_ident(n.nspname) || '.' || quote_ident(i.relname), coalesce(pg_relation_filenode(i.oid), 0),
       x.indisvalid AND x.indisready AND x.indislive, {_SIZE}, x.indrelid IN (SELECT b.relation FROM building b)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
"""
STATE_QUERY = f"{_LOCKS}\nSELECT {STATE_COLUMNS} WHERE i.oid = %s AND i.relkind = 'i'"
STATE_BY_NAME_QUERY = f"{_LOCKS}\nSELECT {STATE_COLUMNS} WHERE x.indrelid = %s AND i.relname = %s AND i.relkind = 'i'"

# Whom a concurrent rebuild of an index of the table waits for: who has any lock on the table, and who has a snapshot
# that may see what the new index will not have. What the server itself leaves out of that is left out here too.
BLOCKERS_QUERY = """
WITH holding AS (
  SELECT l.pid FROM pg_locks l
  WHERE l.locktype = 'relation' AND l.relation = %s AND l.granted AND l.pid IS NOT NULL
    AND l.database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
)
SELECT CASE WHEN a.state LIKE 'idle in transaction%%' THEN 'idle_in_transaction' ELSE 'backend' END,
       a.pid::text, coalesce(a.datname, ''), coalesce(greatest(age(a.backend_xmin), age(a.backend_xid)), 0),
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM pg_stat_activity a
-- A worker of a parallel build counts as its leader.
WHERE a.pid <> pg_backend_pid() AND coalesce(a.leader_pid, a.pid) <> ALL (%s::int[])
  AND (a.pid IN (SELECT h.pid FROM holding h)
       OR (%s AND a.datname = current_database() AND a.backend_xmin IS NOT NULL AND a.usesysid IS NOT NULL
           AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)))
UNION ALL
SELECT 'prepared', p.gid, p.database, age(p.transaction), extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts p
WHERE p.database = current_database() AND EXISTS (
  SELECT FROM pg_locks l
  -- A prepared transaction has no process, and the virtual one that it had before; its own id is a lock beside.
  JOIN pg_locks o ON o.locktype = 'transactionid' AND o.virtualtransaction = l.virtualtransaction AND o.pid IS NULL
  WHERE l.locktype = 'relation' AND l.relation = %s AND l.granted AND l.pid IS NULL AND o.transactionid = p.transaction)
ORDER BY 5 DESC NULLS LAST, 2
"""

TABLESPACE_QUERY = """
SELECT s.oid, quote_ident(s.spcname), has_tablespace_privilege(s.oid, 'CREATE')
         OR s.oid = (SELECT d.dattablespace FROM pg_database d WHERE d.datname = current_database())
FROM pg_tablespace s WHERE s.spcname = %s
"""

EXACT_QUERY = """
SELECT coalesce(bool_or(has_function_privilege(p.oid, 'EXECUTE')
                        AND has_schema_privilege(p.pronamespace, 'USAGE')), false)
FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
  AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc p ON p.oid = d.objid
WHERE e.extname = 'pgstattuple' AND p.proname = 'pgstatindex'
"""

LIMITS_QUERY = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"


def indexes_query(server: Server, table: bool = False) -> str:
    """Return the query for every index of the database, or with *table* for those of the table in its parameter."""
    nulls = ", x.indnullsnotdistinct" if server.version >= NULLS_NOT_DISTINCT else ""
    query = INDEXES_QUERY.format(
        shape=_SHAPE.format(nulls=nulls), permitted=permitted(server), droppable=droppable(server)
    )
    return f"{query} WHERE x.indrelid = %s" if table else query


def permitted(server: Server) -> str:
    """Return the SQL condition under which the role may rebuild the index ``i`` of the table ``t``."""
    if server.superuser:
        return "true"
    # To own the database is not enough for one index. From 17 on the owner has MAINTAIN, unless it was revoked.
    right = "pg_has_role(i.relowner, 'USAGE')"
    if server.version >= MAINTAIN_PRIVILEGE:
        right = "has_table_privilege(t.oid, 'MAINTAIN')"
    return f"coalesce({right} AND has_schema_privilege(n.oid, 'USAGE'), true)"


def droppable(server: Server) -> str:
    """Return the SQL condition under which the role may drop the index ``i``: MAINTAIN does not include that."""
    if server.superuser:
        return "true"
    owns = "(pg_has_role(i.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE'))"
    return f"coalesce({owns} AND has_schema_privilege(n.oid, 'USAGE'), true)"


def work_statement(action: str, index: Index, concurrently: bool, tablespace: str = "") -> str:
    """Return the statement that does *action* to *index*. *tablespace* is a name that the server quoted."""
    if action == DROP:
        return drop_statement(index.sql_name, not index.catalog)
    words = ["CONCURRENTLY"] if concurrently else []
    # What belongs to the system stays where it is, and a TOAST table's index where its table is.
    if tablespace and not index.catalog and not index.toast:
        words.append(f"TABLESPACE {tablespace}")
    options = f" ({', '.join(words)})" if words else ""
    return f"REINDEX{options} INDEX {index.sql_name}"


def drop_statement(sql_name: str, concurrently: bool = True) -> str:
    """Return the statement that drops an index. Concurrently even when rebuilds are not: nobody is held up by it."""
    return f"DROP INDEX {'CONCURRENTLY ' if concurrently else ''}{sql_name}"


def analyze_statement(index: Index, only: bool) -> str:
    return f"ANALYZE {'ONLY ' if only else ''}{index.table_sql_name}"
