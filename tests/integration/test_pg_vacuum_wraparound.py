"""`pg_vacuum` on clusters whose transaction ids or multixacts have almost run out, made so by `pg_resetwal`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import needs, wraparound
from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.vacuuming import Place, Result, record_of, statuses

# Autovacuum does not come to help before its own limit is passed, though it is off.
SETTINGS = {
    "max_prepared_transactions": "5",
    "autovacuum_freeze_max_age": "2000000000",
    "autovacuum_multixact_freeze_max_age": "2000000000",
    "wal_level": "logical",
}
ALARMING = 1_200_000_000
# From here on the server assigns no id.
THE_END = 2**31 - 1_500_000


def jump(cluster: Cluster, *, xid: int = 0, mxid: int = 0) -> None:
    """Let the next transaction, or the next multixact, be this one, as if all before it had been used."""
    cluster.execute("CHECKPOINT")
    cluster.stop()
    # The page of the log that the server begins with has to be there.
    if xid:
        page, argument = f"pg_xact/{xid // 2**20:04X}", ["-x", str(xid)]
    else:
        page, argument = f"pg_multixact/offsets/{mxid // 2**16:04X}", ["-m", f"{mxid},1"]
    path = cluster.data_directory / page
    path.write_bytes(bytes(256 * 1024))
    server_account().give(path)
    ended = cluster._run(cluster.binaries.tool("pg_resetwal"), "-D", cluster.data_directory, *argument)
    assert ended.returncode == 0, ended.stderr
    cluster.start()


@contextmanager
def aged(folder: Path, major: int | None = None, **settings: str) -> Iterator[Place]:
    cluster = Cluster(find_or_bring(major, cache_directory()), name="aged", settings={**SETTINGS, **settings})
    with cluster:
        cluster.execute("CREATE DATABASE shop")
        yield Place(cluster, "shop", folder)


def found(result: Result, code: str) -> dict[str, dict[str, Any]]:
    """The findings of that code by their subjects."""
    return {finding["subject"]: finding for finding in result["findings"] if finding["code"] == code}


def databases(result: Result) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in result["databases"]}


# After a jump over 2^30 a server takes long to start while a transaction is left prepared. The short way, which is for
# every day, has the alarm ring earlier.
EARLY = 10_000_000
CASES = [
    pytest.param(None, EARLY, id="early"),
    pytest.param(18, EARLY, id="early-18"),
    *(pytest.param(major, 2**30, id=f"whole-{major}", marks=pytest.mark.soak) for major in (None, 14, 17, 18)),
]


@pytest.mark.parametrize(("major", "alarm"), CASES)
def test_what_holds_a_database_back_is_told_before_anything_else_and_the_end_is_averted(
    tmp_path: Path, major: int | None, alarm: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wraparound, needs):
        monkeypatch.setattr(module, "EMERGENCY_AGE", alarm)
    limits = {"xid_age": alarm // 8}
    with aged(tmp_path, major) as place:
        place.make_dirty("orders")
        with place.session("SELECT txid_current()", "PREPARE TRANSACTION 'it''s left'"):
            pass
        jump(place.cluster, xid=alarm + 1_000_000)

        looked = place.call(check=True, databases=["*"], **limits)
        held = place.call(databases=["*"], jobs=2, fail_on_blocked=True, **limits)
        one = place.call(tables=["orders"], **limits)
        place.execute("ROLLBACK PREPARED 'it''s left'")
        freed = place.call(databases=["*"], jobs=2, **limits)
        again = place.call(databases=["*"], mode="freeze", **limits)

    for result in (looked, held):
        assert result["summary"]["worst"] == "critical"
        assert result["findings"][0]["code"] == "pg.wraparound_blocked"
        for finding in found(result, "pg.wraparound_blocked").values():
            assert "ROLLBACK PREPARED 'it''s left';" in finding["remedy"]
        assert set(found(result, "pg.wraparound_emergency")) == {
            "main: postgres", "main: shop", "main: template0", "main: template1",
        }  # fmt: skip
        assert {name for name, entry in databases(result).items() if entry["emergency"]} == {
            "postgres", "shop", "template1",
        }, "a template whose ids run out stops the cluster too"  # fmt: skip
    assert statuses(one) == {"orders": "partial"}
    assert record_of(one, "orders")["actions"] == ["vacuum", "freeze"]
    assert "Blocked: " in held["msg"]
    assert not [query for query in held["queries"] if "SKIP_LOCKED" in query or "ANALYZE" in query]
    assert "VACUUM (FREEZE, INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST ON" in held["queries"][0]

    assert set(found(freed, "pg.wraparound_averted")) == {"main: postgres", "main: shop", "main: template1"}
    assert databases(freed)["shop"]["before"]["xid_age"] > alarm
    assert databases(freed)["shop"]["after"]["xid_age"] < 10_000
    assert set(found(freed, "pg.wraparound_emergency")) == {"main: template0"}
    assert "it does not accept connections" in found(freed, "pg.wraparound_emergency")["main: template0"]["message"]
    assert not again["changed"]
    assert not any(entry["emergency"] for entry in again["databases"])


def test_multixacts_can_run_out_too(tmp_path: Path) -> None:
    with aged(tmp_path) as place:
        place.make_dirty("orders")
        jump(place.cluster, mxid=ALARMING)
        result = place.call(mode="vacuum", report="all")
        assert record_of(result, "orders")["reason"] == ["mxid"]
        assert record_of(result, "orders")["before"]["mxid_age"] > ALARMING - 10_000
        assert record_of(result, "orders")["after"]["mxid_age"] < 10_000
        assert set(found(result, "pg.wraparound_averted")) == {"main: shop"}
        assert "it is not among databases" in found(result, "pg.wraparound_emergency")["main: postgres"]["message"]


def test_where_no_id_is_assigned_any_more_the_way_back_is_open(tmp_path: Path) -> None:
    with aged(tmp_path, autovacuum_freeze_max_age="2000000000", autovacuum_naptime="1h") as place:
        place.make_dirty("orders")
        jump(place.cluster, xid=THE_END)
        with pytest.raises(Exception, match="not accepting commands"):
            place.execute("INSERT INTO orders VALUES (0, 'x')")
        # Autovacuum is at it too by now, on some table or other: what it has in hand is left, so it may take two.
        for _turn in range(20):
            result = place.call(databases=["*"], exclude_schemas=["none*"])
            if not found(result, "pg.wraparound_emergency").keys() - {"main: template0"}:
                break
        place.execute("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
        place.call(login_db="template0", databases=["template0"])
        place.execute("INSERT INTO orders VALUES (0, 'x')")


def test_an_emergency_can_be_ruled_out_and_is_told_all_the_same(tmp_path: Path) -> None:
    with aged(tmp_path) as place:
        place.make_dirty("orders", "other")
        jump(place.cluster, xid=ALARMING)
        narrow = place.call(check=True, emergency="false", tables=["orders"])
        assert record_of(narrow, "orders")["sql"].startswith("VACUUM (FREEZE")
        assert "INDEX_CLEANUP" not in record_of(narrow, "orders")["sql"]
        looked = place.call(check=True, emergency="false", exclude_tables=["other"])
        finding = found(looked, "pg.wraparound_emergency")["main: shop"]
        assert list(finding["evidence"]["left"]) == ["public.other"]
        analysed = place.call(check=True, mode="analyze")
        assert "main: shop" in found(analysed, "pg.wraparound_emergency")
        assert not [query for query in analysed["queries"] if "VACUUM" in query]
        overruled = place.call(check=True, index_cleanup="on", process_toast=False, tables=["orders"])
        assert "INDEX_CLEANUP OFF" in record_of(overruled, "orders")["sql"]
        (entry,) = overruled["databases"]
        assert entry["notes"] == ["an emergency does not heed index_cleanup, process_toast"]


def test_a_logical_slot_that_holds_the_catalogs_is_named(tmp_path: Path) -> None:
    with aged(tmp_path) as place:
        place.execute("SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
        jump(place.cluster, xid=ALARMING)
        result = place.call(tables=["pg_class", "sql_features"])
        blocked = found(result, "pg.wraparound_blocked")["main: shop"]
        assert "pg_drop_replication_slot('left')" in blocked["remedy"]
        assert statuses(result)["pg_class"] == "partial"
        assert record_of(result, "sql_features")["status"] == "done", "it holds nothing but catalogs"


def test_a_run_that_was_killed_before_its_end_is_finished_by_the_next(tmp_path: Path) -> None:
    """Its tables are frozen, and the database does not know it yet."""
    with aged(tmp_path, 18) as place:
        jump(place.cluster, xid=ALARMING)
        place.execute("VACUUM (FREEZE, SKIP_DATABASE_STATS)")
        planned = place.call(check=True)
        assert planned["queries"] == ["VACUUM (ONLY_DATABASE_STATS)"]
        assert planned["changed"]
        done = place.call()
        assert done["queries"] == planned["queries"]
        assert done["changed"]
        assert databases(done)["shop"]["after"]["xid_age"] < 10_000
        assert not place.call()["changed"]


# --- autovacuum at work -----------------------------------------------------------------------------------------------

AUTOVACUUM = {
    "autovacuum": "on",
    "autovacuum_naptime": "1s",
}
AT_IT = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%public.busy{}'"


def make_busy(place: Place) -> None:
    """A table on which autovacuum, once it has begun, is at work until the test is over."""
    place.execute(
        "CREATE TABLE busy WITH (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1) AS "
        "SELECT n, repeat('x', 400) AS filler FROM generate_series(1, 20000) n",
        "DELETE FROM busy WHERE n % 2 = 0",
    )


def test_what_autovacuum_is_at_is_left_and_taken_over_when_asked_for(tmp_path: Path) -> None:
    with aged(tmp_path, **AUTOVACUUM) as place:
        make_busy(place)
        place.wait_for(AT_IT.format(""), seconds=60)
        left = place.call(include_catalogs=False, mode="vacuum")
        assert statuses(left) == {"busy": "skipped: autovacuum"}
        (finding,) = left["findings"]
        assert (finding["code"], finding["severity"]) == ("pg.autovacuum_at_work", "info")
        with place.role() as role:
            place.execute("ALTER TABLE busy OWNER TO upkeep_tester")
            # Changing the owner has cancelled it.
            place.wait_for(AT_IT.format(""), seconds=60)
            left = place.call(include_catalogs=False, mode="vacuum", **role)
            assert statuses(left) == {"busy": "skipped: autovacuum"}
        taken = place.call(tables=["busy"], when="always", mode="vacuum", lock_timeout="1m")
        assert statuses(taken) == {"busy": "done"}


def test_an_autovacuum_against_wraparound_is_never_in_our_way(tmp_path: Path) -> None:
    settings = {**AUTOVACUUM, "autovacuum_freeze_max_age": "100000", "vacuum_failsafe_age": "2100000000"}
    with aged(tmp_path, **settings) as place:
        make_busy(place)
        jump(place.cluster, xid=50_000_000)
        place.wait_for(AT_IT.format(" (to prevent wraparound)"), seconds=120)
        for options in ({}, {"when": "always"}, {"emergency": "true"}):
            result = place.call(include_catalogs=False, mode="vacuum", tables=["busy"], xid_age=1000, **options)
            assert statuses(result) == {"busy": "skipped: autovacuum"}
            (finding,) = result["findings"]
            assert (finding["code"], finding["severity"]) == ("pg.autovacuum_at_work", "warning")
            assert "to prevent wraparound, and does not give way" in finding["message"]
            assert result["queries"] == []
