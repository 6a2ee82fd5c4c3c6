"""The bloat estimator on one server: what it says when it cannot know, privileges, locks, and what counting adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.collect import confirm, read_bloat
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.evaluate import (
    BUSY,
    LACKING,
    NEVER,
    UNREADABLE,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import read_server
from tests.bed import bloat_cases
from tests.bed.bloat_cases import CASES, Bench, entrance, text_of
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.standby import Standby
from tests.integration.bloating import COMPUTED, COUNTED, FIXED, KEYS, PASSWORD, QUICK, TEXTS, count, read, wrong

TESTER = "bloat_tester"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="bloated") as running:
        yield running


@pytest.fixture
def bench(cluster: Cluster) -> Iterator[Bench]:
    with bloat_cases.bench(cluster) as made:
        yield made


@pytest.fixture
def role(bench: Bench) -> Iterator[dict[str, str]]:
    """A login that owns nothing and may read nothing."""
    bench.run(f"CREATE ROLE {TESTER} LOGIN PASSWORD '{PASSWORD}'")
    yield {"user": TESTER, "password": PASSWORD}
    bench.run(f"DROP OWNED BY {TESTER}")
    bench.run(f"DROP ROLE {TESTER}")


# --- no bloat --------------------------------------------------------------------------------------------------------


def test_what_has_no_bloat_is_said_to_have_none(bench: Bench) -> None:
    """A task that acts on the estimate must find nothing to do afterwards."""
    for case in QUICK:
        if case.on or case.name in ("nullable", "varlena", "short texts", "wide, variable", "fillfactor 70", "padded"):
            bench.make(case, 0)
    rows = bench.judge()
    assert wrong(rows) == []
    assert [row.case for row in rows if row.ours > 5] == []


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_what_has_grown_since_its_pages_were_counted_is_seen(bench: Bench, end: str) -> None:
    """Its size is asked for when the rows since could have made it large enough, and not for others."""
    for name in ("grown", "calm"):
        bench.run(f"CREATE TABLE {name} (n int PRIMARY KEY, filler text)")
        bench.run(f"INSERT INTO {name} SELECT n, 'short' FROM generate_series(1, 100) n")
        bench.run(f"ANALYZE {name}")
    bench.run("INSERT INTO calm SELECT n, 'short' FROM generate_series(101, 200) n")
    bench.run("BEGIN")
    bench.run("INSERT INTO grown SELECT n, repeat('x', 1500) FROM generate_series(101, 9000) n")
    bench.run(end)
    found = read(bench, min_bytes=10 << 20, kinds=("table",))
    assert set(found) == {"grown"}
    assert found["grown"].bytes > 10 << 20


# --- what is not known ------------------------------------------------------------------------------------------------


def test_what_cannot_be_told_is_not_told(bench: Bench) -> None:
    bench.run("CREATE TABLE points (id int, p point, t text, a int[], n int)")
    bench.run(
        "INSERT INTO points SELECT n, point(n, n), md5(n::text), ARRAY[n, n + 1], n FROM generate_series(1, 20000) n"
    )
    for name, definition in {
        "gin": "USING gin (a)", "gist": "USING gist (p)", "brin": "USING brin (n)", "hash": "USING hash (n)",
        "spgist": "USING spgist (p)", "btree": "(n)",
    }.items():  # fmt: skip
        bench.run(f"CREATE INDEX points_{name} ON points {definition}")
    before = read(bench)
    assert {one.confidence for one in before.values()} == {"none"}
    assert (before["points"].why, before["points_btree"].why) == (NEVER, NEVER)
    assert all((one.method, one.bloat_bytes, one.ratio) == ("none", 0, 0.0) for one in before.values())

    bench.run("VACUUM ANALYZE points")
    after = read(bench)
    assert (after["points"].confidence, after["points_btree"].confidence) == ("medium", "high")
    for name in ("gin", "gist", "brin", "hash", "spgist"):
        one = after[f"points_{name}"]
        assert (one.method, one.confidence, one.ratio) == ("none", "none", 0.0)
        assert one.why == f"the size of a {name} index cannot be estimated"


def test_statistics_that_are_missing_make_a_difference_where_they_matter(bench: Bench) -> None:
    bench.run("CREATE TABLE part (id int NOT NULL, a text, b int, c text)")
    bench.run("INSERT INTO part SELECT n, md5(n::text), n, 'c' FROM generate_series(1, 20000) n")
    bench.run(
        "CREATE INDEX part_id ON part (id); CREATE UNIQUE INDEX part_b ON part (b); CREATE INDEX part_a ON part (a)"
    )
    bench.run("VACUUM ANALYZE part (id)")
    found = read(bench)
    assert (found["part"].confidence, found["part"].why) == ("none", LACKING)
    assert (found["part_id"].confidence, found["part_id"].ratio) == ("high", 0.0)
    assert (found["part_b"].confidence, found["part_a"].confidence) == ("none", "none")
    bench.run("ALTER TABLE part DROP COLUMN a, DROP COLUMN c")
    found = read(bench)
    assert (found["part"].confidence, found["part"].why) == ("medium", LACKING)
    assert found["part"].ratio > 0.4


def test_a_pointer_in_the_table_is_not_taken_for_the_value_in_the_index(bench: Bench) -> None:
    """Values that the table keeps elsewhere take 18 bytes there, and their whole length in an index."""
    bench.run("CREATE TABLE far (id int, t text, u text)")
    bench.run("ALTER TABLE far ALTER t SET STORAGE EXTERNAL, ALTER u SET STORAGE EXTERNAL")
    value = text_of(2400).format(n="n")
    bench.run(f"INSERT INTO far SELECT n, {value}, CASE WHEN n % 2 = 0 THEN {value} ELSE 'short ' || n END"
              " FROM generate_series(1, 1500) n")  # fmt: skip
    bench.run("CREATE INDEX far_t ON far (t); CREATE INDEX far_u ON far (u)")
    bench.run("VACUUM ANALYZE far")
    found = read(bench)
    for name in ("far_t", "far_u"):
        assert found[name].bytes > 1_000_000
        assert found[name].confidence == "low"


def test_vacuum_alone_is_not_enough(bench: Bench) -> None:
    bench.run("CREATE TABLE vacuumed (id int, t text)")
    bench.run("INSERT INTO vacuumed SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
    bench.run("VACUUM vacuumed")
    assert (read(bench)["vacuumed"].confidence, read(bench)["vacuumed"].why) == ("none", NEVER)
    bench.run("ANALYZE vacuumed")
    assert read(bench)["vacuumed"].confidence == "medium"
    bench.run("TRUNCATE vacuumed")
    bench.run("INSERT INTO vacuumed SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
    assert read(bench)["vacuumed"].why == NEVER


def test_pages_without_a_row_are_all_bloat_and_nothing_is_nothing(bench: Bench) -> None:
    bench.run("CREATE TABLE emptied (id int PRIMARY KEY, t text) WITH (vacuum_truncate = off)")
    bench.run("INSERT INTO emptied SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
    bench.run("CREATE TABLE empty (id int PRIMARY KEY)")
    bench.run("DELETE FROM emptied")
    bench.run("VACUUM ANALYZE emptied, empty")
    found = read(bench)
    assert (found["emptied"].ratio, found["emptied"].expected_bytes) == (1.0, 0)
    assert found["emptied_pkey"].ratio > 0.9
    assert "empty" not in found
    assert (found["empty_pkey"].bloat_bytes, found["empty_pkey"].confidence) == (0, "low")
    bench.run("VACUUM FULL emptied")
    assert "emptied" not in read(bench)


def test_what_is_stale_is_scaled_and_says_so(bench: Bench) -> None:
    table, index = bench.make(FIXED, 0), bench.make(KEYS, 0)
    bench.settle()
    for name in (table, index.partition("_")[0]):
        bench.run(f"DELETE FROM {name} WHERE id % 2 = 0")
    found = read(bench)
    for name in (table, index):
        assert found[name].ratio == pytest.approx(0.5, abs=0.03)
        assert found[name].confidence == "low"
        assert "ANALYZE first" in found[name].why
    bench.run("VACUUM ANALYZE")
    assert wrong(bench.judge()) == []


def test_lost_counters_are_no_reason_to_rewrite_everything(bench: Bench) -> None:
    name = bench.make(FIXED, 0)
    bench.settle()
    bench.run("SELECT pg_stat_reset()")
    found = read(bench)[name]
    assert (found.ratio, found.confidence) == (0.0, "medium")
    assert "counters were lost" in found.why


def test_a_standby_knows_as_much_as_its_primary_analysed(bench: Bench) -> None:
    """It has no counters of its own, but the sizes and the statistics of the primary."""
    names = [bench.make(case, 50) for case in (FIXED, TEXTS, KEYS)]
    ours = read(bench)
    with Standby(bench.cluster, name="bloated_standby") as standby:
        with entrance(standby).session(bench.database) as session:
            server = read_server(session)
            theirs = {one.name: one for one in read_bloat(session, server)}
        assert server.in_recovery
    for name in names:
        assert theirs[name].ratio == pytest.approx(ours[name].ratio, abs=0.01)
        assert theirs[name].confidence == "medium"
        assert "its activity counters were lost (a standby" in theirs[name].why


# --- which relations --------------------------------------------------------------------------------------------------


def test_every_kind_with_storage_is_looked_at(bench: Bench) -> None:
    odd = 'odd "name"\n.%s %% ü'
    quoted = '"' + odd.replace('"', '""') + '"'
    bench.run(f"CREATE TABLE {quoted} (id int, t text)")
    bench.run(f"INSERT INTO {quoted} SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
    bench.run(f"CREATE MATERIALIZED VIEW view AS SELECT * FROM {quoted}")
    bench.run("CREATE TABLE parted (id int, t text) PARTITION BY RANGE (id)")
    bench.run("CREATE TABLE leaf PARTITION OF parted FOR VALUES FROM (0) TO (100000)")
    bench.run(f"INSERT INTO parted SELECT * FROM {quoted}")
    bench.run("CREATE INDEX parted_id ON parted (id)")
    bench.run("CREATE TEMPORARY TABLE gone AS SELECT 1")
    bench.run("CREATE VIEW nothing AS SELECT 1")
    bench.run("VACUUM ANALYZE")
    found = read(bench)
    assert sorted(found) == sorted([odd, "view", "leaf", "leaf_id_idx"])
    assert [one for one in found.values() if one.ratio > 0.005 or one.confidence not in ("medium", "high")] == []
    assert found[odd].sql_name.startswith('public."odd ""name""')
    index = found["leaf_id_idx"]
    assert (index.kind, index.table_oid, index.table_name) == ("index", found["leaf"].oid, "leaf")
    sizes = bench.sizes()
    assert {name: one.bytes for name, one in found.items()} == {name: sizes[name] for name in found}


def test_a_materialized_view_that_is_refreshed_concurrently_bloats(bench: Bench) -> None:
    bench.run("CREATE TABLE source AS SELECT n AS id, 0 AS turn FROM generate_series(1, 40000) n")
    bench.run("CREATE MATERIALIZED VIEW view AS SELECT * FROM source")
    bench.run("CREATE UNIQUE INDEX view_id ON view (id)")
    bench.run("UPDATE source SET turn = 1")
    bench.run("REFRESH MATERIALIZED VIEW CONCURRENTLY view")
    bench.run("VACUUM ANALYZE view")
    found = read(bench)
    bench.run("VACUUM FULL view")
    sizes = bench.sizes()
    for name in ("view", "view_id"):
        assert found[name].expected_bytes == pytest.approx(sizes[name], rel=0.01)
        assert found[name].ratio > 0.4


def test_toast_tables_are_looked_at_when_they_are_wanted(bench: Bench) -> None:
    bench.run("CREATE TABLE large (id int, t text)")
    bench.run("ALTER TABLE large ALTER t SET STORAGE EXTERNAL")
    bench.run("INSERT INTO large SELECT n, repeat('0123456789', 4000) FROM generate_series(1, 200) n")
    bench.run("DELETE FROM large WHERE id % 2 = 0")
    bench.run("VACUUM ANALYZE large")
    assert set(read(bench)) == {"large"}
    found = read(bench, kinds=("table", "toast", "index"))
    (toast,) = (one for one in found.values() if one.table_name == "large" and one.kind == "toast")
    (index,) = (one for one in found.values() if one.table_oid == toast.oid and one.kind == "index")
    assert (toast.table_oid, toast.table_name, toast.confidence) == (found["large"].oid, "large", "low")
    assert toast.ratio == pytest.approx(0.5, abs=0.03)
    assert index.ratio == pytest.approx(0.45, abs=0.05)
    assert index.why == "too small to tell (14 pages)"
    assert {one.kind for one in read(bench, kinds=("toast",)).values()} == {"toast"}


def test_only_what_is_asked_for_is_read(bench: Bench) -> None:
    table, index = bench.make(FIXED, 0), bench.make(KEYS, 0)
    indexed = index.partition("_")[0]
    found = read(bench)
    assert set(found) == {table, index, indexed}
    assert set(read(bench, kinds=("index",))) == {index}
    assert set(read(bench, kinds=("table",))) == {table, indexed}
    assert set(read(bench, oids=[found[table].oid])) == {table}
    assert read(bench, oids=[]) == {}
    assert set(read(bench, min_bytes=found[index].bytes)) == {
        name for name in found if found[name].bytes >= found[index].bytes
    }
    assert read(bench, min_bytes=found[table].bytes + 100_000_000) == {}
    # What has grown since its size was noted is not overlooked.
    bench.run(f"INSERT INTO {table} SELECT n, n, n FROM generate_series(1, 200000) n")
    assert set(read(bench, min_bytes=8_000_000)) == {table}


def test_it_takes_one_statement_for_tables_and_one_for_indexes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    rows = Session.rows

    def recorded(self: Session, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        sent.append(statement)
        return rows(self, statement, *values)

    with entrance(bench.cluster).session(bench.database) as session:
        server = read_server(session)
        monkeypatch.setattr(Session, "rows", recorded)
        read_bloat(session, server)
    assert len(sent) == 2


@pytest.mark.parametrize("driver", PREFERENCE)
def test_both_drivers_read_the_same(bench: Bench, driver: str) -> None:
    names = [bench.make(case, 50) for case in (FIXED, TEXTS, KEYS)]
    found = read(bench, driver=driver, kinds=("table", "index", "toast"))
    assert all(found[name].ratio == pytest.approx(0.5, abs=0.03) for name in names)


def test_a_table_that_somebody_has_to_himself_is_not_waited_for(bench: Bench) -> None:
    locked, free = bench.make(KEYS, 0), bench.make(FIXED, 0)
    bench.settle()
    table = locked.partition("_")[0]
    holder = bench.cluster.connect(bench.database)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        found = read(bench)
    finally:
        holder.close()
    assert (found[free].confidence, found[free].why) == ("high", "")
    for name in (table, locked):
        assert (found[name].confidence, found[name].why, found[name].ratio) == ("low", BUSY, 0.0)


def test_a_lock_that_comes_in_between_is_not_waited_for_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, free = bench.make(KEYS, 0), bench.make(FIXED, 0)
    bench.settle()
    # As if the lock was not there yet when locks were looked at.
    blind = sql.TABLES_QUERY.replace("WHERE locktype", "WHERE false AND locktype")
    monkeypatch.setattr(sql, "TABLES_QUERY", blind)
    holder = bench.cluster.connect(bench.database)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {locked.partition('_')[0]} IN ACCESS EXCLUSIVE MODE")
        found = read(bench, kinds=("table",))
    finally:
        holder.close()
    assert {name: one.bytes for name, one in found.items()} == {
        name: size for name, size in bench.sizes().items() if name in (locked.partition("_")[0], free)
    }


# --- privileges -------------------------------------------------------------------------------------------------------


def test_a_role_is_told_what_it_may_read_and_why_not_the_rest(bench: Bench, role: dict[str, str]) -> None:
    readable, hidden, index = bench.make(TEXTS, 50), bench.make(FIXED, 50), bench.make(KEYS, 50)
    rows = bench.make(TEXTS, 50)
    counted, computed = bench.make(COUNTED, 50), bench.make(COMPUTED, 50)
    tables = [readable, *(name.partition("_")[0] for name in (index, counted, computed))]
    for table in (*tables, rows):
        bench.run(f"GRANT SELECT ON {table} TO {TESTER}")
    bench.run(f"GRANT SELECT (a) ON {hidden} TO {TESTER}")
    bench.run(f"ALTER TABLE {rows} ENABLE ROW LEVEL SECURITY")
    ours, theirs = read(bench), read(bench, login=role)
    for name in (*tables, index):
        assert theirs[name] == ours[name]
    for name in (hidden, rows, computed):
        assert (theirs[name].method, theirs[name].confidence, theirs[name].why) == ("none", "none", UNREADABLE)
        assert (theirs[name].bytes, theirs[name].ratio) == (ours[name].bytes, 0.0)
    # Extended statistics are shown to owners alone.
    assert (ours[counted].confidence, theirs[counted].confidence) == ("high", "low")
    assert "CREATE STATISTICS" in theirs[counted].why


def test_an_owner_is_told_all_of_what_is_his(bench: Bench, role: dict[str, str]) -> None:
    names = [bench.make(case, 50) for case in (TEXTS, FIXED, KEYS, COUNTED, COMPUTED)]
    for name in names:
        bench.run(f"ALTER TABLE {name.partition('_')[0]} OWNER TO {TESTER}")
    ours, theirs = read(bench), read(bench, login=role)
    assert [theirs[name] for name in names] == [ours[name] for name in names]
    bench.run(f"ALTER TABLE {names[0]} ENABLE ROW LEVEL SECURITY")
    assert read(bench, login=role)[names[0]] == ours[names[0]], "row security does not hold for the owner"


@pytest.mark.parametrize(("granted", "readable"), [("pg_monitor", False), ("pg_read_all_data", True)])
def test_a_role_of_the_server_s_own(bench: Bench, role: dict[str, str], granted: str, readable: bool) -> None:
    names = [bench.make(case, 50) for case in (TEXTS, KEYS)]
    bench.run(f"GRANT {granted} TO {TESTER}")
    ours, theirs = read(bench), read(bench, login=role)
    for name in names:
        assert theirs[name] == ours[name] if readable else theirs[name].why == UNREADABLE


# --- counted ----------------------------------------------------------------------------------------------------------


def test_pgstattuple_confirms_where_it_is(bench: Bench) -> None:
    """Whatever the schema; the fill factor and the pointers of rows that are gone are taken into account."""
    names = [
        bench.make(case, 50)
        for case in CASES
        if case.name
        in ("fillfactor 70", "varlena", "dropped wide column", "primary key", "100 texts", "index fillfactor 60")
    ]
    estimates = read(bench)
    assert count(bench, estimates[names[0]]) == estimates[names[0]], "it is not installed yet"
    bench.run('CREATE SCHEMA "it""s here"')
    bench.run('CREATE EXTENSION pgstattuple SCHEMA "it""s here"')
    counted = {name: count(bench, estimates[name]) for name in names}
    for row in bench.judge():
        one = counted[row.relation]
        assert 100 * one.ratio == pytest.approx(row.truth, abs=row.limit), row.case
        assert one.method == ("pgstatindex" if row.kind == "index" else "pgstattuple_approx")
        assert (one.confidence, one.why) == ("high", "")


def test_pgstattuple_overrules_statistics_that_are_wrong(bench: Bench) -> None:
    bench.run("CREATE EXTENSION pgstattuple")
    bench.run("CREATE TABLE grown (id int, t text)")
    bench.run("INSERT INTO grown SELECT n, repeat('x', 20) FROM generate_series(1, 30000) n")
    bench.run("CREATE INDEX grown_t ON grown (t, id)")
    bench.run("VACUUM ANALYZE grown")
    bench.run("UPDATE grown SET t = repeat('y', 120)")
    bench.run("VACUUM (ANALYZE off) grown")
    bench.run("VACUUM FULL grown")
    for name, estimate in read(bench).items():
        counted = count(bench, estimate)
        assert estimate.ratio > 0.4, f"by its statistics {name} is bloated"
        assert counted.ratio == pytest.approx(0.0, abs=0.03)
        assert counted.confidence == "high"


def test_what_was_never_analysed_can_be_counted(bench: Bench) -> None:
    bench.run("CREATE EXTENSION pgstattuple")
    bench.run("CREATE TABLE unknown (id int, t text)")
    bench.run("INSERT INTO unknown SELECT n, md5(n::text) FROM generate_series(1, 40000) n")
    bench.run("CREATE INDEX unknown_id ON unknown (id)")
    bench.run("CREATE INDEX unknown_gin ON unknown USING gin (to_tsvector('simple', t))")
    bench.run("DELETE FROM unknown WHERE hashint4(id) & 1 = 0")
    bench.run("VACUUM unknown")
    estimates = read(bench)
    for name in ("unknown", "unknown_id"):
        estimate, counted = estimates[name], count(bench, estimates[name])
        assert estimate.confidence == "none"
        assert counted.ratio == pytest.approx(0.5, abs=0.05)
        assert counted.confidence == "high"
    counted = count(bench, estimates["unknown_gin"])
    assert counted == estimates["unknown_gin"]
    assert counted.confidence == "none"


def test_what_may_not_or_cannot_be_counted_stays_an_estimate(bench: Bench, role: dict[str, str]) -> None:
    table, index = bench.make(FIXED, 50), bench.make(KEYS, 50)
    bench.run("CREATE EXTENSION pgstattuple")
    for estimate in (read(bench)[table], read(bench)[index]):
        assert count(bench, estimate, login=role) == estimate, "the role may not count"
        assert count(bench, estimate, max_bytes=estimate.bytes - 1) == estimate
        assert count(bench, estimate, max_bytes=estimate.bytes).method != "estimate"
    bench.run(f"GRANT pg_stat_scan_tables TO {TESTER}")
    for name, error in ((table, 0.08), (index, 0.05)):
        counted = count(bench, read(bench)[name], login=role)
        assert counted.method.startswith("pgstat")
        assert counted.ratio == pytest.approx(0.5, abs=error)


def test_what_is_locked_or_gone_is_not_counted(bench: Bench) -> None:
    name = bench.make(FIXED, 50)
    bench.run("CREATE EXTENSION pgstattuple")
    estimate = read(bench)[name]
    holder = bench.cluster.connect(bench.database)
    try:
        with holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        with entrance(bench.cluster).session(bench.database) as session:
            session.rows("SELECT pg_catalog.set_config('lock_timeout', '200', false)")
            locked = confirm(session, estimate, read_server(session))
    finally:
        holder.close()
    assert (locked.ratio, locked.method) == (estimate.ratio, "estimate")
    assert "it could not be counted: canceling statement due to lock timeout" in locked.why
    bench.run(f"DROP TABLE {name}")
    with entrance(bench.cluster).session(bench.database) as session:
        assert confirm(session, estimate, read_server(session)) == estimate


def test_a_toast_table_is_counted(bench: Bench) -> None:
    bench.run("CREATE EXTENSION pgstattuple")
    bench.run("CREATE TABLE medium (id int, t text)")
    bench.run("ALTER TABLE medium ALTER t SET STORAGE EXTERNAL")
    bench.run("INSERT INTO medium SELECT n, repeat('0123456789', 250) FROM generate_series(1, 2000) n")
    bench.run("DELETE FROM medium WHERE hashint4(id) & 1 = 0")
    bench.run("VACUUM ANALYZE medium")
    ((name, oid),) = bench.run(
        "SELECT t.relname, t.oid FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relname = 'medium'"
    )
    bench.settle()
    with entrance(bench.cluster).session(bench.database) as session:
        server = read_server(session)
        (estimate,) = read_bloat(session, server, kinds=("toast",), oids=[oid])
        counted = confirm(session, estimate, server)
    before = estimate.bytes
    bench.run("VACUUM FULL medium")
    ((after,),) = bench.run("SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'medium'")
    assert counted.name == name
    assert (counted.kind, counted.method) == ("toast", "pgstattuple_approx")
    assert counted.ratio == pytest.approx(1 - after / before, abs=0.1)
    assert estimate.ratio <= counted.ratio + 0.05, "an estimate of a TOAST table never says too much"
