"""`pg_vacuum` on every supported version: what differs between them, and what must not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import UnsupportedOption
from tests.bed import data
from tests.bed.postgres import Cluster
from tests.integration.vacuuming import QUICK, ROLE, Place, Result, Work, codes, record_of, statuses

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Place:
    return Place(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture
def role(place: Place) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


# --- what it is for ---------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_it_does_what_is_needed_proves_it_and_finds_nothing_to_do_again(place: Place, driver: str) -> None:
    database = f"{place.database}_shop"
    filled = data.fill(place.cluster, database)
    try:
        # The session that filled it sent the counts of its rows only when it had analysed them.
        place.cluster.execute("ANALYZE products", database=database)
        place.settle()
        planned = place.call(login_db=database, check=True, driver=driver)
        assert data.dead_rows(place.cluster, database) == filled.dead, "check mode changed something"
        done = place.call(login_db=database, driver=driver)
        again = place.call(login_db=database, driver=driver)
        planned_again = place.call(login_db=database, driver=driver, check=True)
    finally:
        place.cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")

    assert planned["changed"]
    assert done["changed"]
    assert statuses(planned) == dict.fromkeys(("orders", "order_events", "customers"), "planned")
    assert statuses(done) == dict.fromkeys(("orders", "order_events", "customers"), "done")
    assert planned["queries"] == done["queries"][: len(planned["queries"])]
    assert [record["sql"] for record in planned["tables"]] == [record["sql"] for record in done["tables"]]
    assert done["vacuum"]["dead_before"] == sum(filled.dead.values())
    assert done["vacuum"]["dead_after"] == 0
    assert done["vacuum"]["by_reason"]["missing_stats"] == 1
    orders = record_of(done, "orders")
    assert orders["reason"] == ["dead", "stats"]
    assert (orders["before"]["dead"], orders["after"]["dead"]) == (filled.dead["orders"], 0)
    assert orders["after"]["mod_since_analyze"] == 0
    assert orders["after"]["last_vacuum"] >= (orders["before"]["last_vacuum"] or "")
    assert orders["before"]["index_bytes"] > 0, "a table above batch_pages is measured"
    assert record_of(done, "customers")["sql"] == "ANALYZE public.customers"
    assert done["summary"]["worst"] == "ok"
    assert done["findings"] == []
    assert done["msg"] == ""
    for result in (again, planned_again):
        assert not result["changed"]
        assert result["queries"] == result["tables"] == []
        assert result["summary"]["counts"]["ok"] == result["vacuum"]["considered"] > 60
    assert set(codes(planned).values()) == {"pg.vacuum_needed"}


def test_the_counters_of_the_server_say_the_same(place: Place) -> None:
    place.make_dirty("counted")
    place.call()
    ((vacuums, analyzes, dead),) = place.execute(
        "SELECT vacuum_count, analyze_count, n_dead_tup FROM pg_stat_user_tables WHERE relname = 'counted'"
    )
    assert (vacuums, analyzes, dead) == (2, 2, 0)


def test_many_small_tables_go_several_to_a_statement(place: Place) -> None:
    place.execute(
        "DO $$ BEGIN FOR i IN 1..240 LOOP "
        "EXECUTE format('CREATE TABLE small%s (a int, b int, c int, d int, e int)', i); "
        "EXECUTE format('INSERT INTO small%s SELECT n, n, n, n, n FROM generate_series(1, 40) n', i); END LOOP; END $$"
    )
    place.execute(
        "ANALYZE",
        "DO $$ BEGIN FOR i IN 1..240 LOOP EXECUTE format('UPDATE small%s SET a = 0', i); END LOOP; END $$",
    )
    small = {"dead_min": 10, "mod_min": 10, "jobs": 3, "tables": ["small*", "pg_statistic"]}
    planned = place.call(check=True, **small)
    done = place.call(**small)
    assert planned["vacuum"]["planned"] == done["vacuum"]["done"] == 241, done["vacuum"]
    # The rows of pg_statistic that this run replaced were vacuumed too, or the next run would have that to do.
    assert not place.call(**small)["changed"]
    assert len(planned["queries"]) < 20
    assert any("SKIP_LOCKED" in query for query in done["queries"])
    assert done["truncated"]["tables"] + len(done["tables"]) == 241
    assert sum(record["seconds"] for record in done["tables"]) > 0


def test_the_database_horizon_is_moved_once_at_the_end(place: Place) -> None:
    place.make_dirty("once")
    queries = place.call(tables=["once"])["queries"]
    if place.major >= 16:
        assert queries == ["VACUUM (ANALYZE, SKIP_DATABASE_STATS) public.once", "VACUUM (ONLY_DATABASE_STATS)"]
    else:
        assert queries == ["VACUUM (ANALYZE) public.once"]


# --- which tables -----------------------------------------------------------------------------------------------------


STRANGE = [
    'Up"quote',
    "d.ot",
    "new\nline",
    "ünïcødé ☃",
    "100%s %I %(x)s",
    "x" * 63,
    "a'; DROP TABLE plain; --",
    "select",
    " space ",
]


def test_any_name_will_do(place: Place) -> None:
    connected = place.cluster.connect(place.database)
    connected.autocommit = True
    quoted = ['"' + name.replace('"', '""') + '"' for name in STRANGE]
    with connected.cursor() as cursor:
        cursor.execute("CREATE TABLE plain (id int)")
        for name in quoted:
            cursor.execute(f"CREATE SCHEMA {name}")
            cursor.execute(f"CREATE TABLE {name}.{name} AS SELECT generate_series(1, 3000) AS n")
            cursor.execute(f"DELETE FROM {name}.{name} WHERE n <= 1500")
    connected.close()
    place.settle()
    result = place.call(include_catalogs=False, jobs=2)
    assert statuses(result) == dict.fromkeys(STRANGE, "done")
    assert not place.call(include_catalogs=False)["changed"]
    for action in result["actions"]:
        assert "\n" not in action["id"]
    assert place.call(tables=["d.ot.d.ot", "*snow*", "*☃"], when="always")["vacuum"]["done"] == 2
    # Ours to drop: a schema named like this has no place in DROP DATABASE's way, but `plain` must be there still.
    assert place.cluster.execute("SELECT count(*) FROM plain", database=place.database) == [(0,)]


def test_dead_rows_that_only_the_toast_table_has_count(place: Place) -> None:
    place.execute(
        "CREATE TABLE wide (id int, body text)",
        "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
        "INSERT INTO wide SELECT n, repeat(md5(n::text), 400) FROM generate_series(1, 400) n",
        "VACUUM (ANALYZE) wide",
        "DELETE FROM wide WHERE id % 2 = 0",
    )
    record = record_of(place.call(tables=["wide"]), "wide")
    assert "TOAST" in record["reason_text"]
    assert record["before"]["toast_dead"] > 1000
    assert (record["status"], record["after"]["toast_dead"]) == ("done", 0)


# --- statistics -------------------------------------------------------------------------------------------------------


def test_what_lacks_statistics_is_analysed_once(place: Place) -> None:
    place.execute(
        "CREATE TABLE fresh AS SELECT n AS a, n % 7 AS b FROM generate_series(1, 100) n",
        "CREATE TABLE grown AS SELECT n AS a, n % 7 AS b FROM generate_series(1, 100) n",
        "CREATE TABLE expressed AS SELECT n AS a, n % 7 AS b FROM generate_series(1, 100) n",
        "CREATE TABLE related AS SELECT n AS a, n % 7 AS b FROM generate_series(1, 100) n",
        "CREATE TABLE empty (a int)",
        "CREATE TABLE parent (a int, b int)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO child SELECT n, n FROM generate_series(1, 100) n",
        "ANALYZE grown, expressed, related, child",
        "ALTER TABLE grown ADD COLUMN added int DEFAULT 7",
        "CREATE INDEX ON expressed ((a + b))",
        "CREATE STATISTICS pair (ndistinct) ON a, b FROM related",
        # ANALYZE makes none for a statistics object on a column without statistics, however often it runs.
        "CREATE TABLE stubborn AS SELECT n AS a, n % 7 AS b FROM generate_series(1, 100) n",
        "ALTER TABLE stubborn ALTER a SET STATISTICS 0",
        "CREATE STATISTICS stubborn_pair (ndistinct) ON a, b FROM stubborn",
        "ANALYZE stubborn",
    )
    planned = place.call(include_catalogs=False)
    texts = {record["table"]: record["reason_text"] for record in planned["tables"]}
    assert texts == {
        "fresh": "it has rows and no statistics",
        "grown": "a column has no statistics",
        "expressed": "an expression of an index has no statistics",
        "related": "a statistics object (CREATE STATISTICS) has no data",
        "parent": "it has rows and no statistics",
    }
    assert set(statuses(planned).values()) == {"done"}
    assert not place.call(include_catalogs=False)["changed"]
    assert not place.call(include_catalogs=False, check=True)["changed"]


def test_children_are_not_taken_along(place: Place) -> None:
    """From 18 on a VACUUM of a parent would, without ONLY."""
    place.make_dirty("parent")
    place.execute(
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO child SELECT n, 'x' FROM generate_series(1, 50) n",
        "ANALYZE child",
    )
    assert statuses(place.call(tables=["parent"])) == {"parent": "done"}
    assert place.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'child'") == [(0,)]


def make_partitioned(place: Place) -> None:
    place.execute(
        "CREATE TABLE events (id int, region text) PARTITION BY LIST (region)",
        "CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu') PARTITION BY RANGE (id)",
        "CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us')",
        "CREATE TABLE events_eu_1 PARTITION OF events_eu FOR VALUES FROM (0) TO (5000)",
        "CREATE TABLE events_eu_2 PARTITION OF events_eu FOR VALUES FROM (5000) TO (10000)",
        "INSERT INTO events SELECT n, CASE WHEN n % 2 = 0 THEN 'eu' ELSE 'us' END FROM generate_series(1, 9000) n",
    )


ALL_EVENTS = ("events", "events_eu", "events_us", "events_eu_1", "events_eu_2")


def test_partitioned_tables_get_their_statistics(place: Place) -> None:
    make_partitioned(place)
    result = place.call()
    assert statuses(result) == dict.fromkeys(ALL_EVENTS, "done")
    if place.major < 18:
        assert result["queries"] == ["ANALYZE public.events"], "the rest comes along"
    assert place.execute("SELECT count(DISTINCT starelid) FROM pg_statistic WHERE stainherit")[0][0] == 2
    assert not place.call()["changed"]
    assert not place.call(check=True)["changed"]


def test_partitions_that_were_analysed_alone_do_not_hide_the_growth_of_the_whole(place: Place) -> None:
    make_partitioned(place)
    place.call()
    place.execute("INSERT INTO events SELECT 1, 'us' FROM generate_series(1, 4000)")
    place.execute("ANALYZE events_us")  # what autovacuum does, and it does no more
    result = place.call()
    assert statuses(result) == {"events": "done"}
    assert "4000 rows more or fewer in its partitions" in record_of(result, "events")["reason_text"]
    assert not place.call()["changed"]


def test_a_partition_that_is_locked_holds_up_nothing_else(place: Place) -> None:
    make_partitioned(place)
    place.call()
    place.execute("DELETE FROM events WHERE id % 3 = 0")
    # The lock of another VACUUM: one can read under it, so the whole can be analysed, but not the partition.
    with place.session("LOCK TABLE events_us IN SHARE UPDATE EXCLUSIVE MODE"):
        held = place.call(dead_min=100, **QUICK)
    expected = dict.fromkeys(ALL_EVENTS, "done")
    assert statuses(held) == {**expected, "events_us": "skipped: lock"}
    assert codes(held) == {f"{place.subject}.public.events_us": "pg.table_locked"}
    freed = place.call(dead_min=100)
    assert statuses(freed)["events_us"] == "done"
    assert not place.call(dead_min=100)["changed"]


def test_partitions_wait_for_their_whole_until_the_time_is_over(place: Place) -> None:
    make_partitioned(place)
    result = place.call(time_limit="0", include_catalogs=False)
    assert set(statuses(result).values()) == {"skipped: time_limit"}
    assert set(statuses(result)) == set(ALL_EVENTS)


def test_naming_a_partitioned_table_names_its_partitions(place: Place) -> None:
    make_partitioned(place)
    place.call()
    place.execute("DELETE FROM events WHERE id % 2 = 0 OR id < 8000")
    result = place.call(tables=["events"])
    assert statuses(result) == dict.fromkeys(ALL_EVENTS, "done")
    assert record_of(result, "events")["actions"] == ["analyze"]
    assert record_of(result, "events_us")["actions"] == ["vacuum", "analyze"]
    assert not place.call()["changed"]


# --- ages -------------------------------------------------------------------------------------------------------------


def use_up_ids(place: Place, count: int) -> None:
    """Use up that many transactions, and about as many multixacts on a table of their own."""
    place.execute(
        "CREATE TABLE IF NOT EXISTS spent (id int)",
        "INSERT INTO spent SELECT 1 WHERE NOT EXISTS (SELECT FROM spent)",
        "CREATE OR REPLACE PROCEDURE spend(times int) LANGUAGE plpgsql AS $$ BEGIN FOR n IN 1..times LOOP "
        "PERFORM FROM spent FOR SHARE; "
        "BEGIN UPDATE spent SET id = n; EXCEPTION WHEN division_by_zero THEN NULL; END; COMMIT; END LOOP; END $$",
        f"CALL spend({count})",
        "DROP TABLE spent",
    )


def test_what_is_old_is_frozen_and_the_age_proves_it(place: Place) -> None:
    place.execute(
        "CREATE TABLE old (id int, body text)",
        "INSERT INTO old SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 50) n",
        "VACUUM (ANALYZE) old",
    )
    use_up_ids(place, 600)
    place.make_dirty("young")
    ages = {"xid_age": 1000, "mxid_age": 500, "include_catalogs": False}
    planned = place.call(check=True, mode="freeze", **ages)
    done = place.call(mode="freeze", **ages)
    assert statuses(planned) == {"old": "planned", "young": "planned"} or statuses(planned) == {"old": "planned"}
    old = record_of(done, "old")
    assert old["actions"] == ["vacuum", "freeze"]
    assert old["reason"] == ["xid", "mxid"]
    assert old["sql"] == record_of(planned, "old")["sql"]
    assert old["sql"].startswith("VACUUM (FREEZE")
    assert (old["before"]["xid_age"], old["before"]["mxid_age"]) > (1000, 500)
    assert (old["after"]["xid_age"], old["after"]["mxid_age"]) < (500, 500)
    ((xid, mxid),) = place.execute("SELECT age(relfrozenxid), mxid_age(relminmxid) FROM pg_class WHERE relname = 'old'")
    assert xid < 1000
    assert mxid < 500
    assert "oldest transaction" in done["diff"]["before"]
    assert not place.call(mode="freeze", **ages)["changed"]


def test_age_is_a_reason_in_every_mode_that_vacuums(place: Place) -> None:
    place.make_dirty("old")
    use_up_ids(place, 600)
    limits = {"check": True, "tables": ["old"], "xid_age": 500}
    assert record_of(place.call(**limits), "old")["actions"] == ["vacuum", "freeze", "analyze"]
    assert record_of(place.call(mode="vacuum", **limits), "old")["actions"] == ["vacuum", "freeze"]
    assert record_of(place.call(mode="analyze", **limits), "old")["actions"] == ["analyze"]


def test_the_age_of_a_toast_table_is_that_of_its_table(place: Place) -> None:
    place.execute(
        "CREATE TABLE wide (id int, body text)",
        "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
        "INSERT INTO wide SELECT n, repeat('x', 5000) FROM generate_series(1, 20) n",
    )
    use_up_ids(place, 600)
    place.execute("VACUUM (FREEZE, PROCESS_TOAST OFF, ANALYZE) wide")
    old = {"mode": "freeze", "tables": ["wide"], "xid_age": 500}
    assert not place.call(process_toast=False, **old)["changed"]
    assert statuses(place.call(**old)) == {"wide": "done"}
    assert not place.call(**old)["changed"]


def test_an_old_transaction_keeps_tables_from_being_frozen(place: Place) -> None:
    place.make_dirty("old")
    with place.session("SELECT txid_current()") as other:
        use_up_ids(place, 600)
        held = place.call(mode="freeze", tables=["old"], xid_age=500, fail_on_blocked=True)
        assert statuses(held) == {"old": "partial"}
        (finding,) = held["findings"]
        assert finding["code"] == "pg.vacuum_blocked"
        assert finding["evidence"]["holder"]["id"] == str(other.info.backend_pid)
        assert held["msg"].startswith("Blocked: ")
        assert not place.call(mode="freeze", tables=["old"], xid_age=500)["changed"], "nothing moves any more"
    assert statuses(place.call(mode="freeze", tables=["old"], xid_age=500)) == {"old": "done"}


# --- options of the statements ----------------------------------------------------------------------------------------

ALL_OPTIONS = {
    "cost_delay": "0.5ms", "cost_limit": 500, "parallel": 0, "index_cleanup": "on", "truncate": False,
    "process_toast": True, "disable_page_skipping": True,
}  # fmt: skip
NEW_OPTIONS: dict[str, Any] = {"process_main": True, "buffer_usage_limit": "1MiB", "skip_database_stats": True}


def test_options_reach_the_server(place: Place) -> None:
    place.make_dirty("one", "two")
    result = place.call(tables=["one", "two"], **ALL_OPTIONS)
    assert statuses(result) == {"one": "done", "two": "done"}
    words = "INDEX_CLEANUP ON, TRUNCATE OFF, PROCESS_TOAST ON, DISABLE_PAGE_SKIPPING ON, PARALLEL 0"
    assert words in record_of(result, "one")["sql"]
    assert words in result["queries"][0]
    work = Work(place, **ALL_OPTIONS)
    with work.cluster.session(place.database) as session:
        assert session.rows("SHOW vacuum_cost_delay") == [("500us",)]
        assert session.rows("SHOW vacuum_cost_limit") == [("500",)]


def test_what_the_server_is_too_old_for_is_refused_before_anything_runs(place: Place) -> None:
    place.make_dirty("one")
    if place.major >= 16:
        result = place.call(tables=["one"], **NEW_OPTIONS)
        assert statuses(result) == {"one": "done"}
        (query,) = result["queries"]
        assert "PROCESS_MAIN ON, SKIP_DATABASE_STATS, BUFFER_USAGE_LIMIT '1024 kB'" in query
        return
    for check in (True, False):
        with pytest.raises(UnsupportedOption) as refused:
            place.call(check=check, **NEW_OPTIONS)
        for option in NEW_OPTIONS:
            assert f"{option} needs PostgreSQL 16" in refused.value.message
    assert place.execute("SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'one'") == [(1,)]


def test_each_statement_may_move_the_horizon_itself(place: Place) -> None:
    place.make_dirty("one")
    if place.major < 16:
        return
    assert place.call(tables=["one"], skip_database_stats=False)["queries"] == ["VACUUM (ANALYZE) public.one"]


def test_only_the_toast_table_is_vacuumed(place: Place) -> None:
    place.execute(
        "CREATE TABLE wide (id int, body text)",
        "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
        "INSERT INTO wide SELECT n, repeat(md5(n::text), 400) FROM generate_series(1, 2400) n",
        "VACUUM (ANALYZE) wide",
        "DELETE FROM wide WHERE id % 2 = 0",
    )
    if place.major < 16:
        return
    only = {"mode": "vacuum", "tables": ["wide"], "process_main": False}
    record = record_of(place.call(**only), "wide")
    assert (record["status"], record["after"]["toast_dead"], record["after"]["dead"]) == ("done", 0, 1200)
    assert not place.call(**only)["changed"]
    assert statuses(place.call(mode="vacuum", tables=["wide"])) == {"wide": "done"}


def test_a_table_can_be_judged_as_autovacuum_would(place: Place) -> None:
    place.execute(
        "CREATE TABLE touchy (id int) WITH (autovacuum_vacuum_threshold = 5, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_analyze_threshold = 1000000, autovacuum_enabled = off)",
        "CREATE TABLE patient (id int) WITH (autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_analyze_threshold = 1000000)",
        "CREATE TABLE growing (id int) WITH (autovacuum_vacuum_insert_threshold = 100, "
        "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_analyze_threshold = 1000000)",
        *(f"INSERT INTO {name} SELECT generate_series(1, 8000)" for name in ("touchy", "patient", "growing")),
        "VACUUM (ANALYZE) touchy, patient, growing",
        "DELETE FROM touchy WHERE id <= 6",
        "DELETE FROM patient WHERE id <= 4000",
        "INSERT INTO growing SELECT generate_series(1, 101)",
    )
    like = {"use_autovacuum_thresholds": True, "include_catalogs": False}
    planned = place.call(check=True, **like)
    assert {record["table"]: record["reason"] for record in planned["tables"]} == {
        "touchy": ["dead"],
        "growing": ["inserts"],
    }
    assert "6 of 8000 rows are dead (limit of autovacuum 5)" in record_of(planned, "touchy")["reason_text"]
    assert statuses(place.call(**like)) == {"touchy": "done", "growing": "done"}
    assert not place.call(**like)["changed"]
    assert statuses(place.call(include_catalogs=False, check=True)) == {"patient": "planned"}


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_a_locked_table_is_skipped_and_the_rest_is_done(place: Place) -> None:
    place.make_dirty("first", "locked", "last")
    with place.session("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"):
        started = time.monotonic()
        result = place.call(**QUICK)
        assert time.monotonic() - started < 60
    assert statuses(result) == {"first": "done", "last": "done", "locked": "skipped: lock"}
    locked = record_of(result, "locked")
    assert locked["sqlstate"] == "55P03"
    assert 2 <= locked["attempts"] <= 3
    assert locked["waited"] > 0.2
    assert codes(result) == {f"{place.subject}.public.locked": "pg.table_locked"}
    assert result["summary"]["worst"] == "warning"
    assert result["changed"]
    assert result["msg"] == ""
    assert place.call(**QUICK)["vacuum"]["done"] == 1


def test_what_the_role_may_not_do_is_not_tried_and_fails_the_task(place: Place, role: dict[str, str]) -> None:
    place.make_dirty("theirs", "own")
    place.execute("ALTER TABLE own OWNER TO upkeep_tester")
    for check in (True, False):
        result = place.call(check=check, **role)
        assert statuses(result) == {"theirs": "skipped: permission", "own": "planned" if check else "done"}
        assert f"{place.subject}.public.theirs" in result["msg"]
        assert "public.own" not in result["msg"]
        assert not [query for query in result["queries"] if "theirs" in query]
        assert codes(result)[f"{place.subject}.public.theirs"] == "pg.not_permitted"
    assert place.call(fail_on_skipped=[], **role)["msg"] == ""
    assert not place.call(fail_on_skipped=[], **role)["changed"]


def test_catalogs_of_others_are_a_remark_and_no_failure(place: Place, role: dict[str, str]) -> None:
    result = place.call(when="always", schemas=["pg_catalog"], **role)
    assert result["msg"] == ""
    assert codes(result) == {f"{place.subject}": "pg.catalogs_not_permitted"}
    assert result["summary"]["worst"] == "info"
    place.execute(f"ALTER DATABASE {place.database} OWNER TO {ROLE}")
    owner = place.call(when="always", schemas=["pg_catalog"], tables=["pg_class", "pg_authid"], **role)
    assert statuses(owner) == {"pg_class": "done", "pg_authid": "skipped: permission_catalog"}


GROUP = "upkeep_group"


@pytest.fixture
def group(place: Place, role: dict[str, str]) -> Iterator[str]:
    """A role that the login of `role` is a member of."""
    place.execute(f"CREATE ROLE {GROUP}", f"GRANT {GROUP} TO {ROLE}")
    yield GROUP
    place.execute(f"REASSIGN OWNED BY {GROUP} TO postgres", f"DROP OWNED BY {GROUP}", f"DROP ROLE {GROUP}")


def test_the_privilege_of_17_is_enough(place: Place, role: dict[str, str]) -> None:
    place.make_dirty("theirs")
    if place.major < 17:
        assert statuses(place.call(**role)) == {"theirs": "skipped: permission"}
        return
    place.execute(f"GRANT MAINTAIN ON theirs TO {ROLE}")
    assert statuses(place.call(**role)) == {"theirs": "done"}


def test_privileges_come_by_way_of_other_roles(place: Place, role: dict[str, str], group: str) -> None:
    place.make_dirty("owned", "granted", "theirs")
    place.execute(f"ALTER TABLE owned OWNER TO {group}")
    expected = {"owned": "done", "granted": "skipped: permission", "theirs": "skipped: permission"}
    if place.major >= 17:
        place.execute(f"GRANT MAINTAIN ON granted TO {group}")
        expected["granted"] = "done"
    assert statuses(place.call(**role)) == expected
    # As itself it has nothing of the group's.
    place.execute(f"ALTER ROLE {ROLE} NOINHERIT", "UPDATE owned SET note = 'again'")
    place.execute(f"REVOKE {group} FROM {ROLE}", f"GRANT {group} TO {ROLE}")
    assert statuses(place.call(tables=["owned"], **role)) == {"owned": "skipped: permission"}
    assert statuses(place.call(tables=["owned"], session_role=group, **role)) == {"owned": "done"}


def test_the_role_that_maintains_everything(place: Place, role: dict[str, str]) -> None:
    if place.major < 17:
        return
    place.make_dirty("theirs")
    place.execute(f"GRANT pg_maintain TO {ROLE}")
    always = place.call(when="always", tables=["theirs", "pg_class", "pg_authid"], **role)
    assert statuses(always) == dict.fromkeys(("theirs", "pg_class", "pg_authid"), "done")


def test_an_owner_may_have_given_the_privilege_away(place: Place, role: dict[str, str]) -> None:
    place.make_dirty("own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}")
    if place.major >= 17:
        place.execute(f"REVOKE MAINTAIN ON own FROM {ROLE}")
    assert statuses(place.call(**role)) == {"own": "skipped: permission" if place.major >= 17 else "done"}


def test_a_role_without_rights_on_pg_statistic_sees_new_tables(place: Place, role: dict[str, str]) -> None:
    place.execute(
        "CREATE TABLE fresh AS SELECT generate_series(1, 100) AS n",
        f"ALTER TABLE fresh OWNER TO {ROLE}",
    )
    assert statuses(place.call(tables=["fresh"], **role)) == {"fresh": "done"}
    assert not place.call(tables=["fresh"], **role)["changed"]


@BOTH_DRIVERS
def test_an_old_snapshot_is_named_and_makes_no_endless_change(place: Place, driver: str) -> None:
    place.execute(
        "CREATE TABLE pinned AS SELECT generate_series(1, 4000) AS n",
        "VACUUM (ANALYZE) pinned",
    )
    old = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pinned")
    with place.session(*old) as other:
        place.execute("DELETE FROM pinned WHERE n % 2 = 0")
        first = place.call(driver=driver, include_catalogs=False)
        second = place.call(driver=driver, include_catalogs=False)
        pid = str(other.info.backend_pid)
    assert statuses(first) == statuses(second) == {"pinned": "partial"}
    assert first["changed"], "its statistics were refreshed"
    assert not second["changed"]
    for result in (first, second):
        (finding,) = result["findings"]
        assert (finding["code"], finding["severity"]) == ("pg.vacuum_blocked", "warning")
        assert finding["evidence"]["holder"]["id"] == pid
        assert finding["evidence"]["holder"]["kind"] == "idle_in_transaction"
        assert f"pg_terminate_backend({pid})" in finding["remedy"]
        assert [blocker["id"] for blocker in result["blockers"]] == [pid]
        assert result["msg"] == ""
        assert record_of(result, "pinned")["after"]["dead"] == 2000
    assert statuses(place.call(driver=driver, include_catalogs=False)) == {"pinned": "done"}


def test_limits_that_are_set_for_the_database_do_not_end_the_work(place: Place) -> None:
    place.make_slow()
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    if place.major >= 17:
        limits.append("transaction_timeout")
    for setting in limits:
        place.execute(f"ALTER DATABASE {place.database} SET {setting} = '400ms'")
    result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "done"}
    assert record_of(result, "slow")["seconds"] > 0.5, "it was not slow enough to prove anything"


@pytest.mark.parametrize(
    ("options", "why", "code"),
    [
        ({"statement_timeout": "300ms"}, "timeout", "pg.vacuum_timed_out"),
        ({"hard_time_limit": "500ms"}, "time_limit", "pg.out_of_time"),
        ({"hard_time_limit": "500ms", "statement_timeout": "1h"}, "time_limit", "pg.out_of_time"),
    ],
)
def test_a_statement_that_takes_too_long_is_ended(place: Place, options: dict[str, str], why: str, code: str) -> None:
    place.make_slow()
    started = time.monotonic()
    result = place.call(mode="vacuum", include_catalogs=False, **options)
    assert time.monotonic() - started < 5
    assert statuses(result) == {"slow": f"skipped: {why}"}
    assert list(codes(result).values()) == [code]
    assert not result["changed"]


def test_a_server_that_does_not_count_is_unknown(place: Place) -> None:
    place.make_dirty("uncounted")
    place.execute(f"ALTER DATABASE {place.database} SET track_counts = off")
    result = place.call()
    assert codes(result) == {f"{place.subject}": "pg.counters_off"}
    assert result["summary"]["worst"] == "unknown"
    assert result["queries"] == []


# --- two at once ------------------------------------------------------------------------------------------------------


def test_a_second_run_says_who_is_at_work(place: Place) -> None:
    place.make_slow()
    first: list[Result] = []
    thread = threading.Thread(target=lambda: first.append(place.call(run_id="the-first", mode="vacuum")))
    thread.start()
    place.wait_for(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{place.database}' AND query LIKE 'VACUUM%slow'")
    with pytest.raises(LockHeld, match=r"held by run the-first \(pid \d+\)"):
        place.call(run_id="the-second")
    # From another host the lock of this one says nothing; that in the database does.
    with pytest.raises(LockHeld, match=r"another run: 'upkeep pg_vacuum the-first' \(pid \d+, postgres from"):
        place.call(run_id="the-third", state_dir=str(place.folder / "elsewhere"))
    # Looking needs no lock.
    assert statuses(place.call(check=True, mode="vacuum", include_catalogs=False)) == {"slow": "planned"}
    thread.join()
    assert statuses(first[0]) == {"slow": "done"}
    assert not place.call(mode="vacuum", include_catalogs=False)["changed"]


# --- several databases ------------------------------------------------------------------------------------------------


@pytest.fixture
def other_database(place: Place) -> Iterator[str]:
    with place.other_database() as name:
        yield name


def test_every_database_is_worked_in(place: Place, other_database: str) -> None:
    place.make_dirty("here")
    place.make_dirty("there", database=other_database)
    ours = f"{place.database}*"
    result = place.call(login_db="postgres", databases=[ours])
    assert statuses(result) == {"here": "done", "there": "done"}
    assert {record["database"] for record in result["tables"]} == {place.database, other_database}
    everywhere = place.call(login_db="postgres", databases=["*"], check=True, tables=["here", "there"])
    assert {"postgres", place.database, other_database} <= {entry["name"] for entry in everywhere["databases"]}
    left = {entry["name"]: entry["reason"] for entry in everywhere["databases"] if entry["status"] == "skipped"}
    assert left["template1"] == "it is a template"
    assert left["template0"] == "it does not accept connections"
    assert everywhere["findings"] == []
