"""`pg_vacuum` while servers, sessions and the module itself are killed, and while there is no room."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import Error

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres import sql
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import ServerError, Session
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum import apply, run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.collect import read_counters
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.main import Main
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.vacuum.model import Counters
from tests.bed.accounts import base_directory, server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.module import CHECKOUT
from tests.integration.vacuuming import AT_WORK, Place, Result, Work, codes, meanwhile, record_of, statuses

OURS = "FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'upkeep pg_vacuum%'"

HOLDERS = """
SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Room for few locks, so that it can be used up.
    settings = {"max_locks_per_transaction": "10", "max_connections": "30"}
    with Cluster(find_or_bring(None, cache_directory()), name="faulty", settings=settings) as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Place]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Place(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def in_thread(place: Place, **options: object) -> tuple[threading.Thread, list[Result]]:
    """A run that goes on while the test does something else."""
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(place.call(include_catalogs=False, **options)))
    thread.start()
    return thread, results


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_table_that_ends_its_session_twice_is_given_up_and_the_others_are_done(place: Place) -> None:
    place.make_slow()
    place.make_dirty("orders")
    with meanwhile(place, f"SELECT pg_terminate_backend(pid) {AT_WORK}", times=2):
        result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "failed", "orders": "done"}
    # The class of the error, or that of a connection which broke before it came.
    assert record_of(result, "slow")["sqlstate"] in ("57P01", "08006")
    assert "public.slow" in result["msg"]


def test_the_session_that_watches_is_replaced(place: Place) -> None:
    place.make_slow()
    watching = f"{OURS.format(place.database)} AND query LIKE '%pg_try_advisory_lock%'"
    with meanwhile(place, f"SELECT pg_terminate_backend(pid) {watching} AND EXISTS (SELECT {AT_WORK})"):
        result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "done"}
    assert result["msg"] == ""


def test_what_was_done_stays_told_when_the_session_that_watches_cannot_be_replaced(place: Place) -> None:
    place.make_slow()
    place.make_dirty("orders")
    thread, results = in_thread(place, mode="vacuum", jobs=2)
    place.wait_for(f"SELECT pid {AT_WORK}")
    place.wait_for("SELECT 1 WHERE pg_stat_get_vacuum_count('orders'::regclass) > 1", database=place.database)
    place.cluster.execute(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS false")
    place.cluster.execute(f"SELECT pg_terminate_backend(pid) {OURS.format(place.database)}")
    thread.join()
    place.cluster.execute(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS true")
    (result,) = results
    assert "not currently accepting connections" in result["msg"]
    assert statuses(result) == {"slow": "skipped: lost", "orders": "skipped: unproven"}
    assert record_of(result, "orders")["attempts"] == 1
    assert "pg.server_lost" in codes(result).values()
    assert result["databases"][0]["status"] == "failed"
    again = place.call(include_catalogs=False, mode="vacuum")
    assert statuses(again) == {"slow": "done"}, "the next run goes on from there"


def lose(place: Place, session: Session) -> None:
    """End the session at the server, and wait until it is gone there."""
    place.cluster.execute(f"SELECT pg_terminate_backend({session.pid})")
    place.wait_for(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {session.pid})")


@contextmanager
def lost_after_the_look(place: Place, monkeypatch: pytest.MonkeyPatch, *then: str) -> Iterator[None]:
    """Within it a run loses the session that looked just before it takes the lock; *then* comes next."""
    genuine = run.look

    def look_and_lose(sessions: Sessions, session: Session, *asked: Any) -> Any:
        seen = genuine(sessions, session, *asked)
        lose(place, session)
        for statement in then:
            place.cluster.execute(statement)
        return seen

    with monkeypatch.context() as patched:
        patched.setattr(run, "look", look_and_lose)
        yield


def test_the_session_that_looked_is_replaced_when_it_was_lost_before_the_lock(place: Place) -> None:
    work = Work(place, include_catalogs=False)
    with work.cluster.session(place.database) as looked:
        lose(place, looked)
        with Main(work.cluster, place.database, place.subject, looked) as main:
            ((pid,),) = main.ask(lambda session: session.rows("SELECT pg_backend_pid()"))
            holders = place.execute(HOLDERS)
            assert pid != looked.pid and holders == [(pid,)]
    place.calm()


def test_a_run_goes_on_when_the_session_that_looked_was_lost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_dirty("orders")
    with lost_after_the_look(place, monkeypatch):
        result = place.call(include_catalogs=False)
    assert statuses(result) == {"orders": "done"}
    assert result["msg"] == ""


def test_a_run_that_cannot_get_back_in_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_dirty("orders")
    with lost_after_the_look(place, monkeypatch, f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS false"):
        result = place.call(include_catalogs=False)
    place.cluster.execute(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS true")
    assert statuses(result) == {"orders": "skipped: lost"}
    assert "not currently accepting connections" in result["msg"]
    assert record_of(result, "orders")["attempts"] == 0


def test_another_run_may_be_at_work_when_the_session_that_looked_is_replaced(place: Place) -> None:
    work = Work(place, include_catalogs=False)
    with work.cluster.session(place.database) as looked, closing(place.cluster.connect(place.database)) as other:
        lose(place, looked)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", sql.ADVISORY_KEYS)
        main = Main(work.cluster, place.database, place.subject, looked)
        with pytest.raises(LockHeld, match="in the hands of another run"), main:
            pytest.fail("it began in spite of the other run")
    place.calm()


def test_another_run_may_take_the_lock_that_was_lost(place: Place) -> None:
    place.make_slow()
    thread, results = in_thread(place, mode="vacuum")
    place.wait_for(f"SELECT pid {AT_WORK}")
    watching = f"{OURS.format(place.database)} AND query LIKE '%pg_try_advisory_lock%'"
    with closing(place.cluster.connect(place.database)) as other, other.cursor() as cursor:
        place.cluster.execute(f"SELECT pg_terminate_backend(pid) {watching}")
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", sql.ADVISORY_KEYS)
        thread.join()
    (result,) = results
    assert "in the hands of another run" in result["msg"]
    assert statuses(result) == {"slow": "skipped: unproven"}


# --- the server and the module ----------------------------------------------------------------------------------------


def test_a_server_that_is_killed_takes_no_record_with_it(place: Place) -> None:
    place.make_slow()
    place.make_dirty("orders")
    thread, results = in_thread(place, mode="vacuum", jobs=2)
    place.wait_for(f"SELECT pid {AT_WORK}")
    place.wait_for("SELECT 1 WHERE pg_stat_get_vacuum_count('orders'::regclass) > 1", database=place.database)
    place.cluster.kill9()
    thread.join()
    place.cluster.start()
    (result,) = results
    assert statuses(result) == {"slow": "skipped: lost", "orders": "skipped: unproven"}
    assert "the statement ended well, but its counters could not be read" in record_of(result, "orders")["message"]
    assert result["msg"]
    assert not result["changed"]
    # The crash took the counters too: first they are made again, then the work is.
    first = place.call(include_catalogs=False, tables=["orders"])
    assert "lost its counts" in record_of(first, "orders")["reason_text"]
    place.execute("DELETE FROM orders")
    second = place.call(include_catalogs=False, tables=["orders"])
    assert "dead" in record_of(second, "orders")["reason"]
    assert record_of(second, "orders")["after"]["dead"] == 0
    assert not place.call(include_catalogs=False, tables=["orders"])["changed"]


def test_what_was_seen_to_be_done_before_the_server_was_killed_stays_done(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "EARLY_LOOK", 1)
    place.make_slow()
    place.make_dirty("orders")
    thread, results = in_thread(place, mode="vacuum", jobs=2)
    place.wait_for(f"SELECT pid {AT_WORK}")
    looked = "AND state = 'idle' AND query LIKE '%pg_stat_get_vacuum_count%' AND query NOT LIKE '%pg_attribute%'"
    place.wait_for(f"SELECT pid {OURS.format(place.database)} {looked}")
    place.cluster.kill9()
    thread.join()
    place.cluster.start()
    (result,) = results
    assert statuses(result) == {"slow": "skipped: lost", "orders": "done"}
    assert record_of(result, "orders")["after"]["dead"] == 0
    assert result["changed"]
    assert result["msg"]


def test_a_look_that_fails_while_the_work_goes_on_is_made_up_for_in_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "EARLY_LOOK", 1)
    looks: list[list[int]] = []

    def read(session: Session, version: int, oids: Iterable[int]) -> dict[int, Counters]:
        looks.append(list(oids))
        if len(looks) == 1:
            raise ServerError("57014", "canceling statement due to user request")
        return read_counters(session, version, looks[-1])

    monkeypatch.setattr(apply, "read_counters", read)
    for name in ("orders", "customers", "items"):
        place.make_dirty(name)
    result = place.call(include_catalogs=False)
    assert statuses(result) == dict.fromkeys(("orders", "customers", "items"), "done")
    assert len(looks) == 2, "one try, and all of them in the end"
    assert len(looks[1]) == 3


def test_the_other_databases_are_not_forgotten_when_the_server_is_killed(place: Place) -> None:
    with place.other_database() as other:
        place.make_slow()
        place.make_dirty("orders", database=other)
        thread, results = in_thread(place, mode="vacuum", databases=[place.database, other])
        place.wait_for(f"SELECT pid {AT_WORK}")
        place.cluster.kill9()
        thread.join()
        place.cluster.start()
        (result,) = results
        assert statuses(result) == {"slow": "skipped: lost", "orders": "skipped: lost"}
        assert [entry["status"] for entry in result["databases"]] == ["failed", "failed"]


def test_a_module_that_is_killed_leaves_nothing_behind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_slow(delay="100ms")
    monkeypatch.setattr(sql, "DEAD_CLIENT_QUERY", sql.DEAD_CLIENT_QUERY.replace("5s", "300ms"))
    child = os.fork()
    if child == 0:
        try:
            place.call(mode="vacuum", include_catalogs=False, jobs=2)
        finally:
            os._exit(1)
    place.wait_for(f"SELECT pid {AT_WORK}")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # It would have worked on for minutes; a client that is gone ends it.
    place.wait_for(f"SELECT 1 WHERE NOT EXISTS (SELECT {OURS.format(place.database)})")
    place.execute(f"ALTER DATABASE {place.database} RESET ALL")
    result = place.call(mode="vacuum", include_catalogs=False)
    assert statuses(result) == {"slow": "done"}


# --- no room ----------------------------------------------------------------------------------------------------------


def take_all_locks(place: Place, ended: threading.Event) -> None:
    """Leave no room in the table of locks while VACUUM is at work, until somebody has met with that."""
    place.wait_for(f"SELECT pid {AT_WORK}")
    with closing(place.cluster.connect(place.database)) as greedy, greedy.cursor() as cursor:
        greedy.autocommit = True
        with pytest.raises(Error, match="out of shared memory"):
            cursor.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) n")
        complaints = place.cluster.log.read_text().count("out of shared memory")
        while place.cluster.log.read_text().count("out of shared memory") == complaints and not ended.wait(0.05):
            pass


def test_with_no_room_for_locks_fewer_connections_go_on_and_later_again(place: Place) -> None:
    tables = [f"t{number}" for number in range(6)]
    place.make_slow(delay="20ms")
    place.make_dirty(*tables)
    work = Work(place, jobs=2, batch_pages=0, mode="vacuum", lock_retry_delay="200ms", include_catalogs=False)
    ended = threading.Event()
    thread = threading.Thread(target=take_all_locks, args=(place, ended))
    thread.start()
    records = work.run()
    ended.set()
    thread.join()
    assert {record.table.name: record.status for record in records} == dict.fromkeys(["slow", *tables], "done")


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    """In a mount namespace of its own, with the server in it and a small file system for a tablespace."""
    folder = base_directory(server_account()) / f"upkeep-full-{secrets.token_hex(4)}"
    spec = json.dumps([{"kind": "tmpfs", "at": str(folder), "options": "size=2m"}])
    argv = [sys.executable, "-m", "tests.integration.full_disk", str(folder), str(tmp_path)]
    try:
        ended = subprocess.run(
            [sys.executable, str(CHECKOUT / "tests/integration/mounts.py"), spec, *argv],
            cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    finally:
        folder.rmdir()
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert statuses(result)["filling"] == "failed"
    assert set(statuses(result).values()) == {"failed", "skipped: stopped"}
    found = {finding["code"]: finding["severity"] for finding in result["findings"]}
    assert found == {"pg.disk_full": "critical", "pg.run_stopped": "unknown"}
    assert record_of(result, "filling")["sqlstate"] == "53100"
    assert "No space left on device" in result["msg"]
