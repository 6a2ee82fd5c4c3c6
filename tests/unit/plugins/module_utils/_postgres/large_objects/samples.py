"""Looks at databases as they could be, for the tests of what is made of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.model import (
    DIRECT,
    Column,
    Look,
    Options,
    Orphan,
    Orphans,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.options import options_of


def options(**given: Any) -> Options:
    return options_of(validate("pg_large_object", ARGUMENT_SPEC, {"login_db": "shop", **given}).params)


def column(name: str = "photo", kind: str = DIRECT, table: str = "products", **others: Any) -> Column:
    given: dict[str, Any] = {
        "table_oid": 16400,
        "schema": "public",
        "table": table,
        "name": name,
        "sql_table": f"public.{table}",
        "sql_name": name,
        "rows": 100.0,
        "bytes": 8192,
        **others,
    }
    return Column(kind=kind, **given)


def orphans(count: int = 3, **others: Any) -> Orphans:
    first = tuple(Orphan(16500 + number, "800") for number in range(count))
    given: dict[str, Any] = {
        "total": 10,
        "count": count,
        "old": count,
        "permitted": count,
        "unlinkable": count,
        "first": first,
        "oldest": tuple(orphan.oid for orphan in first[:10]),
        "bytes": 6144,
        "measured": count,
        **others,
    }
    return Orphans(**given)


def look(**others: Any) -> Look:
    given: dict[str, Any] = {
        "label": "main",
        "database": "shop",
        "columns": (column(),),
        "orphans": orphans(),
        **others,
    }
    return Look(**given)
