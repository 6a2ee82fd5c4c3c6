"""`pg_vacuum` on one server: options, connections, real faults, and through Ansible as a user calls it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    StateError,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import report
from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.processes import run
from tests.integration.module import CHECKOUT, run_module
from tests.integration.playbook import Fleet, Ran
from tests.integration.vacuuming import AT_WORK, ROLE, Place, Work, codes, meanwhile, quote, record_of, statuses

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = {"max_prepared_transactions": "5", "wal_level": "replica"}
    with Cluster(find_or_bring(None, cache_directory()), name="vacuumed", settings=settings) as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Place]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Place(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def role(place: Place) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


# --- which tables -----------------------------------------------------------------------------------------------------


def test_with_always_every_table_is_worked_on(place: Place) -> None:
    place.execute("CREATE TABLE quiet AS SELECT 1 AS one")
    for mode, actions in (
        ("vacuum", ["vacuum"]),
        ("analyze", ["analyze"]),
        ("vacuum_analyze", ["vacuum", "analyze"]),
    ):
        record = record_of(place.call(mode=mode, when="always", tables=["quiet"]), "quiet")
        assert (record["status"], record["reason"], record["actions"]) == ("done", ["always"], actions)


def test_a_table_that_was_done_lately_is_left(place: Place) -> None:
    place.make_dirty("lately")
    assert statuses(place.call(skip_if_vacuumed_within="1h")) == {"lately": "skipped: recent"}
    assert statuses(place.call(skip_if_vacuumed_within="1ms")) == {"lately": "done"}


def test_filters_pick_and_leave_out(place: Place) -> None:
    place.execute("CREATE SCHEMA extra")
    place.make_dirty("one", "two", "extra.one", "extra.three")

    def picked(**options: Any) -> list[str]:
        return sorted(f"{one['schema']}.{one['table']}" for one in place.call(check=True, **options)["tables"])

    assert picked() == ["extra.one", "extra.three", "public.one", "public.two"]
    assert picked(tables=["one"]) == ["extra.one", "public.one"]
    assert picked(tables=["extra.one"]) == ["extra.one"]
    assert picked(tables=["t*"]) == ["extra.three", "public.two"]
    assert picked(schemas=["extra"]) == ["extra.one", "extra.three"]
    assert picked(schemas=["extra"], exclude_tables=["thr??"]) == ["extra.one"]
    assert picked(exclude_schemas=["ex*"], tables=["*"]) == ["public.one", "public.two"]
    assert picked(tables=["nothing*"]) == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"tables": ["no_such"]}, "table no_such"),
        ({"schemas": ["nowhere"]}, "schema nowhere"),
        ({"databases": ["no_such_db"]}, "database no_such_db"),
        ({"exclude_tables": ["no_such"]}, "table no_such"),
        ({"exclude_schemas": ["nowhere"]}, "schema nowhere"),
    ],
)
def test_a_name_that_does_not_exist_is_an_error(place: Place, options: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        place.call(**options)


def test_a_schema_without_tables_is_there(place: Place) -> None:
    place.execute("CREATE SCHEMA empty")
    place.make_dirty("orders")
    assert statuses(place.call(exclude_schemas=["empty"])) == {"orders": "done"}
    assert place.call(schemas=["empty"])["summary"]["worst"] == "unknown"


def test_a_filter_that_leaves_nothing_is_unknown(place: Place) -> None:
    result = place.call(tables=["nothing*"])
    assert (result["summary"]["worst"], result["findings"][0]["code"]) == ("unknown", "pg.nothing_examined")


def test_what_is_no_table_of_ours_is_left_with_the_reason(place: Place) -> None:
    place.execute(
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere",
        "CREATE FOREIGN TABLE remote (id int) SERVER elsewhere",
    )
    with place.session("CREATE TEMPORARY TABLE mine (id int)", "COMMIT"):
        result = place.call(when="always", tables=["remote", "mine"])
    assert statuses(result) == {"remote": "skipped: foreign", "mine": "skipped: temporary"}
    assert not result["changed"]
    assert result["findings"] == []
    assert result["vacuum"]["skipped"] == 0


def test_unlogged_tables_and_materialized_views_are_tables_too(place: Place) -> None:
    place.execute(
        "CREATE UNLOGGED TABLE fast AS SELECT generate_series(1, 3000) AS n",
        "CREATE MATERIALIZED VIEW view AS SELECT n FROM fast",
        "DELETE FROM fast WHERE n % 2 = 0",
        "REFRESH MATERIALIZED VIEW view",
    )
    assert statuses(place.call()) == {"fast": "done", "view": "done"}
    assert not place.call()["changed"]


def test_without_missing_stats_a_new_table_waits_for_its_changes(place: Place) -> None:
    place.execute("CREATE TABLE fresh AS SELECT generate_series(1, 100) AS n")
    assert not place.call(missing_stats=False)["changed"]
    assert statuses(place.call(missing_stats=False, mod_min=50)) == {"fresh": "done"}


def test_a_partition_in_another_server_is_not_fetched(place: Place) -> None:
    place.execute(
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere",
        "CREATE TABLE mixed (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE mixed_here PARTITION OF mixed FOR VALUES FROM (0) TO (1000)",
        "CREATE FOREIGN TABLE mixed_there PARTITION OF mixed FOR VALUES FROM (1000) TO (2000) SERVER elsewhere",
        "INSERT INTO mixed SELECT generate_series(1, 900)",
    )
    assert statuses(place.call()) == {
        "mixed": "skipped: foreign",
        "mixed_there": "skipped: foreign",
        "mixed_here": "done",
    }


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_a_locked_table_can_fail_the_task(place: Place) -> None:
    place.make_dirty("locked")
    with place.session("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"):
        result = place.call(fail_on_skipped=["lock"], lock_retries=0)
    assert "public.locked (another session holds a lock on it)" in result["msg"]
    assert not result["changed"]
    assert record_of(result, "locked")["attempts"] == 1, "with no retries nobody waits"


@pytest.mark.parametrize("batch_pages", [0, 128], ids=["alone", "in a batch"])
def test_a_lock_that_goes_away_is_got_at_a_later_attempt(place: Place, batch_pages: int) -> None:
    place.make_dirty("busy", "free")
    with place.session("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE") as other:
        timer = threading.Timer(1.0, other.rollback)
        timer.start()
        result = place.call(lock_timeout="200ms", lock_retries=30, lock_retry_delay="100ms", batch_pages=batch_pages)
        timer.join()
    assert statuses(result) == {"busy": "done", "free": "done"}
    assert record_of(result, "busy")["attempts"] > 2
    assert result["findings"] == []


def test_no_lock_is_waited_for_beyond_the_time_limit(place: Place) -> None:
    place.make_dirty("locked")
    with place.session("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"):
        started = time.monotonic()
        result = place.call(lock_timeout="100ms", lock_retries=50, lock_retry_delay="1h", time_limit="2s")
        assert time.monotonic() - started < 60
    assert statuses(result) == {"locked": "skipped: lock"}


def test_a_role_can_be_taken_on(place: Place, role: dict[str, str]) -> None:
    place.make_dirty("own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}")
    assert statuses(place.call(session_role=ROLE, tables=["own"])) == {"own": "done"}
    with pytest.raises(InvalidInput, match="cannot take on the role no_such_role"):
        place.call(session_role="no_such_role")
    with pytest.raises(InvalidInput, match="cannot take on the role postgres"):
        place.call(session_role="postgres", **role)


def test_a_snapshot_in_another_database_holds_nothing(place: Place) -> None:
    place.make_dirty("free")
    with place.session("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1", database="postgres"):
        place.execute("UPDATE free SET note = 'again'")
        assert statuses(place.call(tables=["free"])) == {"free": "done"}


def test_a_statement_that_somebody_cancels_is_not_tried_again(place: Place) -> None:
    place.make_slow()

    with meanwhile(place, f"SELECT pg_cancel_backend(pid) {AT_WORK}"):
        result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "skipped: cancelled"}
    assert record_of(result, "slow")["attempts"] == 1
    assert list(codes(result).values()) == ["pg.vacuum_cancelled"]


def test_nothing_new_starts_when_the_time_is_over(place: Place) -> None:
    place.make_dirty("one", "two", "three")
    result = place.call(time_limit="0", include_catalogs=False)
    assert set(statuses(result).values()) == {"skipped: time_limit"}
    assert result["queries"] == []
    assert codes(result) == {place.subject: "pg.out_of_time"}
    assert result["vacuum"]["by_reason"]["time_limit"] == 3
    assert "3 tables that need work" in result["findings"][0]["message"]


INJECTION = 'x"; DROP TABLE theirs; --'


def test_a_role_named_like_an_injection_with_settings_of_its_own(place: Place) -> None:
    place.make_dirty("theirs", "own")
    with place.role(INJECTION) as login:
        quoted = quote(INJECTION)
        place.execute(
            f"ALTER TABLE own OWNER TO {quoted}",
            f"ALTER ROLE {quoted} SET search_path = theirs, public",
            f"ALTER ROLE {quoted} SET statement_timeout = '1s'",
            f"ALTER ROLE {quoted} SET lock_timeout = '1s'",
            f"ALTER ROLE {quoted} SET DateStyle = 'German'",
            f"ALTER ROLE {quoted} SET standard_conforming_strings = off",
        )
        for options in (login, {"session_role": INJECTION}):
            place.execute("UPDATE own SET note = note || 'x'")
            assert statuses(place.call(**options)) == {"own": "done", "theirs": "skipped: permission"}
    assert place.cluster.execute("SELECT count(*) FROM theirs", database=place.database) == [(1500,)]


def test_more_workers_than_the_server_has_are_told(place: Place) -> None:
    place.make_dirty("orders")
    result = place.call(parallel=64, tables=["orders"])
    assert statuses(result) == {"orders": "done"}
    assert codes(result) == {"main": "pg.parallel_limited"}
    assert place.call(parallel=1, check=True, tables=["orders"])["findings"] == []


def test_a_run_can_be_watched(place: Place) -> None:
    place.make_dirty("orders", "others")
    place.call(include_catalogs=False)
    (log,) = (place.folder / "state" / "progress").glob("*.log")
    lines = log.read_text().splitlines()
    assert "upkeep pg_vacuum begins in main: bed_" in lines[0]
    assert "2 to do" in lines[0]
    assert lines[-1].split(" ", 1)[1].startswith("ended: 2 of 2 done")


# --- several databases ------------------------------------------------------------------------------------------------


@pytest.fixture
def other_database(place: Place) -> Iterator[str]:
    with place.other_database() as name:
        yield name


def test_catalogs_that_all_databases_share_are_looked_at_once(place: Place, other_database: str) -> None:
    result = place.call(databases=[place.database, other_database], tables=["pg_authid"], when="always", mode="analyze")
    assert statuses(result) == {"pg_authid": "done"}


def test_a_database_that_cannot_be_entered_does_not_hide_the_others(
    place: Place, other_database: str, role: dict[str, str]
) -> None:
    place.make_dirty("here")
    place.execute(f"ALTER TABLE here OWNER TO {ROLE}")
    quoted = quote(other_database)
    place.execute(f"ALTER DATABASE {quoted} CONNECTION LIMIT 0")
    result = place.call(databases=[place.database, other_database], tables=["he*"], **role)
    assert statuses(result) == {"here": "done"}
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("pg.database_unreachable", "unknown")
    assert "too many connections" in finding["message"]
    place.execute(f"REVOKE CONNECT ON DATABASE {quoted} FROM PUBLIC")
    reasons = {entry["name"]: entry["reason"] for entry in place.call(databases=["*"], check=True, **role)["databases"]}
    assert reasons[other_database] == "the role may not connect to it"


def test_databases_of_a_managed_service_are_left(place: Place, role: dict[str, str]) -> None:
    place.make_dirty("own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}")
    place.cluster.execute("CREATE DATABASE rdsadmin")
    place.cluster.execute("CREATE DATABASE locked_up")
    place.cluster.execute("REVOKE CONNECT ON DATABASE locked_up FROM PUBLIC")
    try:
        result = place.call(databases=[place.database, "rds*", "locked_*"], **role)
    finally:
        place.cluster.execute("DROP DATABASE rdsadmin")
        place.cluster.execute("DROP DATABASE locked_up")
    assert statuses(result) == {"own": "done"}
    assert {entry["name"]: entry["reason"] for entry in result["databases"]} == {
        place.database: "",
        "rdsadmin": "it belongs to the managed service, which lets nobody in",
        "locked_up": "the role may not connect to it",
    }
    assert result["findings"] == []
    assert result["msg"] == ""


def test_names_without_an_encoding(place: Place) -> None:
    name = f"{place.database}_ascii"
    place.cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    connected = place.cluster.connect(name, client_encoding="LATIN1")
    connected.set_client_encoding("LATIN1")
    connected.autocommit = True
    with connected.cursor() as cursor:
        cursor.execute('CREATE TABLE "caf\xe9" AS SELECT generate_series(1, 3000) AS n')
        cursor.execute('DELETE FROM "caf\xe9" WHERE n % 2 = 0')
    connected.close()
    place.settle()
    try:
        for driver in PREFERENCE:
            result = place.call(login_db=name, driver=driver, when="always", include_catalogs=False)
            assert statuses(result) == {"caf\xe9": "done"}
    finally:
        place.cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


# --- the connection ---------------------------------------------------------------------------------------------------


def test_the_socket_will_do(place: Place) -> None:
    for host in ("", "localhost"):
        here = {"login_host": host, "login_unix_socket": str(place.cluster.socket_dir), "name": None}
        result = place.call(ssl_mode="prefer", ca_cert=None, tables=["pg_class"], check=True, when="always", **here)
        assert result["findings"][0]["subject"].startswith(f"{place.cluster.socket_dir}:{place.cluster.port}: ")


@BOTH_DRIVERS
@pytest.mark.parametrize(
    ("options", "reason", "next_step"),
    [
        ({"login_password": "hunter2-wrong"}, "password authentication failed", "login_password"),
        ({"login_port": 1}, "Connection refused", "listens"),
        ({"login_db": "no_such_db"}, 'database "no_such_db" does not exist', "psql -l"),
        ({"ca_cert": "/etc/ssl/certs/ca-certificates.crt"}, "certificate verify failed", "ca_cert"),
        ({"ca_cert": "/nowhere.pem"}, 'root certificate file "/nowhere.pem" does not exist', "ca_cert"),
        ({"login_unix_socket": "/nowhere", "login_host": ""}, "No such file or directory", "login_unix_socket"),
        ({"login_password": ""}, "no password supplied", "login_password"),
        ({"login_user": 'x"; DROP ROLE postgres'}, "password authentication failed", "login_user"),
        ({"connect_params": {"no_such_option": 1}}, 'invalid connection option "no_such_option"', "connect_params"),
    ],
)
def test_a_connection_that_fails_is_one_sentence_and_the_next_step(
    place: Place, driver: str, options: dict[str, Any], reason: str, next_step: str
) -> None:
    with pytest.raises(ConnectionFailed) as refused:
        place.call(driver=driver, **options)
    error = refused.value
    assert reason in error.message
    assert error.message.count(reason) == 1
    assert "\n" not in str(error)
    assert next_step in error.remedy
    assert "hunter2" not in str(error.as_failure())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"time_limit": "30"}, "time_limit: '30' has no unit"),
        ({"lock_timeout": "2 fortnights"}, "lock_timeout: '2 fortnights' has the unknown unit"),
        ({"dead_ratio": 10}, "dead_ratio is 10; it is a share between 0 and 1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"connect_params": {"password": "x"}}, "connect_params holds password"),
        ({"when": "sometimes"}, "value of when must be one of"),
        ({"dead_raito": 0.2}, "Unsupported parameters"),
        ({"databases": []}, "databases is an empty list"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    place: Place, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UpkeepError, match=text):
        place.call(login_port=1, **options)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_prepared_transaction_is_named(place: Place) -> None:
    place.execute("CREATE TABLE pinned AS SELECT generate_series(1, 4000) AS n", "VACUUM (ANALYZE) pinned")
    with place.session("SELECT txid_current()", "PREPARE TRANSACTION 'it''s {left}'"):
        pass
    place.execute("DELETE FROM pinned WHERE n % 2 = 0")
    result = place.call(tables=["pinned"])
    place.execute("ROLLBACK PREPARED 'it''s {left}'")
    assert statuses(result) == {"pinned": "partial"}
    (finding,) = result["findings"]
    assert finding["evidence"]["holder"]["kind"] == "prepared"
    assert "ROLLBACK PREPARED 'it''s {left}'" in finding["remedy"]
    assert statuses(place.call(tables=["pinned"])) == {"pinned": "done"}


def test_a_role_that_sees_little_still_learns_who_holds_its_rows(place: Place, role: dict[str, str]) -> None:
    place.execute("CREATE TABLE pinned AS SELECT generate_series(1, 4000) AS n", "VACUUM (ANALYZE) pinned")
    place.execute(f"ALTER TABLE pinned OWNER TO {ROLE}")
    with place.session("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pinned") as other:
        place.execute("DELETE FROM pinned WHERE n % 2 = 0")
        result = place.call(tables=["pinned"], **role)
        assert [holder["id"] for holder in result["blockers"]] == [str(other.info.backend_pid)]
    assert statuses(result) == {"pinned": "partial"}


def test_an_old_transaction_is_worth_a_word_before_the_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_dirty("orders")
    with place.session("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1") as other:
        assert place.call(check=True)["blockers"] == [], "it is not old yet"
        monkeypatch.setattr(report, "OLD_TRANSACTION", 0.0)
        assert [holder["id"] for holder in place.call(check=True)["blockers"]] == [str(other.info.backend_pid)]


@pytest.mark.parametrize("batch_pages", [0, 128], ids=["alone", "in a batch"])
def test_a_table_that_goes_between_plan_and_run_is_skipped(place: Place, batch_pages: int) -> None:
    place.make_dirty("gone", "renamed", "stays", "last")
    work = Work(place, batch_pages=batch_pages, dead_min=100, include_catalogs=False)
    place.execute("DROP TABLE gone", "ALTER TABLE renamed RENAME TO other", "CREATE TABLE renamed (id int)")
    records = {record.table.name: record for record in work.run()}
    assert {name: record.status for name, record in records.items()} == {
        "gone": "skipped",
        "renamed": "skipped",
        "stays": "done",
        "last": "done",
    }
    assert records["gone"].why == "vanished"
    assert records["renamed"].why in ("lock", "unproven"), "what has its name now is another table"
    assert records["stays"].after is not None


def test_a_session_that_is_ended_is_replaced(place: Place) -> None:
    place.make_slow()
    with meanwhile(place, f"SELECT pg_terminate_backend(pid) {AT_WORK}"):
        result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "done"}


def test_fewer_connections_than_wanted_will_do(place: Place, role: dict[str, str]) -> None:
    tables = [f"t{number}" for number in range(8)]
    place.make_dirty(*tables)
    # Slow enough that no connection has done all before the next one is asked for.
    place.execute(
        f"ALTER DATABASE {place.database} SET vacuum_cost_delay = '20ms'",
        f"ALTER DATABASE {place.database} SET vacuum_cost_limit = 20",
    )
    place.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 2", *(f"ALTER TABLE {name} OWNER TO {ROLE}" for name in tables))
    result = place.call(jobs=4, batch_pages=0, tables=["t?"], **role)
    assert statuses(result) == dict.fromkeys(tables, "done")
    (entry,) = result["databases"]
    assert "one connection fewer" in " ".join(entry["notes"])


def test_a_server_with_few_slots_left_is_not_filled_up(place: Place) -> None:
    tables = [f"t{number}" for number in range(8)]
    place.make_dirty(*tables)
    limit = int(place.cluster.execute("SHOW max_connections")[0][0])
    with ExitStack() as stack:
        for _number in range(limit - 10):
            stack.enter_context(place.session("SELECT 1"))
        most = 0

        def watch() -> None:
            nonlocal most
            with place.session() as other, other.cursor() as cursor:
                other.autocommit = True
                while not ended.is_set():
                    cursor.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'upkeep pg_vacuum%'"
                    )
                    most = max(most, cursor.fetchone()[0])

        ended = threading.Event()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            result = place.call(jobs=60, batch_pages=0, tables=["t?"])
        finally:
            ended.set()
            thread.join()
    assert statuses(result) == dict.fromkeys(tables, "done")
    assert 1 <= most <= 6


def damage(place: Place, table: str) -> None:
    """Overwrite the header of the table's first page while the server is down."""
    place.execute("CHECKPOINT")
    ((path,),) = place.execute(f"SELECT pg_relation_filepath('{table}')")
    place.cluster.stop()
    with open(place.cluster.data_directory / path, "r+b") as file:
        file.write(b"\xde\xad\xbe\xef" * 6)
    place.cluster.start()


def test_damaged_data_is_critical_and_the_rest_goes_on(place: Place) -> None:
    place.make_dirty("bad", "good")
    damage(place, "bad")
    result = place.call(include_catalogs=False)
    assert statuses(result) == {"bad": "failed", "good": "done"}
    (finding,) = result["findings"]
    assert (finding["code"], finding["severity"]) == ("pg.corruption", "critical")
    assert finding["evidence"]["sqlstate"] in ("XX001", "XX002")
    assert result["msg"].startswith(f"Failed: {place.subject}.public.bad (invalid page in block 0")
    assert result["databases"][0]["status"] == "failed"


def test_an_error_can_stop_the_run(place: Place) -> None:
    place.make_dirty("bad", rows=9000)
    place.make_dirty("good")
    damage(place, "bad")
    result = place.call(include_catalogs=False, on_error="stop", batch_pages=0)
    assert statuses(result) == {"bad": "failed", "good": "skipped: stopped"}
    assert codes(result) == {f"{place.subject}.public.bad": "pg.corruption", place.subject: "pg.run_stopped"}
    assert not result["changed"]


@pytest.fixture
def standby(cluster: Cluster) -> Iterator[Cluster]:
    """A hot standby of the cluster, with a slot of its own and its queries fed back."""
    copy = Cluster(cluster.binaries, name="standby", ledger=cluster.ledger)
    copy.directory = cluster.ledger.make_directory(cluster.home.parent)
    account = server_account()
    account.give(copy.directory)
    copy.socket_dir.mkdir(mode=0o700)
    account.give(copy.socket_dir)
    copy.password = cluster.password
    (copy.home / "ca.pem").write_bytes(cluster.ca_cert.read_bytes())
    program = cluster.binaries.tool("pg_basebackup")
    argv = [program, "-D", copy.data_directory, "-R", "-c", "fast", "-X", "stream", "-C", "-S", "upkeep_standby"]
    copied = run(argv, env=cluster.client_environment(), cwd=copy.home, account=account.ids)
    assert copied.returncode == 0, copied.stderr
    with open(copy.data_directory / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write("hot_standby_feedback = on\nwal_receiver_status_interval = 1s\nmax_standby_streaming_delay = -1\n")
    copy.start()
    try:
        yield copy
    finally:
        copy.stop()
        cluster.execute("SELECT pg_drop_replication_slot('upkeep_standby')")
        copy.remove()


def test_a_standby_is_refused_and_one_that_holds_rows_is_named(place: Place, standby: Cluster) -> None:
    with pytest.raises(ReadOnlyServer) as refused:
        place.call(login_port=standby.port)
    assert refused.value.evidence == {"class": "read_only"}
    assert "primary" in refused.value.remedy
    left = place.call(login_port=standby.port, on_standby="skip")
    assert codes(left) == {"main": "pg.standby_left"}
    assert (left["changed"], left["summary"]["worst"], left["msg"]) == (False, "info", "")

    place.execute("CREATE TABLE pinned AS SELECT generate_series(1, 4000) AS n", "VACUUM (ANALYZE) pinned")
    there = Place(standby, place.database, place.folder)
    standby_has = "SELECT 1 FROM pg_replication_slots s, pg_stat_replication r WHERE s.active AND r.replay_lsn >= '{}'"
    place.wait_for(standby_has.format(place.cluster.execute("SELECT pg_current_wal_flush_lsn()")[0][0]))
    with there.session("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pinned"):
        place.wait_for("SELECT 1 FROM pg_replication_slots WHERE xmin IS NOT NULL")
        place.execute("DELETE FROM pinned WHERE n % 2 = 0")
        result = place.call(tables=["pinned"])
    assert statuses(result) == {"pinned": "partial"}
    holder = result["findings"][0]["evidence"]["holder"]
    assert (holder["kind"], holder["id"], holder["database"]) == ("slot", "upkeep_standby", "")
    assert "pg_drop_replication_slot('upkeep_standby')" in result["findings"][0]["remedy"]


def test_a_state_directory_that_cannot_be_written_is_one_error(place: Place) -> None:
    blocked = place.folder / "file"
    blocked.write_text("")
    with pytest.raises(StateError, match="cannot be"):
        place.call(state_dir=str(blocked / "state"))
    assert place.call(state_dir=str(blocked / "state"), check=True)["findings"] == []


# --- through Ansible --------------------------------------------------------------------------------------------------


def test_the_module_in_check_mode_in_a_run_and_again(place: Place) -> None:
    place.make_dirty("orders")
    planned = run_module(place.folder, "pg_vacuum", place.options(), check_mode=True)
    assert (planned.how, planned.result["vacuum"]["planned"]) == ("CHANGED", 1)
    done = run_module(place.folder, "pg_vacuum", place.options(synchronous_commit="off", lock_retries=0))
    assert (done.how, done.result["vacuum"]["done"]) == ("CHANGED", 1)
    again = run_module(place.folder, "pg_vacuum", place.options())
    assert (again.how, again.worst) == ("SUCCESS", "ok")
    assert place.cluster.password not in f"{planned}{done}{again}"


def test_the_module_fails_without_a_traceback_and_without_the_password(place: Place, role: dict[str, str]) -> None:
    wrong = run_module(place.folder, "pg_vacuum", place.options(login_password="hunter2-wrong"))
    assert wrong.how == "FAILED"
    assert "password authentication failed" in wrong.result["msg"]
    assert "hunter2" not in str(wrong.result)
    assert "Traceback" not in str(wrong.result)
    place.make_dirty("theirs")
    denied = run_module(place.folder, "pg_vacuum", place.options(**role))
    assert denied.how == "FAILED"
    assert "public.theirs" in denied.result["msg"]
    assert denied.found() == {f"{place.subject}.public.theirs": ("pg.not_permitted", "warning")}


def test_a_python_without_a_driver_is_told_what_to_install(place: Place) -> None:
    bare = place.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = str(bare / "bin" / "python")
    answer = run_module(place.folder, "pg_vacuum", place.options(), interpreter=python)
    assert answer.how == "FAILED"
    for part in (python, "apt install python3-psycopg2", "dnf install python3-psycopg2", "psycopg2-binary"):
        assert part in answer.result["msg"]


@pytest.mark.target_python
@pytest.mark.parametrize(
    "python", [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]
)
def test_the_module_on_the_pythons_of_managed_hosts(place: Place, python: str) -> None:
    place.make_dirty("orders")
    assert run_module(place.folder, "pg_vacuum", place.options(jobs=2), interpreter=python).how == "CHANGED"
    assert run_module(place.folder, "pg_vacuum", place.options(jobs=2), interpreter=python).how == "SUCCESS"


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Work on the clusters
      ansible.builtin.include_role:
        name: cadence.upkeep.postgres
        tasks_from: "{{ entry }}"
    - name: Tell
      ansible.builtin.copy:
        dest: "{{ told }}"
        content: "{{ postgres_vacuum | to_json }}"
        mode: "0600"
      check_mode: false
"""


def play(place: Place, entry: str, clusters: list[dict[str, Any]], *arguments: str) -> tuple[Ran, dict[str, Any]]:
    playbook = place.folder / "play.yml"
    playbook.write_text(PLAYBOOK)
    told = place.folder / "told.json"
    told.unlink(missing_ok=True)
    fleet = Fleet(place.folder).local("db1", postgres_clusters=clusters)
    fleet.environment["ANSIBLE_COLLECTIONS_PATH"] = str(CHECKOUT / "playbooks" / "collections")
    ran = fleet.play(str(playbook), *arguments, entry=entry, told=str(told))
    return ran, json.loads(told.read_text()) if told.exists() else {}


def test_the_role_works_on_each_cluster(place: Place) -> None:
    place.make_dirty("orders")
    clusters = [place.options(), place.options(name="again", jobs=2, synchronous_commit=False)]
    for cluster in clusters:
        del cluster["state_dir"]
    looked, planned = play(place, "vacuum", clusters, "-vvv", "--check")
    assert looked.code == 0, looked.output
    assert [one["vacuum"]["planned"] for one in planned["results"]] == [1, 1]
    worked, done = play(place, "vacuum", clusters, "-vvv", "--diff")
    assert worked.code == 0, worked.output
    assert [one["changed"] for one in done["results"]] == [True, False]
    assert "public.orders: dead 1500" in worked.output, "diff mode shows what there was"
    assert "public.orders: dead 0" in worked.output
    for output in (looked.output, worked.output, json.dumps(planned), json.dumps(done)):
        assert place.cluster.password not in output


def test_the_role_refuses_an_option_that_nobody_knows(place: Place) -> None:
    ran, _told = play(place, "vacuum", [place.options(dead_raito=0.2)])
    assert ran.code != 0
    assert "dead_raito" in ran.output
    assert place.cluster.password not in ran.output
