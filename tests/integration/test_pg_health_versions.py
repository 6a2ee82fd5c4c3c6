"""`pg_health_info` on every supported version: what differs between them, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import PARTS
from tests.bed.postgres import Cluster
from tests.bed.standby import Standby
from tests.integration.health import Looked, codes, finding, found, status
from tests.integration.vacuuming import ROLE

KNOWS_LAST_SCAN, KNOWS_INACTIVITY = 16, 17
# What the shared server of the tests is known for: no autovacuum, no care for crashes, no library, no checksums.
EXPECTED = {
    "pg.autovacuum_off",
    "pg.setting_harmful",
    "pg.statements_missing",
    "pg.checksums_off",
    "pg.cache_hit_unknown",
    "pg.slot_inactive",
}


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Looked:
    return Looked(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture
def role(place: Looked) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


def fill(place: Looked) -> None:
    place.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, a int, o oid, s text)",
        "INSERT INTO t (a, o, s) SELECT n, 0, n::text FROM generate_series(1, 20000) n",
        "CREATE INDEX a_1 ON t (a)",
        "CREATE INDEX a_2 ON t (a)",
        "CREATE INDEX lower_1 ON t (lower(s)) WHERE a > 1",
        "CREATE INDEX lower_2 ON t (lower(s)) WHERE a > 1",
        "SELECT setval('t_id_seq', 2147483000)",
        "SELECT lo_create(0)",
        "VACUUM (ANALYZE)",
    )


FILLED = {"pg.index_duplicate", "pg.sequence_near_end", "pg.large_objects_orphaned"}


@pytest.mark.parametrize("driver", PREFERENCE)
def test_every_part_is_answered(place: Looked, driver: str) -> None:
    fill(place)
    result = place.call(driver=driver, cache_hit_min_blocks=10**15, unused_index_min_size="1TB")
    assert list(result["checks"]) == list(PARTS)
    assert codes(result) - EXPECTED == FILLED
    assert result["version"].startswith(f"{place.major}.")
    twins = {item["index"]: item["keeper"] for item in result["checks"]["duplicate_indexes"]["items"]}
    assert twins == {"public.a_2": "a_1", "public.lower_2": "lower_1"}
    assert "Add pg_stat_statements to shared_preload_libraries" in finding(result, "pg.statements_missing")["remedy"]


def test_an_ordinary_role_and_one_of_pg_monitor_fail_nowhere(place: Looked, role: dict[str, str]) -> None:
    fill(place)
    for grant, unseen in (
        ("", {"pg.health_not_permitted"}),
        ("pg_monitor", {"pg.health_not_permitted"}),
        ("pg_read_all_data", set()),
    ):
        if grant:
            place.execute(f"GRANT {grant} TO {ROLE}")
        result = place.call("!slow_queries", "!cache_hit", **role)
        assert not codes(result) & {"pg.health_unreadable", "pg.health_timed_out", "pg.health_locked"}
        assert {each["code"] for each in result["findings"] if each["severity"] == "unknown"} == unseen
    assert codes(result) >= FILLED


def test_an_index_that_was_read_long_ago_is_unused_where_the_server_knows_when(place: Looked) -> None:
    fill(place)
    place.execute("SET enable_seqscan = off; SELECT count(*) FROM t WHERE a = 5")
    place.wait_for(f"SELECT 1 FROM pg_stat_database WHERE datname = '{place.database}' AND tup_fetched > 0")
    result = place.call("unused_indexes", unused_index_min_size="100kB", unused_index_period="0")
    # Of two that are alike the planner has taken one, and from 17 on its own looks count too.
    read = sorted(item["scans"] > 0 for item in result["checks"]["unused_indexes"]["items"])
    if place.major >= KNOWS_LAST_SCAN:
        assert read == [False, True]
        assert any("was last read at 20" in each["message"] for each in result["findings"])
    else:
        assert read == [False]
    assert codes(result) == {"pg.index_unused"}


def test_a_standby_answers_every_part(place: Looked) -> None:
    fill(place)
    place.execute("CREATE UNLOGGED TABLE u (id serial)", "INSERT INTO u DEFAULT VALUES")
    with Standby(place.cluster) as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        there = Looked(standby, place.database, place.folder)
        result = there.call(cache_hit_min_blocks=10**15)
        assert place.call("replication")["findings"] == []
    assert codes(result) - EXPECTED == FILLED | {"pg.standby_not_judged"}
    assert result["in_recovery"]
    assert status(result, "replication") == "ok"
    assert status(result, "unused_indexes") == "info"
    duplicate = next(each for each in result["findings"] if each["code"] == "pg.index_duplicate")
    assert duplicate["remedy"].startswith("On the primary: ")


def test_a_slot_that_nobody_uses(place: Looked) -> None:
    place.execute("SELECT pg_create_physical_replication_slot('lonely', true)")
    try:
        result = place.call("replication", slot_inactive="0")
        patient = place.call("replication")
    finally:
        place.execute("SELECT pg_drop_replication_slot('lonely')")
    known = place.major >= KNOWS_INACTIVITY
    assert found(result) == {"main: slot lonely": ("pg.slot_inactive", "warning" if known else "info")}
    assert (patient["findings"] == []) == known
