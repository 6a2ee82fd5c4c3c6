"""Snapshots without a server: all that the planner and the judge need."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Holder
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    Counters,
    Policy,
    RunOptions,
    Snapshot,
    Table,
)

NOW = datetime(2026, 11, 22, 4, 13, tzinfo=UTC)
EPOCH = NOW.timestamp()
POLICY = Policy()
OPTIONS = RunOptions(databases=("shop",))
COUNTERS = {field.name for field in fields(Counters)}


def table(name: str = "orders", oid: int = 0, **given: Any) -> Table:
    """A table of 20000 live rows in 250 pages, vacuumed and analysed a day ago; *given* may be counters too."""
    schema = given.pop("schema", "public")
    counters: dict[str, Any] = {
        "live": 20_000,
        "pages": 250,
        "vacuumed_at": EPOCH - 86400,
        "analyzed_at": EPOCH - 86400,
    }
    counters.update({key: given.pop(key) for key in COUNTERS if key in given})
    values: dict[str, Any] = {"kind": "r", "rows": float(counters["live"]), "columns": 3, **given}
    return Table(
        oid or 16384 + sum(name.encode()), schema, name, f"{schema}.{name}", counters=Counters(**counters), **values
    )


def snapshot(*tables: Table, **given: Any) -> Snapshot:
    values: dict[str, Any] = {"label": "main", "database": "shop", "version": 150018, "now": NOW, **given}
    return Snapshot(tables=tables, **values)


def holder(**given: Any) -> Holder:
    values: dict[str, Any] = {
        "kind": "backend", "id": "4711", "database": "shop", "xid_age": 120, "seconds": 5400.0,
        "hint": "SELECT pg_terminate_backend(4711);", **given,
    }  # fmt: skip
    return Holder(**values)


def params(**given: Any) -> dict[str, Any]:
    return validate("pg_vacuum", ARGUMENT_SPEC, given).params
