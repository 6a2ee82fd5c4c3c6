"""The text of the statements, by version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql as common
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import ANALYZE, VACUUM
from tests.unit.plugins.module_utils._postgres.vacuum.samples import NOW, table

SERVER = Server(150018, False, "upkeep", True, True, 10, True, NOW)


@pytest.mark.parametrize(
    ("actions", "version", "skip_locked", "statement"),
    [
        ((VACUUM,), 150018, False, "VACUUM a.t"),
        ((VACUUM, ANALYZE), 150018, False, "VACUUM (ANALYZE) a.t"),
        ((VACUUM, ANALYZE), 150018, True, "VACUUM (ANALYZE, SKIP_LOCKED) a.t"),
        ((ANALYZE,), 150018, False, "ANALYZE a.t"),
        ((ANALYZE,), 170011, True, "ANALYZE (SKIP_LOCKED) a.t"),
        ((VACUUM,), 160015, False, "VACUUM (SKIP_DATABASE_STATS) a.t"),
        ((VACUUM, ANALYZE), 180006, True, "VACUUM (ANALYZE, SKIP_LOCKED, SKIP_DATABASE_STATS) a.t"),
    ],
)
def test_statements(actions: tuple[str, ...], version: int, skip_locked: bool, statement: str) -> None:
    one = table("t", schema="a")
    assert sql.work_statement(actions, [one], version, skip_locked) == statement
    assert sql.leaves_database_statistics(statement) == ("SKIP_DATABASE_STATS" in statement)


def test_only_from_18_on() -> None:
    parent = table("t", children=True)
    assert sql.work_statement((ANALYZE,), [parent, table("u")], 180006, False) == "ANALYZE ONLY public.t, public.u"
    assert sql.work_statement((ANALYZE,), [parent], 170011, False) == "ANALYZE public.t"
    assert sql.takes_partitions(replace(parent, kind="p"), 170011)
    assert not sql.takes_partitions(replace(parent, kind="p"), 180006)
    assert not sql.takes_partitions(parent, 140023)


def test_a_name_that_looks_like_an_option_closes_nothing() -> None:
    assert not sql.leaves_database_statistics('VACUUM (ANALYZE) "SKIP_DATABASE_STATS".t')
    assert not sql.leaves_database_statistics('VACUUM "(SKIP_DATABASE_STATS)".t')


def test_the_query_asks_only_for_what_the_version_has_and_the_role_may_read() -> None:
    assert "stxdinherit" in sql.tables_query(SERVER)
    assert "stxdinherit" not in sql.tables_query(replace(SERVER, version=140023))
    ordinary = sql.tables_query(replace(SERVER, reads_statistics=False))
    assert "pg_statistic " not in ordinary
    assert "pg_stats" in ordinary
    assert "reserved_connections')::int - current" not in common.server_query(150018)
    assert "'reserved_connections'" in common.server_query(160015)
    assert "{" not in sql.tables_query(SERVER) + ordinary + common.server_query(150018)
