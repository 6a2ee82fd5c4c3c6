# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of the job. Nothing here touches a server.

Names in statements that get values have their ``%`` doubled: both drivers would take it for a place to put one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    ARRAY,
    DIRECT,
    NUMBER,
    NUMERIC,
    Column,
)

# A regular expression finds numbers in texts of up to so many letters.
_LONGEST_TEXT = 100_000

# From every type that a column of a user's table has, down through domains, arrays, composites and ranges.
TYPES_QUERY = r"""
WITH RECURSIVE used(type) AS (
  SELECT DISTINCT a.atttypid FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'm', 'f')
  JOIN pg_namespace n ON n.oid = c.relnamespace
    AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
  WHERE a.attnum > 0 AND NOT a.attisdropped
), parts(root, type, how) AS (
  SELECT type, type, 'direct' FROM used
  UNION
  SELECT p.root, below.type, below.how
  FROM parts p JOIN pg_type t ON t.oid = p.type
  CROSS JOIN LATERAL (
    SELECT t.typbasetype, p.how WHERE t.typtype = 'd'
    UNION ALL
    SELECT t.typelem, CASE p.how WHEN 'direct' THEN 'array' ELSE 'nested' END WHERE t.typelem <> 0 AND t.typlen = -1
    UNION ALL
    SELECT a.atttypid, 'nested' FROM pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.rngsubtype, 'nested' FROM pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid
  ) below(type, how)
)
SELECT p.root, p.how, t.typname, t.typcategory::text, t.typnamespace = 'pg_catalog'::regnamespace
FROM parts p JOIN pg_type t ON t.oid = p.type
WHERE t.typtype = 'b' AND NOT (t.typelem <> 0 AND t.typlen = -1)
"""

COLUMNS_QUERY = """
SELECT c.oid, n.nspname, c.relname, a.attname, format('%%I.%%I', n.nspname, c.relname), format('%%I', a.attname),
       a.atttypid, c.reltuples::float8, CASE WHEN c.relkind = 'f' THEN 0 ELSE coalesce(pg_relation_size(c.oid), 0) END,
       CASE WHEN c.relkind = 'f' THEN 'foreign'
            WHEN pg_is_other_temp_schema(n.oid) THEN 'other_session'
            WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT (has_table_privilege(c.oid, 'SELECT')
                 OR has_column_privilege(c.oid, a.attnum, 'SELECT')) THEN 'privilege'
            WHEN row_security_active(c.oid) THEN 'row_security'
            ELSE '' END
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.atttypid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'm', 'f') AND c.relispopulated
  AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
ORDER BY n.nspname, c.relname, a.attnum
"""

# Where the counter of transactions stands, and where it stood at the last checkpoint.
CLOCK_QUERY = """
SELECT extract(epoch FROM clock_timestamp())::float8, pg_snapshot_xmin(pg_current_snapshot())::text::int8,
       extract(epoch FROM c.checkpoint_time)::float8, c.next_xid, c.timeline_id,
       (SELECT system_identifier FROM pg_control_system())::text,
       current_setting('track_commit_timestamp') = 'on' AND NOT pg_is_in_recovery()
FROM pg_control_checkpoint() c
"""

COUNT_QUERY = "SELECT count(*) FROM pg_largeobject_metadata"

BYTES_QUERY = "SELECT coalesce(sum(octet_length(data)), 0)::int8 FROM pg_largeobject WHERE loid = ANY (%s::oid[])"

MAY_MEASURE_QUERY = "SELECT has_table_privilege('pg_largeobject', 'SELECT')"

LEFT_QUERY = "SELECT oid FROM pg_largeobject_metadata WHERE oid = ANY (%s::oid[])"

# An object that was made anew under the same number, or whose owner or rights changed meanwhile, is not the one we saw.
UNLINK_QUERY = """
WITH seen AS MATERIALIZED (
  SELECT m.oid FROM pg_largeobject_metadata m
  JOIN unnest(%s::oid[], %s::text[]) AS w(oid, xmin) ON m.oid = w.oid AND m.xmin::text = w.xmin
)
SELECT oid, lo_unlink(oid) FROM seen
"""

# Who writes to one of the tables now: what such a transaction has added is not to be seen before it ends.
WRITERS_QUERY = """
SELECT DISTINCT l.virtualtransaction, coalesce('pid ' || l.pid, 'a prepared transaction')
FROM pg_locks l
WHERE l.locktype = 'relation' AND l.relation = ANY (%s::oid[]) AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


def array(values: Iterable[object]) -> str:
    """Return an array as PostgreSQL reads it: one constant, where the drivers would write thousands of expressions."""
    return "{" + ",".join(map(str, values)) + "}"


def escaped(text: str) -> str:
    return text.replace("%", "%%")


def references(columns: Iterable[Column]) -> str:
    """Return the subquery of every number that *columns* (of the kinds that are references) hold, as ``oid``."""
    return " UNION ALL ".join(map(_reference, columns))


def _reference(column: Column) -> str:
    table, name = escaped(column.sql_table), escaped(column.sql_name)
    if column.kind == DIRECT:
        return f"SELECT x.{name}::oid AS oid FROM ONLY {table} x WHERE x.{name} IS NOT NULL"
    if column.kind == ARRAY:
        return f"SELECT u.oid FROM ONLY {table} x, unnest(x.{name}::oid[]) AS u(oid) WHERE u.oid IS NOT NULL"
    # Within a composite or a range: every number in its text. One too many only protects an object.
    return (
        f"SELECT (CASE WHEN w.n[1]::int8 <= 4294967295 THEN w.n[1]::int8 END)::oid AS oid FROM ONLY {table} x, "
        f"regexp_matches(x.{name}::text, '[0-9]{{1,10}}', 'g') AS w(n)"
    )


def orphans_query(columns: Sequence[Column], commit_times: bool) -> str:
    """Return the query of what nothing refers to, in one snapshot.

    Values: the name of a transaction (an object made by an older one is old enough), the seconds of ``min_age``, the
    most rows. Rows: oid, transaction, old enough, may be unlinked; then the counts over all of them.
    """
    unreferenced = f"WHERE NOT EXISTS (SELECT FROM ({references(columns)}) AS r WHERE r.oid = m.oid)" if columns else ""
    # age() takes both from the same counter, so that the comparison holds however often it wraps around.
    old = "age(m.xmin) > age(%s::text::xid)"
    if commit_times:
        old += " OR coalesce(pg_xact_commit_timestamp(m.xmin) <= now() - make_interval(secs => %s), false)"
    else:
        old += " OR %s < 0"
    return f"""
WITH orphan AS MATERIALIZED (
  SELECT m.oid, m.xmin::text AS made_by, age(m.xmin) AS age, ({old}) AS old,
         pg_has_role(m.lomowner, 'USAGE') OR r.rolsuper OR current_setting('lo_compat_privileges')::bool AS permitted
  FROM pg_largeobject_metadata m
  JOIN pg_roles r ON r.rolname = current_user
  {unreferenced}
)
SELECT oid, made_by, old, permitted, count(*) OVER (), count(*) FILTER (WHERE old) OVER (),
       count(*) FILTER (WHERE permitted) OVER (), count(*) FILTER (WHERE old AND permitted) OVER ()
FROM orphan ORDER BY old AND permitted DESC, age DESC, oid LIMIT %s
"""


def recheck_query(columns: Sequence[Column]) -> str:
    """Return the query of which oids (its one value) are referred to now, all columns in one snapshot."""
    # A join: the planner would weigh each number of an array against each of thousands of tables.
    return f"SELECT DISTINCT r.oid FROM unnest(%s::oid[]) AS o(oid) JOIN ({references(columns)}) AS r ON r.oid = o.oid"


def values_query(tables: Sequence[Sequence[Column]], shares: Sequence[float]) -> str:
    """Return the query of how many values of each column equal one of the oids (its one value).

    One row for each of *tables* (the columns of one table): its number, and the counts in the order of its columns.
    *shares* are the percentages of each table's pages that are looked at; 100 is all of them.
    """
    parts = []
    for number, (columns, share) in enumerate(zip(tables, shares)):
        sample = "" if share >= 100 else f" TABLESAMPLE SYSTEM ({share:.6f})"
        counts = ", ".join(f"count(*) FILTER (WHERE {_matches(column)})" for column in columns)
        table = escaped(columns[0].sql_table)
        parts.append(f"SELECT {number}, ARRAY[{counts}] FROM ONLY {table} AS x{sample}")
    return "WITH o AS MATERIALIZED (SELECT unnest(%s::int8[]) AS v) " + " UNION ALL ".join(parts)


def _matches(column: Column) -> str:
    name = f"x.{escaped(column.sql_name)}"
    if column.kind == NUMBER:
        return f"{name}::int8 IN (SELECT v FROM o)"
    if column.kind == NUMERIC:
        return f"{name}::numeric IN (SELECT v::numeric FROM o)"
    # Whole words of digits: in a document or an address too, and not within a checksum.
    return (
        f"EXISTS (SELECT FROM regexp_matches(left({name}::text, {_LONGEST_TEXT}), '\\m[0-9]{{1,10}}\\M', 'g') AS w(n) "
        "WHERE w.n[1]::int8 IN (SELECT v FROM o))"
    )
