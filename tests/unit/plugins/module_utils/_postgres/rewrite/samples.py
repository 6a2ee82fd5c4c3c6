"""Tables as a server might have them, for the unit tests of the rewrite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Setup, Space
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.model import Facts, Index, RewritePolicy
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Counters,
    Policy,
    Snapshot,
    Table,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)
MB = 1_000_000
SETUP = Setup(directory="/data", work_memory=64 * MB, temporary=("base/pgsql_tmp",), max_wal_size=10 * MB)
SPACE = Space({"base/5": "disk", "pg_wal": "disk", "base/pgsql_tmp": "disk", "pg_tblspc/9": "other"}, {"disk": 10**12})
OLD = Holder("idle_in_transaction", "4711", "", 120, 5400.0, "End it: SELECT pg_terminate_backend(4711);")
POLICY = RewritePolicy(tables=Policy(mode="full", schemas=("public",), include_catalogs=False))


def table(name: str = "orders", oid: int = 1, **more: Any) -> Table:
    schema = more.pop("schema", "public")
    counters = more.pop("counters", Counters(live=1000))
    return Table(oid, schema, name, f"{schema}.{name}", more.pop("kind", "r"), counters, **more)


def snapshot(*tables: Table, version: int = 150018) -> Snapshot:
    return Snapshot("main", "shop", version, NOW, tuple(tables))


def facts(
    oid: int = 1, heap: int = 400 * MB, toast: int = 0, indexes: Sequence[int] = (100 * MB,), **more: Any
) -> Facts:
    own = tuple(Index(f"public.i{number}", size, f"base/5/2{number}") for number, size in enumerate(indexes))
    nodes = more.pop("nodes", (100 + oid, 900 if toast else 0, 901 if toast else 0))
    name = more.pop("sql_name", "public.orders")
    paths = more.pop("paths", ("base/5/100", "base/5/901" if toast else ""))
    obstacle = more.pop("obstacle", "REPACK is a command of PostgreSQL 19 and later")
    return Facts(oid, name, nodes, (heap, toast, sum(indexes)), paths, own, obstacle=obstacle, **more)


def estimate(oid: int = 1, size: int = 400 * MB, expected: int = 100 * MB, **more: Any) -> Estimate:
    return Estimate(
        oid, more.pop("kind", "table"), "public", "orders", "public.orders", oid, "orders", size, expected, **more
    )
