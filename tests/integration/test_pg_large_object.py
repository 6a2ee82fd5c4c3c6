"""`pg_large_object` on real servers: what counts as a reference, what is refused, and that nothing alive is lost."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    LockHeld,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import apply
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects import run as large_objects_run
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.processes import run
from tests.bed.standby import Standby
from tests.integration.large_objects import AT_ONCE, Objects, Result, only
from tests.integration.module import CHECKOUT, run_module
from tests.integration.vacuuming import ROLE, codes

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)


@pytest.fixture
def place(postgres_cluster: Cluster, postgres_database: str, tmp_path: Path) -> Objects:
    return Objects(postgres_cluster, postgres_database, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = {"max_prepared_transactions": "5", "wal_level": "replica"}
    with Cluster(find_or_bring(None, cache_directory()), name="objects", settings=settings) as running:
        yield running


@pytest.fixture
def own(cluster: Cluster, tmp_path: Path) -> Iterator[Objects]:
    """A database of the machine's own version alone."""
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Objects(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def code_of(result: Result) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in result["findings"]}


# --- what is a reference ----------------------------------------------------------------------------------------------

HOLDERS = [
    ("CREATE TABLE plain (a oid)", "INSERT INTO plain VALUES ({0})", 1),
    ("CREATE DOMAIN photo AS oid; CREATE TABLE typed (a photo)", "INSERT INTO typed VALUES ({0})", 1),
    ("CREATE DOMAIN lo AS oid; CREATE TABLE contrib (a lo)", "INSERT INTO contrib VALUES ({0})", 1),
    ("CREATE TABLE several (a oid[])", "INSERT INTO several VALUES (ARRAY[{0}, NULL, {1}]), (NULL), ('{{}}')", 2),
    ("CREATE DOMAIN photos AS oid[]; CREATE TABLE domains (a photos)", "INSERT INTO domains VALUES ('{{ {0} }}')", 1),
    ("CREATE DOMAIN one AS oid; CREATE TABLE ones (a one[])", "INSERT INTO ones VALUES ('{{ {0} }}')", 1),
    ("CREATE TYPE pair AS (n int, o oid); CREATE TABLE pairs (a pair)", "INSERT INTO pairs VALUES (ROW(1, {0}))", 1),
    ("CREATE TYPE duo AS (n int, o oid); CREATE TABLE duos (a duo[])",
     "INSERT INTO duos VALUES (ARRAY[ROW(1, {0})::duo])", 1),
    ("CREATE TYPE oids AS RANGE (subtype = oid); CREATE TABLE ranges (a oids)",
     "INSERT INTO ranges VALUES (oids({0}, {1}))", 2),
    ("CREATE TABLE parted (n int, a oid) PARTITION BY LIST (n); "
     "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)", "INSERT INTO parted VALUES (1, {0})", 1),
    ("CREATE TABLE parent (a oid); CREATE TABLE child (b oid) INHERITS (parent)",
     "INSERT INTO child VALUES ({0}, {1}); INSERT INTO parent VALUES ({2})", 3),
    ("CREATE TABLE source AS SELECT 0::oid AS a WHERE false; CREATE MATERIALIZED VIEW view AS TABLE source",
     "INSERT INTO source VALUES ({0}); REFRESH MATERIALIZED VIEW view; TRUNCATE source", 1),
    ("CREATE UNLOGGED TABLE unlogged (a oid)", "INSERT INTO unlogged VALUES ({0})", 1),
    ('CREATE SCHEMA "100%s ""d.ot"; CREATE TABLE "100%s ""d.ot"."%(x)s\' ;--" ("new\nline %%" oid)',
     'INSERT INTO "100%s ""d.ot"."%(x)s\' ;--" VALUES ({0})', 1),
]  # fmt: skip


def run_all(place: Objects, text: str) -> None:
    place.execute(*(part for part in text.split("; ") if part))


@BOTH_DRIVERS
def test_nothing_that_is_referred_to_is_unlinked(place: Objects, driver: str) -> None:
    place.execute("CREATE MATERIALIZED VIEW empty_one AS SELECT 1::oid AS a WITH NO DATA")
    orphans = place.make(5)
    alive: list[int] = []
    for create, insert, count in HOLDERS:
        oids = place.make(count)
        run_all(place, create)
        run_all(place, insert.format(*oids))
        alive += oids
    reported = place.call(driver=driver, min_age="0")
    planned = place.call(driver=driver, check=True, **AT_ONCE)
    assert place.there() == sorted(orphans + alive), "a report or check mode changed something"
    done = place.call(driver=driver, **AT_ONCE)
    again = place.call(driver=driver, **AT_ONCE)

    record = only(reported)
    assert (record["objects"], record["orphans"]) == (len(orphans + alive), 5)
    assert (record["bytes"], record["measured"], record["oldest"]) == (15000, 5, orphans)
    assert code_of(reported) == {"pg.large_objects_orphaned": "warning"}
    assert code_of(planned) == {"pg.large_objects_removable": "info"}
    assert (reported["changed"], planned["changed"], done["changed"], again["changed"]) == (False, True, True, False)
    assert (only(planned)["planned"], only(done)["removed"], only(done)["status"]) == (5, 5, "done")
    assert place.there() == sorted(alive)
    assert (done["findings"], done["msg"], again["findings"]) == ([], "", [])
    assert only(again)["orphans"] == 0


def test_it_finds_what_vacuumlo_finds_where_both_look(place: Objects) -> None:
    compare_with_vacuumlo(place, place.major)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_vacuumlo_finds_in_many_databases(place: Objects, seed: int) -> None:
    compare_with_vacuumlo(place, seed)


def compare_with_vacuumlo(place: Objects, seed: int) -> None:
    chance = random.Random(seed)
    oids = place.make(60)
    place.execute("CREATE DOMAIN lo AS oid", "CREATE SCHEMA other")
    for number, table in enumerate(("one", "two", "other.three", "four")):
        place.execute(f"CREATE TABLE {table} (a {'lo' if number % 2 else 'oid'}, b oid)")
        for oid in chance.sample(oids, 8):
            place.execute(f"INSERT INTO {table} ({chance.choice('ab')}) VALUES ({oid})")
    place.execute("CREATE MATERIALIZED VIEW four_too AS TABLE four")
    ours = only(place.call())["orphans"]
    program = place.cluster.binaries.tool("vacuumlo")
    argv = [program, "-U", "postgres", "-n", "-v", place.database]
    dry = run(argv, env=place.cluster.client_environment(), cwd=place.cluster.home)
    assert dry.returncode == 0, dry.stderr
    assert f"Would remove {ours} large objects" in dry.stdout, dry.stdout
    copy = place.there()
    place.call(**AT_ONCE)
    kept = place.there()
    assert len(copy) - len(kept) == ours
    run([program, "-U", "postgres", place.database], env=place.cluster.client_environment(), cwd=place.cluster.home)
    assert place.there() == kept, "vacuumlo finds nothing more"


# --- what may be a reference ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("int", "{0}"),
        ("bigint", "{0}"),
        ("numeric(12)", "{0}"),
        ("text", "'{0}'"),
        ("varchar(200)", "'https://files.example.com/{0}/show'"),
        ("char(20)", "'{0}'"),
        ("jsonb", """'{{"photo": {0}, "by": "x"}}'"""),
        ("json", """'{{"photos": ["{0}"]}}'"""),
        ("xml", "'<photo>{0}</photo>'"),
        ("int[]", "'{{1, {0}}}'"),
        ("text[]", "ARRAY['a', '{0}']"),
        ("wrapped", "ROW('{0}')"),
        ("numbered", "{0}"),
    ],
)
def test_a_number_in_another_type_stands_in_the_way_until_it_is_excluded(own: Objects, column: str, value: str) -> None:
    (orphan,) = own.make(1)
    own.execute("CREATE TYPE wrapped AS (t text)", "CREATE DOMAIN numbered AS bigint")
    own.execute(f'CREATE TABLE "Kept" (id uuid DEFAULT gen_random_uuid(), secret {column})')
    own.execute(f'INSERT INTO "Kept" (secret) VALUES ({value.format(orphan)})')
    refused = own.call(**AT_ONCE)
    assert own.there() == [orphan]
    record = only(refused)
    assert (record["status"], refused["changed"]) == ("refused", False)
    assert record["value_matches"] == [{"column": 'public."Kept".secret', "count": 1, "sampled": False}]
    assert 'values of public."Kept".secret may be references' in refused["msg"]
    assert code_of(refused)["pg.large_objects_maybe_referenced"] == "warning"
    assert only(own.call())["value_matches"], "a report says so too"
    assert own.call()["msg"] == ""
    done = own.call(**AT_ONCE, exclude_columns=["Kept.secret"])
    assert (only(done)["removed"], own.there()) == (1, [])


def test_other_numbers_do_not_stand_in_the_way(own: Objects) -> None:
    (orphan,) = own.make(1)
    own.execute(
        "CREATE TABLE noise (a int, b text, c jsonb, d bytea, e uuid, f timestamptz, g numeric, h float8)",
        f"INSERT INTO noise VALUES ({orphan + 1}, 'x{orphan}y{orphan}0', '{{\"a\": {orphan}0}}', '\\x0{orphan}', "
        f"gen_random_uuid(), now(), {orphan}.5, {orphan})",
        "INSERT INTO noise (b) SELECT md5(n::text) FROM generate_series(1, 3000) n",
    )
    assert only(own.call(**AT_ONCE))["removed"] == 1


def test_large_tables_are_sampled_and_that_is_said(own: Objects) -> None:
    orphans = own.make(50)
    own.execute(
        f"CREATE TABLE large AS SELECT (ARRAY{orphans})[1 + n % 50] AS a FROM generate_series(1, 60000) n",
        "ANALYZE large",
    )
    (hit,) = only(own.call(**AT_ONCE, sample_rows=2000))["value_matches"]
    assert hit["sampled"]
    assert 0 < hit["count"] < 20000
    messages = [finding["message"] for finding in own.call(sample_rows=2000)["findings"]]
    assert any("among the rows that were looked at" in message for message in messages)
    (all_of_it,) = only(own.call(**AT_ONCE, sample_rows=0))["value_matches"]
    assert all_of_it == {"column": "public.large.a", "count": 60000, "sampled": False}


def test_where_there_are_none_no_table_is_looked_at(own: Objects) -> None:
    own.execute("CREATE TABLE locked (a oid, b int)")
    with own.session("LOCK TABLE locked"):
        result = own.call(lock_timeout="100ms", exclude_columns=["locked.b"])
    assert (result["findings"], only(result)["objects"], only(result)["orphans"]) == ([], 0, 0)
    assert result["summary"]["counts"]["ok"] == 1


def test_exclude_columns_takes_what_is_there_and_no_references(own: Objects) -> None:
    own.make(1)
    own.execute("CREATE TABLE t (a oid, b int)")
    for name, why in (("t.nothing", "is no column"), ("public.t.a", "is of type oid"), ("t.a", "is of type oid")):
        with pytest.raises(InvalidInput, match=why):
            own.call(exclude_columns=[name])
    assert only(own.call(exclude_columns=["public.t.b", "nothing.*"]))["value_columns"] == 0


# --- what cannot be known ---------------------------------------------------------------------------------------------


def test_absent_wants_a_word_of_the_user(own: Objects) -> None:
    orphans = own.make(1)
    for check in (True, False):
        with pytest.raises(InvalidInput, match="confirm_no_text_references"):
            own.call(check=check, state="absent")
    assert own.there() == orphans


def test_a_column_that_may_not_be_read_makes_it_unknown(own: Objects) -> None:
    own.make(2)
    own.execute("CREATE TABLE theirs (a oid)", "CREATE TABLE texts (a text)")
    with own.role() as role:
        hidden = own.call(**role)
        assert code_of(hidden)["pg.large_objects_unseen"] == "unknown"
        assert only(hidden)["hidden_columns"] == ["public.texts.a", "public.theirs.a"]
        assert "GRANT pg_read_all_data" in hidden["findings"][0]["remedy"]
        refused = own.call(**AT_ONCE, **role)
        assert (only(refused)["status"], refused["changed"]) == ("unknown", False)
        assert "Nothing was unlinked" in refused["msg"]
        own.execute(f"GRANT SELECT (a) ON theirs TO {ROLE}")
        assert only(own.call(**role))["hidden_columns"] == ["public.texts.a"]
        own.execute(f"GRANT SELECT ON texts TO {ROLE}")
        assert code_of(own.call(**role)) == {"pg.large_objects_orphaned": "warning"}
        own.execute("ALTER TABLE theirs ENABLE ROW LEVEL SECURITY")
        assert "row security" in own.call(**role)["findings"][0]["message"]
    assert code_of(own.call()) == {"pg.large_objects_orphaned": "warning"}


def test_what_belongs_to_others_is_not_tried_and_fails_the_task(own: Objects) -> None:
    theirs = own.make(2)
    with own.role() as role:
        mine = own.make(1)
        own.execute(f"ALTER LARGE OBJECT {mine[0]} OWNER TO {ROLE}")
        result = own.call(**AT_ONCE, **role)
        assert own.there() == theirs
        assert (only(result)["removed"], only(result)["not_permitted"]) == (1, 2)
        assert "2 large objects in" in result["msg"]
        assert code_of(result)["pg.large_objects_not_permitted"] == "warning"


def test_a_temporary_table_of_another_session_makes_it_unknown(own: Objects) -> None:
    orphans = own.make(1)
    with own.session("CREATE TEMPORARY TABLE mine (a oid)", "COMMIT"):
        refused = own.call(**AT_ONCE)
        assert "temporary tables of other sessions" in refused["msg"]
        assert own.there() == orphans
        assert only(own.call(**AT_ONCE, exclude_columns=["mine.a"]))["removed"] == 1


def test_a_look_that_takes_too_long_is_unknown(own: Objects) -> None:
    orphans = own.make(2)
    own.execute(
        "CREATE TABLE slow (a oid)",
        "INSERT INTO slow SELECT n FROM generate_series(1, 400000) n",
    )
    for result in (own.call(look_limit="5ms"), own.call(**AT_ONCE, look_limit="5ms")):
        assert code_of(result) == {"pg.large_objects_unseen": "unknown"}
        assert "look_limit" in result["findings"][0]["remedy"]
    assert own.there() == orphans


def test_a_locked_table_makes_it_unknown(own: Objects) -> None:
    orphans = own.make(1)
    own.execute("CREATE TABLE locked (a oid)")
    with own.session("LOCK TABLE locked"):
        result = own.call(**AT_ONCE, lock_timeout="200ms")
    assert "locked" in result["msg"]
    assert own.there() == orphans


def test_a_standby_can_be_looked_at_and_not_changed(own: Objects) -> None:
    own.make(3)
    with Standby(own.cluster, name="looked_at") as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        there = Objects(standby, own.database, own.folder)
        assert only(there.call())["orphans"] == 3
        with pytest.raises(ReadOnlyServer):
            there.call(**AT_ONCE)


# --- how old is old ---------------------------------------------------------------------------------------------------


def test_what_is_not_known_to_be_old_is_left_until_a_note_is_old_enough(own: Objects) -> None:
    old = own.make(2)
    first = own.call(**{**AT_ONCE, "min_age": "1h"})
    assert (own.there(), only(first)["too_new"]) == (old, 2)
    assert code_of(first)["pg.large_objects_too_new"] == "info"
    assert first["msg"] == ""
    # The note that this run took is older than so little, and what came after it is not.
    new = own.make(1)
    own.cluster.execute("CHECKPOINT")
    deadline = time.monotonic() + 60
    while not only(result := own.call(**{**AT_ONCE, "min_age": "1s"}))["removed"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert only(result)["removed"] in (2, 3)
    assert own.there() in (new, [])


def test_check_mode_takes_no_note(own: Objects) -> None:
    own.make(1)
    own.call(check=True)
    assert not (own.folder / "state").exists()
    own.call()
    assert (own.folder / "state").exists()


def test_what_was_made_since_the_oldest_transaction_that_runs_is_left(own: Objects) -> None:
    own.execute("CREATE TABLE t (a int)")
    with own.session("INSERT INTO t VALUES (1)"):
        young = own.make(1)
        assert only(own.call(**AT_ONCE))["too_new"] == 1
    assert own.there() == young
    assert only(own.call(**AT_ONCE))["removed"] == 1


# --- nothing alive is lost --------------------------------------------------------------------------------------------


def test_a_reference_that_is_not_committed_yet_is_waited_for(own: Objects) -> None:
    orphans = own.make(3)
    own.execute("CREATE TABLE t (a oid)")
    # The transaction that writes has no object of its own, so it does not make the objects too new.
    with own.session() as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        busy = own.call(**AT_ONCE, lock_timeout="300ms")
        assert code_of(busy) == {"pg.large_objects_busy": "warning"}
        assert f"pid {other.info.backend_pid}" in busy["findings"][0]["message"]
        assert own.there() == orphans
        results: list[Result] = []
        thread = threading.Thread(target=lambda: results.append(own.call(**AT_ONCE, lock_timeout="60s")))
        thread.start()
        own.wait_for(
            f"SELECT 1 FROM pg_locks WHERE locktype = 'object' AND classid = 2613 AND objid = {orphans[0]} "
            f"AND database = (SELECT oid FROM pg_database WHERE datname = '{own.database}')"
        )
        cursor.execute("INSERT INTO t VALUES (%s)", (orphans[1],))
        other.commit()
        thread.join()
    (result,) = results
    assert own.there() == [orphans[1]]
    assert only(result)["removed"] == 2
    assert result["findings"][0]["evidence"]["left"] == {"referenced": 1}


def test_a_prepared_transaction_that_writes_is_waited_for_and_named(own: Objects) -> None:
    orphans = own.make(2)
    own.execute("CREATE TABLE t (a oid)")
    with own.session() as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE")
        cursor.execute("PREPARE TRANSACTION 'forgotten'")
    try:
        busy = own.call(**AT_ONCE, lock_timeout="200ms")
        assert "a prepared transaction" in busy["findings"][0]["message"]
        assert own.there() == orphans
    finally:
        own.execute("ROLLBACK PREPARED 'forgotten'")


def test_references_that_move_while_it_works_are_never_missed(own: Objects) -> None:
    """Rows go from table to table in single transactions, to and fro, all the time."""
    alive = own.make(20)
    dead = own.make(300)
    own.execute(
        "CREATE TABLE a (o oid)",
        "CREATE TABLE b (o oid)",
        f"INSERT INTO a SELECT unnest(ARRAY{alive}::oid[])",
    )
    stop = threading.Event()

    def move() -> None:
        connected = own.cluster.connect(own.database)
        connected.autocommit = True
        with connected.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("WITH gone AS (DELETE FROM a RETURNING o) INSERT INTO b SELECT o FROM gone")
                cursor.execute("WITH gone AS (DELETE FROM b RETURNING o) INSERT INTO a SELECT o FROM gone")
        connected.close()

    movers = [threading.Thread(target=move) for _number in range(2)]
    for mover in movers:
        mover.start()
    try:
        result = own.call(**AT_ONCE, batch_size=10, lock_timeout="30s")
    finally:
        stop.set()
        for mover in movers:
            mover.join()
    assert set(alive) <= set(own.there())
    assert result["msg"] == ""
    # Those made since the oldest running transaction are left: after the movers have ended all go.
    own.call(**AT_ONCE)
    assert own.there() == alive
    assert len(dead) == 300


def test_what_changed_or_went_meanwhile_is_left(own: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    orphans = own.make(4)
    real, done = apply.unlink, []

    def meddled(*arguments: object, **options: object) -> object:
        if not done:
            done.append(True)
            own.execute(f"SELECT lo_unlink({orphans[0]})", f"GRANT SELECT ON LARGE OBJECT {orphans[1]} TO PUBLIC")
        return real(*arguments, **options)  # type: ignore[arg-type]  # it passes on whatever it was given

    monkeypatch.setattr(large_objects_run, "unlink", meddled)
    result = own.call(**AT_ONCE)
    assert own.there() == [orphans[1]]
    assert only(result)["removed"] == 2
    assert result["findings"][0]["evidence"]["left"] == {"changed": 2}


def test_one_that_is_locked_does_not_hold_up_the_others(own: Objects) -> None:
    orphans = own.make(9)
    with own.session(f"SELECT lo_unlink({orphans[4]})"):
        result = own.call(**AT_ONCE, lock_timeout="100ms")
    assert own.there() == [orphans[4]]
    assert only(result)["removed"] == 8
    assert result["findings"][0]["evidence"]["left"] == {"lock": 1}


def test_limits_leave_the_rest_to_the_next_run(own: Objects) -> None:
    own.make(30)
    some = own.call(**AT_ONCE, max_objects=10, batch_size=4)
    assert (only(some)["removed"], len(own.there())) == (10, 20)
    assert some["findings"][0]["evidence"]["left"] == {"max_objects": 20}
    none = own.call(**AT_ONCE, time_limit="0")
    assert (only(none)["removed"], none["changed"]) == (0, False)
    assert none["findings"][0]["evidence"]["left"] == {"time_limit": 20}
    assert only(own.call(**AT_ONCE))["removed"] == 20


def test_a_server_that_is_killed_loses_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with Cluster(find_or_bring(None, cache_directory()), name="killed") as cluster:
        own = Objects(cluster, "postgres", tmp_path)
        alive = own.make(5)
        own.execute(f"CREATE TABLE t AS SELECT unnest(ARRAY{alive}::oid[]) AS a")
        own.execute("SELECT count(lo_create(0)) FROM generate_series(1, 3000)")
        ends: list[Exception] = []

        def work() -> None:
            try:
                own.call(**AT_ONCE, batch_size=5)
            except ConnectionFailed as error:
                ends.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        own.wait_for("SELECT 1 FROM pg_largeobject_metadata HAVING count(*) < 2900", 60)
        cluster.kill9()
        thread.join()
        cluster.start()
        left = own.there()
        assert set(alive) < set(left), "it was killed before the end, and nothing alive went"
        assert "was lost" in str(ends[0])
        assert only(own.call(**AT_ONCE))["removed"] == len(left) - 5
        assert own.there() == alive


KILLED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.large_objects.run import tend
tend(validate("pg_large_object", ARGUMENT_SPEC, json.loads(sys.argv[2])).params, utc_now())
"""


def test_a_run_that_is_killed_leaves_no_lock_and_the_next_one_goes_on(own: Objects) -> None:
    alive = own.make(5)
    own.execute(
        f"CREATE TABLE t AS SELECT unnest(ARRAY{alive}::oid[]) AS a",
        "SELECT count(lo_create(0)) FROM generate_series(1, 3000)",
    )
    options = json.dumps(own.options(**AT_ONCE, batch_size=5))
    argv = [sys.executable, "-c", KILLED, str(CHECKOUT / "playbooks/collections"), options]
    process = subprocess.Popen(argv)
    try:
        while len(own.there()) > 2900:
            assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait()
    left = own.there()
    assert set(alive) < set(left)
    own.wait_for(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{own.database}')")
    assert only(own.call(**AT_ONCE))["removed"] == len(left) - 5
    assert own.there() == alive


def test_more_objects_than_the_server_has_locks_for(own: Objects) -> None:
    """A batch that does not fit is halved until it does."""
    count = 12000
    own.execute(f"SELECT count(lo_create(0)) FROM generate_series(1, {count // 4})")
    for _time in range(3):
        own.execute(f"SELECT count(lo_create(0)) FROM generate_series(1, {count // 4})")
    result = own.call(**AT_ONCE, batch_size=count)
    assert only(result)["removed"] == count
    assert own.there() == []


def test_two_runs_exclude_each_other(own: Objects) -> None:
    own.make(1)
    connected = own.cluster.connect(own.database, application_name="upkeep pg_vacuum another")
    with connected.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", (0x55504B50, 1))
        with pytest.raises(LockHeld, match="upkeep pg_vacuum another"):
            own.call(**AT_ONCE)
        assert only(own.call())["orphans"] == 1, "looking needs no lock"
    connected.close()
    assert only(own.call(**AT_ONCE))["removed"] == 1


def test_every_database_is_looked_into(own: Objects) -> None:
    own.make(2)
    with own.other_database() as name:
        own.execute("SELECT lo_create(0)", database=name)
        result = own.call(**AT_ONCE, databases=[f"{own.database}*"], login_db="postgres")
        removed = {record["name"]: record["removed"] for record in result["databases"]}
        assert removed == {own.database: 2, name: 1}
        assert set(codes(result)) == set()


def test_through_ansible(own: Objects, tmp_path: Path) -> None:
    own.make(2)
    options = own.options(**AT_ONCE)
    planned = run_module(tmp_path, "pg_large_object", options, check_mode=True)
    done = run_module(tmp_path, "pg_large_object", options)
    assert (planned.how, done.how) == ("CHANGED", "CHANGED")
    assert planned.result["databases"][0]["planned"] == done.result["databases"][0]["removed"] == 2
    assert own.there() == []
