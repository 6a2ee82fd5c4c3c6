# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two statements of the estimator, and those that count. Nothing here touches a server.

Of typical values only lengths and frequencies leave the server, never the values.
"""

from __future__ import annotations

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import BLOCK_SIZE, Server

# From this size on the lengths of typical values are looked at, and how often keys are alike. That takes time, and of
# what is smaller nothing exact can be said anyway.
DETAIL_BYTES = 64 * BLOCK_SIZE
# A relation that many sessions write to grows by more pages at a time than it needs at once.
SLACK = 1024

INHERITED_EXTENDED_STATISTICS = 150000
VIRTUAL_COLUMNS = 180000
# The first minor versions, by major, that do not let equal values of type character(n) share an entry any more
# (commit 18740523a4a: they may differ in trailing spaces). No catalog says so. From 19 on it is so in all.
PADDED_APART = {14: 140024, 15: 150020, 16: 160016, 17: 170012, 18: 180007}

# What the statistics say of the column ``number`` of the table (or index) ``relation``. ``common`` are its most common
# values and ``shares`` their shares; between two ``bounds`` lie equal shares of the others.
_STATISTICS = """
  LEFT JOIN LATERAL (
    SELECT ps.stanullfrac AS nulls, ps.stawidth AS width, ps.stadistinct AS n_distinct,
           CASE 1 WHEN ps.stakind1 THEN ps.stavalues1 WHEN ps.stakind2 THEN ps.stavalues2
                  WHEN ps.stakind3 THEN ps.stavalues3 END AS common,
           CASE 1 WHEN ps.stakind1 THEN ps.stanumbers1 WHEN ps.stakind2 THEN ps.stanumbers2
                  WHEN ps.stakind3 THEN ps.stanumbers3 END AS shares,
           CASE 2 WHEN ps.stakind1 THEN ps.stavalues1 WHEN ps.stakind2 THEN ps.stavalues2
                  WHEN ps.stakind3 THEN ps.stavalues3 END AS bounds
    FROM pg_statistic AS ps
    WHERE ps.starelid = {relation} AND ps.staattnum = {number} AND NOT ps.stainherit
  ) AS s ON true"""
# What a role that may not read pg_statistic is shown of it.
_STATISTICS_VIEW = """
  LEFT JOIN LATERAL (
    SELECT ps.null_frac AS nulls, ps.avg_width AS width, ps.n_distinct,
           ps.most_common_vals AS common, ps.most_common_freqs AS shares, ps.histogram_bounds AS bounds
    FROM pg_class AS sc
    JOIN pg_namespace AS sn ON sn.oid = sc.relnamespace
    JOIN pg_attribute AS sa ON sa.attrelid = sc.oid
    CROSS JOIN LATERAL (
      SELECT * FROM pg_stats AS v
      WHERE v.schemaname = sn.nspname AND v.tablename = sc.relname AND v.attname = sa.attname AND NOT v.inherited
      OFFSET 0  -- else the planner reads the whole view for each column
    ) AS ps
    WHERE sc.oid = {relation} AND sa.attnum = {number}
  ) AS s ON true"""

# The types whose values tell by their text how long they are when stored: strings, json, xml, bytea, numeric, jsonb,
# inet, cidr, and the commonest arrays. Others are not turned into text: that may be slow, or fail.
_TELLING = "(b.typcategory = 'S' OR b.oid IN (17, 114, 142, 650, 869, 1007, 1009, 1016, 1700, 3802))"
# The length of a typical value ``v`` as it is stored, without its header.
_LENGTH = """
       CASE WHEN b.typcategory = 'S' OR b.oid IN (114, 142) THEN octet_length(v)
            WHEN b.oid = 17 THEN octet_length(v::bytea)
            WHEN b.oid IN (650, 869) THEN pg_column_size(v::inet) - 4
            WHEN b.oid = 1007 THEN pg_column_size(v::int4[]) - 4
            WHEN b.oid = 1009 THEN pg_column_size(v::text[]) - 4
            WHEN b.oid = 1016 THEN pg_column_size(v::int8[]) - 4
            WHEN b.oid = 1700 THEN pg_column_size(v::numeric) - 4
            WHEN b.oid = 3802 THEN pg_column_size(v::jsonb) - 4 END"""
# Nothing is unpacked of what is small or does not tell.
_UNPACKED = f"CASE WHEN a.attlen < 0 AND rel.bytes >= {DETAIL_BYTES} AND {_TELLING} THEN s.{{values}}::text::text[] END"
# ``length*weight+...`` of the typical values of the statistics ``s`` of a column of type ``b``.
_LENGTHS = f"""(
    SELECT string_agg(length || '*' || weight, '+') FROM (
      SELECT length, round(sum(weight)::numeric, 6) AS weight FROM (
        SELECT {_LENGTH} AS length, share::float8 AS weight
        FROM unnest({_UNPACKED.format(values="common")}, s.shares) AS m (v, share)
        UNION ALL
        SELECT {_LENGTH}, greatest(1 - s.nulls - (SELECT coalesce(sum(x), 0) FROM unnest(s.shares) AS x), 1e-6)::float8
                          / count(*) OVER ()
        FROM unnest({_UNPACKED.format(values="bounds")}) AS h (v)
      ) AS typical WHERE length IS NOT NULL GROUP BY length
    ) AS by_length
  )"""

# To ask for the size of a relation is to wait for whoever has it to himself, so those are not asked.
_BUSY = """
busy AS MATERIALIZED (
  SELECT DISTINCT relation FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)"""
# Of all that is ``known``, what is large enough. To ask for a size is to open the relation, so what cannot have grown
# that much since its pages were counted is not asked: to twice its size, and for a heap (2) or a btree (403) by more
# than two pages for each row version since, whether it was committed or not.
_SIZED = f"""
sized AS MATERIALIZED (
  SELECT k.*,
         CASE WHEN {{{{ask}}}} AND NOT EXISTS (SELECT FROM busy WHERE busy.relation IN ({{relations}}))
              THEN coalesce(pg_relation_size(k.oid), 0)
              ELSE k.own_pages::int8 * current_setting('block_size')::int END AS bytes
  FROM known AS k
  WHERE k.own_pages = 0 OR k.reltuples <= 0 OR k.own_pages::int8 * 2 * current_setting('block_size')::int >= {{{{min}}}}
     OR (k.modified + k.dead > 0.2 * k.reltuples AND (
           k.relam NOT IN (2, 403)
           OR (k.own_pages + 2 * (k.modified + k.dead) + {SLACK}) * current_setting('block_size')::int >= {{{{min}}}}))
), rel AS MATERIALIZED (
  SELECT * FROM sized WHERE bytes >= {{{{min}}}} AND bytes > 0
)"""
_COUNTS = """
         greatest(c.relpages, 0) AS relpages, c.reltuples::float8 AS reltuples,
         coalesce(pg_stat_get_live_tuples(c.oid), 0) AS live, coalesce(pg_stat_get_dead_tuples(c.oid), 0) AS dead,
         coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) AS modified,
         coalesce(pg_stat_get_tuples_inserted(c.oid), 0) AS inserted,
         coalesce(pg_stat_get_tuples_updated(c.oid), 0) AS updated,
         coalesce(pg_stat_get_tuples_deleted(c.oid), 0) AS deleted"""
_COUNTED = (
    "rel.relpages, rel.reltuples, rel.live, rel.dead, rel.modified, rel.inserted - rel.deleted, "
    "rel.inserted + rel.updated + rel.deleted"
)

# Are equal values interchangeable? The operator class knows, and the collation may object.
_ALIKE = """coalesce((
           SELECT (p.amproc = 'pg_catalog.btequalimage'::regproc OR coalesce(co.collisdeterministic, true))
                  AND (oc.opcintype <> 'pg_catalog.bpchar'::regtype OR {padded})
           FROM pg_opclass AS oc
           JOIN pg_amproc AS p ON p.amprocfamily = oc.opcfamily AND p.amproclefttype = oc.opcintype
                              AND p.amprocrighttype = oc.opcintype AND p.amprocnum = 4
           LEFT JOIN pg_collation AS co ON co.oid = rel.indcollation[a.attnum - 1]
           WHERE oc.oid = rel.indclass[a.attnum - 1]
         ), false)::int"""

# Parameters: the letters of relkind, and the oids (null for all) twice.
TABLES_QUERY = f"""
WITH {_BUSY}, known AS MATERIALIZED (
  SELECT c.oid, c.relname, c.relnamespace, c.relkind, c.relam, c.reloptions, c.relrowsecurity,
         greatest(c.relpages, 0) AS own_pages,{_COUNTS}
  FROM pg_class AS c
  WHERE c.relkind = ANY (%s::"char"[]) AND c.relpersistence <> 't'
    AND (%s::oid[] IS NULL OR c.oid = ANY (%s::oid[]))
), {_SIZED.format(relations="k.oid")}
SELECT rel.oid, n.nspname, rel.relname, format('%%I.%%I', n.nspname, rel.relname), rel.relkind = 't',
       coalesce(o.oid, rel.oid), coalesce(o.relname, rel.relname), rel.bytes, {_COUNTED},
       coalesce(am.amname, ''),
       (SELECT option_value::int FROM pg_options_to_table(rel.reloptions) WHERE option_name = 'fillfactor'),
       {{readable}}, current_setting('block_size')::int, (
         SELECT string_agg(concat_ws(' ', a.attlen, a.attalign, a.attstorage,
                                     CASE WHEN a.attisdropped OR {{virtual}} THEN 'd'
                                          WHEN s.width IS NULL THEN '-'
                                          WHEN a.atthasmissing THEN 'm' ELSE 's' END,
                                     a.attnotnull::int, coalesce(s.nulls, 0), coalesce(s.width, 0),
                                     coalesce({_LENGTHS}, '-')),
                           ',' ORDER BY a.attnum)
         FROM pg_attribute AS a
         LEFT JOIN pg_type AS t ON t.oid = a.atttypid
         LEFT JOIN pg_type AS b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
         {{statistics}}
         WHERE a.attrelid = rel.oid AND a.attnum > 0 AND rel.relkind <> 't'
       ),
       EXISTS (SELECT FROM busy WHERE busy.relation = rel.oid)
FROM rel
JOIN pg_namespace AS n ON n.oid = rel.relnamespace
LEFT JOIN pg_am AS am ON am.oid = rel.relam
LEFT JOIN pg_class AS o ON rel.relkind = 't' AND o.reltoastrelid = rel.oid
ORDER BY rel.bytes DESC, rel.oid
"""

INDEXES_QUERY = f"""
WITH {_BUSY}, known AS MATERIALIZED (
  SELECT i.oid, i.relname, i.relnamespace, i.relam, i.reltuples::float8 AS own_tuples, i.reloptions,
         greatest(i.relpages, 0) AS own_pages, c.oid AS table_oid, c.relname AS table_name, c.relrowsecurity, c.relkind,
         c.relowner, x.indexprs IS NOT NULL AS computed, x.indkey, x.indnkeyatts,
         x.indisunique, x.indclass, x.indcollation, x.indpred,{_COUNTS}
  FROM pg_index AS x
  JOIN pg_class AS i ON i.oid = x.indexrelid
  JOIN pg_class AS c ON c.oid = x.indrelid
  WHERE i.relkind = 'i' AND c.relkind = ANY (%s::"char"[]) AND i.relpersistence <> 't'
    AND (%s::oid[] IS NULL OR i.oid = ANY (%s::oid[]))
), {_SIZED.format(relations="k.oid, k.table_oid")}
SELECT rel.oid, n.nspname, rel.relname, format('%%I.%%I', n.nspname, rel.relname), rel.table_oid, rel.table_name,
       rel.bytes, rel.own_pages, rel.own_tuples, {_COUNTED},
       am.amname, f.fillfactor, f.deduplicate, rel.indisunique, rel.indnkeyatts, rel.indpred::text, {{sample}},
       rel.relkind = 't', {{readable}}, current_setting('block_size')::int, (
         SELECT string_agg(concat_ws(' ', a.attlen, a.attalign, a.attstorage,
                                     CASE WHEN s.width IS NULL THEN '-' ELSE 's' END, source.number,
                                     coalesce(s.nulls, 0), coalesce(s.width, 0), coalesce(s.n_distinct, 0),
                                     {_ALIKE},
                                     CASE WHEN rel.bytes >= {DETAIL_BYTES} AND NOT rel.indisunique
                                          THEN coalesce(array_to_string(s.shares, '+'), '-') ELSE '-' END,
                                     coalesce({_LENGTHS},
                                              CASE WHEN a.attlen = -1 AND s.nulls < 1 AND s.common IS NULL
                                                        AND s.bounds IS NULL THEN '?' ELSE '-' END)),
                           ',' ORDER BY a.attnum)
         FROM pg_attribute AS a
         -- The column of the table; 0 is an expression, which has statistics of its own.
         CROSS JOIN LATERAL (SELECT rel.indkey[a.attnum - 1] AS number) AS source
         LEFT JOIN pg_type AS t ON t.oid = a.atttypid
         -- An index keeps a name as a C string.
         LEFT JOIN pg_type AS b ON b.oid = CASE a.attlen WHEN -2 THEN 25
                                                         ELSE coalesce(nullif(t.typbasetype, 0), t.oid) END
         {{statistics}}
         WHERE a.attrelid = rel.oid AND a.attnum > 0 AND am.amname = 'btree'
       ), {{distinct}},
       EXISTS (SELECT FROM busy WHERE busy.relation IN (rel.oid, rel.table_oid))
FROM rel
JOIN pg_namespace AS n ON n.oid = rel.relnamespace
JOIN pg_am AS am ON am.oid = rel.relam
CROSS JOIN LATERAL (
  SELECT max(CASE option_name WHEN 'fillfactor' THEN option_value::int END) AS fillfactor,
         coalesce(bool_and(CASE option_name WHEN 'deduplicate_items' THEN option_value::bool END), true) AS deduplicate
  FROM pg_options_to_table(rel.reloptions)
) AS f
ORDER BY rel.bytes DESC, rel.oid
"""

# How many rows ANALYZE looks at.
_SAMPLE = """
       300 * greatest(current_setting('default_statistics_target')::int,
                      (SELECT max(sa.attstattarget) FROM pg_attribute AS sa
                       WHERE sa.attrelid = rel.table_oid AND sa.attnum > 0))"""

# How many different keys several columns have together, as far as somebody had it counted.
_DISTINCT = """
       CASE WHEN rel.indnkeyatts > 1 AND NOT rel.indisunique THEN (
         SELECT string_agg(d.stxdndistinct::text, ' ')
         FROM pg_statistic_ext AS e JOIN pg_statistic_ext_data AS d ON d.stxoid = e.oid
         WHERE e.stxrelid = rel.table_oid AND d.stxdndistinct IS NOT NULL{own}) END"""
_DISTINCT_VIEW = """
       CASE WHEN rel.indnkeyatts > 1 AND NOT rel.indisunique THEN (
         SELECT string_agg(e.n_distinct::text, ' ')
         FROM pg_stats_ext AS e
         JOIN pg_namespace AS en ON en.nspname = e.schemaname
         JOIN pg_class AS ec ON ec.relnamespace = en.oid AND ec.relname = e.tablename
         WHERE ec.oid = rel.table_oid{own}) END"""

# Where pgstattuple lives, if we may use it: functions that only some versions of the extension have are left out.
COUNTERS_QUERY = """
SELECT p.proname, format('%I.%I', n.nspname, p.proname)
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
                   AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc AS p ON p.oid = d.objid
WHERE e.extname = 'pgstattuple' AND p.proname IN ('pgstattuple_approx', 'pgstatindex')
  AND p.pronargs = 1 AND p.proargtypes[0] = 'pg_catalog.regclass'::regtype
  AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
"""
# The name of the function comes from the query above.
COUNT_TABLE_QUERY = """
SELECT table_len, approx_tuple_count, dead_tuple_len, approx_free_space FROM {function}(%s::oid::regclass)
"""
COUNT_INDEX_QUERY = """
SELECT index_size, leaf_pages, internal_pages, avg_leaf_density FROM {function}(%s::oid::regclass)
"""


def tables_query(server: Server, min_bytes: int, ask: bool = True) -> str:
    """Return the statement for tables of at least *min_bytes*; unless *ask*, sizes are those of the last ANALYZE."""
    return TABLES_QUERY.format(
        statistics=_statistics(server).format(relation="a.attrelid", number="a.attnum"),
        virtual="a.attgenerated = 'v'" if server.version >= VIRTUAL_COLUMNS else "false",
        readable=_readable(server, "rel.oid"),
        min=int(min_bytes),
        ask="true" if ask else "false",
    )


def indexes_query(server: Server, min_bytes: int, ask: bool = True) -> str:
    """Return the statement for indexes of at least *min_bytes*; *ask* as for tables."""
    knows = server.version >= INHERITED_EXTENDED_STATISTICS
    owned = "true" if server.reads_statistics else "(NOT rel.computed OR pg_has_role(rel.relowner, 'USAGE'))"
    if server.reads_statistics:
        distinct = _DISTINCT.format(own=" AND NOT d.stxdinherit" if knows else "")
    else:
        distinct = _DISTINCT_VIEW.format(own=" AND NOT e.inherited" if knows else "")
    return INDEXES_QUERY.format(
        statistics=_statistics(server).format(
            relation="CASE source.number WHEN 0 THEN rel.oid ELSE rel.table_oid END",
            number="CASE source.number WHEN 0 THEN a.attnum ELSE source.number END",
        ),
        # Statistics of expressions are shown to the owner of the index alone.
        readable=f"{_readable(server, 'rel.table_oid')} AND {owned}",
        sample=_SAMPLE,
        padded="true" if server.version < PADDED_APART.get(server.version // 10000, 0) else "false",
        distinct=distinct,
        min=int(min_bytes),
        ask="true" if ask else "false",
    )


def _statistics(server: Server) -> str:
    return _STATISTICS if server.reads_statistics else _STATISTICS_VIEW


def _readable(server: Server, table: str) -> str:
    """Return the condition under which pg_stats shows what it has of a table."""
    if server.reads_statistics:
        return "true"
    return f"has_table_privilege({table}, 'SELECT') AND NOT (rel.relrowsecurity AND row_security_active({table}))"
