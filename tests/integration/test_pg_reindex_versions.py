"""`pg_reindex` on every supported version: what differs between them, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import apply
from tests.bed.postgres import Cluster
from tests.integration.reindexing import QUICK, WAITING, Indexed, quote, record_of, statuses
from tests.integration.vacuuming import ROLE, codes

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)
WRITER = "UPDATE {} SET note = note WHERE id = 10"
READER = "SELECT count(*) FROM {}"
SNAPSHOT = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Indexed:
    return Indexed(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture
def role(place: Indexed) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


# --- what it is for ---------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_it_rebuilds_what_is_bloated_proves_it_and_finds_nothing_to_do_again(place: Indexed, driver: str) -> None:
    place.make_bloated("orders")
    place.execute("CREATE INDEX orders_fresh ON orders (note)")
    before = place.files("orders_pkey", "orders_fresh")
    planned = place.call(check=True, driver=driver)
    assert place.files("orders_pkey", "orders_fresh") == before, "check mode changed something"
    done = place.call(driver=driver)
    again = place.call(driver=driver)
    planned_again = place.call(driver=driver, check=True)
    after = place.files("orders_pkey", "orders_fresh")

    assert (planned["changed"], done["changed"]) == (True, True)
    assert statuses(planned) == {"orders_pkey": "planned: rebuild"}
    assert statuses(done) == {"orders_pkey": "done: rebuild"}
    assert planned["queries"] == done["queries"] == ["REINDEX (CONCURRENTLY) INDEX public.orders_pkey"]
    assert codes(planned) == {f"{place.subject}.public.orders_pkey": "pg.reindex_needed"}
    record = record_of(done, "orders_pkey")
    assert record["before"] == {"bytes": record["before"]["bytes"], "valid": True, "filenode": before["orders_pkey"]}
    assert record["after"] == {"bytes": record["after"]["bytes"], "valid": True, "filenode": after["orders_pkey"]}
    assert after["orders_pkey"] != before["orders_pkey"]
    assert after["orders_fresh"] == before["orders_fresh"]
    assert record["after"]["bytes"] < record["before"]["bytes"] / 5
    assert record["bloat"]["expected_bytes"] == pytest.approx(record["after"]["bytes"], rel=0.1)
    assert done["reindex"]["freed"] == record["before"]["bytes"] - record["after"]["bytes"]
    assert done["findings"] == []
    assert done["msg"] == ""
    assert "public.orders_pkey: valid" in done["diff"]["before"]
    for result in (again, planned_again):
        assert not result["changed"]
        assert result["queries"] == result["indexes"] == []
    assert place.invalid() == []


def test_what_an_index_is_besides_stays_as_it_is(place: Indexed) -> None:
    """Constraint, deferrable or not, order of CLUSTER, replica identity, comment, storage parameter, statistics."""
    place.make_bloated("orders")
    place.execute(
        "CREATE TABLE lines (order_id integer NOT NULL REFERENCES orders, n integer, "
        "CONSTRAINT lines_uq UNIQUE (order_id, n) INCLUDE (n) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE UNIQUE INDEX lines_identity ON lines (order_id) WITH (fillfactor = 70)",
        "CREATE INDEX lines_expression ON lines ((order_id + n)) WHERE n > 0",
        "ALTER INDEX lines_expression ALTER COLUMN 1 SET STATISTICS 500",
        "ALTER TABLE lines CLUSTER ON lines_identity",
        "ALTER TABLE lines REPLICA IDENTITY USING INDEX lines_identity",
        "COMMENT ON INDEX lines_identity IS 'keep me'",
    )
    look = """
        SELECT c.relname, pg_get_indexdef(c.oid), x.indisprimary, x.indisclustered, x.indisreplident, x.indimmediate,
               obj_description(c.oid), k.conname, k.condeferrable, c.reloptions,
               (SELECT max(a.attstattarget) FROM pg_attribute a WHERE a.attrelid = c.oid)
        FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
        LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype <> 'f'
        WHERE x.indrelid IN ('lines'::regclass, 'orders'::regclass) ORDER BY 1"""
    before, files = place.execute(look), place.files("lines_uq", "lines_identity", "lines_expression", "orders_pkey")
    result = place.call(when="always", tables=["lines", "orders"], exclude_indexes=["pg_toast*"], jobs=3)
    assert set(statuses(result).values()) == {"done: rebuild"}
    assert set(statuses(result)) == set(files)
    assert place.execute(look) == before
    after = place.files(*files)
    assert all(after[name] != node for name, node in files.items())
    place.execute(
        "DELETE FROM orders WHERE id = 10", "INSERT INTO orders VALUES (1)", "INSERT INTO lines VALUES (1, 1)"
    )


# --- what interrupted rebuilds left -----------------------------------------------------------------------------------


STRANGE = [
    'Up"quote',
    "d.ot",
    "new\nline",
    "ünïcødé ☃",
    "100%s %I %(x)s {left}",
    "x" * 63,
    "☃" * 21,
    "ends_ccnew",
    "'; DROP TABLE orders; --",
]


def test_what_an_interrupted_rebuild_left_is_dropped_whatever_the_index_is_called(place: Indexed) -> None:
    for number, name in enumerate(STRANGE):
        place.execute(
            f"CREATE TABLE t{number} AS SELECT n AS id, 'x' AS note FROM generate_series(1, 20) n",
            f"CREATE UNIQUE INDEX {quote(name)} ON t{number} ((id + 0), note) WHERE id > 0",
        )
        place.interrupt(quote(name), WRITER.format(f"t{number}"))
    left = place.invalid()
    assert len(left) == len(STRANGE)
    planned = place.call(check=True)
    done = place.call()
    assert set(statuses(planned).values()) == {"planned: drop"}
    assert set(statuses(done).values()) == {"done: drop"}
    assert done["queries"] == planned["queries"]
    assert len(done["queries"]) == len(STRANGE)
    assert {record["reason"][0] for record in done["indexes"]} == {"leftover"}
    assert place.invalid() == []
    assert set(place.files(*STRANGE)) == set(STRANGE), "an index that was well is gone"
    assert not place.call()["changed"]
    every = place.call(when="always", tables=["t*"])
    assert set(statuses(every).values()) == {"done: rebuild"}
    assert set(statuses(every)) >= set(STRANGE)


@pytest.mark.parametrize(("held_up_by", "left"), [(WRITER, "ccnew"), (READER, "ccold"), (None, "ccnew")])
def test_whatever_a_rebuild_waited_for_its_leftovers_go(place: Indexed, held_up_by: str | None, left: str) -> None:
    """Of the table and of its TOAST table."""
    place.make_bloated("orders")
    ((toast,),) = place.execute("SELECT relname FROM pg_class WHERE relkind = 't' AND relname = 'pg_toast_' || "
                                "'orders'::regclass::oid")  # fmt: skip
    held = SNAPSHOT if held_up_by is None else (held_up_by.format("orders"),)
    with place.session(*held), place.beside("REINDEX TABLE CONCURRENTLY orders") as ended:
        ((pid,),) = place.wait_for(WAITING.format(place.database))
        place.execute(f"SELECT pg_cancel_backend({pid})")
    assert ended == ["57014"]
    assert place.invalid() == [f"pg_toast.{toast}_index_{left}", f"public.orders_pkey_{left}"]
    reported = place.call(invalid="report", min_size="1GB")
    assert set(codes(reported).values()) == {"pg.reindex_leftover"}
    assert not reported["changed"]
    result = place.call(min_size="1GB")
    assert statuses(result) == {f"orders_pkey_{left}": "done: drop", f"{toast}_index_{left}": "done: drop"}
    assert result["findings"] == []
    assert place.invalid() == []


def test_an_index_of_ones_own_that_only_looks_left_over_is_kept(place: Indexed) -> None:
    place.execute(
        "CREATE TABLE t (a integer, b integer)",
        "INSERT INTO t VALUES (1, 1), (1, 2)",
        "CREATE INDEX t_a ON t (a)",
        # Valid, and the very same as another.
        "CREATE INDEX t_a_ccnew ON t (a)",
        "CREATE INDEX t_b_ccold1 ON t (b)",
    )
    # Invalid, and the copy of none: a unique index that was never built, a plain one of other columns.
    for name, columns, unique in (("t_a_ccnew1", "(a)", "UNIQUE"), ("t_a_ccold", "(a, b)", "")):
        statement = f"CREATE {unique} INDEX CONCURRENTLY {name} ON t {columns}"
        with place.session("UPDATE t SET b = 3 WHERE b = 2"), place.beside(statement):
            ((pid,),) = place.wait_for(WAITING.format(place.database))
            place.execute(f"SELECT pg_cancel_backend({pid})")
    assert place.invalid() == ["public.t_a_ccnew1", "public.t_a_ccold"]
    place.execute("DELETE FROM t WHERE b = 2")
    result = place.call()
    assert statuses(result) == {"t_a_ccnew1": "done: rebuild", "t_a_ccold": "done: rebuild"}
    assert place.invalid() == []
    assert len(place.files("t_a", "t_a_ccnew", "t_b_ccold1", "t_a_ccnew1", "t_a_ccold")) == 5
    assert not place.call()["changed"]


def test_what_others_build_right_now_is_left_alone(place: Indexed) -> None:
    place.make_bloated("orders")
    place.execute("CREATE INDEX orders_note ON orders (note)")
    place.interrupt("orders_note", WRITER.format("orders"))
    with (
        place.session(WRITER.format("orders")) as writer,
        place.beside("CREATE INDEX CONCURRENTLY orders_new ON orders (grp)") as created,
    ):
        place.wait_for(WAITING.format(place.database))
        result = place.call(**QUICK)
        assert place.invalid() == ["public.orders_new", "public.orders_note_ccnew"]
        writer.rollback()
    assert created == [""]
    assert set(statuses(result).values()) == {"skipped: building"}
    assert set(statuses(result)) == {"orders_new", "orders_note_ccnew", "orders_pkey"}
    assert set(codes(result).values()) == {"pg.reindex_being_built"}
    assert not result["changed"]
    assert place.invalid() == ["public.orders_note_ccnew"]
    assert statuses(place.call()) == {"orders_note_ccnew": "done: drop", "orders_pkey": "done: rebuild"}


# --- what stands in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_up_by", [WRITER, READER, None])
def test_an_old_transaction_is_named_and_nothing_is_started(place: Indexed, held_up_by: str | None) -> None:
    place.make_bloated("orders")
    held = SNAPSHOT if held_up_by is None else (held_up_by.format("orders"),)
    with place.session(*held) as other:
        result = place.call(blocker_age="1ms", **QUICK)
        pid = str(other.info.backend_pid)
    assert statuses(result) == {"orders_pkey": "skipped: blocked"}
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("pg.reindex_blocked", "warning")
    assert (finding["evidence"]["holder"]["id"], finding["evidence"]["holder"]["kind"]) == (pid, "idle_in_transaction")
    assert f"pg_terminate_backend({pid})" in finding["remedy"]
    assert [blocker["id"] for blocker in result["blockers"]] == [pid]
    assert result["queries"] == []
    assert not result["changed"]
    assert place.invalid() == []
    assert statuses(place.call(blocker_age="1ms")) == {"orders_pkey": "done: rebuild"}


@pytest.mark.parametrize(
    ("held_up_by", "status", "left"),
    [
        # What waits for writers has done nothing yet; its leftover is not even ready, and costs nobody anything.
        (WRITER, "skipped: timeout", ["public.orders_pkey_ccnew"]),
        # Of an old snapshot a drop knows nothing: it is clean at once.
        (None, "skipped: timeout", []),
        # What waits for the last readers is done: only the old index could not go yet.
        (READER, "done: rebuild", ["public.orders_pkey_ccold"]),
    ],
)
def test_a_rebuild_that_is_ended_while_it_waits_leaves_nothing_for_long(
    place: Indexed, monkeypatch: pytest.MonkeyPatch, held_up_by: str | None, status: str, left: list[str]
) -> None:
    monkeypatch.setattr(apply, "CLEANING_SECONDS", 0.1)
    place.make_bloated("orders")
    held = SNAPSHOT if held_up_by is None else (held_up_by.format("orders"),)
    with place.session(*held) as other:
        result = place.call(statement_timeout="1500ms")
        assert place.invalid() == left
        pid = str(other.info.backend_pid)
    assert statuses(result) == {"orders_pkey": status}
    record = record_of(result, "orders_pkey")
    assert record["leftovers"] == left
    found = codes(result)
    assert [found.pop(f"{place.subject}.{name}") for name in left] == ["pg.reindex_leftover"] * len(left)
    if status.startswith("skipped"):
        assert found == {f"{place.subject}.public.orders_pkey": "pg.reindex_timed_out"}
        assert f"pid {pid}" in record["message"]
        assert record["sqlstate"] == "57014"
    again = place.call()
    assert set(statuses(again).values()) <= {"done: drop", "done: rebuild"}
    assert place.invalid() == []
    assert not place.call()["changed"]


def test_what_the_role_may_not_do_is_not_tried_and_fails_the_task(place: Indexed, role: dict[str, str]) -> None:
    place.make_bloated("theirs", "own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}")
    place.execute(f"GRANT SELECT ON theirs TO {ROLE}")
    for check in (True, False):
        result = place.call(check=check, **role)
        own = "planned: rebuild" if check else "done: rebuild"
        assert statuses(result) == {"theirs_pkey": "skipped: permission", "own_pkey": own}
        assert f"{place.subject}.public.theirs_pkey" in result["msg"]
        assert "own" not in result["msg"]
        assert not [query for query in result["queries"] if "theirs" in query]
        assert codes(result)[f"{place.subject}.public.theirs_pkey"] == "pg.not_permitted"
    # To own the database is enough to vacuum a table, not to rebuild one index.
    place.execute(f"ALTER DATABASE {place.database} OWNER TO {ROLE}")
    assert statuses(place.call(fail_on_skipped=[], **role)) == {"theirs_pkey": "skipped: permission"}
    every = place.call(when="always", tables=["own"], **role)
    assert every["msg"] == ""
    assert codes(every) == {place.subject: "pg.reindex_toast_not_permitted"}


def test_the_privilege_of_17_is_enough(place: Indexed, role: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_bloated("theirs")
    place.execute(f"GRANT SELECT ON theirs TO {ROLE}")
    if place.major < 17:
        assert statuses(place.call(**role)) == {"theirs_pkey": "skipped: permission"}
        return
    place.execute(f"GRANT MAINTAIN ON theirs TO {ROLE}")
    monkeypatch.setattr(apply, "CLEANING_SECONDS", 0.1)
    with place.session(*SNAPSHOT):
        ended = place.call(statement_timeout="1s", **role)
    # It may rebuild, and not drop: what it left waits for somebody who may.
    assert record_of(ended, "theirs_pkey")["leftovers"] == ["public.theirs_pkey_ccnew"]
    again = place.call(**role)
    assert statuses(again) == {"theirs_pkey_ccnew": "skipped: permission", "theirs_pkey": "done: rebuild"}
    assert statuses(place.call()) == {"theirs_pkey_ccnew": "done: drop"}
    place.make_bloated("others")
    assert statuses(place.call(check=True, **role)) == {}, "without SELECT its bloat cannot be told"
    place.execute(f"GRANT pg_maintain, pg_read_all_data, pg_monitor TO {ROLE}")
    assert statuses(place.call(**role)) == {"others_pkey": "done: rebuild"}


def test_rows_that_are_alike_are_a_critical_finding_and_nothing_is_left(place: Indexed) -> None:
    place.make_bloated("orders", "fine")
    place.execute(
        "CREATE INDEX orders_unique ON orders (grp)",
        "UPDATE pg_index SET indisunique = true WHERE indexrelid = 'orders_unique'::regclass",
    )
    result = place.call(indexes=["orders_unique", "fine_pkey"], when="always")
    assert statuses(result) == {"orders_unique": "failed: rebuild", "fine_pkey": "done: rebuild"}
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("pg.reindex_duplicates", "critical")
    assert finding["evidence"]["sqlstate"] == "23505"
    assert result["msg"].startswith(f"Failed: {place.subject}.public.orders_unique (could not create unique index")
    assert "(0)" not in str(result), "a value of a row has got out"
    assert place.invalid() == []


# --- every kind of index ----------------------------------------------------------------------------------------------


def test_every_kind_of_index_and_table(place: Indexed) -> None:
    place.execute(
        "CREATE UNLOGGED TABLE fast (id integer PRIMARY KEY, box box, words text[], doc tsvector)",
        "INSERT INTO fast SELECT n, box(point(n, n), point(n + 1, n + 1)), ARRAY['a'] FROM generate_series(1, 99) n",
        "CREATE INDEX fast_brin ON fast USING brin (id)",
        "CREATE INDEX fast_gin ON fast USING gin (words)",
        "CREATE INDEX fast_gist ON fast USING gist (box)",
        "CREATE INDEX fast_spgist ON fast USING spgist (box)",
        "CREATE INDEX fast_hash ON fast USING hash (id)",
        "CREATE MATERIALIZED VIEW seen AS SELECT id FROM fast",
        "CREATE INDEX seen_id ON seen (id)",
        "CREATE TABLE events (id integer, region text) PARTITION BY LIST (region)",
        "CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu') PARTITION BY RANGE (id)",
        "CREATE TABLE events_eu_1 PARTITION OF events_eu FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us')",
        "CREATE INDEX events_id ON events (id)",
        "CREATE TABLE apart (span box, EXCLUDE USING gist (span WITH &&))",
    )
    with place.session("CREATE TEMPORARY TABLE mine (id integer PRIMARY KEY)", "COMMIT"):
        every = place.call(when="always", exclude_indexes=["pg_toast*"], jobs=4)
    expected = dict.fromkeys(
        ("fast_pkey", "fast_brin", "fast_gin", "fast_gist", "fast_spgist", "fast_hash", "seen_id", "events_eu_1_id_idx",
         "events_us_id_idx"), "done: rebuild",
    )  # fmt: skip
    expected["mine_pkey"] = "skipped: temporary"
    expected["apart_span_excl"] = "skipped: not_concurrently"
    assert statuses(every) == expected
    assert codes(every) == {f"{place.subject}.public.apart_span_excl": "pg.reindex_not_concurrent"}
    assert every["msg"] == ""
    assert statuses(place.call(when="always", tables=["apart"], method="plain")) == {"apart_span_excl": "done: rebuild"}
    of_a_whole = {"events_eu_1_id_idx": "planned: rebuild", "events_us_id_idx": "planned: rebuild"}
    whole: dict[str, Any] = {"when": "always", "check": True, "exclude_indexes": ["pg_toast*"]}
    assert statuses(place.call(tables=["events"], **whole)) == of_a_whole
    assert statuses(place.call(indexes=["events_id"], **whole)) == of_a_whole
    toasts = place.call(when="always", tables=["fast"], indexes=["pg_toast.*"])
    assert set(statuses(toasts).values()) == {"done: rebuild"}
    assert toasts["reindex"]["done"] == 1


def test_a_partitioned_index_that_is_invalid_is_reported(place: Indexed) -> None:
    place.execute(
        "CREATE TABLE events (id integer) PARTITION BY RANGE (id)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100)",
        "CREATE INDEX events_id ON ONLY events (id)",
    )
    result = place.call()
    assert statuses(result) == {"events_id": "skipped: partitioned"}
    assert codes(result) == {f"{place.subject}.public.events_id": "pg.reindex_index_invalid"}
    assert "ATTACH PARTITION" in result["findings"][0]["remedy"]


def test_system_catalogs_are_rebuilt_only_when_asked_for_and_plainly(place: Indexed, role: dict[str, str]) -> None:
    names = ["pg_class_oid_index", "pg_amop_opr_fam_index", "pg_authid_oid_index"]
    wanted: dict[str, Any] = {"when": "always", "indexes": names}
    assert place.call(**wanted)["findings"][0]["code"] == "pg.nothing_examined"
    beside = place.call(include_catalogs=True, **wanted)
    assert statuses(beside) == dict.fromkeys(names, "skipped: not_concurrently")
    done = place.call(include_catalogs=True, method="plain", **wanted)
    assert statuses(done) == dict.fromkeys(names, "done: rebuild")
    assert done["msg"] == ""
    refused = place.call(include_catalogs=True, method="plain", **wanted, **role)
    assert statuses(refused) == dict.fromkeys(names, "skipped: permission_catalog")
    assert (refused["msg"], codes(refused)) == ("", {place.subject: "pg.catalogs_not_permitted"})


def test_old_statistics_are_refreshed_before_they_are_believed(place: Indexed) -> None:
    place.execute(
        "CREATE TABLE grown (id integer, note text)",
        "INSERT INTO grown SELECT n, 'x' || n FROM generate_series(1, 9000) n",
        "CREATE INDEX grown_note ON grown (note)",
        "VACUUM (ANALYZE) grown",
        "INSERT INTO grown SELECT n, repeat(md5(n::text), 3) FROM generate_series(1, 9000) n",
        "REINDEX INDEX grown_note",
    )
    place.counted()
    planned = place.call(check=True)
    analyze = "ANALYZE ONLY public.grown" if place.major >= 18 else "ANALYZE public.grown"
    assert planned["queries"] == [analyze, "REINDEX (CONCURRENTLY) INDEX public.grown_note"]
    assert "looked at again after an ANALYZE" in planned["findings"][0]["message"]
    done = place.call()
    assert done["queries"] == [analyze]
    assert statuses(done) == {"grown_note": "skipped: not_bloated"}
    assert done["changed"], "its statistics were refreshed"
    assert (done["findings"], done["reindex"]["skipped"]) == ([], 0)
    assert not place.call()["changed"]
    assert not place.call(check=True)["changed"]
