"""The text of the statements, by version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql as common
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import Server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import (
    ANALYZE,
    FREEZE,
    VACUUM,
    Manner,
)
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


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        (Manner(index_cleanup="off", truncate=False, process_toast=True),
         "INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST ON, SKIP_DATABASE_STATS"),
        (Manner(index_cleanup="auto", truncate=True, process_main=False, process_toast=False),
         "INDEX_CLEANUP AUTO, TRUNCATE ON, PROCESS_MAIN OFF, PROCESS_TOAST OFF, SKIP_DATABASE_STATS"),
        (Manner(disable_page_skipping=True, parallel=0, buffer_usage_limit=0),
         "DISABLE_PAGE_SKIPPING ON, PARALLEL 0, SKIP_DATABASE_STATS, BUFFER_USAGE_LIMIT '0 kB'"),
        (Manner(skip_database_stats=True, parallel=3, buffer_usage_limit=2048),
         "PARALLEL 3, SKIP_DATABASE_STATS, BUFFER_USAGE_LIMIT '2048 kB'"),
        (Manner(skip_database_stats=False), ""),
    ],
)  # fmt: skip
def test_the_manner_of_a_statement(manner: Manner, words: str) -> None:
    one = table("t", schema="a")
    vacuum = sql.work_statement((VACUUM, FREEZE), [one], 160015, False, manner)
    assert vacuum == f"VACUUM ({', '.join(filter(None, ('FREEZE', words)))}) a.t"
    # ANALYZE knows none of them but the last.
    limit = f" (BUFFER_USAGE_LIMIT '{manner.buffer_usage_limit} kB')" if manner.buffer_usage_limit is not None else ""
    assert sql.work_statement((ANALYZE,), [one], 160015, False, manner) == f"ANALYZE{limit} a.t"


def test_all_three_at_once() -> None:
    one = table("t", schema="a")
    assert sql.work_statement((VACUUM, FREEZE, ANALYZE), [one], 150018, True) == (
        "VACUUM (FREEZE, ANALYZE, SKIP_LOCKED) a.t"
    )


def test_only_from_18_on() -> None:
    parent = table("t", children=True)
    assert sql.work_statement((ANALYZE,), [parent, table("u")], 180006, False) == "ANALYZE ONLY public.t, public.u"
    assert sql.work_statement((ANALYZE,), [parent], 170011, False) == "ANALYZE public.t"
    assert sql.takes_partitions(replace(parent, kind="p"), 170011)
    assert not sql.takes_partitions(replace(parent, kind="p"), 180006)
    assert not sql.takes_partitions(parent, 140023)


def test_who_moves_the_horizon_of_the_database() -> None:
    assert sql.leaves_database_statistics(160015, Manner())
    assert not sql.leaves_database_statistics(150018, Manner())
    assert not sql.leaves_database_statistics(160015, Manner(skip_database_stats=True)), "it was told to leave it"
    assert not sql.leaves_database_statistics(160015, Manner(skip_database_stats=False)), "each statement does"


def test_the_query_asks_only_for_what_the_version_has_and_the_role_may_read() -> None:
    assert "stxdinherit" in sql.tables_query(SERVER)
    assert "stxdinherit" not in sql.tables_query(replace(SERVER, version=140023))
    ordinary = sql.tables_query(replace(SERVER, reads_statistics=False))
    assert "pg_statistic " not in ordinary
    assert "pg_stats" in ordinary
    assert "reserved_connections')::int - current" not in common.server_query(150018)
    assert "'reserved_connections'" in common.server_query(160015)
    assert "{" not in sql.tables_query(SERVER) + ordinary + common.server_query(150018)
    assert "relallfrozen" in sql.autovacuum_query(180006)
    assert "relallfrozen" not in sql.autovacuum_query(170011)
