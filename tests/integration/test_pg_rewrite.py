"""Mode full of `pg_vacuum` on real servers: what it rewrites, what it leaves, and what goes wrong meanwhile."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput, LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster as Sessions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.disk import Setup, not_here
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.errors import ReadOnlyServer
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.options import connection_of, session_options_of
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.setup import read_setup
from tests.bed.errors import BedError
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.repack import bring_pg_repack
from tests.bed.standby import Standby
from tests.integration.module import CHECKOUT, run_module
from tests.integration.rewriting import QUICK, Rewriting
from tests.integration.vacuuming import ROLE, Place, Result, codes, quote, record_of, statuses

MOUNTS = str(Path(__file__).with_name("mounts.py"))
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux can mount a small disk"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="rewritten") as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[Rewriting]:
    name = f"bed_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield Rewriting(cluster, name, tmp_path)
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def role(place: Place) -> Iterator[dict[str, str]]:
    with place.role() as options:
        yield options


@contextmanager
def beside(place: Rewriting, **options: Any) -> Iterator[list[Result | Exception]]:
    """Run it beside the block; the list has its result, or its error, afterwards."""
    came: list[Result | Exception] = []

    def work() -> None:
        try:
            # Whoever stands at the gate waits for a lock.
            came.append(place.call(**{"lock_timeout": "60s", **options}))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
            came.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield came
    finally:
        thread.join()


# --- which tables -----------------------------------------------------------------------------------------------------


def test_the_limits_decide(place: Rewriting) -> None:
    place.make_bloated("half", keep=2)
    assert statuses(place.call(tables=["half"], check=True, bloat_ratio=0.6)) == {}
    assert statuses(place.call(tables=["half"], check=True, bloat_min_size="1GB")) == {}
    assert statuses(place.call(tables=["half"], check=True, bloat_ratio=0.4)) == {"half": "planned"}
    assert statuses(place.call(tables=["half"], check=True, bloat_ratio=0.9, when="always")) == {"half": "planned"}


@pytest.mark.parametrize("chosen", [{}, {"tables": ["*"]}, {"schemas": ["*"], "tables": ["*.*"]}])
def test_a_whole_database_is_never_rewritten_by_accident(place: Rewriting, chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="only tables that are chosen"):
        place.call(**chosen)


def test_what_a_rewrite_has_no_use_for_is_refused(place: Rewriting) -> None:
    for option, value in (("skip_if_vacuumed_within", "1h"), ("parallel", 2), ("cost_delay", "1ms")):
        with pytest.raises(InvalidInput, match=option):
            place.call(tables=["any"], **{option: value})
    with pytest.raises(InvalidInput, match="There is no table missing"):
        place.call(tables=["missing"])
    if place.major < 19:
        with pytest.raises(InvalidInput, match="PostgreSQL 19"):
            place.call(tables=["a*"], rewrite_method="repack")


def test_statistics_that_say_nothing_lock_nothing(place: Rewriting) -> None:
    place.execute("CREATE TABLE fresh AS SELECT n, repeat('x', 60) AS t FROM generate_series(1, 9000) n")
    node = place.node_of("fresh")
    for check in (True, False):
        result = place.call(check=check, tables=["fresh"])
        assert statuses(result) == {"fresh": "skipped: bloat_unknown"}
        assert codes(result) == {f"{place.subject}.public.fresh": "pg.bloat_unknown"}
        assert (result["changed"], result["queries"], result["summary"]["worst"]) == (False, [], "unknown")
    assert place.node_of("fresh") == node
    assert statuses(place.call(tables=["fresh"], when="always")) == {"fresh": "done"}


def test_an_exact_count_is_had_or_said_to_be_missing(place: Rewriting) -> None:
    place.make_bloated("counted")
    missing = place.call(check=True, tables=["counted"], bloat_method="exact")
    assert statuses(missing) == {"counted": "skipped: bloat_unknown"}
    assert "pgstattuple" in record_of(missing, "counted")["message"]
    place.execute("CREATE EXTENSION pgstattuple")
    done = place.call(tables=["counted"], bloat_method="exact")
    assert statuses(done) == {"counted": "done"}
    assert record_of(done, "counted")["before"]["bloat_method"].startswith("pgstattuple")


# --- kinds of tables --------------------------------------------------------------------------------------------------


def test_a_large_toast_table_is_rewritten_with_its_table(place: Rewriting) -> None:
    place.execute(
        "CREATE TABLE wide (id int PRIMARY KEY, body text)",
        "ALTER TABLE wide ALTER body SET STORAGE EXTERNAL",
        "INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 400) n",
        "DELETE FROM wide WHERE id % 10 <> 0",
        "VACUUM (ANALYZE) wide",
    )
    done = place.call(when="always", tables=["wide"])
    wide = record_of(done, "wide")
    assert statuses(done) == {"wide": "done"}
    assert wide["after"]["toast_bytes"] < wide["before"]["toast_bytes"] / 3
    ((kept,),) = place.execute("SELECT count(*) FROM wide WHERE body = repeat(md5(id::text), 200)")
    assert kept == 40


def test_catalogs_only_when_asked_for(place: Rewriting) -> None:
    for name in ("pg_class", "pg_catalog.pg_class"):
        with pytest.raises(InvalidInput, match="pg_class is a system catalog"):
            place.call(when="always", tables=[name])
    assert statuses(place.call(check=True, when="always", schemas=["pg_catalog"])) == {}
    node = place.node_of("pg_attribute")
    done = place.call(when="always", tables=["pg_attribute", "pg_class"], include_catalogs=True, jobs=3)
    assert statuses(done) == {"pg_attribute": "done", "pg_class": "done"}
    assert place.node_of("pg_attribute") != node


# --- what stands in the way -------------------------------------------------------------------------------------------


def test_an_unknown_disk_is_no_free_disk(place: Rewriting, role: dict[str, str]) -> None:
    place.make_bloated("own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}")
    refused = place.call(tables=["own"], **role)
    assert statuses(refused) == {"own": "skipped: disk_unknown"}
    assert codes(refused) == {place.subject: "pg.disk_unknown"}
    assert "pg_read_all_settings" in record_of(refused, "own")["message"]
    assert refused["queries"] == []
    too_little = place.call(tables=["own"], free_bytes="10KiB", **role)
    assert statuses(too_little) == {"own": "skipped: disk_space"}
    assert codes(too_little) == {f"{place.subject}.public.own": "pg.rewrite_no_space"}
    assert statuses(place.call(tables=["own"], check=True, free_bytes="1GB", **role)) == {"own": "planned"}
    assert statuses(place.call(tables=["own"], force_without_disk_check=True, **role)) == {"own": "done"}


def test_a_table_that_somebody_has_for_himself_is_not_waited_for(place: Rewriting) -> None:
    place.make_bloated("taken", "free")
    with place.session("LOCK TABLE taken IN ACCESS EXCLUSIVE MODE"):
        result = place.call(when="always", tables=["taken", "free"], **QUICK)
    assert statuses(result) == {"taken": "skipped: lock", "free": "done"}


def test_an_old_transaction_would_make_it_pointless(place: Rewriting, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite import evaluate, plan

    monkeypatch.setattr(plan, "OLD_TRANSACTION", 0.0)
    monkeypatch.setattr(evaluate, "OLD_TRANSACTION", 0.0)
    place.execute(
        "CREATE TABLE pinned (id int, filler char(60))",
        "INSERT INTO pinned SELECT n, 'x' FROM generate_series(1, 9000) n",
        "ANALYZE pinned",
    )
    with place.session("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1") as other:
        place.execute("DELETE FROM pinned WHERE id % 10 <> 0", "ANALYZE pinned")
        held = place.call(tables=["pinned"])
        forced = place.call(tables=["pinned"], when="always")
        pid = str(other.info.backend_pid)
    assert statuses(held) == {"pinned": "skipped: held"}
    assert codes(held) == {f"{place.subject}.public.pinned": "pg.rewrite_held"}
    assert [one["id"] for one in held["blockers"]] == [pid]
    assert held["queries"] == []
    assert statuses(forced) == {"pinned": "done"}
    assert statuses(place.call(tables=["pinned"])) == {"pinned": "done"}


def test_a_table_that_goes_meanwhile_is_skipped(place: Rewriting) -> None:
    place.make_bloated("first", "gone", rows=20_000)
    place.make_bloated("renamed")
    place.make_gated("first")
    with place.closed_gate() as open_the_gate, beside(place, tables=["first", "gone", "renamed"]) as came:
        place.wait_until_halfway()
        place.execute("DROP TABLE gone", "ALTER TABLE renamed RENAME TO other")
        open_the_gate()
    (result,) = came
    assert isinstance(result, dict), result
    assert statuses(result) == {"first": "done", "gone": "skipped: vanished", "renamed": "skipped: vanished"}
    assert result["msg"] == ""


@pytest.mark.parametrize(
    ("options", "why", "code"),
    [
        ({"statement_timeout": "2s"}, "timeout", "pg.vacuum_timed_out"),
        ({"hard_time_limit": "1500ms"}, "time_limit", "pg.out_of_time"),
    ],
)
def test_a_rewrite_that_takes_too_long_is_undone(
    place: Rewriting, options: dict[str, str], why: str, code: str
) -> None:
    place.make_bloated("slow")
    place.make_gated("slow")
    node = place.node_of("slow")
    with place.closed_gate():
        result = place.call(tables=["slow"], **options)
    assert statuses(result) == {"slow": f"skipped: {why}"}
    assert list(codes(result).values()) == [code]
    assert not result["changed"]
    assert place.node_of("slow") == node


def test_nothing_is_started_when_the_time_is_over(place: Rewriting) -> None:
    place.make_bloated("one", "two")
    result = place.call(tables=["one", "two"], time_limit="1ms")
    assert set(statuses(result).values()) == {"skipped: time_limit"}
    assert codes(result) == {place.subject: "pg.out_of_time"}


def test_somebody_who_cancels_is_heeded(place: Rewriting) -> None:
    place.make_bloated("stopped")
    place.make_gated("stopped")
    with place.closed_gate(), beside(place, tables=["stopped"]) as came:
        pid = place.wait_until_halfway()
        place.cluster.execute(f"SELECT pg_cancel_backend({pid})")
    (result,) = came
    assert isinstance(result, dict), result
    assert statuses(result) == {"stopped": "skipped: cancelled"}


def test_limits_that_are_set_for_the_database_do_not_end_the_work(place: Rewriting) -> None:
    place.make_bloated("slow")
    place.make_gated("slow")
    for setting in ("statement_timeout", "lock_timeout"):
        place.execute(f"ALTER DATABASE {place.database} SET {setting} = '400ms'")
    with place.closed_gate() as open_the_gate, beside(place, tables=["slow"]) as came:
        pid = place.wait_until_halfway()
        place.wait_for(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND now() - query_start > '600ms'")
        open_the_gate()
    (result,) = came
    assert isinstance(result, dict), result
    assert statuses(result) == {"slow": "done"}


def test_two_runs_at_once_exclude_each_other(place: Rewriting) -> None:
    place.make_bloated("slow")
    place.make_gated("slow")
    with place.closed_gate() as open_the_gate, beside(place, tables=["slow"], run_id="the-first") as came:
        place.wait_until_halfway()
        with pytest.raises(LockHeld, match=r"held by run the-first \(pid \d+\)"):
            place.call(tables=["slow"])
        with pytest.raises(LockHeld, match="another run: 'upkeep pg_vacuum the-first'"):
            place.call(tables=["slow"], when="always", state_dir=str(place.folder / "elsewhere"))
        # Looking needs no lock, though nobody can measure what is being rewritten.
        assert statuses(place.call(check=True, tables=["slow"], when="always")) == {"slow": "planned"}
        assert statuses(place.call(check=True, tables=["slow"])) == {"slow": "skipped: lock"}
        open_the_gate()
    (first,) = came
    assert isinstance(first, dict), first
    assert statuses(first) == {"slow": "done"}


def test_several_databases_and_connections(place: Rewriting) -> None:
    place.make_bloated("a1", "a2", "a3")
    with place.other_database() as other:
        place.make_bloated("b1", "b2", database=other)
        result = place.call(login_db="postgres", databases=[f"{place.database}*"], tables=["a?", "b?"], jobs=3)
        log = Path(result["progress"]).read_text(encoding="utf-8")
    assert statuses(result) == dict.fromkeys(("a1", "a2", "a3", "b1", "b2"), "done")
    assert log.count("finished: ") == 5, "the second database goes on in the same log"


def test_an_autovacuum_that_prevents_wraparound_is_left_alone(tmp_path: Path) -> None:
    slow = {
        "autovacuum": "on",
        "autovacuum_naptime": "1s",
        "autovacuum_vacuum_cost_delay": "100ms",
        "autovacuum_vacuum_cost_limit": "1",
    }
    with Cluster(find_or_bring(None, cache_directory()), name="aged", settings=slow) as cluster:
        place = Rewriting(cluster, "postgres", tmp_path)
        place.make_bloated("aged", rows=40_000)
        place.execute(
            # Only what its age demands, and a minute's work at that pace: no page may be skipped as all visible.
            "ALTER TABLE aged SET (autovacuum_enabled = off, autovacuum_freeze_max_age = 100000)",
            "UPDATE aged SET stamp = stamp + 1",
            "ANALYZE aged",
            "CREATE PROCEDURE burn() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..100100 LOOP "
            "PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
            "ALTER DATABASE postgres SET synchronous_commit = off",
            "CALL burn()",
        )
        vacuums = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%aged (to prevent wraparound)'"
        place.wait_for(vacuums, seconds=60)
        before = place.execute(vacuums)
        for check in (True, False):
            result = place.call(check=check, tables=["aged"], **QUICK)
            assert statuses(result) == {"aged": "skipped: autovacuum"}
            assert codes(result) == {f"{place.subject}.public.aged": "pg.wraparound_vacuum"}
            assert result["queries"] == []
        assert place.execute(vacuums) == before


# --- servers and modules that die -------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Rewriting]:
    """A server of one's own, to be killed."""
    name = f"bed_{secrets.token_hex(4)}"
    with Cluster(find_or_bring(None, cache_directory()), name="rewritten") as cluster:
        cluster.execute(f"CREATE DATABASE {name}")
        yield Rewriting(cluster, name, tmp_path)


def test_a_server_that_is_killed_loses_nothing_and_its_orphans_are_reported(own: Rewriting) -> None:
    own.make_bloated("first", rows=20_000)
    own.make_bloated("halfway", rows=15_000)
    own.make_bloated("never")
    own.make_gated("halfway")
    nodes = {table: own.node_of(table) for table in ("halfway", "never")}
    with own.closed_gate(), beside(own, tables=["first", "halfway", "never"]) as came:
        pid = own.wait_until_halfway()
        own.cluster.execute("CHECKPOINT")
        # First the one at work: when the postmaster goes first, he has the time to clean up behind himself.
        os.kill(pid, signal.SIGKILL)
        own.cluster.kill9()
    (result,) = came
    assert isinstance(result, dict), result
    assert statuses(result) == {"first": "done", "halfway": "skipped: lost", "never": "skipped: lost"}
    assert codes(result) == {own.subject: "pg.server_lost"}
    assert "was lost" in result["msg"] or "does not let" in result["msg"]
    assert result["changed"], "the first was done"

    own.cluster.start()
    assert {table: own.node_of(table) for table in nodes} == nodes
    assert own.count("halfway") == 1500
    # What is younger than the oldest transaction is not looked at; the crash has to be a second old.
    own.wait_for("SELECT 1 WHERE now() - pg_postmaster_start_time() > '2s'")
    again = own.call(tables=["first", "halfway", "never"])
    assert statuses(again) == {"halfway": "done", "never": "done"}
    (orphans,) = (finding for finding in again["findings"] if finding["code"] == "pg.orphaned_files")
    assert orphans["evidence"]["files"] >= 1
    assert orphans["evidence"]["bytes"] > 50_000
    for path in orphans["evidence"]["first"]:
        assert (own.cluster.data_directory / path).stat().st_size > 0
    # With them gone, as the remedy says, all is well.
    own.cluster.stop()
    for path in orphans["evidence"]["first"]:
        (own.cluster.data_directory / path).unlink()
    own.cluster.start()
    clean = own.call(tables=["first", "halfway", "never"])
    assert (clean["findings"], clean["changed"]) == ([], False)
    assert own.count("halfway") == 1500


def test_a_module_that_is_killed_leaves_no_lock_and_no_half_table(own: Rewriting) -> None:
    own.make_bloated("halfway", "never")
    own.make_gated("halfway")
    node = own.node_of("halfway")
    code = (
        "import json, sys\n"
        f"sys.path[:0] = [{str(CHECKOUT / 'playbooks/collections')!r}, {str(CHECKOUT)!r}]\n"
        "from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now\n"
        "from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.run import rewrite\n"
        "rewrite(json.load(sys.stdin), utc_now())\n"
    )
    params = own.params(mode="full", tables=["halfway", "never"], bloat_min_size="100KiB", run_id="killed")
    with own.closed_gate() as open_the_gate:
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as module:
            assert module.stdin is not None
            json.dump(params, module.stdin)
            module.stdin.close()
            own.wait_until_halfway()
            module.send_signal(signal.SIGKILL)
        # The server notices that nobody is there any more, and gives up the lock with what it had written.
        own.wait_for("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name ~ 'killed')")
        assert own.node_of("halfway") == node
        assert own.count("halfway") == 1000
        open_the_gate()
    again = own.call(tables=["halfway", "never"])
    assert set(statuses(again).values()) == {"done"}
    assert own.node_of("halfway") != node
    assert own.count("halfway") == 1000


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_a_small_disk() -> Iterator[dict[str, Any]]:
    """What happened on a server whose tablespace, and later whose WAL, is on a disk that fills up."""
    with tempfile.TemporaryDirectory(prefix="upkeep-small-") as name:
        yield _on_small_disks(Path(name))


def _on_small_disks(folder: Path) -> dict[str, Any]:
    # The account of the server has to get there.
    folder.chmod(0o755)
    disks = [
        {"kind": "tmpfs", "at": str(folder / "tables"), "options": "size=24m,mode=0777"},
        {"kind": "tmpfs", "at": str(folder / "wal"), "options": "size=96m,mode=0777"},
    ]
    script = [sys.executable, "-m", "tests.integration.small_disk", str(folder)]
    answer = subprocess.run(
        [sys.executable, MOUNTS, json.dumps(disks), *script], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    told: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return told


@needs_mounts
def test_too_small_a_disk_is_seen_before(on_a_small_disk: dict[str, Any]) -> None:
    for key in ("planned", "refused"):
        result = on_a_small_disk[key]
        assert statuses(result) == {"large": "skipped: disk_space"}
        assert set(codes(result).values()) == {"pg.rewrite_no_space"}
        assert "pg_tblspc" in record_of(result, "large")["message"]
        assert result["queries"] == []


@needs_mounts
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(on_a_small_disk: dict[str, Any]) -> None:
    result = on_a_small_disk["forced"]
    assert statuses(result) == {"large": "failed", "small": "skipped: stopped"}
    large = record_of(result, "large")
    assert large["sqlstate"] == "53100"
    assert {finding["code"] for finding in result["findings"]} == {"pg.disk_full", "pg.run_stopped"}
    assert result["summary"]["worst"] == "critical"
    assert "large" in result["msg"]
    assert on_a_small_disk["rows"] == on_a_small_disk["rows_after"]
    assert on_a_small_disk["node"] == on_a_small_disk["node_after"]
    # Nothing is left of the attempt: the disk is as free as before.
    assert abs(on_a_small_disk["free"] - on_a_small_disk["free_after"]) < 1024 * 1024
    assert statuses(on_a_small_disk["with_room"]) == {"large": "done", "small": "done"}


@needs_mounts
def test_a_server_that_dies_of_a_full_disk_is_named(on_a_small_disk: dict[str, Any]) -> None:
    result = on_a_small_disk["wal"]
    assert statuses(result) == {"logged": "skipped: lost"}
    assert "The disk is full" in result["msg"], on_a_small_disk["wal_free"]
    assert "pg_wal" in result["msg"]
    assert on_a_small_disk["wal_rows"] == 60_000
    assert statuses(on_a_small_disk["wal_again"]) == {"logged": "done"}


@contextmanager
def setup_of(place: Rewriting) -> Iterator[Setup]:
    """What the server says of itself, by a session that stays open meanwhile."""
    params = place.params(mode="full")
    sessions = Sessions(find_driver(), connection_of(params), session_options_of(params, "pg_vacuum"))
    with sessions.session(place.database) as session:
        yield read_setup(session)


def test_only_the_servers_own_files_count(place: Rewriting, tmp_path: Path) -> None:
    with setup_of(place) as setup:
        # By what its pid file holds or, for whoever may not read that, by the parent of the process that serves us.
        by_process = replace(setup, mark="")
        assert not_here(setup) == not_here(replace(setup, pid=1)) == not_here(by_process) == ""
        assert "that of a copy" in not_here(replace(by_process, pid=os.getpid()))
        assert "that of a copy" in not_here(replace(by_process, pid=2**22 + 1))
        assert "that of a copy" in not_here(replace(setup, mark=setup.mark.replace("5", "6", 1)))
    # A copy has the same identifier and, at the same place on another host, the same name.
    copy = tmp_path / "copy"
    (copy / "global").mkdir(parents=True)
    shutil.copy2(place.cluster.data_directory / "global" / "pg_control", copy / "global" / "pg_control")
    (copy / "postmaster.pid").write_text("1\n")
    here = replace(setup, directory=str(copy))
    assert "that of a copy" in not_here(here)
    assert "that of a copy" in not_here(replace(here, mark=""))
    (copy / "global" / "pg_control").write_bytes(bytes(8))
    assert "belongs to another cluster" in not_here(here)
    assert "is not on this host" in not_here(replace(setup, directory=str(tmp_path / "absent")))
    assert "pg_read_all_settings" in not_here(replace(setup, directory=""))
    (copy / "postmaster.pid").unlink()
    assert "is not on this host" in not_here(here)


def test_a_standby_is_refused_and_its_disk_is_not_that_of_its_primary(place: Rewriting) -> None:
    with Standby(place.cluster, name="repeats") as standby:
        there = Rewriting(standby, "postgres", place.folder)
        with pytest.raises(ReadOnlyServer, match="standby"):
            there.call(tables=["any*"])
        skipped = there.call(tables=["any*"], on_standby="skip")
        with setup_of(place) as setup:
            # As where the primary is on another host, at the same place: all but the process is alike.
            there_not_here = replace(setup, directory=str(standby.data_directory))
            assert "that of a copy" in not_here(there_not_here)
            assert "that of a copy" in not_here(replace(there_not_here, mark=""))
            assert not_here(setup) == ""
    assert set(codes(skipped).values()) == {"pg.rewrite_standby"}
    assert (skipped["changed"], skipped["summary"]["worst"]) == (False, "info")


def test_a_role_that_may_read_the_settings_is_enough(place: Rewriting, role: dict[str, str]) -> None:
    place.make_bloated("own")
    place.execute(f"ALTER TABLE own OWNER TO {ROLE}", f"GRANT pg_read_all_settings TO {ROLE}")
    if os.geteuid() not in (0, place.cluster.data_directory.stat().st_uid):
        pytest.skip("this account may not read the server's files")
    assert statuses(place.call(tables=["own"], **role)) == {"own": "done"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_an_account_that_may_not_read_the_files_is_told_so(place: Rewriting) -> None:
    place.make_bloated("bloated")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.environ["HOME"] = "/"  # libpq looks there for certificates
            result = place.call(check=True, tables=["bloated"], ssl_mode="require", ca_cert=None)
            os.write(writing, json.dumps(result["tables"]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        (bloated,) = json.load(stream)
    os.waitpid(child, 0)
    assert bloated["skipped_reason"] == "disk_unknown"
    assert "cannot be read here: Permission denied" in bloated["message"]


def test_the_module_dispatches_the_mode(place: Rewriting, tmp_path: Path) -> None:
    place.make_bloated("bloated")
    params = place.options(mode="full", tables=["bloated"], bloat_min_size="100KiB")
    done = run_module(tmp_path, "pg_vacuum", params)
    assert done.how == "CHANGED"
    assert done.result["queries"] == ["VACUUM (FULL) public.bloated", "ANALYZE public.bloated"]
    refused = run_module(tmp_path, "pg_vacuum", place.options(mode="full"), check_mode=True)
    assert refused.how == "FAILED"
    assert "neither tables nor schemas" in refused.result["msg"]


# --- pg_repack --------------------------------------------------------------------------------------------------------


@pytest.fixture
def repacked(place: Rewriting) -> Rewriting:
    """A database with the extension."""
    if not place.cluster.binaries.system:
        pytest.skip("pg_repack is packaged only for the PostgreSQL of the system, and this machine has none")
    try:
        bring_pg_repack(place.cluster.binaries)
    except BedError as error:
        pytest.fail(str(error))
    place.execute("CREATE EXTENSION pg_repack")
    return place


def test_pg_repack_rewrites_and_proves_it(repacked: Rewriting) -> None:
    repacked.make_bloated("bloated")
    asked = {"tables": ["bloated"], "rewrite_method": "pg_repack"}
    planned = repacked.call(check=True, **asked)
    done = repacked.call(**asked)
    assert statuses(planned) == {"bloated": "planned"}
    assert statuses(done) == {"bloated": "done"}, done["msg"]
    assert planned["queries"] == done["queries"]
    bloated = record_of(done, "bloated")
    assert bloated["method"] == "pg_repack"
    assert "--no-kill-backend" in bloated["sql"]
    assert bloated["after"]["heap_bytes"] < bloated["before"]["heap_bytes"] / 3
    assert repacked.count("bloated") == 1000
    assert done["findings"] == []
    assert not repacked.call(**asked)["changed"]
    assert repacked.cluster.password not in json.dumps(done)


def test_pg_repack_lets_readers_and_writers_go_on(repacked: Rewriting) -> None:
    repacked.make_bloated("busy")
    repacked.make_gated("busy")
    with (
        repacked.closed_gate() as open_the_gate,
        beside(repacked, tables=["busy"], rewrite_method="pg_repack") as came,
    ):
        repacked.wait_until_halfway()
        assert repacked.count("busy") == 1000
        # An insert would stand at the gate, too.
        repacked.execute("DELETE FROM busy WHERE id = 10", "UPDATE busy SET filler = 'meanwhile' WHERE id = 20")
        open_the_gate()
    (result,) = came
    assert isinstance(result, dict), result
    assert statuses(result) == {"busy": "done"}, result["msg"]
    ((rows, meanwhile),) = repacked.execute("SELECT count(*), count(*) FILTER (WHERE filler = 'meanwhile') FROM busy")
    assert (rows, meanwhile) == (999, 1)


def test_pg_repack_ends_nobody_and_says_that_it_did_nothing(repacked: Rewriting) -> None:
    repacked.make_bloated("read")
    with repacked.session("SELECT count(*) FROM read") as reader:
        result = repacked.call(
            tables=["read"], rewrite_method="pg_repack", lock_timeout="1s", lock_retries=0, lock_retry_delay="0"
        )
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM read")
    assert statuses(result) == {"read": "skipped: lock"}, result["msg"]
    assert record_of(result, "read")["message"]
    assert not result["changed"]
    assert repacked.call(check=True, tables=["read"])["findings"][0]["code"] == "pg.rewrite_needed", "a leftover"


def test_pg_repack_that_is_out_of_time_cleans_up(repacked: Rewriting) -> None:
    repacked.make_bloated("slow")
    repacked.make_gated("slow")
    node = repacked.node_of("slow")
    with repacked.closed_gate():
        result = repacked.call(tables=["slow"], rewrite_method="pg_repack", hard_time_limit="4s")
    assert statuses(result) == {"slow": "skipped: time_limit"}, result["msg"]
    assert repacked.node_of("slow") == node
    again = repacked.call(tables=["slow"], rewrite_method="pg_repack")
    assert statuses(again) == {"slow": "done"}
    assert again["findings"] == [], "nothing of the first is left"


def test_what_a_killed_pg_repack_leaves_is_reported(repacked: Rewriting) -> None:
    repacked.make_bloated("torn")
    repacked.make_gated("torn")
    program = bring_pg_repack(repacked.cluster.binaries)
    argv = [str(program), "--no-order", "--table", "torn", "--dbname", repacked.database]
    with repacked.closed_gate() as open_the_gate:
        with subprocess.Popen(
            argv, env=repacked.cluster.client_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as client:
            repacked.wait_until_halfway()
            # While it is at work, nothing of it is a leftover.
            at_work = repacked.call(check=True, tables=["torn"])
            client.kill()
        open_the_gate()
    repacked.wait_for("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pg_repack')")
    found = repacked.call(check=True, tables=["torn"])
    assert "pg.repack_leftovers" not in codes(at_work).values()
    (leftovers,) = (finding for finding in found["findings"] if finding["code"] == "pg.repack_leftovers")
    assert leftovers["evidence"]["tables"] == ["public.torn"]
    assert leftovers["evidence"]["own_tables"]
    repacked.execute("DROP EXTENSION pg_repack CASCADE", "CREATE EXTENSION pg_repack")
    assert "pg.repack_leftovers" not in codes(repacked.call(check=True, tables=["torn"])).values()


def test_pg_repack_waits_for_no_old_transaction(repacked: Rewriting, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite import apply

    monkeypatch.setattr(apply, "OLD_TRANSACTION", 0.0)
    repacked.make_bloated("waited")
    with repacked.session("SELECT pg_current_xact_id()"):
        result = repacked.call(tables=["waited"], rewrite_method="pg_repack")
    assert statuses(result) == {"waited": "skipped: held"}
    assert "would wait for the session with pid" in record_of(result, "waited")["message"]


def test_what_pg_repack_cannot_do_is_said(place: Rewriting, role: dict[str, str]) -> None:
    place.make_bloated("bloated")
    asked = {"tables": ["*a*"], "rewrite_method": "pg_repack", "when": "always"}
    without = place.call(check=True, **asked)
    assert statuses(without) == {"bloated": "skipped: method"}
    assert "CREATE EXTENSION pg_repack" in record_of(without, "bloated")["message"]
    assert set(codes(without).values()) == {"pg.repack_impossible"}


def test_pg_repack_refuses_what_has_no_key_and_who_is_no_superuser(repacked: Rewriting, role: dict[str, str]) -> None:
    repacked.execute("CREATE TABLE keyless (n int)", f"ALTER TABLE keyless OWNER TO {ROLE}")
    asked = {"tables": ["keyless"], "rewrite_method": "pg_repack", "when": "always", "free_bytes": "1GB"}
    assert "no primary key" in record_of(repacked.call(**asked), "keyless")["message"]
    assert "superuser" in record_of(repacked.call(**asked, **role), "keyless")["message"]


def test_pg_repack_takes_odd_names(repacked: Rewriting) -> None:
    names = ['quo"te', "per%cent {0}", "ünï→code", "a.b", "x" * 63, "'; DROP TABLE victim; --", "SELECT", " -- "]
    with repacked.other_database() as other:
        repacked.execute("CREATE EXTENSION pg_repack", "CREATE TABLE victim (n int)", database=other)
        for name in names:
            repacked.execute(f"CREATE TABLE {quote(name)} (n int PRIMARY KEY)", database=other)
        result = repacked.call(
            login_db=other, schemas=["public"], exclude_tables=["victim"], when="always", rewrite_method="pg_repack"
        )
    assert statuses(result) == dict.fromkeys(names, "done"), result["msg"]
