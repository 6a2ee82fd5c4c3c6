"""`pg_health_info` on a server in which things really go wrong, one at a time and healthy otherwise."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import parse_rfc3339
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import PooledConnection
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.health.argspec import PARTS
from tests.bed.pgbouncer import Pgbouncer
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.standby import Standby
from tests.integration.health import BUILDING, SOUND, Checked, Looked, codes, finding, found, statements_in, status
from tests.integration.module import run_module
from tests.integration.vacuuming import ROLE, Result, quote

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)
# A young server has not read much, and nobody waits a month for a test.
AT_ONCE: dict[str, Any] = {
    "cache_hit_min_blocks": 0,
    "cache_hit_warning": "0",
    "cache_hit_critical": "0",
    "slow_query": "1h",
}
# One that works at once with what a test has just made.
SMALL: dict[str, Any] = {"unused_index_min_size": "8KiB", "unused_index_period": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Checked(find_or_bring(None, cache_directory()), name="health", settings=SOUND) as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Looked]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    cluster.execute("CREATE EXTENSION pg_stat_statements", database=name)
    yield Looked(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def role(place: Looked) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


# --- as a whole -------------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_a_sound_server_gives_no_cause_for_a_word(place: Looked, driver: str) -> None:
    place.execute("CREATE TABLE t (id serial PRIMARY KEY, note text)", "INSERT INTO t (note) VALUES ('x')", "ANALYZE t")
    result = place.call(driver=driver, **AT_ONCE)
    assert result["findings"] == []
    assert result["summary"]["worst"] == "ok"
    assert list(result["checks"]) == list(PARTS)
    assert {entry["status"] for entry in result["checks"].values()} == {"ok"}
    assert result["databases"] == [place.database]
    assert result["version"].startswith(f"{place.major}.")
    assert (result["in_recovery"], result["changed"]) == (False, False)
    assert all(parse_rfc3339(result[key]) for key in ("started", "stats_reset"))
    assert [table["database"] for table in result["tables"]] == [place.database] * 10
    assert result["tables"][0]["table"].startswith("pg_catalog.")
    sizes = {
        entry["labels"].get("database"): entry["value"]
        for entry in result["metrics"]
        if entry["name"] == "pg_database_size"
    }
    assert sizes[place.database] > 1_000_000
    assert len(json.dumps(result)) < 40_000


def test_a_dozen_statements_do(place: Looked) -> None:
    place.execute("CREATE TABLE t (id serial PRIMARY KEY, o oid)", "INSERT INTO t (o) SELECT lo_create(0)")
    place.execute(f"ALTER DATABASE {place.database} SET log_statement = 'all'")
    before = len(place.cluster.log.read_text())
    place.call()
    sent = statements_in(place.cluster.log.read_text()[before:])
    assert 10 <= len(sent) <= 15, sent
    assert not [text for text in sent if not text.lstrip().startswith(("SELECT", "WITH"))]


def test_a_server_without_anything_in_it_is_looked_at_too(place: Looked) -> None:
    result = place.call(databases=["*"], **AT_ONCE)
    assert {"postgres", place.database} <= set(result["databases"])
    reasons = {entry["name"]: entry["reason"] for entry in result["databases_left_out"]}
    assert reasons == {"template0": "it does not accept connections", "template1": "it is a template"}
    assert result["findings"] == []


def test_only_what_is_asked_for_is_looked_at(place: Looked) -> None:
    result = place.call("connections", "sequences")
    assert list(result["checks"]) == ["connections", "sequences"]
    assert sum(result["summary"]["counts"].values()) == 2
    assert "tables" not in result
    assert set(PARTS) - set(place.call("!bloat", "!sizes")["checks"]) == {"bloat", "sizes"}


def test_the_module_says_the_same_in_check_mode(place: Looked, tmp_path: Path) -> None:
    place.execute("CREATE TABLE t (a int)", "CREATE INDEX first ON t (a)", "CREATE INDEX second ON t (a)")
    options = place.options(subset=["duplicate_indexes"])
    answers = [run_module(tmp_path, "pg_health_info", options, check_mode=mode) for mode in (False, True)]
    for answer in answers:
        assert answer.how == "SUCCESS"
        assert answer.found() == {place.name("public.second"): ("pg.index_duplicate", "warning")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connections_warning": "95%"}, "connections_warning (95%) comes after connections_critical (90%)."),
        ({"cache_hit_warning": "90%"}, "cache_hit_warning (90%) comes after cache_hit_critical (95%)."),
        ({"slow_query": "fast"}, "slow_query: 'fast' cannot be read"),
        ({"databases": []}, "databases is an empty list"),
        ({"databases": ["nowhere"]}, "There is no database nowhere."),
        ({"subset": ["bloat", "!bloat"]}, "subset leaves nothing"),
        ({"time_limit": "0"}, "time_limit is 0"),
    ],
)
def test_a_mistake_is_one_sentence(place: Looked, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        place.call(**options)
    assert words in str(error.value)


def test_who_is_not_let_in_fails(place: Looked) -> None:
    with pytest.raises(ConnectionFailed, match="password authentication failed"):
        place.call(login_password="wrong")


# --- who is at work ---------------------------------------------------------------------------------------------------


def test_a_tree_of_waiting_names_the_session_at_its_root(place: Looked) -> None:
    place.execute("CREATE TABLE t AS SELECT 1 AS id")
    waiting = ("UPDATE t SET id = id", "ALTER TABLE t ADD COLUMN more int", "TABLE t")
    with place.session(waiting[0]) as root, ExitStack() as others:
        for statement in waiting:
            others.enter_context(place.beside(statement))
        place.wait_for_waiters(3)
        result = place.call("lock_waits", lock_wait="0")
        quiet = place.call("lock_waits", lock_wait="1h")
        pid = root.info.backend_pid
        root.rollback()
    assert found(result) == {f"main: pid {pid}": ("pg.lock_wait", "warning")}
    one = finding(result, "pg.lock_wait")
    assert one["message"].startswith(
        f"3 sessions wait for pid {pid} ('upkeep bed' of postgres in {place.database}), idle"
    )
    assert one["evidence"]["waiting_count"] == 3
    assert {entry["relation"] for entry in one["evidence"]["waiting"]} <= {None, "public.t"}
    assert f"SELECT pg_terminate_backend({pid});" in result["checks"]["lock_waits"]["sql"]
    assert status(quiet, "lock_waits") == "ok"
    assert quiet["checks"]["lock_waits"]["value"] == 3


def test_a_prepared_transaction_can_be_at_the_root(place: Looked) -> None:
    place.execute("CREATE TABLE t AS SELECT 1 AS id")
    with place.session("UPDATE t SET id = id", "PREPARE TRANSACTION 'it''s \"me\"'"):
        pass
    try:
        with place.beside("UPDATE t SET id = id"):
            place.wait_for_waiters(1)
            waits = place.call("lock_waits", lock_wait="0")
            old = place.call("prepared_xacts", "xmin_holders", prepared_xact="0", xmin_time="0")
            place.execute(*old["checks"]["prepared_xacts"]["sql"])
    finally:
        for (gid,) in place.execute("SELECT gid FROM pg_prepared_xacts"):
            place.execute(f"ROLLBACK PREPARED {quote(gid)}")
    assert found(waits) == {"main: a prepared transaction": ("pg.lock_wait", "warning")}
    assert found(old)['main: prepared it\'s "me"'] in (
        ("pg.prepared_transaction_old", "warning"),
        ("pg.xmin_held", "warning"),
    )
    assert codes(old) >= {"pg.prepared_transaction_old", "pg.xmin_held"}
    assert "ROLLBACK PREPARED 'it''s \"me\"';" in old["checks"]["xmin_holders"]["sql"]
    assert place.call("prepared_xacts", prepared_xact="0")["findings"] == [], "what it says to paste ends it"


def test_open_transactions_and_long_queries_are_told_without_their_text(place: Looked) -> None:
    with place.session("SELECT 'top secret'") as idle, place.beside("SELECT pg_sleep(3600), 'top secret'"):
        ((busy,),) = place.wait_for(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(3600)%%' AND wait_event = 'PgSleep'"
        )
        result = place.call(
            "idle_in_transaction",
            "long_queries",
            "xmin_holders",
            idle_in_transaction="0",
            long_query="0",
            xmin_time="0",
        )
        quiet = place.call("idle_in_transaction", "long_queries")
        pid = idle.info.backend_pid
        place.execute(f"SELECT pg_terminate_backend({busy})")
    assert {entry["subject"]: entry["code"] for entry in result["findings"] if entry["code"] != "pg.xmin_held"} == {
        f"main: pid {pid}": "pg.idle_in_transaction",
        f"main: pid {busy}": "pg.long_query",
    }
    assert f"main: idle_in_transaction {pid}" not in found(quiet)
    assert quiet["findings"] == []
    assert "secret" not in json.dumps(result)


def test_maintenance_that_takes_long_is_a_remark(place: Looked) -> None:
    place.execute("CREATE TABLE t AS SELECT 1 AS id")
    with place.session("UPDATE t SET id = id") as other, place.beside("CREATE INDEX CONCURRENTLY i ON t (id)"):
        place.wait_for(BUILDING.format(place.database))
        result = place.call("long_queries", "invalid_indexes", long_query="0")
        other.rollback()
    one = finding(result, "pg.long_query")
    assert one["severity"] == "info"
    assert "runs CREATE INDEX CONCURRENTLY for" in one["message"]
    assert status(result, "invalid_indexes") == "ok", "an index that is being built is not broken"
    assert [item["building"] for item in result["checks"]["invalid_indexes"]["items"]] == [True]


def test_connections_are_counted_against_what_is_left_for_everybody(place: Looked) -> None:
    others = [place.cluster.connect(place.database) for _number in range(3)]
    place.execute(f"ALTER DATABASE {place.database} CONNECTION LIMIT 4")
    try:
        ((room,),) = place.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
        # Those of other tests may linger for a moment.
        result = place.call("connections", connections_warning="3%", connections_critical="99.9%")
    finally:
        for other in others:
            other.close()
    entry = result["checks"]["connections"]
    assert entry["items"][0]["room"] == room
    assert entry["value"] == round(entry["items"][0]["used"] / room, 4)
    assert found(result) == {
        "main: connections": ("pg.connections_high", "warning"),
        f"main: database {place.database}": ("pg.connections_high", "critical"),
    }


# --- what the server counts -------------------------------------------------------------------------------------------


def test_the_cache_is_judged_when_enough_was_read(place: Looked) -> None:
    few = place.call("cache_hit", cache_hit_min_blocks=10**15)
    assert found(few) == {"main: cache_hit": ("pg.cache_hit_unknown", "unknown")}
    low = place.call("cache_hit", cache_hit_min_blocks=1, cache_hit_warning="100%", cache_hit_critical="0")
    assert found(low) == {"main: cache_hit": ("pg.cache_hit_low", "warning")}
    assert 0 < low["checks"]["cache_hit"]["value"] < 1


def test_age_is_judged_for_each_database(place: Looked) -> None:
    place.execute("CREATE TABLE t (a int)")
    result = place.call("wraparound", wraparound_warning="0", wraparound_critical="100%")
    one = next(each for each in result["findings"] if each["subject"] == f"main: {place.database}")
    assert (one["code"], one["severity"]) == ("pg.wraparound", "warning")
    assert len(one["evidence"]["oldest"]) == 3
    place.execute(*[text for text in result["checks"]["wraparound"]["sql"] if text.startswith("VACUUM")])
    assert place.call("wraparound")["findings"] == []


def test_slow_statements_are_told_without_values(place: Looked) -> None:
    place.execute("SELECT pg_stat_statements_reset()", "SELECT pg_sleep(0.3), 'top secret', 4711")
    place.execute(f"CREATE ROLE {ROLE} PASSWORD 'top secret'", f"DROP ROLE {ROLE}")
    place.execute("CREATE TABLE t AS SELECT pg_sleep(0.3)::text, 'top secret' AS word")

    def slept(result: Result) -> list[Result]:
        return [each for each in result["findings"] if "pg_sleep" in each["message"]]

    result = place.call("slow_queries", slow_query="250ms", top=50)
    assert [each["code"] for each in slept(result)] == ["pg.slow_query"] * 2
    assert result["checks"]["slow_queries"]["value"] >= 2
    assert all(each["subject"].startswith(f"main: {place.database}.query ") for each in slept(result))
    assert any("CREATE ROLE" in entry["query"] for entry in result["checks"]["slow_queries"]["items"])
    assert "top secret" not in json.dumps(result)
    assert "4711" not in json.dumps([entry["query"] for entry in result["checks"]["slow_queries"]["items"]])
    assert place.call("slow_queries", slow_query="1h")["findings"] == []
    assert slept(place.call("slow_queries", slow_query="250ms", slow_query_min_calls=2)) == []


def test_statements_are_looked_for_in_every_database_that_is_named(place: Looked) -> None:
    missing = place.call("slow_queries", login_db="postgres")
    one = finding(missing, "pg.statements_missing")
    assert (one["subject"], one["severity"]) == ("main: slow_queries", "unknown")
    assert one["remedy"].endswith("CREATE EXTENSION pg_stat_statements;")
    assert "shared_preload_libraries" not in one["remedy"], "it is loaded already"
    named = {"databases": ["postgres", place.database], "slow_query": "1h"}
    assert place.call("slow_queries", login_db="postgres", **named)["findings"] == []


def test_temporary_files_are_counted_by_the_day(place: Looked) -> None:
    place.execute(
        "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT n FROM generate_series(1, 200000) n ORDER BY -n) x"
    )
    place.wait_for(f"SELECT 1 FROM pg_stat_database WHERE datname = '{place.database}' AND temp_bytes > 1000000")
    assert found(place.call("temp_files", temp_files_warning="1MB")) == {
        f"main: {place.database}": ("pg.temp_files_high", "warning")
    }
    assert place.call("temp_files")["findings"] == []


def test_a_page_that_the_storage_has_changed_is_critical(place: Looked) -> None:
    place.execute("CREATE TABLE t AS SELECT n, repeat('x', 100) AS filler FROM generate_series(1, 500) n")
    place.corrupt("t")
    with place.beside("SELECT count(filler) FROM t") as ended:
        pass
    assert ended == ["XX001"]
    result = place.call("checksums")
    assert found(result) == {f"main: {place.database}": ("pg.checksum_failed", "critical")}
    assert result["checks"]["checksums"]["value"] >= 1
    assert finding(result, "pg.checksum_failed")["evidence"]["last_failure"]


def test_settings_that_do_harm_are_named_with_the_way_back(place: Looked) -> None:
    bad = {
        "autovacuum_naptime": "2h",
        "autovacuum_vacuum_scale_factor": "0.9",
        "autovacuum_vacuum_cost_delay": "100ms",
        "zero_damaged_pages": "on",
        "fsync": "off",
    }
    try:
        for name, value in bad.items():
            place.cluster.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        place.cluster.execute("SELECT pg_reload_conf()")
        place.wait_for("SELECT 1 FROM pg_settings WHERE name = 'zero_damaged_pages' AND setting = 'on'")
        result = place.call("settings")
        assert {subject.split()[-1] for subject in found(result)} == set(bad)
        assert codes(result) == {"pg.setting_harmful"}
        for text in result["checks"]["settings"]["sql"]:
            for statement in filter(None, text.split(";")):
                place.cluster.execute(statement)
        place.wait_for("SELECT 1 FROM pg_settings WHERE name = 'zero_damaged_pages' AND setting = 'off'")
        assert place.call("settings")["findings"] == []
    finally:
        place.cluster.execute("ALTER SYSTEM RESET ALL")
        place.cluster.execute("SELECT pg_reload_conf()")
        place.wait_for("SELECT 1 FROM pg_settings WHERE name = 'autovacuum_naptime' AND setting = '3000'")


# --- copies -----------------------------------------------------------------------------------------------------------


def test_an_archive_that_takes_nothing_is_critical(place: Looked) -> None:
    archived = "SELECT 1 FROM pg_stat_archiver WHERE last_archived_time > coalesce(last_failed_time, '-infinity')"
    try:
        place.cluster.execute("ALTER SYSTEM SET archive_command = 'false'")
        place.cluster.execute("SELECT pg_reload_conf()")
        place.execute("CREATE TABLE t AS SELECT 1 AS one", "SELECT pg_switch_wal()")
        place.wait_for(
            "SELECT 1 FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"
        )
        failing = place.call("archiver", archive_ready_warning=1, archive_ready_critical=1000)
        place.cluster.execute("ALTER SYSTEM SET archive_command = ''")
        place.cluster.execute("SELECT pg_reload_conf()")
        place.wait_for("SELECT 1 FROM pg_settings WHERE name = 'archive_command' AND setting = ''")
        unset = place.call("archiver")
    finally:
        place.cluster.execute("ALTER SYSTEM RESET archive_command")
        place.cluster.execute("SELECT pg_reload_conf()")
    assert codes(failing) == {"pg.archiver_failing", "pg.archiver_behind"}
    assert status(failing, "archiver") == "critical"
    assert failing["checks"]["archiver"]["value"] >= 1
    assert "neither an archive_command" in finding(unset, "pg.archiver_failing")["message"]
    # The archiver comes back to what has failed only after a minute; new work wakes it up.
    place.execute("CREATE TABLE u AS SELECT 1 AS one", "SELECT pg_switch_wal()")
    place.wait_for(archived, seconds=90)
    assert place.call("archiver")["findings"] == []


def test_an_abandoned_slot_is_found_by_what_it_keeps(place: Looked) -> None:
    place.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
    try:
        place.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 30000) n")
        unused = place.call("replication", slot_inactive="0")
        keeping = place.call("replication", slot_retained_warning="1MB", slot_retained_critical="1TB")
        ignored = place.call("replication", slot_inactive="0", ignore=["slot left_*"])
        place.execute(*keeping["checks"]["replication"]["sql"])
    finally:
        place.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    assert found(unused) == {"main: slot left_behind": ("pg.slot_inactive", "info" if place.major < 17 else "warning")}
    assert found(keeping) == {"main: slot left_behind": ("pg.slot_retains", "warning")}
    assert "without a limit (max_slot_wal_keep_size)" in finding(keeping, "pg.slot_retains")["message"]
    assert (ignored["findings"], ignored["summary"]["worst"]) == ([], "ok")
    assert place.call("replication")["checks"]["replication"]["items"] == []


def test_a_slot_that_has_lost_its_wal_is_critical(place: Looked) -> None:
    place.execute("SELECT pg_create_physical_replication_slot('too_late', true)")
    try:
        place.cluster.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        place.cluster.execute("SELECT pg_reload_conf()")
        for number in range(3):
            place.execute(f"CREATE TABLE t{number} AS SELECT 1 AS one", "SELECT pg_switch_wal()", "CHECKPOINT")
        place.wait_for("SELECT 1 FROM pg_replication_slots WHERE wal_status = 'lost'")
        result = place.call("replication")
    finally:
        place.cluster.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        place.cluster.execute("SELECT pg_reload_conf()")
        place.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    assert found(result) == {"main: slot too_late": ("pg.slot_lost", "critical")}


def test_a_standby_that_stands_still_is_seen_from_both_sides(place: Looked) -> None:
    place.execute("CREATE TABLE t (a int)")
    with Standby(place.cluster) as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        there = Looked(standby, place.database, place.folder)
        assert there.call("replication")["findings"] == []
        assert place.call("replication")["findings"] == []
        standby.execute("SELECT pg_wal_replay_pause()")
        place.execute("INSERT INTO t SELECT n FROM generate_series(1, 60000) n")
        place.wait_for(
            "SELECT 1 FROM pg_stat_replication WHERE pg_wal_lsn_diff(sent_lsn, replay_lsn) > 2000000 "
            "AND flush_lsn = sent_lsn"
        )
        seen = place.call("replication", lag_bytes_warning="1MB")
        own = there.call("replication", lag_bytes_warning="1MB")
        elsewhere = there.call("unused_indexes", "last_vacuum", "duplicate_indexes")
        standby.execute("SELECT pg_wal_replay_resume()")
    assert found(seen) == {"main: standby standby": ("pg.replication_lag", "warning")}
    assert codes(own) == {"pg.replay_paused", "pg.replication_lag"}
    assert own["in_recovery"]
    assert seen["checks"]["replication"]["value"] > 2_000_000
    assert found(elsewhere) == {
        f"main: {place.database} unused_indexes": ("pg.standby_not_judged", "info"),
        f"main: {place.database} last_vacuum": ("pg.standby_not_judged", "info"),
    }


def test_a_standby_without_its_primary_and_a_primary_without_its_standby(place: Looked) -> None:
    with Standby(place.cluster) as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        standby.execute("SELECT pg_reload_conf()")
        there = Looked(standby, place.database, place.folder)
        place.wait_for("SELECT 1 FROM pg_replication_slots WHERE slot_name = 'standby' AND NOT active")
        alone = there.call("replication")
        try:
            place.cluster.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            place.cluster.execute("SELECT pg_reload_conf()")
            place.wait_for("SELECT 1 FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'standby'")
            waiting = place.call("replication")
        finally:
            place.cluster.execute("ALTER SYSTEM RESET synchronous_standby_names")
            place.cluster.execute("SELECT pg_reload_conf()")
    assert found(alone)["main: receiver"] == ("pg.replication_stopped", "warning")
    assert found(waiting)["main: synchronous_standby_names"] == ("pg.replication_stopped", "critical")


# --- in a database: indexes -------------------------------------------------------------------------------------------


def test_twins_are_told_and_what_only_looks_like_one_is_not(place: Looked) -> None:
    place.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, s text, j jsonb)",
        "CREATE INDEX a_1 ON t (a)",
        "CREATE INDEX a_2 ON t (a)",
        "CREATE INDEX a_b ON t (a, b)",
        "CREATE INDEX id_plain ON t (id)",
        "CREATE UNIQUE INDEX id_unique ON t (id)",
        "CREATE INDEX s_1 ON t (s)",
        "CREATE INDEX s_include ON t (s) INCLUDE (a)",
        "CREATE INDEX lower_1 ON t (lower(s))",
        "CREATE INDEX lower_2 ON t (lower(s))",
        "CREATE INDEX hash_1 ON t USING hash (b)",
        "CREATE INDEX hash_2 ON t USING hash (b)",
        "CREATE INDEX partial_1 ON t (b) WHERE a > 0",
        "CREATE INDEX partial_2 ON t (b) WHERE a > 0",
        # None of these is a twin of another one, nor of those above.
        "CREATE INDEX a_desc ON t (a DESC)",
        "CREATE INDEX a_nulls ON t (a NULLS FIRST)",
        "CREATE INDEX s_pattern ON t (s text_pattern_ops)",
        'CREATE INDEX s_collation ON t (s COLLATE "POSIX")',
        "CREATE INDEX upper_s ON t (upper(s))",
        "CREATE INDEX partial_other ON t (b) WHERE a > 1",
        "CREATE UNIQUE INDEX b_unique ON t (b)",
        "CREATE INDEX b_a ON t (b, a)",
        "CREATE INDEX j_1 ON t USING gin (j)",
        "CREATE INDEX j_path ON t USING gin (j jsonb_path_ops)",
        "CREATE INDEX brin_1 ON t USING brin (a) WITH (pages_per_range = 16)",
        "CREATE INDEX brin_2 ON t USING brin (a) WITH (pages_per_range = 64)",
        "CREATE INDEX b_s_include ON t (b DESC) INCLUDE (s)",
        "CREATE INDEX b_s_include_other ON t (b DESC) INCLUDE (a)",
    )
    result = place.call("duplicate_indexes")
    twins = {
        item["index"].removeprefix("public."): (item["keeper"], item["exact"])
        for item in result["checks"]["duplicate_indexes"]["items"]
    }
    told = {
        each["evidence"]["index"].removeprefix("public."): (each["evidence"]["keeper"], each["evidence"]["exact"])
        for each in result["findings"]
    }
    assert told == {
        "a_1": ("a_b", False),
        "a_2": ("a_1", True),
        "id_plain": ("t_pkey", True),
        "id_unique": ("t_pkey", True),
        "s_1": ("s_include", True),
        "lower_2": ("lower_1", True),
        "hash_2": ("hash_1", True),
        "partial_2": ("partial_1", True),
    }
    assert twins.items() <= told.items()
    severities = {each["evidence"]["exact"]: each["severity"] for each in result["findings"]}
    assert severities == {True: "warning", False: "info"}
    for _round in range(2):  # of each part the first five are there to paste
        place.execute(*place.call("duplicate_indexes")["checks"]["duplicate_indexes"]["sql"])
    assert place.call("duplicate_indexes")["findings"] == [], "what it says to paste ends it"


def test_what_a_constraint_stands_on_is_never_dropped_as_an_index(place: Looked) -> None:
    place.execute(
        "CREATE TABLE t (a int NOT NULL, b int NOT NULL, c int, CONSTRAINT a_first UNIQUE (a))",
        "ALTER TABLE t ADD CONSTRAINT a_again UNIQUE (a)",
        "CREATE TABLE child (a int REFERENCES t (a))",
        "CREATE UNIQUE INDEX b_1 ON t (b)",
        "CREATE UNIQUE INDEX b_identity ON t (b)",
        "ALTER TABLE t REPLICA IDENTITY USING INDEX b_identity",
        "CREATE INDEX c_1 ON t (c)",
        "CREATE INDEX c_clustered ON t (c)",
        "ALTER TABLE t CLUSTER ON c_clustered",
    )
    result = place.call("duplicate_indexes")
    sql = result["checks"]["duplicate_indexes"]["sql"]
    assert sorted(sql) == [
        "ALTER TABLE public.t DROP CONSTRAINT a_again;",
        "DROP INDEX CONCURRENTLY public.b_1;",
        "DROP INDEX CONCURRENTLY public.c_1;",
    ]
    place.execute(*sql)
    assert place.call("duplicate_indexes")["findings"] == []


def test_indexes_of_partitions_are_judged_by_the_whole(place: Looked) -> None:
    place.execute(
        "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10000)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10000) TO (20000)",
        "INSERT INTO p SELECT n, n FROM generate_series(1, 19000) n",
        "CREATE INDEX read ON p (a)",
        "CREATE INDEX unread ON p (b)",
        "CREATE INDEX twin ON p (b)",
        "CREATE INDEX incomplete ON ONLY p (a, b)",
        "VACUUM ANALYZE p",
        "SET enable_seqscan = off; SELECT count(*) FROM p1 WHERE a = 5",
    )
    place.wait_for(f"SELECT 1 FROM pg_stat_database WHERE datname = '{place.database}'")
    result = place.call("unused_indexes", "duplicate_indexes", "invalid_indexes", **SMALL)
    by_code = {code: {each["subject"] for each in result["findings"] if each["code"] == code} for code in codes(result)}
    assert by_code == {
        "pg.index_unused": {place.name("public.unread"), place.name("public.twin"), *read_long_ago(place)},
        "pg.index_duplicate": {place.name("public.twin")},
        "pg.index_incomplete": {place.name("public.incomplete")},
    }
    assert result["checks"]["duplicate_indexes"]["sql"] == ["DROP INDEX public.twin;"], "not CONCURRENTLY: it cannot be"
    place.execute(*result["checks"]["unused_indexes"]["sql"])
    assert codes(place.call("unused_indexes", "duplicate_indexes", **SMALL)) == set()


def read_long_ago(place: Looked) -> set[str]:
    """From 16 on, what was read at any time was read long ago, where no time at all is long."""
    return {place.name("public.read")} if place.major >= 16 else set()


def test_unused_indexes_are_those_that_serve_nothing(place: Looked) -> None:
    place.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int UNIQUE, c int, s text)",
        "INSERT INTO t SELECT n, n, n, n, n::text FROM generate_series(1, 20000) n",
        "CREATE INDEX read ON t (a)",
        "CREATE INDEX unread ON t (c)",
        "CREATE INDEX expressed ON t (lower(s))",
        "CREATE UNIQUE INDEX uniquely ON t (c, a)",
        "CREATE TABLE small (a int)",
        "CREATE INDEX small_a ON small (a)",
        "ANALYZE t",
        "SET enable_seqscan = off; SELECT count(*) FROM t WHERE a = 5",
    )
    old_enough = place.call("unused_indexes", unused_index_min_size="100KiB", unused_index_period="0")
    assert set(found(old_enough)) == {place.name("public.unread"), *read_long_ago(place)}
    assert codes(old_enough) == {"pg.index_unused"}
    assert "DROP INDEX CONCURRENTLY public.unread;" in old_enough["checks"]["unused_indexes"]["sql"]
    young = place.call("unused_indexes", unused_index_min_size="100KiB")
    assert found(young) == {f"main: {place.database} unused_indexes": ("pg.index_usage_unknown", "unknown")}
    assert "it takes 30d to tell" in young["findings"][0]["message"]
    place.execute("SELECT pg_stat_reset()")
    reset = place.call("unused_indexes", unused_index_min_size="100KiB", unused_index_period="1h")
    assert codes(reset) == {"pg.index_usage_unknown"}, "a minute after a reset nothing was read"
    assert place.call("unused_indexes")["findings"] == [], "below 1 MB nobody minds"


def test_an_index_that_was_not_finished_is_found_and_what_to_do_mends_it(place: Looked) -> None:
    place.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int)", "INSERT INTO t SELECT n, n FROM generate_series(1, 100) n"
    )
    place.interrupt("CREATE INDEX CONCURRENTLY half ON t (a)", "UPDATE t SET a = a WHERE id = 1")
    place.interrupt("REINDEX INDEX CONCURRENTLY t_pkey", "UPDATE t SET a = a WHERE id = 1")
    result = place.call("invalid_indexes")
    assert found(result) == {
        place.name("public.half"): ("pg.index_invalid", "warning"),
        place.name("public.t_pkey_ccnew"): ("pg.index_invalid", "warning"),
    }
    sql = result["checks"]["invalid_indexes"]["sql"]
    assert sorted(sql) == ["DROP INDEX CONCURRENTLY public.t_pkey_ccnew;", "REINDEX INDEX CONCURRENTLY public.half;"]
    place.execute(*sql)
    assert place.call("invalid_indexes")["findings"] == []


def test_a_leftover_of_a_toast_table_can_be_dropped_as_it_says(place: Looked) -> None:
    place.execute("CREATE TABLE t (id int PRIMARY KEY, body text)", "INSERT INTO t VALUES (1, 'x')")
    ((toast,),) = place.execute("SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 't'")
    place.interrupt(
        f"REINDEX INDEX CONCURRENTLY {toast}_index", "UPDATE t SET body = body", f"SELECT count(*) FROM {toast}"
    )
    result = place.call("invalid_indexes")
    (subject,) = found(result)
    assert re.fullmatch(re.escape(place.name(f"{toast}_index")) + "_cc(new|old)", subject)
    place.execute(*result["checks"]["invalid_indexes"]["sql"])
    assert place.call("invalid_indexes")["findings"] == []


# --- in a database: the rest ------------------------------------------------------------------------------------------


def test_bloat_is_told_with_what_frees_it(place: Looked) -> None:
    place.make_dirty("t", rows=20000)
    place.execute("DELETE FROM t WHERE id % 10 <> 1", "VACUUM (ANALYZE)")
    alarming: dict[str, Any] = {"bloat_min_size": "300kB"}
    result = place.call("bloat", **alarming)
    assert found(result) == {
        place.name("public.t"): ("pg.bloat_high", "warning"),
        place.name("public.t_pkey"): ("pg.bloat_high", "warning"),
    }
    place.execute(*result["checks"]["bloat"]["sql"])
    assert place.call("bloat", **alarming)["findings"] == []
    place.execute("CREATE TABLE fresh AS SELECT n, n::text AS note FROM generate_series(1, 20000) n")
    unknown = place.call("bloat", **alarming)
    assert found(unknown) == {f"main: {place.database} bloat": ("pg.bloat_unknown", "unknown")}
    place.execute(*unknown["checks"]["bloat"]["sql"])
    assert place.call("bloat", **alarming)["findings"] == []


def test_sequences_are_judged_by_what_they_fill(place: Looked) -> None:
    place.execute(
        "CREATE TABLE owned (id serial PRIMARY KEY)",
        "SELECT setval('owned_id_seq', 1900000000)",
        "CREATE TABLE identified (id int GENERATED ALWAYS AS IDENTITY)",
        "SELECT setval('identified_id_seq', 2140000000)",
        "CREATE SEQUENCE wide",
        "CREATE TABLE narrow (id smallint DEFAULT nextval('wide'))",
        "SELECT setval('wide', 32000)",
        "CREATE SEQUENCE down INCREMENT -1 MINVALUE -100 MAXVALUE -1",
        "SELECT setval('down', -97)",
        "CREATE SEQUENCE round MAXVALUE 10 CYCLE",
        "SELECT setval('round', 10)",
        "CREATE SEQUENCE unused MAXVALUE 2",
        "CREATE SEQUENCE early AS int",
        "SELECT setval('early', 1000000000)",
        "CREATE SEQUENCE bigs",
        "SELECT setval('bigs', 9223372036854775000)",
    )
    result = place.call("sequences")
    assert found(result) == {
        place.name("public.owned_id_seq"): ("pg.sequence_near_end", "warning"),
        place.name("public.identified_id_seq"): ("pg.sequence_near_end", "critical"),
        place.name("public.wide"): ("pg.sequence_near_end", "critical"),
        place.name("public.down"): ("pg.sequence_near_end", "critical"),
        place.name("public.bigs"): ("pg.sequence_near_end", "critical"),
    }
    for text in result["checks"]["sequences"]["sql"]:
        place.execute(*filter(None, text.split(";")))
    assert set(found(place.call("sequences"))) == {place.name("public.bigs")}, "and there is nothing larger than bigint"


def test_many_sequences_take_only_a_share_of_the_locks_at_a_time(place: Looked) -> None:
    ((locks,),) = place.execute(
        "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int"
    )
    count = locks // 2
    place.execute(f"DO $$ BEGIN FOR n IN 1..{count} LOOP EXECUTE 'CREATE SEQUENCE s' || n; COMMIT; END LOOP; END $$")
    place.execute(f"SELECT setval('s{count}', 9223372036854775806)")
    result = place.call("sequences")
    assert found(result) == {place.name(f"public.s{count}"): ("pg.sequence_near_end", "critical")}


def test_large_objects_that_nothing_names_are_counted_and_left_alone(place: Looked) -> None:
    assert place.call("large_objects")["findings"] == []
    place.execute(
        "CREATE DOMAIN picture AS oid",
        'CREATE TABLE "odd ""name%" ("the oid" oid, pictures picture[], one picture)',
        'INSERT INTO "odd ""name%" SELECT lo_create(0), ARRAY[lo_create(0), lo_create(0)], lo_create(0)',
        "CREATE TABLE parts (o oid) PARTITION BY RANGE (o)",
        "CREATE TABLE part PARTITION OF parts DEFAULT",
        "INSERT INTO parts SELECT lo_create(0)",
    )
    assert place.call("large_objects")["findings"] == []
    place.execute("SELECT lo_create(0) FROM generate_series(1, 3)")
    result = place.call("large_objects")
    assert found(result) == {f"main: {place.database} large_objects": ("pg.large_objects_orphaned", "warning")}
    assert finding(result, "pg.large_objects_orphaned")["evidence"] == {
        "orphans": 3,
        "large_objects": 8,
        "columns_searched": 4,
    }
    assert result["checks"]["large_objects"]["sql"] == [], "nothing to paste: a text may name them"
    assert place.execute("SELECT count(*) FROM pg_largeobject_metadata") == [(8,)]


def test_tables_that_autovacuum_owes_something_or_is_kept_from(place: Looked) -> None:
    place.make_dirty("t", rows=3000)
    place.execute(
        "ALTER TABLE t SET (autovacuum_enabled = off)", "ALTER TABLE t SET (autovacuum_vacuum_threshold = 10)"
    )
    place.make_dirty("lenient", rows=3000)
    place.execute(
        "ALTER TABLE lenient SET (autovacuum_vacuum_threshold = 100000, autovacuum_analyze_threshold = 100000)"
    )
    recent = place.call("last_vacuum", "autovacuum")
    assert found(recent) == {f"main: {place.database} autovacuum": ("pg.autovacuum_table_off", "warning")}
    overdue = place.call("last_vacuum", vacuum_overdue="0")
    assert place.name("public.t") in found(overdue)
    assert place.name("public.lenient") not in found(overdue)
    place.execute(*recent["checks"]["autovacuum"]["sql"], "VACUUM (ANALYZE) t")
    assert place.name("public.t") not in found(place.call("last_vacuum", "autovacuum", vacuum_overdue="0"))


def test_without_counters_nothing_is_known_of_their_parts(place: Looked) -> None:
    place.execute(f"ALTER DATABASE {place.database} SET track_counts = off")
    result = place.call("last_vacuum", "unused_indexes", "duplicate_indexes")
    assert found(result) == {
        f"main: {place.database} last_vacuum": ("pg.counters_off", "unknown"),
        f"main: {place.database} unused_indexes": ("pg.counters_off", "unknown"),
    }


def test_sessions_that_are_not_tracked_are_not_taken_for_idle(place: Looked) -> None:
    place.execute(f"ALTER DATABASE {place.database} SET track_activities = off")
    with place.session("SELECT 1"):
        result = place.call("connections", "long_queries", "idle_in_transaction", login_db="postgres")
    assert found(result) == {
        "main: long_queries": ("pg.activities_off", "unknown"),
        "main: idle_in_transaction": ("pg.activities_off", "unknown"),
    }


NAMES = (
    'we"ird',
    "per%cent",
    "{brace}",
    "line\nbreak",
    "back\\slash",
    "ünïcode",
    "d$$ollar",
    "semi;colon'quote",
    "x" * 63,
)


def test_any_name_can_be_told_and_pasted(place: Looked) -> None:
    for name in NAMES:
        table = f"{quote(name[:60])}.{quote(name)}"
        place.execute(
            f"CREATE SCHEMA {quote(name[:60])}",
            f"CREATE TABLE {table} (a int, {quote(name)} serial)",
            f"CREATE INDEX ON {table} (a)",
            f"CREATE INDEX {quote('2' + name[:61])} ON {table} (a)",
            f"ALTER TABLE {table} SET (autovacuum_enabled = off)",
            f"SELECT setval(pg_get_serial_sequence({literal(table)}, {literal(name)}), 2147483000)",
        )
    parts = ("duplicate_indexes", "sequences", "autovacuum")
    result = place.call(*parts, "sizes", "bloat", "last_vacuum", "unused_indexes", **SMALL)
    assert status(result, "duplicate_indexes") == "warning"
    assert len([each for each in result["findings"] if each["code"] == "pg.index_duplicate"]) == len(NAMES)
    assert len([each for each in result["findings"] if each["code"] == "pg.sequence_near_end"]) == len(NAMES)
    for each in result["findings"]:
        assert "\n" not in each["subject"] + each["message"] + each["remedy"], each
    for _round in range(2):  # of each part the first five are there to paste
        for part in parts:
            for text in result["checks"][part]["sql"]:
                place.execute(text)
        result = place.call(*parts)
    assert result["findings"] == []


def literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_an_ordinary_role_sees_what_it_may_and_is_told_the_grants(place: Looked, role: dict[str, str]) -> None:
    place.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, o oid, a int)",
        "INSERT INTO t (o, a) SELECT 0, n FROM generate_series(1, 10000) n",
        "SELECT lo_create(0), nextval('t_id_seq')",
        "CREATE INDEX one ON t (a)",
        "CREATE INDEX two ON t (a)",
        "ANALYZE",
        "SELECT pg_stat_statements_reset()",
    )
    options: dict[str, Any] = {**role, **AT_ONCE, "bloat_min_size": "300kB", "ignore": ["*large_objects"]}
    plain = place.call(**options)
    unseen = {each["subject"]: each["remedy"] for each in plain["findings"] if each["severity"] == "unknown"}
    assert set(unseen) == {
        "main: long_queries",
        "main: idle_in_transaction",
        "main: xmin_holders",
        "main: slow_queries",
        "main: archiver",
        "main: autovacuum",
        f"main: {place.database} sequences",
        f"main: {place.database} bloat",
    }
    assert found(plain)[place.name("public.two")] == ("pg.index_duplicate", "warning"), "the rest is judged"
    grants = {remedy.partition("GRANT ")[2] for remedy in unseen.values()}
    assert grants == {f"pg_monitor TO {ROLE};", f"pg_read_all_data TO {ROLE};"}
    hidden = place.call("large_objects", **role)
    assert found(hidden) == {f"main: {place.database} large_objects": ("pg.health_not_permitted", "unknown")}

    place.execute(f"GRANT pg_monitor TO {ROLE}")
    monitor = {each["subject"] for each in place.call(**options)["findings"] if each["severity"] == "unknown"}
    assert monitor == {f"main: {place.database} sequences", f"main: {place.database} bloat"}
    place.execute(f"GRANT pg_read_all_data TO {ROLE}")
    all_seen = place.call(**{**options, "ignore": []})
    assert {each["code"] for each in all_seen["findings"]} == {"pg.index_duplicate", "pg.large_objects_orphaned"}


def test_rows_that_a_policy_hides_are_not_taken_for_missing(place: Looked, role: dict[str, str]) -> None:
    place.execute(
        "CREATE TABLE t (o oid)",
        "INSERT INTO t SELECT lo_create(0)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"GRANT pg_read_all_data TO {ROLE}",
    )
    assert codes(place.call("large_objects", **role)) == {"pg.health_not_permitted"}
    assert place.call("large_objects")["findings"] == []


def test_what_waits_for_a_lock_is_unknown_and_the_rest_is_judged(place: Looked) -> None:
    place.execute("CREATE TABLE t (id serial, a int)", "CREATE INDEX one ON t (a)", "CREATE INDEX two ON t (a)")
    with place.session("LOCK TABLE pg_catalog.pg_sequence IN ACCESS EXCLUSIVE MODE"):
        result = place.call("sequences", "duplicate_indexes", "invalid_indexes", "connections", lock_timeout="100ms")
        late = place.call("sequences", "duplicate_indexes", lock_timeout="0", statement_timeout="1500ms")
    assert found(result) == {
        f"main: {place.database} sequences": ("pg.health_locked", "unknown"),
        place.name("public.two"): ("pg.index_duplicate", "warning"),
    }
    assert found(late) == {
        f"main: {place.database} sequences": ("pg.health_timed_out", "unknown"),
        place.name("public.two"): ("pg.index_duplicate", "warning"),
    }


def test_a_table_that_somebody_has_for_himself_holds_nothing_up(place: Looked) -> None:
    place.make_dirty("t", rows=20000)
    with place.session("LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "REINDEX TABLE t"):
        result = place.call(lock_timeout="500ms", **AT_ONCE, **SMALL)
    assert not codes(result) & {"pg.health_locked", "pg.health_timed_out", "pg.health_unreadable"}
    (table,) = (entry for entry in result["tables"] if entry["table"] == "public.t")
    assert (table["exact"], table["bytes"] > 500_000) == (False, True)


def test_when_the_time_is_over_the_rest_is_unknown(place: Looked) -> None:
    place.execute("CREATE TABLE t (id serial, a int)")
    with place.session("LOCK TABLE pg_catalog.pg_sequence IN ACCESS EXCLUSIVE MODE"):
        result = place.call("sequences", "bloat", "connections", "large_objects", lock_timeout="0", time_limit="3s")
    assert status(result, "connections") == "ok"
    assert {each["code"] for each in result["findings"]} <= {"pg.health_timed_out", "pg.health_out_of_time"}
    assert status(result, "bloat") == "unknown"


def test_a_database_that_does_not_let_us_in_is_unknown_when_it_was_named(place: Looked, role: dict[str, str]) -> None:
    with place.other_database() as other:
        place.execute(f"REVOKE CONNECT ON DATABASE {quote(other)} FROM public")
        named = place.call("sequences", databases=[place.database, other], **role)
        matched = place.call("sequences", databases=[f"{place.database}*"], **role)
    assert found(named) == {f"main: {quote(other)}": ("pg.database_unreachable", "unknown")}
    assert matched["findings"] == []
    assert {"name": other, "reason": "the role may not connect to it"} in matched["databases_left_out"]
    assert (named["databases"], matched["databases"]) == ([place.database], [place.database])


def test_a_session_of_ours_can_change_nothing(place: Looked) -> None:
    place.execute(f"ALTER DATABASE {place.database} SET log_statement = 'all'")
    before = len(place.cluster.log.read_text())
    place.call("connections")
    first, *_others = statements_in(place.cluster.log.read_text()[before:])
    assert "'default_transaction_read_only', 'on'" in first


def test_a_pooler_by_transaction_is_refused_and_one_by_session_is_fine(place: Looked) -> None:
    with Pgbouncer(place.cluster, "transaction") as pool:
        with pytest.raises(PooledConnection):
            place.call("connections", login_host=pool.host, login_port=pool.port, ssl_mode="disable")
        # The process that served us serves others now: nothing of ours may be left in it.
        there = place.cluster.connect(place.database, host=pool.host, port=pool.port, sslmode="disable")
        with there.cursor() as cursor:
            cursor.execute("SELECT current_setting('default_transaction_read_only'), current_setting('jit')")
            assert cursor.fetchall() == [("off", "on")]
        there.close()
    with Pgbouncer(place.cluster, "session") as pool:
        result = place.call("connections", "sequences", login_host=pool.host, login_port=pool.port, ssl_mode="disable")
    assert result["summary"]["worst"] == "ok"


@pytest.mark.soak
def test_ten_thousand_tables_take_seconds(place: Looked) -> None:
    for start in range(0, 10_000, 500):  # a transaction has a lock on each of its tables
        place.execute(
            f"""DO $$ BEGIN FOR n IN {start}..{start + 499} LOOP
                EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, a int)', n);
                EXECUTE format('CREATE INDEX ON t%s (a)', n);
                EXECUTE format('INSERT INTO t%s (a) SELECT g FROM generate_series(1, 20) g', n);
                COMMIT;
            END LOOP; END $$"""
        )
    place.execute("ANALYZE")
    result = place.call(**AT_ONCE)
    assert result["summary"]["seconds"] < 20, "on a quiet machine it is one"
    assert not codes(result) & {"pg.health_timed_out", "pg.health_out_of_time", "pg.health_unreadable"}
    assert len(json.dumps(result)) < 40_000


# --- odd servers ------------------------------------------------------------------------------------------------------


def test_what_is_set_for_a_database_does_not_change_the_answers(place: Looked) -> None:
    odd = {
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "standard_conforming_strings": "off",
        "search_path": "nowhere",
        "datestyle": "'German, DMY'",
        "intervalstyle": "iso_8601",
        "timezone": "'GMT+5'",
        "statement_timeout": "1000",
        "row_security": "on",
    }
    place.execute(
        "CREATE SCHEMA nowhere",
        "CREATE FUNCTION nowhere.age(xid) RETURNS int LANGUAGE sql AS 'SELECT 2147483647'",
        "CREATE TABLE nowhere.pg_class (oid int)",
        "CREATE TABLE t (id serial, a int)",
        "CREATE INDEX one ON t (a)",
        "CREATE INDEX two ON t (a)",
    )
    for name, value in odd.items():
        place.execute(f"ALTER DATABASE {place.database} SET {name} = {value}", database="postgres")
    try:
        with place.session("SELECT 1"):
            result = place.call(**AT_ONCE)
    finally:
        place.execute(f"ALTER DATABASE {place.database} RESET ALL", database="postgres")
    assert {each["subject"]: each["code"] for each in result["findings"]} == {
        place.name("public.two"): "pg.index_duplicate"
    }


def test_names_without_an_encoding_come_out_and_go_back(place: Looked) -> None:
    name = f"{place.database}_ascii"
    place.cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'")
    try:
        there = place.cluster.connect(name, client_encoding="LATIN1")
        there.autocommit = True
        with there.cursor() as cursor:
            cursor.execute('CREATE TABLE "caf\xe9" (id serial, a int)')
            cursor.execute('CREATE INDEX one ON "caf\xe9" (a)')
            cursor.execute('CREATE INDEX "zw\xf6lf" ON "caf\xe9" (a)')
        there.close()
        for driver in PREFERENCE:
            result = place.call("duplicate_indexes", "sequences", "sizes", driver=driver, databases=[name])
            assert found(result) == {f'main: {name}.public."zw\xf6lf"': ("pg.index_duplicate", "warning")}
    finally:
        place.cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_extension_in_a_schema_with_an_odd_name_is_asked_there(place: Looked, role: dict[str, str]) -> None:
    schema = quote('odd "100%" {name}')
    place.execute(
        "DROP EXTENSION pg_stat_statements",
        f"CREATE SCHEMA {schema}",
        f"CREATE EXTENSION pg_stat_statements SCHEMA {schema}",
        f"SELECT {schema}.pg_stat_statements_reset()",
        "SELECT pg_sleep(0.1)",
    )
    result = place.call("slow_queries", slow_query="50ms")
    assert codes(result) == {"pg.slow_query"}
    refused = place.call("slow_queries", "connections", **role)
    assert found(refused) == {"main: slow_queries": ("pg.health_not_permitted", "unknown")}
    place.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role['login_user']}")
    assert "pg_monitor" in finding(place.call("slow_queries", **role), "pg.health_not_permitted")["remedy"]
