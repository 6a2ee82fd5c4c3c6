"""The text of the statements, by version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ANALYZE, VACUUM, Server
from tests.unit.plugins.module_utils._postgres.samples import NOW, OPTIONS, table

SERVER = Server(150018, "upkeep", True, True, 10, True, NOW)


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


@pytest.mark.parametrize(("seconds", "text"), [(0, "0"), (0.0001, "1"), (0.5, "500"), (2, "2000")])
def test_milliseconds(seconds: float, text: str) -> None:
    assert sql.milliseconds(seconds) == text


def test_the_settings_of_a_session() -> None:
    settings = dict(sql.session_settings(150018, OPTIONS, None))
    assert settings["search_path"] == ""
    assert (settings["lock_timeout"], settings["statement_timeout"]) == ("2000", "0")
    assert settings["synchronous_commit"] == "off"
    assert "transaction_timeout" not in settings
    newer = sql.session_settings(170011, replace(OPTIONS, keep_synchronous_commit=True), "owner")
    assert dict(newer)["transaction_timeout"] == "0"
    assert "synchronous_commit" not in dict(newer)
    assert newer[-1] == ("role", "owner"), "what comes after it would be asked as that role"
    assert sql.settings_query(2).count("pg_catalog.set_config(%s, %s, false)") == 2


def test_who_may_is_asked_as_the_version_knows_it() -> None:
    assert sql.permitted(SERVER) == "true"
    ordinary = replace(SERVER, superuser=False)
    assert "MAINTAIN" not in sql.permitted(ordinary)
    assert "MAINTAIN" in sql.permitted(replace(ordinary, version=170011))


def test_the_query_asks_only_for_what_the_version_has_and_the_role_may_read() -> None:
    assert "stxdinherit" in sql.tables_query(SERVER)
    assert "stxdinherit" not in sql.tables_query(replace(SERVER, version=140023))
    ordinary = sql.tables_query(replace(SERVER, reads_statistics=False))
    assert "pg_statistic " not in ordinary
    assert "pg_stats" in ordinary
    assert "reserved_connections')::int - current" not in sql.server_query(150018)
    assert "'reserved_connections'" in sql.server_query(160015)
    assert "{" not in sql.tables_query(SERVER) + ordinary + sql.server_query(150018)
