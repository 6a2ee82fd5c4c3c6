"""A database in which tables and indexes of known bloat are made, and the estimator called on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import confirm, read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Estimate
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import read_server
from tests.bed.bloat_cases import CASES, Bench, Case, Row, entrance

FIXED = Case("fixed", "a int, b bigint", "{n}, {n}", 45_000)
TEXTS = Case("texts", "a text", "md5({n}::text)", 40_000)
KEYS = Case("keys", "a int", "{n}", 60_000, "(a)")
COUNTED = next(case for case in CASES if case.name == "two columns, counted")
COMPUTED = next(case for case in CASES if case.name == "expression")
QUICK = tuple(case for case in CASES if case.quick)
PASSWORD = "not-a-secret"


def read(
    bench: Bench, *, driver: str = "psycopg2", login: dict[str, str] | None = None, **given: Any
) -> dict[str, Estimate]:
    """The estimates of what is in the schema public (or of TOAST tables), by name."""
    bench.settle()
    with entrance(bench.cluster, driver, **(login or {})).session(bench.database) as session:
        found = read_bloat(session, read_server(session), **given)
    return {one.name: one for one in found if one.schema not in ("pg_catalog", "information_schema")}


def count(bench: Bench, estimate: Estimate, *, login: dict[str, str] | None = None, **given: Any) -> Estimate:
    """What becomes of an estimate when its relation is counted."""
    with entrance(bench.cluster, **(login or {})).session(bench.database) as session:
        return confirm(session, estimate, read_server(session), **given)


def wrong(rows: Sequence[Row]) -> list[str]:
    """Those that are not within their limits, in words."""
    return [
        f"{row.case}, {row.share} % deleted: {row.ours:.1f} against {row.truth:.1f} ({row.megabytes:.1f} MB)"
        for row in rows
        if not row.within
    ]
