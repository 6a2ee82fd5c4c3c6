"""The text of the statements."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import sql
from tests.unit.plugins.module_utils._postgres.reindex.samples import NOW, index


def server(**given: Any) -> Server:
    values: dict[str, Any] = {
        "version": 150018, "in_recovery": False, "user": "upkeep", "superuser": False, "counts": True, "free_slots": 9,
        "reads_statistics": True, "now": NOW, **given,
    }  # fmt: skip
    return Server(**values)


@pytest.mark.parametrize(
    ("action", "given", "concurrently", "tablespace", "expected"),
    [
        ("rebuild", {}, True, "", "REINDEX (CONCURRENTLY) INDEX public.orders_pkey"),
        ("rebuild", {}, False, "", "REINDEX INDEX public.orders_pkey"),
        ("rebuild", {}, True, '"fast disk"', 'REINDEX (CONCURRENTLY, TABLESPACE "fast disk") INDEX public.orders_pkey'),
        ("rebuild", {}, False, "fast", "REINDEX (TABLESPACE fast) INDEX public.orders_pkey"),
        ("rebuild", {"toast": True}, True, "fast", "REINDEX (CONCURRENTLY) INDEX public.orders_pkey"),
        ("rebuild", {"catalog": True}, False, "fast", "REINDEX INDEX public.orders_pkey"),
        ("drop", {}, True, "fast", "DROP INDEX CONCURRENTLY public.orders_pkey"),
        ("drop", {}, False, "", "DROP INDEX CONCURRENTLY public.orders_pkey"),
        ("drop", {"catalog": True}, False, "", "DROP INDEX public.orders_pkey"),
    ],
)
def test_the_statement_of_a_step(
    action: str, given: dict[str, Any], concurrently: bool, tablespace: str, expected: str
) -> None:
    assert sql.work_statement(action, index(**given), concurrently, tablespace) == expected


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"superuser": True}, "true"),
        ({"version": 160000}, "pg_has_role(i.relowner, 'USAGE')"),
        ({"version": 170000}, "has_table_privilege(t.oid, 'MAINTAIN')"),
    ],
)
def test_who_may_rebuild_depends_on_the_version(given: dict[str, Any], allowed: str) -> None:
    condition = sql.permitted(server(**given))
    assert allowed in condition
    assert ("pg_has_role" in condition) is ("pg_has_role" in allowed)


def test_whether_nulls_are_alike_is_asked_where_it_is_known() -> None:
    assert "indnullsnotdistinct" not in sql.indexes_query(server(version=140023))
    assert "indnullsnotdistinct" in sql.indexes_query(server(version=150000))


def test_what_a_copy_gets_only_in_the_end_is_no_part_of_its_shape() -> None:
    shape = sql.indexes_query(server()).partition("concat_ws")[2].partition("END")[0]
    assert "indkey" in shape
    assert not [word for word in ("indimmediate", "indisprimary", "indisexclusion") if word in shape]


def test_no_query_stumbles_over_a_percent_sign() -> None:
    """They are sent with parameters, so that each has to be doubled or absent."""
    queries = [sql.STATE_QUERY, sql.STATE_BY_NAME_QUERY, sql.BLOCKERS_QUERY, sql.TABLESPACE_QUERY, sql.LIMITS_QUERY]
    for query in [*queries, sql.indexes_query(server(), table=True)]:
        rest = query.replace("%%", "").replace("%s", "")
        assert "%" not in rest
