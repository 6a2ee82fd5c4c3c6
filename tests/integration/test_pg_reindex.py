"""`pg_reindex` on one server: options, real faults, and through Ansible as a user calls it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Budget, Deadline
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import (
    ConnectionFailed,
    InvalidInput,
    LockHeld,
    UpkeepError,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Limits, read_server
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Disk, Setup
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.progress import Watch
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex import disk
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.apply import Run
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.collect import read_database
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.disk import Room
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.evaluate import judge
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.model import Record
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.options import policy_of, run_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.reindex.plan import plan
from tests.bed.accounts import base_directory, server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.standby import Standby
from tests.integration.module import CHECKOUT, run_module
from tests.integration.reindexing import QUICK, WAITING, Indexed, quote, record_of, statuses
from tests.integration.vacuuming import ROLE, codes

SNAPSHOT = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux can mount a small disk"
)
WRITER = "UPDATE orders SET note = note WHERE id = 10"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = {"max_prepared_transactions": "5", "wal_level": "replica"}
    with Cluster(find_or_bring(None, cache_directory()), name="reindexed", settings=settings) as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Indexed]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Indexed(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def role(place: Indexed) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


class Work:
    """A plan that was made and is yet to be run."""

    def __init__(self, place: Indexed, **options: Any) -> None:
        params = place.params(**options)
        self.policy = policy_of(params)
        self.options = run_options_of(params)
        self.cluster = Sessions(find_driver(), connection_of(params), self.options.session)
        with self.cluster.session(place.database) as session:
            self.server = read_server(session)
            self.snapshot = read_database(session, self.server, "main", place.database, self.policy)
        self.plan = plan(self.snapshot, self.policy)

    def run(self) -> list[Record]:
        limits = Limits(Budget(None), Deadline(None))
        room = Room(Disk(vouched=10**12), Setup(), self.options)
        with self.cluster.session(self.snapshot.database) as main:
            watch = Watch(None, len(self.plan.steps))
            run = Run(
                self.cluster,
                self.options,
                self.policy,
                self.snapshot,
                self.server,
                self.plan.steps,
                limits,
                watch,
                room,
            )
            applied = run.execute(main)
        return judge(self.snapshot, self.plan, self.policy, applied)


# --- which indexes ----------------------------------------------------------------------------------------------------


def test_filters_pick_and_leave_out(place: Indexed) -> None:
    place.execute(
        "CREATE SCHEMA extra",
        *(f"CREATE TABLE {name} (id integer)" for name in ("one", "two", "extra.one", "extra.three")),
        *(
            f"CREATE INDEX {name.replace('.', '_')}_i ON {name} (id)"
            for name in ("one", "two", "extra.one", "extra.three")
        ),
    )

    def picked(**options: Any) -> list[str]:
        result = place.call(check=True, when="always", **options)
        return sorted(f"{one['schema']}.{one['index']}" for one in result["indexes"])

    everything = ["extra.extra_one_i", "extra.extra_three_i", "public.one_i", "public.two_i"]
    assert picked() == everything
    assert picked(tables=["one"]) == ["extra.extra_one_i", "public.one_i"]
    assert picked(tables=["extra.one"]) == ["extra.extra_one_i"]
    assert picked(indexes=["*one_i"]) == ["extra.extra_one_i", "public.one_i"]
    assert picked(indexes=["extra.extra_one_i", "two_i"]) == ["extra.extra_one_i", "public.two_i"]
    assert picked(schemas=["extra"], exclude_tables=["thr??"]) == ["extra.extra_one_i"]
    assert picked(exclude_schemas=["ex*"], exclude_indexes=["public.one*"]) == ["public.two_i"]
    assert picked(tables=["nothing*"]) == []


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"tables": ["no_such"]}, "table no_such"),
        ({"schemas": ["nowhere"]}, "schema nowhere"),
        ({"indexes": ["no_such_index"]}, "index no_such_index"),
        ({"databases": ["no_such_db"]}, "database no_such_db"),
        ({"tablespace": "no_such_space"}, "tablespace no_such_space"),
        ({"tablespace": "pg_global"}, "tablespace pg_global"),
        ({"bloat_method": "exact"}, "bloat_method is exact"),
    ],
)
def test_what_does_not_exist_is_an_error(place: Indexed, options: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        place.call(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lock_timeout": "5s"}, "a concurrent rebuild gets at least 1m"),
        ({"lock_timeout": "0"}, "lock_timeout is 0 without a hard_time_limit"),
        ({"bloat_ratio": 30}, "bloat_ratio is 30"),
        ({"bloat_ratio": 0}, "bloat_ratio is 0"),
        ({"min_size": "1"}, "min_size: '1' has no unit"),
        ({"max_size": "1kB"}, "max_size .1kB. is smaller than min_size"),
        ({"jobs": 0}, "jobs is 0"),
        ({"disk_headroom": 0.5}, "disk_headroom is 0.5"),
        ({"databases": []}, "databases is an empty list"),
        ({"time_limit": "2h", "hard_time_limit": "1h"}, "shorter than time_limit"),
        ({"invalid": "ignore"}, "value of invalid must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    place: Indexed, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(UpkeepError, match=text):
        place.call(login_port=1, **options)


def test_sizes_bound_what_is_rebuilt_for_bloat(place: Indexed) -> None:
    place.make_bloated("orders")
    assert not place.call(check=True, min_size="1GB")["changed"]
    left = place.call(check=True, max_size="300kB")
    assert statuses(left) == {"orders_pkey": "skipped: max_size"}
    assert (left["findings"], left["reindex"]["skipped"], left["changed"]) == ([], 0, False)
    assert not place.call(check=True, bloat_ratio=0.95)["changed"]


def test_what_cannot_be_measured_is_rebuilt_only_when_asked_for(place: Indexed) -> None:
    place.make_bloated("orders")
    place.execute("CREATE INDEX orders_hash ON orders USING hash (id)", "CREATE TABLE new (id integer PRIMARY KEY)",
                  "INSERT INTO new SELECT generate_series(1, 40000)", "DELETE FROM new WHERE id % 10 <> 0")  # fmt: skip
    result = place.call(check=True, report="all", min_size="10kB")
    assert statuses(result)["orders_hash"] == "skipped: unmeasured"
    assert statuses(result)["new_pkey"] == "skipped: unmeasured"
    assert "never analysed" in record_of(result, "new_pkey")["message"]
    assert "orders_hash" not in str(place.call(check=True, min_size="10kB")["indexes"]), (
        "a line for each hides the rest"
    )
    assert statuses(place.call(when="always", indexes=["orders_hash"])) == {"orders_hash": "done: rebuild"}


def test_doubtful_indexes_are_counted_where_that_is_possible(place: Indexed) -> None:
    place.execute("CREATE EXTENSION pgstattuple")
    place.make_bloated("orders")
    assert record_of(place.call(check=True), "orders_pkey")["bloat"]["method"] == "pgstatindex"
    assert record_of(place.call(check=True, bloat_method="estimate"), "orders_pkey")["bloat"]["method"] == "estimate"
    assert record_of(place.call(check=True, exact_max_size="1kB"), "orders_pkey")["bloat"]["method"] == "estimate"
    exact = place.call(bloat_method="exact")
    assert statuses(exact) == {"orders_pkey": "done: rebuild"}
    assert not place.call(bloat_method="exact")["changed"]


def test_new_indexes_can_be_put_elsewhere(place: Indexed, cluster: Cluster) -> None:
    folder = cluster.home / f"space_{place.database}"
    folder.mkdir()
    cluster._account.give(folder)
    name = f'space "{place.database}"'
    cluster.execute(f"CREATE TABLESPACE {quote(name)} LOCATION '{folder}'")
    try:
        place.make_bloated("orders")
        result = place.call(tablespace=name)
        assert statuses(result) == {"orders_pkey": "done: rebuild"}
        assert f"REINDEX (CONCURRENTLY, TABLESPACE {quote(name)}) INDEX" in result["queries"][0]
        assert place.execute("SELECT tablespace FROM pg_indexes WHERE indexname = 'orders_pkey'") == [(name,)]
        with place.role() as other, pytest.raises(InvalidInput, match="may put nothing into the tablespace"):
            place.call(tablespace=name, **other)
        place.execute("DROP TABLE orders")
    finally:
        cluster.execute(f"DROP TABLESPACE {quote(name)}")


def test_invalid_indexes_can_be_dropped_but_never_those_of_a_constraint(place: Indexed) -> None:
    place.execute(
        "CREATE TABLE orders (id integer PRIMARY KEY, note text)",
        "INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 20) n",
        "CREATE INDEX orders_note ON orders (note)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('orders_note'::regclass, 'orders_pkey'::regclass)",
    )
    reported = place.call(invalid="report")
    assert statuses(reported) == dict.fromkeys(("orders_note", "orders_pkey"), "skipped: reported")
    assert set(codes(reported).values()) == {"pg.reindex_index_invalid"}
    assert reported["summary"]["worst"] == "warning"
    dropped = place.call(invalid="drop")
    assert statuses(dropped) == {"orders_note": "done: drop", "orders_pkey": "skipped: constraint"}
    assert "invalid to rebuild" in dropped["findings"][0]["remedy"]
    assert statuses(place.call()) == {"orders_pkey": "done: rebuild"}
    assert place.invalid() == []


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_a_prepared_transaction_is_named(place: Indexed) -> None:
    place.make_bloated("orders")
    with place.session(WRITER, "PREPARE TRANSACTION 'it''s {left}'"):
        pass
    try:
        result = place.call(blocker_age="1ms", lock_retries=0)
    finally:
        place.execute("ROLLBACK PREPARED 'it''s {left}'")
    assert statuses(result) == {"orders_pkey": "skipped: blocked"}
    assert "ROLLBACK PREPARED 'it''s {left}'" in result["findings"][0]["remedy"]
    assert statuses(place.call(blocker_age="1ms")) == {"orders_pkey": "done: rebuild"}


def test_a_plain_rebuild_does_not_wait_for_long_and_is_tried_again(place: Indexed) -> None:
    place.make_bloated("orders", "free")
    with place.session(WRITER):
        result = place.call(method="plain", lock_timeout="200ms", fail_on_skipped=["lock"], **QUICK)
    assert statuses(result) == {"orders_pkey": "skipped: lock", "free_pkey": "done: rebuild"}
    record = record_of(result, "orders_pkey")
    assert (record["sqlstate"], record["attempts"]) == ("55P03", 2)
    assert codes(result) == {f"{place.subject}.public.orders_pkey": "pg.table_locked"}
    assert "public.orders_pkey (another session holds a lock" in result["msg"]
    with place.session(WRITER) as other:
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        result = place.call(method="plain", lock_timeout="100ms", lock_retries=100, lock_retry_delay="100ms")
        timer.join()
    assert statuses(result) == {"orders_pkey": "done: rebuild"}
    assert result["findings"] == []


def test_a_lock_timeout_beside_other_work_leaves_nothing(place: Indexed) -> None:
    """Its least is a minute, so the option is set behind the check."""
    place.make_bloated("orders")
    work = Work(place, lock_retries=0)
    work.options = replace(work.options, lock_timeout=0.3)
    with place.session(*SNAPSHOT):
        (record,) = work.run()
        assert place.invalid() == []
    assert (record.status, record.why, record.attempt.sqlstate) == ("skipped", "lock", "55P03")
    assert "idle in its transaction" in record.message


def test_a_locked_index_holds_up_no_plan(place: Indexed) -> None:
    place.make_bloated("locked", "free")
    with place.session("REINDEX INDEX locked_pkey"):
        result = place.call(check=True, report="all")
        assert statuses(result)["free_pkey"] == "planned: rebuild"
        assert statuses(result)["locked_pkey"] == "skipped: unmeasured"
        assert "another session has it locked" in record_of(result, "locked_pkey")["message"]


def test_what_somebody_else_rebuilds_meanwhile_is_not_done_twice(place: Indexed) -> None:
    place.make_bloated("replaced", "renamed", "dropped", "stays")
    work = Work(place)
    place.execute(
        "REINDEX INDEX CONCURRENTLY replaced_pkey",
        "ALTER INDEX renamed_pkey RENAME TO other",
        "DROP TABLE dropped",
    )
    records = {record.index.name: record for record in work.run()}
    assert {name: (record.status, record.why) for name, record in records.items()} == {
        "replaced_pkey": ("skipped", "vanished"),
        "renamed_pkey": ("skipped", "vanished"),
        "dropped_pkey": ("skipped", "vanished"),
        "stays_pkey": ("done", ""),
    }


@pytest.mark.parametrize(
    ("options", "why", "code"),
    [
        ({"statement_timeout": "300ms"}, "timeout", "pg.reindex_timed_out"),
        ({"hard_time_limit": "300ms", "lock_timeout": "0"}, "time_limit", "pg.out_of_time"),
    ],
)
def test_a_statement_that_takes_too_long_is_ended_without_a_trace(
    place: Indexed, options: dict[str, str], why: str, code: str
) -> None:
    place.make_bloated("orders")
    with place.session(*SNAPSHOT):
        result = place.call(**options)
        assert place.invalid() == []
    assert statuses(result) == {"orders_pkey": f"skipped: {why}"}
    assert list(codes(result).values()) == [code]
    assert not result["changed"]


def test_a_rebuild_that_somebody_cancels_is_not_tried_again(place: Indexed) -> None:
    place.make_bloated("orders")
    ended: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: ended.append(place.call()))
    with place.session(*SNAPSHOT):
        thread.start()
        ((pid,),) = place.wait_for(WAITING.format(place.database))
        place.execute(f"SELECT pg_cancel_backend({pid})")
        thread.join()
    assert statuses(ended[0]) == {"orders_pkey": "skipped: cancelled"}
    assert codes(ended[0]) == {f"{place.subject}.public.orders_pkey": "pg.reindex_cancelled"}
    assert place.invalid() == []


def test_nothing_new_starts_when_the_time_is_over(place: Indexed) -> None:
    place.make_bloated("one", "two")
    result = place.call(time_limit="0")
    assert set(statuses(result).values()) == {"skipped: time_limit"}
    assert result["queries"] == []
    assert codes(result) == {place.subject: "pg.out_of_time"}


def test_limits_that_are_set_for_the_database_do_not_end_the_work(place: Indexed) -> None:
    place.make_bloated("orders")
    for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        place.execute(f"ALTER DATABASE {place.database} SET {setting} = '300ms'")
    with place.held_up(*SNAPSHOT, "SET idle_in_transaction_session_timeout = 0"):
        result = place.call()
    assert statuses(result) == {"orders_pkey": "done: rebuild"}
    assert record_of(result, "orders_pkey")["seconds"] > 0.3, "it was not slow enough to prove anything"


def test_a_value_that_an_expression_cannot_take_is_critical_and_the_rest_goes_on(place: Indexed) -> None:
    place.make_bloated("orders", "fine")
    place.execute(
        "CREATE FUNCTION share(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
        "CREATE INDEX orders_share ON orders (share(grp))",
        "CREATE OR REPLACE FUNCTION share(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE "
        "AS 'BEGIN RETURN 1 / 0; END'",
    )
    result = place.call(when="always", indexes=["orders_share", "fine_pkey"])
    assert statuses(result) == {"orders_share": "failed: rebuild", "fine_pkey": "done: rebuild"}
    assert codes(result) == {f"{place.subject}.public.orders_share": "pg.corruption"}
    assert "division by zero" in result["msg"]
    assert place.invalid() == []
    stopped = place.call(
        when="always", tables=["orders"], on_error="stop", exclude_indexes=["pg_toast*"], method="plain"
    )
    assert "failed: rebuild" in statuses(stopped).values()


def test_without_room_nothing_is_rebuilt(place: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_bloated("orders")
    monkeypatch.setattr(disk, "UNCHECKED_BYTES", 1)
    real = disk.Room.within

    def elsewhere(room: Room, steps: Any) -> Any:
        """As on a host that is not the server's."""
        room.disk = Disk(vouched=room.options.free_bytes, why="this host is another")
        return real(room, steps)

    monkeypatch.setattr(disk.Room, "within", elsewhere)
    for check in (True, False):
        unknown = place.call(check=check)
        assert statuses(unknown) == {"orders_pkey": "skipped: disk_unknown"}
        assert codes(unknown) == {place.subject: "pg.reindex_room_unknown"}
        assert unknown["summary"]["worst"] == "unknown"
        short = place.call(check=check, free_bytes="10kB")
        assert statuses(short) == {"orders_pkey": "skipped: disk_space"}
        assert (
            "10.0 kB are free" in short["findings"][0]["message"]
            or "9.8 KiB are free" in short["findings"][0]["message"]
        )
    assert statuses(place.call(check=True, force_without_disk_check=True)) == {"orders_pkey": "planned: rebuild"}
    assert statuses(place.call(free_bytes="1GB")) == {"orders_pkey": "done: rebuild"}


@needs_mounts
def test_a_disk_that_is_too_small_is_seen_before_and_one_that_fills_up_ends_the_run(tmp_path: Path) -> None:
    """In a mount namespace of its own, with the server in it and a small file system for a tablespace."""
    folder = base_directory(server_account()) / f"upkeep-full-{secrets.token_hex(4)}"
    spec = json.dumps([{"kind": "tmpfs", "at": str(folder), "options": "size=9m"}])
    argv = [sys.executable, "-m", "tests.integration.full_index_disk", str(folder), str(tmp_path)]
    try:
        ended = subprocess.run(
            [sys.executable, str(CHECKOUT / "tests/integration/mounts.py"), spec, *argv],
            cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    finally:
        folder.rmdir()
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert statuses(told["planned"]) == {"filling_m": "skipped: disk_space", "after_pkey": "planned: rebuild"}
    assert statuses(told["refused"]) == {"filling_m": "skipped: disk_space", "after_pkey": "done: rebuild"}
    (finding,) = told["refused"]["findings"]
    assert finding["code"] == "pg.reindex_no_room"
    assert "are free for pg_tblspc/" in finding["message"]
    forced = told["forced"]
    assert statuses(forced) == {"filling_m": "failed: rebuild", "after_pkey": "skipped: stopped"}
    assert record_of(forced, "filling_m")["sqlstate"] == "53100"
    assert {one["code"] for one in forced["findings"]} == {"pg.disk_full", "pg.run_stopped"}
    assert "No space left on device" in forced["msg"]
    assert (told["invalid"], told["used"]) == ([], 1)


def test_fewer_connections_than_wanted_will_do(place: Indexed, role: dict[str, str]) -> None:
    tables = [f"t{number}" for number in range(6)]
    place.make_bloated(*tables, rows=20_000)
    place.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 2", *(f"ALTER TABLE {name} OWNER TO {ROLE}" for name in tables))
    with place.held_up(*SNAPSHOT):
        result = place.call(jobs=4, **role)
    assert statuses(result) == {f"{name}_pkey": "done: rebuild" for name in tables}
    assert "one connection fewer" in " ".join(result["databases"][0]["notes"])


def test_several_connections_do_not_stand_in_each_others_way(place: Indexed) -> None:
    """Indexes of one table, with expressions and with conditions: two at a time would deadlock or wait."""
    names = []
    for number in range(4):
        place.make_bloated(f"t{number}", rows=4000)
        place.execute(
            f"CREATE INDEX t{number}_note ON t{number} (note)",
            f"CREATE INDEX t{number}_lower ON t{number} (lower(note))",
            f"CREATE INDEX t{number}_some ON t{number} (grp) WHERE grp < 50",
        )
        names += [f"t{number}_{kind}" for kind in ("pkey", "note", "lower", "some")]
    planned = place.call(when="always", jobs=4, indexes=["t?_*"], check=True)
    result = place.call(when="always", jobs=4, indexes=["t?_*"])
    assert statuses(result) == dict.fromkeys(names, "done: rebuild")
    assert {record["attempts"] for record in result["indexes"]} == {1}
    assert sorted(result["queries"]) == sorted(planned["queries"])


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_session_that_is_ended_is_replaced_and_leaves_nothing(place: Indexed) -> None:
    place.make_bloated("orders")
    ended: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: ended.append(place.call()))
    with place.session(*SNAPSHOT) as other:
        thread.start()
        ((pid,),) = place.wait_for(WAITING.format(place.database))
        place.execute(f"SELECT pg_terminate_backend({pid})")
        place.wait_for(WAITING.format(place.database) + f" AND pid <> {pid}")
        other.rollback()
        thread.join()
    assert statuses(ended[0]) == {"orders_pkey": "done: rebuild"}
    assert place.invalid() == []


def test_after_a_crash_of_the_server_the_next_run_clears_up_and_goes_on(place: Indexed) -> None:
    place.make_bloated("orders", "more")
    failed: list[UpkeepError] = []

    def run() -> None:
        with pytest.raises(ConnectionFailed) as error:
            place.call()
        failed.append(error.value)

    thread = threading.Thread(target=run)
    with place.session(*SNAPSHOT):
        thread.start()
        place.wait_for(WAITING.format(place.database))
        place.execute("CHECKPOINT")  # what was only committed asynchronously would be gone after the crash
        place.cluster.kill9()
        thread.join()
    assert failed[0].remedy
    place.cluster.start()
    left = place.invalid()
    assert len(left) == 1
    assert left[0].endswith("_ccnew")
    result = place.call()
    assert sorted(statuses(result).values()) == ["done: drop", "done: rebuild", "done: rebuild"]
    assert place.invalid() == []
    assert not place.call()["changed"]


def test_when_the_module_is_killed_no_lock_stays_and_the_next_run_goes_on(place: Indexed) -> None:
    place.make_bloated("orders", "more")
    script = place.folder / "run.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(CHECKOUT)!r}, {str(CHECKOUT / 'playbooks' / 'collections')!r}]\n"
        "import json, pathlib\n"
        "from tests.integration.reindexing import utc_now, reindex\n"
        "reindex(json.loads(sys.stdin.read()), utc_now())\n"
    )
    with place.session(*SNAPSHOT) as other:
        module = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, text=True)
        try:
            assert module.stdin is not None
            module.stdin.write(json.dumps(place.params()))
            module.stdin.close()
            place.wait_for(WAITING.format(place.database))
        finally:
            module.send_signal(signal.SIGKILL)
            module.wait()
        # Until the server has seen that nobody listens, it is at work, and that is not disturbed.
        meanwhile = place.call(check=True)
        assert set(statuses(meanwhile).values()) <= {"skipped: building", "planned: rebuild", "planned: drop"}
        locks = (
            "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'upkeep pg_re%'"
        )
        place.wait_for(f"SELECT 1 WHERE NOT EXISTS ({locks})")
        other.rollback()
    assert len(place.invalid()) == 1
    result = place.call()
    assert sorted(statuses(result).values()) == ["done: drop", "done: rebuild", "done: rebuild"]
    assert place.invalid() == []
    assert not place.call()["changed"]


def test_a_second_run_says_who_is_at_work(place: Indexed) -> None:
    place.make_bloated("orders")
    first: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: first.append(place.call(run_id="the-first")))
    with place.session(*SNAPSHOT) as other:
        thread.start()
        place.wait_for(WAITING.format(place.database))
        with pytest.raises(LockHeld, match=r"held by run the-first \(pid \d+\)"):
            place.call(run_id="the-second")
        # What the first one has left so far is no affair of another host's run either.
        elsewhere = place.call(run_id="the-third", state_dir=str(place.folder / "elsewhere"), lock_retries=0)
        assert set(statuses(elsewhere).values()) == {"skipped: building"}
        other.rollback()
        thread.join()
    assert statuses(first[0]) == {"orders_pkey": "done: rebuild"}
    place.make_bloated("more")
    with place.session("SELECT pg_advisory_lock(1431325520, 1)"), pytest.raises(LockHeld, match="another run: 'upkeep"):
        place.call()


def test_a_standby_is_refused_or_skipped(place: Indexed, cluster: Cluster) -> None:
    with Standby(cluster, slot="reindexed_standby") as standby:
        standby.wait_until_streaming()
        there = {"login_port": standby.port, "login_db": "postgres", "ca_cert": str(standby.ca_cert)}
        with pytest.raises(ReadOnlyServer):
            place.call(**there)
        skipped = place.call(on_standby="skip", **there)
    assert (skipped["changed"], skipped["summary"]["worst"], skipped["msg"]) == (False, "info", "")
    assert codes(skipped) == {"main": "pg.standby_left"}
    assert skipped["databases"][0]["status"] == "skipped"


def test_the_progress_is_written_where_it_can_be_watched(place: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make_bloated("orders")
    place.call(run_id="watched")
    (log,) = (place.folder / "state").rglob("progress/*.log")
    text = log.read_text()
    assert "upkeep pg_reindex watched begins in main: " in text
    assert "finished: public.orders_pkey" in text
    assert "1 of 1 done" in text
    assert log.stat().st_mode & 0o777 == 0o600


# --- several databases ------------------------------------------------------------------------------------------------


def test_every_database_is_worked_in(place: Indexed) -> None:
    with place.other_database() as other:
        place.make_bloated("here")
        place.make_bloated("there", database=other)
        result = place.call(login_db="postgres", databases=[f"{place.database}*"])
        assert statuses(result) == {"here_pkey": "done: rebuild", "there_pkey": "done: rebuild"}
        assert {record["database"] for record in result["indexes"]} == {place.database, other}
        assert not place.call(login_db="postgres", databases=["*"], indexes=["*ere_pkey"])["changed"]
        shared = place.call(
            databases=[place.database, other], indexes=["pg_authid_oid_index"], when="always", include_catalogs=True,
            method="plain",
        )  # fmt: skip
        assert statuses(shared) == {"pg_authid_oid_index": "done: rebuild"}
        assert shared["reindex"]["done"] == 1, "catalogs that all databases share are looked at once"


# --- through Ansible --------------------------------------------------------------------------------------------------


def test_the_module_in_check_mode_in_a_run_and_again(place: Indexed) -> None:
    place.make_bloated("orders")
    options = place.options(min_size="200kB")
    planned = run_module(place.folder, "pg_reindex", options, check_mode=True)
    assert (planned.how, planned.result["reindex"]["planned"]) == ("CHANGED", 1)
    done = run_module(place.folder, "pg_reindex", options)
    assert (done.how, done.result["reindex"]["done"]) == ("CHANGED", 1)
    again = run_module(place.folder, "pg_reindex", options)
    assert (again.how, again.worst) == ("SUCCESS", "ok")
    assert place.cluster.password not in f"{planned}{done}{again}"


def test_the_module_fails_without_a_traceback_and_without_the_password(place: Indexed, role: dict[str, str]) -> None:
    wrong = run_module(place.folder, "pg_reindex", place.options(login_password="hunter2-wrong"))
    assert wrong.how == "FAILED"
    assert "password authentication failed" in wrong.result["msg"]
    assert "hunter2" not in str(wrong.result)
    assert "Traceback" not in str(wrong.result)
    place.make_bloated("theirs")
    place.execute(f"GRANT SELECT ON theirs TO {ROLE}")
    denied = run_module(place.folder, "pg_reindex", place.options(min_size="200kB", **role))
    assert denied.how == "FAILED"
    assert "public.theirs_pkey" in denied.result["msg"]
    assert denied.found() == {f"{place.subject}.public.theirs_pkey": ("pg.not_permitted", "warning")}


@pytest.mark.target_python
@pytest.mark.parametrize(
    "python", [path for path in os.environ.get("UPKEEP_TARGET_PYTHONS", "").split(os.pathsep) if path]
)
def test_the_module_on_the_pythons_of_managed_hosts(place: Indexed, python: str) -> None:
    place.make_bloated("orders")
    options = place.options(jobs=2, min_size="200kB")
    assert run_module(place.folder, "pg_reindex", options, interpreter=python).how == "CHANGED"
    assert run_module(place.folder, "pg_reindex", options, interpreter=python).how == "SUCCESS"
