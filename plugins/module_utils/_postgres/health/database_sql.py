# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about one database, by version of the server. Nothing here touches a server.

Names come out as the server quotes them (``format('%I.%I')``); that is the only form that goes into a statement again.
Sizes are asked of few relations only, because each has to be opened, and never of one that somebody has locked or
waits to lock altogether, because the question would wait too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.ask import Question
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.model import Policy

LAST_SCAN = 160000
MOST_DEAD = 180000
NULLS_NOT_DISTINCT = 150000
LISTED = 50
# How many relations are measured at the most.
MEASURED = 200

_SHUT = """shut AS MATERIALIZED (
  SELECT DISTINCT l.relation FROM pg_locks l
  WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
)"""
_USERS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'"

# What autovacuum goes by: the table's own settings, else the server's.
_SETTING = """coalesce((SELECT o.option_value::float8 FROM pg_options_to_table(c.reloptions) o
                         WHERE o.option_name = '{name}'), current_setting('{name}')::float8)"""

TABLES = """
WITH t AS MATERIALIZED (
  SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS sql_name, c.reloptions, greatest(c.reltuples, 0) AS tuples,
         coalesce(pg_stat_get_live_tuples(c.oid), 0) AS live, coalesce(pg_stat_get_dead_tuples(c.oid), 0) AS dead,
         coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) AS modified,
         greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed,
         greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
), busy AS MATERIALIZED (
  SELECT c.* FROM t AS c WHERE c.dead > 0 OR c.modified > 0
), judged AS MATERIALIZED (
  SELECT c.sql_name, c.live, c.dead, c.modified,
         c.dead > {dead_limit}
           AND coalesce(c.vacuumed, began.at) < clock_timestamp() - make_interval(secs => %s) AS vacuum_due,
         -- Nobody analyses the table of the statistics itself, not even by order.
         c.oid <> 'pg_statistic'::regclass AND c.modified > {analyze_threshold} + {analyze_scale} * c.tuples
           AND coalesce(c.analyzed, began.at) < clock_timestamp() - make_interval(secs => %s) AS analyze_due,
         extract(epoch FROM c.vacuumed)::float8 AS last_vacuum, extract(epoch FROM c.analyzed)::float8 AS last_analyze
  -- What was never vacuumed has been waiting since the counters began, at the most.
  FROM busy c, (SELECT to_timestamp(%s) AS at) AS began
)
SELECT json_build_object(
  'count', (SELECT count(*) FROM t),
  'overdue_count', (SELECT count(*) FROM judged j WHERE j.vacuum_due OR j.analyze_due),
  'overdue', (SELECT json_agg(row_to_json(x)) FROM (
    SELECT * FROM judged j WHERE j.vacuum_due OR j.analyze_due ORDER BY j.dead + j.modified DESC LIMIT {listed}) AS x))
"""

AUTOVACUUM_OFF = f"""
WITH off AS MATERIALIZED (
  SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS sql_name, greatest(c.reltuples, 0)::int8 AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.reloptions IS NOT NULL AND EXISTS (
    SELECT FROM pg_options_to_table(c.reloptions) o
    WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::bool)
)
SELECT json_build_object('count', (SELECT count(*) FROM pg_class c WHERE c.relkind IN ('r', 'm')),
  'off_count', (SELECT count(*) FROM off), 'off', (SELECT json_agg(row_to_json(x)) FROM (
    SELECT o.sql_name, o.rows FROM off o ORDER BY o.rows DESC, o.sql_name LIMIT {LISTED}) AS x))
"""

TOP_TABLES = f"""
WITH {_SHUT}, t AS MATERIALIZED (
  SELECT c.oid, c.reltoastrelid AS toast, c.relpages::int8 AS pages,
         format('%%I.%%I', n.nspname, c.relname) AS sql_name,
         greatest(c.reltuples::int8, coalesce(pg_stat_get_live_tuples(c.oid), 0), 0) AS rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
), i AS MATERIALIZED (
  SELECT x.indrelid AS oid, sum(c.relpages)::int8 AS pages
  FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid GROUP BY x.indrelid
), guessed AS MATERIALIZED (
  -- What was filled since its last VACUUM has more rows than pages.
  SELECT t.*, coalesce(i.pages, 0) AS index_pages, coalesce(c.relpages, 0) AS toast_pages
  FROM t LEFT JOIN i USING (oid) LEFT JOIN pg_class c ON c.oid = t.toast
  ORDER BY greatest(t.pages + coalesce(i.pages, 0) + coalesce(c.relpages, 0), t.rows / 100) DESC, t.sql_name
  LIMIT {MEASURED}
), open AS MATERIALIZED (
  SELECT g.*, NOT EXISTS (SELECT FROM shut s WHERE s.relation = g.oid OR s.relation = g.toast
                            OR s.relation IN (SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = g.oid)) AS exact
  FROM guessed g
), measured AS MATERIALIZED (
  SELECT o.sql_name, o.rows, o.exact,
         CASE WHEN o.exact THEN pg_relation_size(o.oid) ELSE o.pages * {{block}} END AS heap_bytes,
         CASE WHEN o.exact THEN pg_indexes_size(o.oid) ELSE o.index_pages * {{block}} END AS index_bytes,
         CASE WHEN o.toast = 0 THEN 0 WHEN o.exact THEN pg_total_relation_size(o.toast)
              ELSE o.toast_pages * {{block}} END AS toast_bytes
  FROM open o
)
SELECT json_agg(row_to_json(x)) FROM (
  SELECT m.*, m.heap_bytes + m.index_bytes + m.toast_bytes AS total_bytes
  FROM measured m WHERE m.heap_bytes IS NOT NULL ORDER BY total_bytes DESC, m.sql_name LIMIT %s
) AS x
"""

OLDEST_TABLES = """
SELECT json_agg(row_to_json(x)) FROM (
  SELECT format('%%I.%%I', n.nspname, c.relname) AS sql_name,
         greatest(age(c.relfrozenxid), age(t.relfrozenxid)) AS xid_age,
         greatest(mxid_age(c.relminmxid), mxid_age(t.relminmxid)) AS mxid_age
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
  WHERE c.relkind IN ('r', 'm')
  ORDER BY greatest(age(c.relfrozenxid), age(t.relfrozenxid), mxid_age(c.relminmxid), mxid_age(t.relminmxid)) DESC
  LIMIT 3
) AS x
"""

# An index on a partition that belongs to one on the whole can be neither dropped nor judged alone: it counts with the
# index at the top.
UNUSED_INDEXES = f"""
WITH {_SHUT}, i AS MATERIALIZED (
  SELECT x.indexrelid AS oid, CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END AS root,
         c.relpages::int8 AS pages, c.relkind,
         coalesce(pg_stat_get_numscans(c.oid), 0) AS scans, {{last_scan}} AS last_scan,
         greatest(coalesce(pg_stat_get_live_tuples(x.indrelid), 0), 0) / 400 AS likely
  FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE {_USERS} AND c.relpersistence <> 't' AND x.indisvalid
), k AS MATERIALIZED (SELECT DISTINCT conindid AS oid FROM pg_constraint WHERE conindid <> 0),
idle AS MATERIALIZED (
  SELECT i.root, sum(i.scans)::int8 AS scans, max(i.last_scan) AS last_scan, sum(greatest(i.pages, i.likely)) AS guess
  FROM i GROUP BY i.root
  HAVING sum(i.scans) = 0 OR max(i.last_scan) < clock_timestamp() - make_interval(secs => %s)
), candidates AS MATERIALIZED (
  SELECT idle.*, x.indrelid, c.relkind FROM idle JOIN pg_index x ON x.indexrelid = idle.root
    JOIN pg_class c ON c.oid = idle.root
  WHERE NOT x.indisunique AND NOT x.indisprimary AND NOT x.indisexclusion AND NOT x.indisreplident AND x.indisvalid
    -- The statistics of an expression serve the planner even when the index is never read.
    AND x.indexprs IS NULL AND NOT EXISTS (SELECT FROM k WHERE k.oid = idle.root)
    AND idle.guess * {{block}} >= %s
  ORDER BY idle.guess DESC LIMIT {MEASURED}
), measured AS MATERIALIZED (
  SELECT c.*, (SELECT sum(CASE WHEN EXISTS (SELECT FROM shut s WHERE s.relation = i.oid) THEN i.pages * {{block}}
                               ELSE coalesce(pg_relation_size(i.oid), 0) END)::int8
               FROM i WHERE i.root = c.root AND i.relkind = 'i') AS bytes
  FROM candidates c
)
SELECT json_agg(row_to_json(x)) FROM (
    SELECT format('%%I.%%I', n.nspname, c.relname) AS sql_name, format('%%I.%%I', tn.nspname, t.relname) AS table,
           m.bytes, m.scans, m.relkind = 'I' AS partitioned, extract(epoch FROM m.last_scan)::float8 AS last_scan
    FROM measured m JOIN pg_class c ON c.oid = m.root JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class t ON t.oid = m.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE m.bytes >= %s ORDER BY m.bytes DESC, 1) AS x
"""

# The key columns of each index in full: what is compared must be the same for every key, so that neither another
# operator class nor another collation, order, predicate or expression makes a twin.
DUPLICATE_INDEXES = f"""
WITH {_SHUT}, k AS MATERIALIZED (
  SELECT k.conindid AS oid, bool_or(k.contype = 'f') AS referenced,
         min(quote_ident(k.conname)) FILTER (WHERE k.contype IN ('p', 'u', 'x')) AS constraint
  FROM pg_constraint k WHERE k.conindid <> 0 GROUP BY k.conindid
), several AS MATERIALIZED (
  SELECT x.indrelid, x.indkey[0] AS head FROM pg_index x GROUP BY x.indrelid, x.indkey[0] HAVING count(*) > 1
),
i AS MATERIALIZED (
  SELECT x.indexrelid AS oid, x.indrelid, c.relam,
         m.amname = 'btree' AS btree, x.indnkeyatts AS keys,
         (x.indkey::int2[])[0:x.indnkeyatts - 1] AS attributes, (x.indkey::int2[])[x.indnkeyatts:] AS included,
         (x.indclass::oid[])[0:x.indnkeyatts - 1] AS classes,
         (x.indcollation::oid[])[0:x.indnkeyatts - 1] AS collations,
         (x.indoption::int2[])[0:x.indnkeyatts - 1] AS orders,
         pg_get_expr(x.indpred, x.indrelid) AS predicate,
         CASE WHEN x.indexprs IS NOT NULL
              THEN ARRAY(SELECT CASE WHEN (x.indkey::int2[])[g - 1] = 0 THEN pg_get_indexdef(x.indexrelid, g, false)
                                     ELSE '' END
                         FROM generate_series(1, x.indnkeyatts) AS g ORDER BY g) END AS expressions,
         array_fill(''::text, ARRAY[x.indnkeyatts::int]) AS nothing,
         CASE WHEN m.amname <> 'btree'
              THEN concat(c.reloptions::text, (SELECT string_agg(a.attoptions::text, ';' ORDER BY a.attnum)
                                               FROM pg_attribute a WHERE a.attrelid = c.oid)) END AS options,
         x.indisunique AS is_unique, x.indimmediate, {{distinct}} AS nulls_not_distinct,
         x.indisclustered, k.constraint,
         -- Only this may go: what no constraint, key or other object stands on.
         NOT x.indisprimary AND NOT x.indisreplident AND NOT x.indisexclusion AND NOT c.relispartition
           AND k.oid IS NULL AS free,
         x.indisunique AND NOT x.indisprimary AND NOT x.indisreplident AND NOT x.indisexclusion AND NOT c.relispartition
           AND k.constraint IS NOT NULL AND NOT k.referenced AS dispensable
  FROM pg_index x JOIN several v ON v.indrelid = x.indrelid AND v.head = x.indkey[0]
    JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am m ON m.oid = c.relam
    JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN k ON k.oid = x.indexrelid
  WHERE {_USERS} AND c.relpersistence <> 't' AND x.indisvalid AND x.indisready AND x.indislive
), able AS MATERIALIZED (
  SELECT a.oid, b.oid AS keeper, a.keys = b.keys AS exact, a.constraint, b.is_unique, b.keys AS keeper_keys,
         a.indisclustered AS clustered, b.indisclustered AS keeper_clustered
  FROM i a JOIN i b ON b.indrelid = a.indrelid AND b.relam = a.relam AND b.attributes[1] = a.attributes[1]
    AND b.oid <> a.oid
  WHERE a.keys <= b.keys AND (a.btree OR a.keys = b.keys)
    AND b.attributes[1:a.keys] = a.attributes AND b.classes[1:a.keys] = a.classes
    AND b.collations[1:a.keys] = a.collations AND b.orders[1:a.keys] = a.orders
    AND a.included <@ (b.attributes || b.included)
    AND a.predicate IS NOT DISTINCT FROM b.predicate
    AND coalesce(a.expressions, a.nothing) = (coalesce(b.expressions, b.nothing))[1:a.keys]
    AND a.options IS NOT DISTINCT FROM b.options
    -- A unique index says more than it holds: only another that says the same can take its place.
    AND (NOT a.is_unique OR (b.is_unique AND a.keys = b.keys AND a.nulls_not_distinct = b.nulls_not_distinct
                             AND b.indimmediate >= a.indimmediate))
    -- A constraint may go only in favour of another one.
    AND (a.free OR (a.dispensable AND NOT b.free))
), going AS MATERIALIZED (
  -- Of two that could each take the other's place, the older one stays, or the one that the table is clustered by.
  SELECT p.* FROM able p WHERE NOT EXISTS (
    SELECT FROM able r WHERE r.oid = p.keeper AND r.keeper = p.oid
      AND (p.clustered, -p.oid::int8) > (p.keeper_clustered, -p.keeper::int8))
), pairs AS MATERIALIZED (
  SELECT g.*, row_number() OVER (PARTITION BY g.oid ORDER BY
           g.exact DESC, g.keeper IN (SELECT h.oid FROM going h), g.is_unique DESC, g.keeper_keys DESC, g.keeper) AS nth
  FROM going g
)
SELECT json_build_object(
  'count', (SELECT count(*) FROM pairs p WHERE p.nth = 1),
  'twins', (SELECT json_agg(row_to_json(x)) FROM (
    SELECT format('%%I.%%I', n.nspname, c.relname) AS sql_name, format('%%I.%%I', tn.nspname, t.relname) AS table,
           CASE WHEN EXISTS (SELECT FROM shut s WHERE s.relation = p.oid) THEN c.relpages::int8 * {{block}}
                ELSE coalesce(pg_relation_size(p.oid), 0) END AS bytes,
           coalesce(pg_stat_get_numscans(p.oid), 0) AS scans, quote_ident(kept.relname) AS keeper, p.exact,
           c.relkind = 'I' AS partitioned, p.constraint
    FROM (SELECT * FROM pairs p WHERE p.nth = 1 ORDER BY (SELECT c.relpages FROM pg_class c WHERE c.oid = p.oid) DESC,
            p.oid LIMIT {LISTED}) AS p
      JOIN pg_class c ON c.oid = p.oid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class kept ON kept.oid = p.keeper
      JOIN pg_index x ON x.indexrelid = p.oid JOIN pg_class t ON t.oid = x.indrelid
      JOIN pg_namespace tn ON tn.oid = t.relnamespace
    ORDER BY bytes DESC, 1) AS x))
"""

# While an index is being built it is not valid either. Who builds one holds a lock on its table that only VACUUM,
# ANALYZE and the like take as well.
INVALID_INDEXES = f"""
WITH {_SHUT}, builders AS MATERIALIZED (
  SELECT DISTINCT l.relation FROM pg_locks l
  WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('ShareUpdateExclusiveLock', 'AccessExclusiveLock')
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v UNION SELECT a.pid FROM pg_stat_progress_analyze a)
)
SELECT json_agg(row_to_json(i)) FROM (
    SELECT format('%%I.%%I', n.nspname, c.relname) AS sql_name, format('%%I.%%I', tn.nspname, t.relname) AS table,
           CASE WHEN c.relkind = 'I' OR EXISTS (SELECT FROM shut s WHERE s.relation = c.oid)
                THEN c.relpages::int8 * {{block}} ELSE coalesce(pg_relation_size(c.oid), 0) END AS bytes,
           c.relkind = 'I' AS partitioned,
           EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')) AS constraint,
           coalesce(substring(c.relname FROM '_(ccnew|ccold)[0-9]*$'), '') AS leftover,
           n.nspname LIKE 'pg\\_toast%%' AS toast, NOT x.indislive AS dying,
           EXISTS (SELECT FROM builders b WHERE b.relation IN (x.indrelid, x.indexrelid))
             OR EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid) AS building
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE NOT x.indisvalid OR NOT x.indisready OR NOT x.indislive
    ORDER BY 1) AS i
"""

# The narrowest column that a sequence fills, be it by ownership or by a default, may end before the sequence does.
SEQUENCES = f"""
WITH {_SHUT}, used AS MATERIALIZED (
  SELECT d.objid AS seq, d.refobjid AS relid, d.refobjsubid AS attnum
  FROM pg_sequence q JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = q.seqrelid
  WHERE d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
  SELECT d.refobjid, f.adrelid, f.adnum
  FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
  WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
), narrowest AS MATERIALIZED (
  SELECT DISTINCT ON (u.seq) u.seq, u.relid, a.attname, b.typname
  FROM used u
    JOIN pg_sequence q ON q.seqrelid = u.seq
    JOIN pg_attribute a ON a.attrelid = u.relid AND a.attnum = u.attnum
    JOIN pg_type y ON y.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(y.typbasetype, 0), y.oid)
  ORDER BY u.seq, b.typname IN ('int2', 'int4', 'int8') DESC, b.typname
)
SELECT json_build_object(
  'count', count(*), 'unreadable', count(*) FILTER (WHERE NOT s.permitted),
  'locked', count(*) FILTER (WHERE s.shut),
  'sequences', json_agg(json_build_array(s.oid::int8, s.sql_name, s.data_type, s.low, s.high, s.rises, s.cycles,
                                         s.table, s.column, s.column_type)) FILTER (WHERE s.readable))
FROM (
  SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS sql_name, format_type(q.seqtypid, NULL) AS data_type,
         q.seqmin AS low, q.seqmax AS high, q.seqincrement > 0 AS rises, q.seqcycle AS cycles,
         CASE WHEN t.oid IS NOT NULL THEN format('%%I.%%I', tn.nspname, t.relname) END AS table,
         quote_ident(u.attname) AS column, u.typname AS column_type,
         c.oid IN (SELECT l.relation FROM shut l) AS shut,
         has_sequence_privilege(c.oid, 'SELECT, USAGE') AS permitted,
         has_sequence_privilege(c.oid, 'SELECT, USAGE') AND NOT (pg_is_in_recovery() AND c.relpersistence <> 'p')
           AND c.oid NOT IN (SELECT l.relation FROM shut l) AS readable
  FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN (narrowest u JOIN pg_class t ON t.oid = u.relid JOIN pg_namespace tn ON tn.oid = t.relnamespace)
      ON u.seq = c.oid
  WHERE c.relpersistence <> 't'
) AS s
"""

# It keeps a lock on each sequence until the statement ends, and the server's table of locks is for everybody: hence so
# many at a time.
LAST_VALUES = """
SELECT json_agg(CASE WHEN EXISTS (SELECT FROM pg_sequence q WHERE q.seqrelid = s.oid)
                     THEN pg_sequence_last_value(s.oid) END ORDER BY s.nth)
FROM unnest(%s::oid[]) WITH ORDINALITY AS s(oid, nth)
"""

# Columns that may hold the number of a large object: oid, domains over it (lo is one), and arrays of these.
LARGE_OBJECTS = """
WITH RECURSIVE o AS (
  SELECT 'oid'::regtype::oid AS oid
  UNION
  SELECT t.oid FROM pg_type t
    JOIN o ON t.typbasetype = o.oid OR (t.typelem = o.oid AND t.typlen = -1 AND t.typtype = 'b')
)
SELECT CASE WHEN EXISTS (SELECT FROM pg_largeobject_metadata) THEN (
  SELECT json_build_object(
    'columns', json_agg(json_build_array(x.sql_name, x.attname, x.is_array)) FILTER (WHERE x.readable),
    'hidden', json_agg(DISTINCT x.sql_name) FILTER (WHERE NOT x.readable))
  FROM (
    SELECT format('%%I.%%I', n.nspname, c.relname) AS sql_name, quote_ident(a.attname) AS attname,
           (y.typelem <> 0 OR b.typelem <> 0) AS is_array,
           has_column_privilege(c.oid, a.attnum, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
             AND NOT row_security_active(c.oid) AS readable
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = y.typbasetype
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN (SELECT o.oid FROM o)
      AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  ) AS x) END
"""


def tables(version: int, policy: Policy, began: float) -> Question:
    """Return the question what autovacuum owes to which table; *began* is when the counters did, in epoch seconds."""

    def setting(name: str) -> str:
        return _SETTING.format(name=name)

    limit = f"{setting('autovacuum_vacuum_threshold')} + {setting('autovacuum_vacuum_scale_factor')} * c.tuples"
    if version >= MOST_DEAD:
        most = setting("autovacuum_vacuum_max_threshold")
        limit = f"least({limit}, coalesce(nullif({most}, -1), 'Infinity'))"
    query = TABLES.format(
        dead_limit=limit,
        analyze_threshold=setting("autovacuum_analyze_threshold"),
        analyze_scale=setting("autovacuum_analyze_scale_factor"),
        listed=LISTED,
    )
    return Question("last_vacuum", query, (policy.vacuum_overdue, policy.vacuum_overdue, began))


def autovacuum_off() -> Question:
    return Question("autovacuum", AUTOVACUUM_OFF)


def top_tables(block: int, policy: Policy) -> Question:
    return Question("sizes", TOP_TABLES.format(block=block), (policy.top,))


def oldest_tables() -> Question:
    return Question("wraparound", OLDEST_TABLES)


def unused_indexes(version: int, block: int, policy: Policy) -> Question:
    last = "pg_stat_get_lastscan(c.oid)" if version >= LAST_SCAN else "NULL::timestamptz"
    least = policy.unused_index_min_size
    return Question(
        "unused_indexes",
        UNUSED_INDEXES.format(last_scan=last, block=block),
        (policy.unused_index_period, least // 2, least),
    )


def duplicate_indexes(version: int, block: int) -> Question:
    distinct = "x.indnullsnotdistinct" if version >= NULLS_NOT_DISTINCT else "false"
    return Question("duplicate_indexes", DUPLICATE_INDEXES.format(distinct=distinct, block=block))


def invalid_indexes(block: int) -> Question:
    return Question("invalid_indexes", INVALID_INDEXES.format(block=block))


def sequences() -> Question:
    return Question("sequences", SEQUENCES)


def last_values(oids: Sequence[int]) -> Question:
    return Question("sequences", LAST_VALUES, (list(oids),))


def large_objects() -> Question:
    return Question("large_objects", LARGE_OBJECTS)


def orphans(columns: Sequence[tuple[str, str, bool]]) -> Question:
    """Return the question how many large objects none of *columns* names: (table, column, whether it is an array)."""
    references = [
        f"SELECT {'unnest(t.' + column + ')' if is_array else 't.' + column}::oid FROM ONLY {table} t"
        for table, column, is_array in columns
    ]
    named = "".join(f"\n  EXCEPT {reference}".replace("%", "%%") for reference in references)
    return Question(
        "large_objects",
        "SELECT json_build_object('count', (SELECT count(*) FROM pg_largeobject_metadata), 'orphans', (SELECT count(*) "
        f"FROM (SELECT m.oid FROM pg_largeobject_metadata m{named}) AS left_over))",
    )
