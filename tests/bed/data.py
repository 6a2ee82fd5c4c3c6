"""A small shop whose tables need upkeep."""

from __future__ import annotations

import time
from dataclasses import dataclass

from psycopg2 import sql

from .errors import BedError
from .postgres import Cluster

TABLES = """
CREATE TABLE products (id integer PRIMARY KEY, name text NOT NULL, price numeric(10, 2) NOT NULL);
CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL, city text NOT NULL);
CREATE TABLE orders (
  id integer PRIMARY KEY, customer integer NOT NULL, placed timestamptz NOT NULL, status text NOT NULL
);
CREATE TABLE order_events (id integer PRIMARY KEY, order_id integer NOT NULL, what text NOT NULL);
ALTER TABLE customers SET (autovacuum_enabled = false);
ALTER TABLE orders SET (autovacuum_enabled = false);
ALTER TABLE order_events SET (autovacuum_enabled = false);

INSERT INTO products SELECT n, 'product ' || n, n % 100 + 0.99 FROM generate_series(1, {products}) n;
INSERT INTO customers
  SELECT n, 'customer' || n || '@example.com', 'city ' || n % 50 FROM generate_series(1, {customers}) n;
INSERT INTO orders
  SELECT n, n % 4000, timestamptz '2026-01-01 00:00Z' + n * interval '7 minutes', 'open'
  FROM generate_series(1, {rows}) n;
INSERT INTO order_events SELECT n, n / 2 + 1, 'event ' || n % 9 FROM generate_series(1, {rows}) n;
"""
LOOKED_AFTER = ("products", "orders", "order_events")
NEGLECT = """
UPDATE orders SET status = 'shipped' WHERE id % 2 = 0;
DELETE FROM order_events WHERE id % 2 = 0;
"""
COUNTERS = "SELECT relname, n_live_tup, n_dead_tup, n_mod_since_analyze FROM pg_stat_user_tables"
PRODUCTS, CUSTOMERS = 500, 4000

Counters = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Filled:
    """What was made: the living rows of each table, the dead rows of those with any, and who lacks statistics."""

    database: str
    live: dict[str, int]
    dead: dict[str, int]
    without_statistics: tuple[str, ...]


def fill(cluster: Cluster, database: str = "shop", rows: int = 20_000) -> Filled:
    """Make the database: `orders` half updated, `order_events` half deleted, `customers` never analysed.

    `products` needs nothing. Returns once the server's own counters are exact; raises BedError when they do not come.
    """
    cluster.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    half = rows // 2
    live = {"products": PRODUCTS, "customers": CUSTOMERS, "orders": rows, "order_events": rows}
    cluster.execute(TABLES.format(products=PRODUCTS, customers=CUSTOMERS, rows=rows), database=database)
    expected: Counters = {table: (count, 0, count) for table, count in live.items()}
    _await_counters(cluster, database, expected)
    for table in LOOKED_AFTER:
        cluster.execute(f"VACUUM (ANALYZE) {table}", database=database)
        expected[table] = (live[table], 0, 0)
    _await_counters(cluster, database, expected)
    cluster.execute(NEGLECT, database=database)
    expected |= {"orders": (rows, half, half), "order_events": (rows - half, half, half)}
    _await_counters(cluster, database, expected)
    return Filled(
        database=database,
        live={table: counts[0] for table, counts in expected.items()},
        dead={table: counts[1] for table, counts in expected.items() if counts[1]},
        without_statistics=("customers",),
    )


def dead_rows(cluster: Cluster, database: str) -> dict[str, int]:
    """The dead rows of each table that has any, by the server's counters."""
    return {table: dead for table, (_live, dead, _changed) in counters(cluster, database).items() if dead}


def counters(cluster: Cluster, database: str) -> Counters:
    """Of each table: live rows, dead rows, rows changed since it was analysed."""
    return {
        str(table): (live, dead, changed) for table, live, dead, changed in cluster.execute(COUNTERS, None, database)
    }


def _await_counters(cluster: Cluster, database: str, expected: Counters, seconds: float = 60.0) -> None:
    """A backend sends its counters when it ends, after its client is gone, and a VACUUM must not overtake them.

    Before PostgreSQL 15 they come by way of a process of their own, and later still.
    """
    deadline = time.monotonic() + seconds
    while (seen := counters(cluster, database)) != expected:
        if time.monotonic() > deadline:
            raise BedError(f"the counters of {database} show {seen}, not {expected}")
        time.sleep(0.05)
