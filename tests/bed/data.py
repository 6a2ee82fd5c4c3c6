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
) WITH (autovacuum_enabled = false);
CREATE TABLE order_events (id integer PRIMARY KEY, order_id integer NOT NULL, what text NOT NULL)
  WITH (autovacuum_enabled = false);
ALTER TABLE customers SET (autovacuum_enabled = false);

INSERT INTO products SELECT n, 'product ' || n, n % 100 + 0.99 FROM generate_series(1, 500) n;
INSERT INTO orders
  SELECT n, n % 4000, timestamptz '2026-01-01 00:00Z' + n * interval '7 minutes', 'open'
  FROM generate_series(1, {rows}) n;
INSERT INTO order_events SELECT n, n / 2 + 1, 'event ' || n % 9 FROM generate_series(1, {rows}) n;
"""
NEEDS_UPKEEP = """
UPDATE orders SET status = 'shipped' WHERE id % 2 = 0;
DELETE FROM order_events WHERE id % 2 = 0;
INSERT INTO customers
  SELECT n, 'customer' || n || '@example.com', 'city ' || n % 50 FROM generate_series(1, {customers}) n;
"""
CUSTOMERS = 4000


@dataclass(frozen=True)
class Filled:
    """What was made: of each table the rows that live, and which need what."""

    database: str
    live: dict[str, int]
    dead: dict[str, int]
    without_statistics: tuple[str, ...]


def fill(cluster: Cluster, database: str = "shop", rows: int = 20_000) -> Filled:
    """Make the database: `orders` half updated, `order_events` half deleted, `customers` never analysed.

    `products` needs nothing. It returns once the server's own counters show it. Raises BedError when they do not.
    """
    cluster.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    connection = cluster.connect(database)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(TABLES.format(rows=rows))
            for table in ("products", "orders", "order_events"):
                cursor.execute(f"VACUUM (ANALYZE) {table}")
            cursor.execute(NEEDS_UPKEEP.format(customers=CUSTOMERS))
    finally:
        connection.close()  # a backend that ends has sent all its counters
    half = rows // 2
    filled = Filled(
        database=database,
        live={"products": 500, "customers": CUSTOMERS, "orders": rows, "order_events": rows - half},
        dead={"orders": half, "order_events": half},
        without_statistics=("customers",),
    )
    _await_counters(cluster, filled)
    return filled


def dead_rows(cluster: Cluster, database: str) -> dict[str, int]:
    """The dead rows of each table that has any, by the server's counters."""
    rows = cluster.execute(
        "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0", database=database
    )
    return {str(name): int(count) for name, count in rows}


def _await_counters(cluster: Cluster, filled: Filled, seconds: float = 15.0) -> None:
    """The counters come a little later, and before PostgreSQL 15 through a process of their own."""
    deadline = time.monotonic() + seconds
    while (seen := dead_rows(cluster, filled.database)) != filled.dead:
        if time.monotonic() > deadline:
            raise BedError(f"the counters of {filled.database} show {seen} dead rows, not {filled.dead}")
        time.sleep(0.1)
