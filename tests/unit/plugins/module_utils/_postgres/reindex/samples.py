"""Snapshots without a server: all that the planner and the judge need."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import (
    Index,
    Policy,
    Reason,
    RunOptions,
    Snapshot,
    Step,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)
POLICY = Policy()
OPTIONS = RunOptions(databases=("shop",))
MIB = 1024**2
TABLE_OID = 16384


def index(name: str = "orders_pkey", **given: Any) -> Index:
    """A valid btree of 10 MiB on the table `orders`."""
    schema = given.pop("schema", "public")
    table = given.pop("table", "orders")
    values: dict[str, Any] = {
        "oid": 20000 + sum(ord(letter) * (place + 1) for place, letter in enumerate(name)),
        "table_oid": TABLE_OID + sum(table.encode()),
        "bytes": 10 * MIB,
        "filenode": 20001,
        "rows": 100_000.0,
        "path": "base/5/20001",
        **given,
    }
    values.setdefault("home_oid", values["table_oid"])
    return Index(
        schema=schema, name=name, sql_name=f"{schema}.{name}", table_schema=schema, table=table,
        table_sql_name=f"{schema}.{table}", **values,
    )  # fmt: skip


def estimate(of: Index, ratio: float = 0.5, **given: Any) -> Estimate:
    """Of that index, this share is bloat."""
    size = of.size
    values: dict[str, Any] = {"bytes": size, "expected_bytes": round(size * (1 - ratio)), **given}
    return Estimate(of.oid, "index", of.schema, of.name, of.sql_name, of.table_oid, of.table, **values)


def snapshot(*indexes: Index, ratio: float | None = None, **given: Any) -> Snapshot:
    """With *ratio*, that share of every valid index is bloat."""
    values: dict[str, Any] = {"label": "main", "database": "shop", "version": 150018, "now": NOW, **given}
    if ratio is not None:
        values["estimates"] = {one.oid: estimate(one, ratio) for one in indexes if one.valid and one.bytes is not None}
    return Snapshot(indexes=indexes, **values)


def step(of: Index | None = None, action: str = "rebuild", code: str = "bloat", **given: Any) -> Step:
    return Step(of or index(), action, (Reason(code, f"it is so: {code}"),), **given)


def holder(**given: Any) -> Holder:
    values: dict[str, Any] = {
        "kind": "idle_in_transaction", "id": "4711", "database": "shop", "xid_age": 120, "seconds": 5400.0,
        "hint": "SELECT pg_terminate_backend(4711);", **given,
    }  # fmt: skip
    return Holder(**values)


def params(**given: Any) -> dict[str, Any]:
    return validate("pg_reindex", ARGUMENT_SPEC, given).params
