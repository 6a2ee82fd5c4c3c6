"""Facts without a server, as the two statements return them."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.facts import (
    Counts,
    IndexFacts,
    TableFacts,
)

# int not null, int, text of 32 characters
INT, NULLABLE, TEXT = "4 i p s 1 0 4 -", "4 i p s 0 0 4 -", "-1 i x s 0 0 33 32*1.0"
KEY, TEXT_KEY = "4 i p s 1 0 4 -1 1 - -", "-1 i x s 2 0 33 -1 1 - 32*1.0"
ROWS = 226_000
COUNTERS = ("pages", "rows", "live", "dead", "modified", "net", "changes")


def counts(**given: Any) -> Counts:
    """A table of 226000 rows in 1000 pages, analysed and unchanged since."""
    values: dict[str, Any] = {
        "pages": 1000, "rows": float(ROWS), "live": ROWS, "dead": 0, "modified": 0, "net": ROWS, "changes": 9 * ROWS,
        **given,
    }  # fmt: skip
    return Counts(**values)


def table(**given: Any) -> TableFacts:
    """A table with one column, of 32 bytes a row, of which no byte is too many."""
    known = counts(
        **{
            key: given.pop(key)
            for key in ("pages", "rows", "live", "dead", "modified", "net", "changes")
            if key in given
        }
    )
    values: dict[str, Any] = {
        "oid": 16400, "schema": "public", "name": "orders", "sql_name": "public.orders", "toast": False,
        "owner_oid": 16400, "owner_name": "orders", "bytes": 1000 * 8192, "counts": known, "method": "heap",
        "fillfactor": 100, "readable": True, "block_size": 8192, "columns": INT, "busy": False, **given,
    }  # fmt: skip
    return TableFacts(**values)


def index(**given: Any) -> IndexFacts:
    """The unique index of that table, of which no byte is too many."""
    known = counts(**{key: given.pop(key) for key in COUNTERS[2:] if key in given}, **given.pop("table", {}))
    values: dict[str, Any] = {
        "oid": 16410, "schema": "public", "name": "orders_pkey", "sql_name": "public.orders_pkey", "table_oid": 16400,
        "table_name": "orders", "bytes": 623 * 8192, "pages": 623, "rows": float(ROWS), "counts": known,
        "method": "btree", "fillfactor": 90, "deduplicate": True, "unique": True, "keys": 1, "partial": False,
        "null_tests": {}, "sample": 30_000, "toast": False, "readable": True, "block_size": 8192,
        "columns": KEY, **given,
    }  # fmt: skip
    return IndexFacts(**values)
