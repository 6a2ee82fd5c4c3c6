# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries by which a restored database is compared with what its maker wrote down. Pure.

Each gives one line of JSON for each thing, so that no name can be mistaken for a separator.
"""

from __future__ import annotations

from collections.abc import Sequence

# What the text of a row depends on, besides the row.
FINGERPRINT_SETTINGS = (
    "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 1; "
    "SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmlbinary = 'base64'; "
)

_OF_USERS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
_OF_EXTENSION = (
    "EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
    "AND d.objid = c.oid AND d.deptype = 'e')"
)

TABLES = f"""
SELECT json_build_array(n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid), {_OF_EXTENSION})
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {_OF_USERS} ORDER BY 1::text;
"""

INVALID = f"""
SELECT json_build_array(n.nspname, c.relname, c.relkind)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND {_OF_USERS} ORDER BY 1::text;
"""

UNVALIDATED = """
SELECT count(*) FROM pg_catalog.pg_constraint WHERE NOT convalidated;
"""

# Sequences that fill a column of a whole number; one that runs round or down says nothing by its place.
SEQUENCES = f"""
SELECT json_build_array(n.nspname, c.relname, tn.nspname, t.relname, a.attname)
FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
JOIN pg_catalog.pg_class t ON t.oid = d.refobjid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE NOT s.seqcycle AND s.seqincrement > 0 AND a.atttypid IN (20, 21, 23) AND t.relkind IN ('r', 'p')
  AND {_OF_USERS} ORDER BY 1::text;
"""

EXTENSIONS = "SELECT to_json(extname) FROM pg_catalog.pg_extension ORDER BY 1::text;"
DATABASES = "SELECT to_json(datname) FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate;"
SIZE = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database());"


def quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def count_rows(schema: str, table: str) -> str:
    """Count the rows of the table itself, without those of its children."""
    name = quoted(schema, table)
    return f"SELECT json_build_array({literal(schema)}, {literal(table)}, count(*), NULL) FROM ONLY {name};"


def fingerprint(schema: str, table: str) -> str:
    """Count the rows, and add up a hash of the text of each: the same whatever their order, needing no memory.

    Only within a session that has ``FINGERPRINT_SETTINGS``. Whoever writes a manifest uses this very statement.
    """
    name = quoted(schema, table)
    return (
        f"SELECT json_build_array({literal(schema)}, {literal(table)}, count(*), "
        "coalesce(sum(pg_catalog.hashtextextended((t.*)::text, 0)), 0)::text) "
        f"FROM ONLY {name} AS t;"
    )


def sequence_and_column(schema: str, sequence: str, table_schema: str, table: str, column: str) -> str:
    """Return the place of a sequence (null: never used) and the largest value in its column (null: none)."""
    return (
        f"SELECT json_build_array({literal(schema)}, {literal(sequence)}, "
        f"(SELECT CASE WHEN is_called THEN last_value END FROM {quoted(schema, sequence)}), "
        f"(SELECT max({quoted(column)}) FROM {quoted(table_schema, table)}));"
    )


def one_value(query: str) -> str:
    """Return the first column of the first row of *query* as JSON text, and how many rows there are, read only."""
    return (
        "SET default_transaction_read_only = on; SET statement_timeout = '10min'; "
        f"WITH answer AS (SELECT * FROM (\n{query}\n) AS a) "
        "SELECT json_build_array((SELECT count(*) FROM answer), (SELECT v.value FROM answer, "
        "LATERAL (SELECT value FROM json_each_text(row_to_json(answer)) LIMIT 1) AS v LIMIT 1));"
    )


def newest_instant(query: str) -> str:
    return (
        "SET default_transaction_read_only = on; SET statement_timeout = '10min'; SET TimeZone = 'UTC'; "
        f"SELECT to_json(((\n{query}\n)::timestamptz AT TIME ZONE 'UTC')::timestamp(0)::text);"
    )


def shared_out(sized: Sequence[tuple[int, str]], hands: int) -> list[str]:
    """Return *hands* texts that hold all statements of *sized* (bytes, statement), the work as even as can be."""
    loads = [0] * max(1, hands)
    texts: list[list[str]] = [[] for _hand in loads]
    for size, statement in sorted(sized, key=lambda entry: (-entry[0], entry[1])):
        least = loads.index(min(loads))
        loads[least] += size + 8192
        texts[least].append(statement)
    return ["\n".join(statements) for statements in texts if statements]
