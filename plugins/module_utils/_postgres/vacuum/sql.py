# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of every statement, by version of the server. Nothing here touches a server.

Names enter statements only as ``Table.sql_name``, which the server itself quoted; all else is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.sql import permitted
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    FREEZE,
    VACUUM,
    Manner,
    Table,
)

SKIP_DATABASE_STATS = 160000
NO_MANNER = Manner()
# What a server must at least be for an option of the module, as (option, version).
OPTION_VERSIONS = (("process_main", 160000), ("buffer_usage_limit", 160000), ("skip_database_stats", 160000))
ALL_FROZEN = 180000
ONLY_THIS_TABLE = 180000
LIVE_COUNTERS = 150000
INHERITED_EXTENDED_STATISTICS = 150000


# The counters come straight from their functions: pg_stat_all_tables joins and groups, which costs ten times as much.
COUNTERS = 17
_COUNTERS = """
       coalesce(pg_stat_get_live_tuples(c.oid), 0), coalesce(pg_stat_get_dead_tuples(c.oid), 0),
       coalesce(pg_stat_get_mod_since_analyze(c.oid), 0),
       CASE WHEN t.oid IS NULL THEN 0 ELSE coalesce(pg_stat_get_live_tuples(t.oid), 0) END,
       CASE WHEN t.oid IS NULL THEN 0 ELSE coalesce(pg_stat_get_dead_tuples(t.oid), 0) END,
       greatest(c.relpages, 0), coalesce(t.relpages, 0),
       coalesce(pg_stat_get_vacuum_count(c.oid), 0), coalesce(pg_stat_get_analyze_count(c.oid), 0),
       extract(epoch FROM greatest(pg_stat_get_last_vacuum_time(c.oid),
                                   pg_stat_get_last_autovacuum_time(c.oid)))::float8,
       extract(epoch FROM greatest(pg_stat_get_last_analyze_time(c.oid),
                                   pg_stat_get_last_autoanalyze_time(c.oid)))::float8,
       CASE WHEN t.oid IS NULL THEN 0 ELSE coalesce(pg_stat_get_vacuum_count(t.oid), 0) END,
       -- What has no transaction of its own (a partitioned table, say) would be as old as can be.
       coalesce(nullif(age(c.relfrozenxid), 2147483647), 0), coalesce(nullif(mxid_age(c.relminmxid), 2147483647), 0),
       coalesce(nullif(age(t.relfrozenxid), 2147483647), 0), coalesce(nullif(mxid_age(t.relminmxid), 2147483647), 0),
       concat_ws(' ', c.relfrozenxid, c.relminmxid, t.relfrozenxid, t.relminmxid)
"""

COUNTERS_QUERY = f"""
SELECT c.oid,{_COUNTERS}
FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.oid = ANY (%s::oid[])
"""

# pg_stat_get_snapshot_timestamp() is when the collector of a server before 15 wrote the numbers that we read.
SETTLED_QUERY = "SELECT pg_stat_get_snapshot_timestamp() > to_timestamp(%s)"
CLOCK_QUERY = "SELECT extract(epoch FROM clock_timestamp())::float8"

SIZES_QUERY = """
SELECT pg_relation_size(c.oid), coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0), pg_indexes_size(c.oid)
FROM pg_class c WHERE c.oid = %s
"""

TABLES_QUERY = f"""
{{missing}}
SELECT c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.reltuples::float8,
       c.relnatts, c.relpersistence = 't', n.nspname IN ('pg_catalog', 'information_schema'), c.relisshared,
       c.relhassubclass, coalesce(i.inhparent, 0)::int8, c.reltoastrelid::int8, c.relallvisible,
       coalesce({{permitted}}, true), {{lacks}},{_COUNTERS}
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid AND t.relkind = 't'
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhseqno = 1
{{joins}}
WHERE c.relkind IN ('r', 'm', 'p', 'f')
"""

# What lacks statistics that ANALYZE would make, as `vacuumdb --missing-stats-only` asks it, with one more question:
# is what lacks them younger than the table's newest statistics? Where ANALYZE has run since and made none (a geometry
# column that is all null, a statistics object on a column with target 0) it would make none now either.
_MISSING = """
WITH suspect AS MATERIALIZED (
  -- Fewer rows in pg_statistic than columns: most tables are not, and need no look into pg_attribute.
  SELECT c.oid, c.relkind FROM pg_class c
  LEFT JOIN (SELECT s.starelid, count(*) FILTER (WHERE NOT s.stainherit) AS own,
                    count(*) FILTER (WHERE s.stainherit) AS whole
             FROM pg_statistic s GROUP BY s.starelid) known ON known.starelid = c.oid
  WHERE c.relkind IN ('r', 'm', 'p') AND c.oid >= 16384 AND c.relpersistence <> 't'
    AND c.relnatts > coalesce(CASE WHEN c.relkind = 'p' THEN known.whole ELSE known.own END, 0)
), gap AS (
  SELECT relid, (array_agg(what ORDER BY age))[1] AS what, min(age) AS age FROM (
    SELECT c.oid AS relid, 'columns' AS what, a.age
    FROM suspect c CROSS JOIN LATERAL (
      SELECT age(a.xmin) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS DISTINCT FROM 0
        AND a.attgenerated <> 'v'
        AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = c.oid AND s.staattnum = a.attnum
                          AND s.stainherit = (c.relkind = 'p'))
      OFFSET 0) a
    UNION ALL
    SELECT c.oid, 'inherited', min(age(i.xmin))
    FROM pg_class c JOIN pg_inherits i ON i.inhparent = c.oid
    WHERE c.relkind = 'r' AND c.oid >= 16384
      AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = c.oid AND s.stainherit)
    GROUP BY c.oid
    UNION ALL
    SELECT x.indrelid, 'expressions', age(a.xmin)
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_attribute a ON a.attrelid = x.indexrelid
    WHERE x.indexprs IS NOT NULL AND x.indisvalid AND x.indkey[a.attnum - 1] = 0 AND a.attnum > 0
      AND c.relkind IN ('r', 'm') AND c.oid >= 16384 AND a.attstattarget IS DISTINCT FROM 0
      AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = x.indexrelid AND s.staattnum = a.attnum)
    UNION ALL
    SELECT e.stxrelid, 'extended', age(e.xmin)
    FROM pg_statistic_ext e JOIN pg_class c ON c.oid = e.stxrelid
    WHERE {extended_kinds} AND e.stxstattarget IS DISTINCT FROM 0
      -- 14 makes the row at once, and ANALYZE fills it.
      AND NOT EXISTS (SELECT FROM pg_statistic_ext_data d WHERE d.stxoid = e.oid{inherited}
                        AND coalesce(d.stxdndistinct::text, d.stxddependencies::text, d.stxdmcv::text,
                                     d.stxdexpr::text) IS NOT NULL)
  ) AS gaps GROUP BY relid
), newest AS (
  SELECT s.starelid AS relid, min(age(s.xmin)) AS age
  FROM pg_statistic s WHERE s.starelid IN (SELECT relid FROM gap) GROUP BY s.starelid
)
"""
_LACKS = """
       CASE WHEN gap.relid IS NULL THEN '' WHEN newest.age IS NULL THEN 'all'
            WHEN gap.age < newest.age THEN gap.what ELSE '' END"""
_LACKS_JOINS = "LEFT JOIN gap ON gap.relid = c.oid LEFT JOIN newest ON newest.relid = c.oid"
# Without the right to read pg_statistic only this much can be known.
_LACKS_UNPRIVILEGED = """
       CASE WHEN c.oid < 16384 OR c.relkind = 'f' OR pg_stat_get_last_analyze_time(c.oid) IS NOT NULL
                 OR pg_stat_get_last_autoanalyze_time(c.oid) IS NOT NULL THEN ''
            WHEN c.reltuples < 0 THEN 'all'
            WHEN has_table_privilege(c.oid, 'SELECT') AND NOT EXISTS (
              SELECT FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname
                AND s.inherited = (c.relkind = 'p')) THEN 'all'
            ELSE '' END"""


# A process that is not listed any more has handed in all its counts.
LISTED_QUERY = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s::int[])"


# Autovacuum has no user. What it works on everybody may see; why it does, only some.
AT_WORK_QUERY = """
SELECT l.relation::int8, bool_or(a.query LIKE '%(to prevent wraparound)')
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted AND a.usesysid IS NULL
  AND l.database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
GROUP BY 1
"""

SCHEMAS_QUERY = "SELECT nspname FROM pg_namespace"

# The horizon of a logical slot holds nothing but the rows and transactions of catalogs.
CATALOG_SLOTS_QUERY = """
SELECT slot_name, age(catalog_xmin) FROM pg_replication_slots
WHERE catalog_xmin IS NOT NULL AND (xmin IS NULL OR age(catalog_xmin) > age(xmin))
"""

AUTOVACUUM_QUERY = """
SELECT c.oid::int8, c.reltuples::float8, c.reloptions, pg_stat_get_ins_since_vacuum(c.oid), {unfrozen_heap},
       t.reltuples::float8, t.reloptions, pg_stat_get_ins_since_vacuum(t.oid), {unfrozen_toast}
FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'm', 'p')
"""
# From 18 on only the pages that are not frozen yet count for the threshold of inserts.
_UNFROZEN = "1 - least(1, greatest(0, {0}.relallfrozen)::float8 / greatest(1, {0}.relpages))"
SETTINGS_QUERY = "SELECT name, setting FROM pg_settings WHERE name LIKE 'autovacuum%'"

AGES_QUERY = "SELECT age(datfrozenxid), mxid_age(datminmxid) FROM pg_database WHERE datname = current_database()"
WORKERS_QUERY = """
SELECT current_setting('max_parallel_maintenance_workers')::int, current_setting('max_parallel_workers')::int
"""


CLOSING_STATEMENT = "VACUUM (ONLY_DATABASE_STATS)"


def autovacuum_query(version: int) -> str:
    """Return the query for what the thresholds of autovacuum are made from."""
    known = version >= ALL_FROZEN
    heap, toast = (_UNFROZEN.format(name) if known else "1::float8" for name in "ct")
    return AUTOVACUUM_QUERY.format(unfrozen_heap=heap, unfrozen_toast=toast)


def tables_query(server: Server) -> str:
    """Return the one query that a plan is made from, without parameters."""
    if server.reads_statistics:
        inherited = " AND d.stxdinherit = (c.relkind = 'p')"
        knows = server.version >= INHERITED_EXTENDED_STATISTICS
        missing = _MISSING.format(
            extended_kinds="c.relkind IN ('r', 'm', 'p')" if knows else "c.relkind IN ('r', 'm')",
            inherited=inherited if knows else "",
        )
        lacks, joins = _LACKS, _LACKS_JOINS
    else:
        missing, lacks, joins = "", _LACKS_UNPRIVILEGED, ""
    return TABLES_QUERY.format(missing=missing, lacks=lacks, joins=joins, permitted=permitted(server))


def work_statement(
    actions: Sequence[str], tables: Sequence[Table], version: int, skip_locked: bool, manner: Manner = NO_MANNER
) -> str:
    """Return the statement that does *actions* to *tables* in that *manner*."""
    return head(tuple(actions), version, skip_locked, manner) + ", ".join([target(table, version) for table in tables])


@lru_cache(maxsize=32)
def head(actions: tuple[str, ...], version: int, skip_locked: bool, manner: Manner) -> str:
    """Return what a statement for *actions* says before its targets."""
    verb = "VACUUM" if VACUUM in actions else "ANALYZE"
    words = [action.upper() for action in (FREEZE, ANALYZE) if action in actions and action.upper() != verb]
    if skip_locked:
        words.append("SKIP_LOCKED")
    if verb == "VACUUM":
        words += _vacuum_words(manner, version)
    if manner.buffer_usage_limit is not None:
        words.append(f"BUFFER_USAGE_LIMIT '{manner.buffer_usage_limit} kB'")
    options = f" ({', '.join(words)})" if words else ""
    return f"{verb}{options} "


def _vacuum_words(manner: Manner, version: int) -> list[str]:
    words = []
    if manner.index_cleanup is not None:
        words.append(f"INDEX_CLEANUP {manner.index_cleanup.upper()}")
    for name, wanted in (
        ("TRUNCATE", manner.truncate),
        ("PROCESS_MAIN", manner.process_main),
        ("PROCESS_TOAST", manner.process_toast),
        ("DISABLE_PAGE_SKIPPING", manner.disable_page_skipping),
    ):
        if wanted is not None:
            words.append(f"{name} {'ON' if wanted else 'OFF'}")
    if manner.parallel is not None:
        words.append(f"PARALLEL {manner.parallel}")
    if version >= SKIP_DATABASE_STATS and manner.skip_database_stats is not False:
        words.append("SKIP_DATABASE_STATS")
    return words


def leaves_database_statistics(version: int, manner: Manner) -> bool:
    """Whether each VACUUM leaves the database's own statistics for one ``CLOSING_STATEMENT``."""
    return version >= SKIP_DATABASE_STATS and manner.skip_database_stats is None


def target(table: Table, version: int) -> str:
    """Return the table as a target. From 18 on a parent without ONLY would take its children along."""
    return f"ONLY {table.sql_name}" if table.children and version >= ONLY_THIS_TABLE else table.sql_name


def takes_partitions(table: Table, version: int) -> bool:
    """Whether ANALYZE of it analyses all partitions below it too, which before 18 cannot be helped."""
    return table.partitioned and version < ONLY_THIS_TABLE
