"""Mode full of `pg_vacuum` on every supported version: what differs between them, and what must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from tests.bed.postgres import Cluster
from tests.integration.rewriting import QUICK, Rewriting
from tests.integration.vacuuming import ROLE, codes, quote, record_of, statuses

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Rewriting:
    return Rewriting(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture
def role(place: Rewriting) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


@BOTH_DRIVERS
def test_it_rewrites_what_is_bloated_proves_it_and_finds_nothing_again(place: Rewriting, driver: str) -> None:
    place.make_bloated("bloated", "worse", keep=5)
    place.execute("DELETE FROM worse WHERE id % 20 <> 0", "VACUUM (ANALYZE) worse")
    place.execute(
        "CREATE TABLE tight AS SELECT n, repeat('x', 60) AS t FROM generate_series(1, 5000) n", "ANALYZE tight"
    )
    nodes = {table: place.node_of(table) for table in ("bloated", "worse", "tight")}
    size, rows = place.size_of("bloated"), place.count("bloated")

    planned = place.call(check=True, schemas=["public"], driver=driver)
    assert {table: place.node_of(table) for table in nodes} == nodes, "check mode changed something"
    assert not (place.folder / "state" / "progress").exists()
    done = place.call(schemas=["public"], driver=driver)
    again = place.call(schemas=["public"], driver=driver)
    planned_again = place.call(schemas=["public"], driver=driver, check=True)

    assert statuses(planned) == {"worse": "planned", "bloated": "planned"}
    assert statuses(done) == {"worse": "done", "bloated": "done"}, "the most that can be freed comes first"
    assert planned["queries"] == done["queries"]
    assert done["queries"][:2] == ["VACUUM (FULL) public.worse", "ANALYZE public.worse"]
    assert [one["sql"] for one in planned["tables"]] == [one["sql"] for one in done["tables"]]
    assert planned["changed"] and done["changed"]
    bloated = record_of(done, "bloated")
    assert bloated["reason"] == ["bloat"]
    assert bloated["method"] == "full"
    assert bloated["lock_mode"] == "ACCESS EXCLUSIVE"
    assert bloated["before"]["filenode"] == nodes["bloated"] != bloated["after"]["filenode"]
    assert bloated["after"]["filenode"] == place.node_of("bloated")
    assert place.node_of("tight") == nodes["tight"]
    assert place.size_of("bloated") < size / 3
    assert place.count("bloated") == rows
    assert bloated["before"]["bloat_ratio"] > 0.7
    assert bloated["after"]["bloat_ratio"] < 0.1
    assert bloated["after"]["heap_bytes"] < bloated["before"]["heap_bytes"] / 3
    assert bloated["after"]["last_analyze"] >= bloated["before"]["last_analyze"]
    assert done["vacuum"]["freed"] == done["vacuum"]["bytes_before"] - done["vacuum"]["bytes_after"] > 500_000
    assert (done["findings"], done["msg"]) == ([], "")
    assert set(codes(planned).values()) == {"pg.rewrite_needed"}
    for result in (again, planned_again):
        assert not result["changed"]
        assert result["queries"] == result["tables"] == []
        assert result["vacuum"]["considered"] == 3
        assert result["summary"]["counts"]["ok"] == 3
    log = Path(done["progress"]).read_text(encoding="utf-8")
    assert "finished: public.bloated" in log
    assert "ended: 2 of 2 done" in log
    assert "MiB, in the file" in done["diff"]["before"] or "KiB, in the file" in done["diff"]["before"]


def test_kinds_of_tables(place: Rewriting) -> None:
    place.execute(
        "CREATE TABLE parent (id integer, filler char(60)) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF parent FOR VALUES FROM (0) TO (6000)",
        "CREATE TABLE high PARTITION OF parent FOR VALUES FROM (6000) TO (20000) PARTITION BY RANGE (id)",
        "CREATE TABLE higher PARTITION OF high FOR VALUES FROM (6000) TO (20000)",
        "INSERT INTO parent SELECT n, 'x' FROM generate_series(1, 12000) n",
        "DELETE FROM parent WHERE id % 10 <> 0",
        "CREATE UNLOGGED TABLE forgotten AS SELECT n, repeat('x', 60) AS t FROM generate_series(1, 9000) n",
        "DELETE FROM forgotten WHERE n % 10 <> 0",
        "CREATE MATERIALIZED VIEW view AS SELECT n, repeat('x', 60) AS t FROM generate_series(1, 3000) n",
        "CREATE TABLE base (id integer, filler char(60))",
        "CREATE TABLE child () INHERITS (base)",
        "INSERT INTO base SELECT n, 'x' FROM generate_series(1, 9000) n",
        "INSERT INTO child SELECT n, 'x' FROM generate_series(1, 9000) n",
        "DELETE FROM base WHERE id % 10 <> 0",
        "CREATE EXTENSION file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        "CREATE FOREIGN TABLE outside (line text) SERVER files OPTIONS (filename '/dev/null')",
        "VACUUM (ANALYZE)",
    )
    with place.session("CREATE TEMPORARY TABLE passing AS SELECT 1 AS n") as other:
        other.commit()
        result = place.call(
            when="always", tables=["passing", "parent", "forgotten", "view", "base", "child", "outside"]
        )
    assert statuses(result) == {
        **dict.fromkeys(("low", "higher", "forgotten", "view", "base", "child"), "done"),
        "outside": "skipped: foreign",
        "passing": "skipped: temporary",
    }
    assert not [text for text in result["queries"] if " public.parent" in text or " public.high " in f"{text} "]
    assert not [need for need in record_of(result, "forgotten")["disk_need"] if need.startswith("WAL")]
    assert [need for need in record_of(result, "low")["disk_need"] if need.startswith("WAL")]


def test_a_table_with_children_is_rewritten_alone(place: Rewriting) -> None:
    place.execute("CREATE TABLE base (n int)", "CREATE TABLE child () INHERITS (base)")
    node = place.node_of("child")
    assert statuses(place.call(when="always", tables=["base"])) == {"base": "done"}
    assert place.node_of("child") == node


def test_odd_names(place: Rewriting) -> None:
    names = ['quo"te', "new\nline", "per%cent {0}", "ünï→code", "a.b", "x" * 63, "'; DROP TABLE victim; --", "SELECT"]
    place.execute("CREATE TABLE victim (n int)", f"CREATE SCHEMA {quote('odd %s')}")
    place.execute(*(f"CREATE TABLE {quote('odd %s')}.{quote(name)} (n int, t text)" for name in names))
    done = place.call(when="always", schemas=["odd %s"])
    assert statuses(done) == dict.fromkeys(names, "done")
    assert place.count("victim") == 0
    first, second, third = Path(done["progress"]).read_text(encoding="utf-8").splitlines()
    assert "8 to do" in first and "finished: 8, the last" in second and "ended: 8 of 8" in third


def test_what_the_role_may_not_do_is_not_tried_and_fails_the_task(place: Rewriting, role: dict[str, str]) -> None:
    place.make_bloated("theirs", "own")
    place.execute(
        "CREATE EXTENSION pgstattuple", f"ALTER TABLE own OWNER TO {ROLE}", f"GRANT SELECT ON theirs TO {ROLE}"
    )
    given = {"free_bytes": "1GB", "tables": ["theirs", "own"], **role}
    for check in (True, False):
        result = place.call(check=check, **given)
        assert statuses(result) == {"theirs": "skipped: permission", "own": "planned" if check else "done"}
        assert f"{place.subject}.public.theirs" in result["msg"]
        assert not [text for text in result["queries"] if "theirs" in text]
        assert codes(result)[f"{place.subject}.public.theirs"] == "pg.not_permitted"
    if place.major >= 17:
        place.execute(f"GRANT MAINTAIN ON theirs TO {ROLE}")
        assert statuses(place.call(**given)) == {"theirs": "done"}


def test_a_reader_makes_it_go_on_with_the_others(place: Rewriting) -> None:
    place.make_bloated("read", "free")
    with place.session("SELECT count(*) FROM read"):
        result = place.call(tables=["read", "free"], **QUICK)
        # Nobody waited behind us: we are gone from the queue.
        assert place.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0] == 0
    assert statuses(result) == {"read": "skipped: lock", "free": "done"}
    assert record_of(result, "read")["attempts"] == 2
    assert codes(result) == {f"{place.subject}.public.read": "pg.table_locked"}
    with place.session("SELECT count(*) FROM read"):
        at_once = place.call(tables=["read"], lock_retries=0)
    assert statuses(at_once) == {"read": "skipped: lock"}
    assert at_once["queries"] == ["VACUUM (FULL, SKIP_LOCKED) public.read"]
    assert statuses(place.call(tables=["read"], **QUICK)) == {"read": "done"}
