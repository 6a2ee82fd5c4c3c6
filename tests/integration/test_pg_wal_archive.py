"""`pg_wal_archive` on one server: what holds WAL, what is refused, real faults, and through Ansible as a user calls it.

What it keeps is proved by restores in test_pg_wal_archive_restore.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import ConnectionFailed, LockHeld
from ansible_collections.cadence.upkeep.plugins.module_utils._core.lock import HostLock
from ansible_collections.cadence.upkeep.plugins.module_utils._core.state import HostState
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import PREFERENCE
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.errors import ArchiveRefused
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.run import clean
from tests.bed.binaries import Binaries
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.bed.processes import run
from tests.bed.standby import Standby
from tests.integration.archiving import MIB, Result, Site, a_site, codes, remaining_gap
from tests.integration.module import CHECKOUT, as_nobody, run_module

BOTH_DRIVERS = pytest.mark.parametrize("driver", PREFERENCE)


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with a_site(find_or_bring(None, cache_directory()), "archived") as made:
        made.server.switch(3)
        made.server.base_backup(made.folder / "base" / "newest")
        yield made


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """The server with all that it has ever archived, and some segments after the last base backup."""
    shared.server.switch(3)
    shared.server.flush_archive()
    kept = {path.name: path.read_bytes() for path in shared.archive.iterdir()}
    yield shared
    for name, content in kept.items():
        path = shared.archive / name
        if not path.exists() or path.stat().st_size != len(content):
            path.write_bytes(content)
    for (slot,) in shared.server.execute("SELECT slot_name FROM pg_replication_slots"):
        shared.server.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


def needs(result: Result, kind: str) -> dict[str, str]:
    return {need["id"]: need["segment"] for need in result["needs"] if need["kind"] == kind}


# --- who needs what ---------------------------------------------------------------------------------------------------


@BOTH_DRIVERS
def test_the_server_is_asked_for_slots_and_its_own_start(site: Site, driver: str) -> None:
    site.server.execute("SELECT pg_create_physical_replication_slot('reader', true)")
    site.server.execute("CHECKPOINT")
    site.server.execute("SELECT pg_create_physical_replication_slot('never_used')")
    result = site.call(check=True, keep_base_backups=1, driver=driver)
    assert list(needs(result, "slot")) == ["reader"]
    assert list(needs(result, "redo")) == ["main"]
    assert result["archive"]["keep"]["kind"] == "base_backup"
    assert result["archive"]["server_asked"]


def test_a_slot_that_stays_behind_holds_the_archive_and_is_named(site: Site) -> None:
    site.server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    slot = needs(site.call(check=True, keep_base_backups=1), "slot")["forgotten"]
    site.server.switch(3)
    site.server.base_backup(site.folder / "base" / "later")
    site.server.flush_archive()
    result = site.call(keep_base_backups=1)
    shutil.rmtree(site.folder / "base" / "later")
    assert result["archive"]["keep"] == {**result["archive"]["keep"], "kind": "slot", "segment": slot}
    assert site.segments()[0] == slot
    assert codes(result) == {"pg.wal_archive_held": "info"}
    assert "the replication slot forgotten keeps" in result["findings"][0]["message"]


def test_a_standby_is_asked_for_what_it_needs(site: Site) -> None:
    with Standby(site.server, name="asked") as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        site.server.switch(2)
        site.server.flush_archive()
        standby.catch_up()
        place = {"login_host": standby.host, "login_port": standby.port}
        # Its certificate is of another authority.
        result = site.call(check=True, consumers=[{"name": "asked", **place}], ssl_mode="require", ca_cert=None)
        ids = needs(result, "consumer")
        # A streaming standby also shows by its slot, and as connected.
        assert needs(result, "slot").keys() == {"asked"}
        assert any(name.startswith("asked (pid ") for name in needs(result, "standby"))
        standby_redo = standby.execute("SELECT redo_wal_file FROM pg_control_checkpoint()")[0][0]
        # The archive alone serves the standby: what the standby was made from decides.
        assert standby_redo in ids.values()
        assert result["archive"]["keep"]["segment"] == min(standby_redo, *ids.values())
    with pytest.raises(ConnectionFailed):
        site.call(check=True, consumers=[{"name": "asked", **place}])


def test_a_consumer_says_by_a_file_what_it_needs(site: Site) -> None:
    note = site.folder / "standby1.oldest"
    third = site.segments()[2]
    note.write_text(f"{third}\n")
    result = site.call(check=True, consumers=[{"name": "standby1", "file": str(note)}])
    assert result["archive"]["keep"]["segment"] == third
    assert len(result["files"]) == 2
    for content in ("", third, "no such thing\n", "00000002.history\n"):
        note.write_text(content)
        with pytest.raises(ArchiveRefused):
            site.call(consumers=[{"name": "standby1", "file": str(note)}])
    note.unlink()
    with pytest.raises(ArchiveRefused, match="standby1"):
        site.call(consumers=[{"name": "standby1", "file": str(note)}])


def test_an_explicit_file_or_position_is_kept(site: Site) -> None:
    second, third = site.segments()[1:3]
    number = int(third[8:16], 16) * 4096 + int(third[16:], 16)
    for keep_from in (third, f"{third}.partial", f"{third}.00000028.backup", f"{third}.gz", f"0/{number * MIB + 40:X}"):
        result = site.call(check=True, keep_from=keep_from)
        assert result["archive"]["keep"]["segment"] == third, keep_from
        assert result["files"][-1:] == [second]


def test_a_base_backup_that_is_being_taken_is_kept_whole(site: Site) -> None:
    """Not known to have ended, so it does not count, but its WAL is kept."""
    running = site.folder / "base" / "running"
    shutil.copytree(site.folder / "base" / "newest", running)
    (running / "backup_manifest").unlink()
    (running / "global" / "pg_control").unlink()
    for history in site.archive.glob("*.backup"):
        history.rename(site.folder / history.name)
    site.server.base_backup(site.folder / "base" / "overtook")
    site.server.flush_archive()
    result = site.call(check=True, base_backups=[str(site.folder / "base" / "*")], keep_base_backups=1)
    shutil.rmtree(site.folder / "base" / "overtook")
    shutil.rmtree(running)
    assert result["archive"]["keep"]["id"] == str(running)
    assert codes(result)["pg.wal_archive_backup_unfinished"] == "info"


# --- whose archive is it ----------------------------------------------------------------------------------------------


def test_the_wal_of_the_server_itself_is_never_touched(site: Site) -> None:
    data = site.server.data_directory
    link = site.folder / "link-to-wal"
    if not link.is_symlink():
        link.symlink_to(data / "pg_wal")
    for path in (data / "pg_wal", link, data, data / "base", data / "pg_wal" / "archive_status"):
        before = sorted((data / "pg_wal").iterdir())
        with pytest.raises(ArchiveRefused) as refused:
            site.call(path=str(path), keep_from="000000010000000000000FFF", allow_remove_all=True)
        assert refused.value.evidence["class"] in ("pg_wal", "data_directory"), path
        assert sorted((data / "pg_wal").iterdir()) == before


def test_the_archive_of_another_cluster_is_refused(site: Site) -> None:
    with Cluster(site.server.binaries, name="stranger", settings={"wal_level": "replica"}) as stranger:
        with pytest.raises(ArchiveRefused, match="holds WAL of cluster") as refused:
            site.call(server=stranger, keep_base_backups=1)
        assert refused.value.evidence["class"] == "other_cluster"
        wal = sorted((stranger.data_directory / "pg_wal").glob("0*"))[0]
        # A standby that is none, and a segment of the other among ours.
        stranger.execute("ALTER ROLE postgres PASSWORD %s", (site.server.password,))
        with pytest.raises(ArchiveRefused, match="The consumer none of ours is cluster"):
            site.call(
                keep_base_backups=1,
                ssl_mode="require",
                ca_cert=None,
                consumers=[{"name": "none of ours", "login_host": stranger.host, "login_port": stranger.port}],
            )
        smuggled = site.archive / site.segments()[-1]
        original = smuggled.read_bytes()
        smuggled.write_bytes(wal.read_bytes()[:MIB])
        with pytest.raises(ArchiveRefused, match="2 clusters"):
            site.call(keep_base_backups=1)
        smuggled.write_bytes(original)


def test_a_server_that_cannot_be_asked_ends_it_before_anything_is_removed(site: Site) -> None:
    before = site.files()
    with pytest.raises(ConnectionFailed):
        site.call(keep_base_backups=1, login_port=1)
    assert site.files() == before
    unasked = site.call(check=True, keep_base_backups=1, ask_server=False)
    assert not unasked["archive"]["server_asked"]
    assert "slots" in unasked["archive"]["notes"][0]
    assert unasked["files"] == site.call(check=True, keep_base_backups=1)["files"]


# --- what would break a restore ---------------------------------------------------------------------------------------


def test_what_is_missing_or_not_whole_is_found(site: Site) -> None:
    kept = site.call(check=True, keep_base_backups=1)["archive"]["keep"]["segment"]
    after = [name for name in site.segments() if name > kept]
    lost, cut, packed = after[0], after[1], after[2]
    (site.archive / lost).unlink()
    os.truncate(site.archive / cut, MIB // 2)
    (site.archive / f"{packed}.gz").write_bytes(b"packed")
    result = site.call(check=True, keep_base_backups=1)
    found = {finding["code"]: finding for finding in result["findings"]}
    assert found["pg.wal_archive_gap"]["severity"] == "critical"
    assert found["pg.wal_archive_gap"]["evidence"]["gaps"] == [{"first": lost, "last": lost, "segments": 1}]
    assert found["pg.wal_archive_damaged"]["evidence"]["first"] == [{"name": cut, "bytes": MIB // 2}]
    assert found["pg.wal_archive_damaged"]["severity"] == "critical"
    assert found["pg.wal_archive_duplicate"]["evidence"]["first"] == [packed]
    assert result["summary"]["worst"] == "critical"
    (site.archive / f"{packed}.gz").unlink()


def test_a_base_backup_without_its_own_wal_never_stands_for_one_that_has_it(site: Site) -> None:
    good = site.call(check=True, keep_base_backups=1)["base_backups"][0]
    site.server.base_backup(site.folder / "base" / "broken")
    site.server.flush_archive()
    broken = site.call(check=True, keep_base_backups=1)["base_backups"][0]
    shutil.rmtree(site.folder / "base" / "broken")
    assert broken["id"] != good["id"]
    wal = (site.archive / broken["start"]).read_bytes()
    (site.archive / broken["start"]).unlink()
    result = site.call(keep_base_backups=1)
    assert result["base_backups"][0]["id"] == good["id"]
    assert (site.archive / good["start"]).exists()
    assert {"pg.wal_archive_gap", "pg.wal_archive_backup_unusable"} <= set(codes(result))
    (site.archive / broken["start"]).write_bytes(wal)
    (site.archive / broken["id"]).unlink()


def test_an_archiver_that_fails_is_critical_and_the_clean_up_goes_on(site: Site) -> None:
    command = site.server.execute("SHOW archive_command")[0][0]
    site.server.execute("ALTER SYSTEM SET archive_command = 'false'")
    site.server.execute("SELECT pg_reload_conf()")
    try:
        site.server.switch()
        give_up = time.monotonic() + 60
        while not site.server.execute("SELECT 1 FROM pg_stat_archiver WHERE last_failed_time > last_archived_time"):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        result = site.call(keep_base_backups=1)
    finally:
        site.server.execute("ALTER SYSTEM RESET archive_command")
        site.server.execute("SELECT pg_reload_conf()")
    assert site.server.execute("SHOW archive_command")[0][0] == command
    (finding,) = (one for one in result["findings"] if one["code"] == "pg.wal_archive_failing")
    assert finding["severity"] == "critical"
    assert finding["evidence"]["ready"] >= 1
    assert result["archive"]["removed"] > 0
    site.server.flush_archive()


def test_an_ordinary_role_can_be_asked(site: Site) -> None:
    site.server.execute("CREATE ROLE looker LOGIN PASSWORD 'not-a-secret'")
    try:
        result = site.call(check=True, keep_base_backups=1, login_user="looker", login_password="not-a-secret")
    finally:
        site.server.execute("DROP ROLE looker")
    assert result["files"] == site.call(check=True, keep_base_backups=1)["files"]
    # Only a function that somebody took away stands in the way, and it is named with the grant.
    site.server.execute("CREATE ROLE looker LOGIN PASSWORD 'not-a-secret'")
    site.server.execute("REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC")
    try:
        with pytest.raises(ArchiveRefused, match="may not ask") as refused:
            site.call(keep_base_backups=1, login_user="looker", login_password="not-a-secret")
    finally:
        site.server.execute("GRANT EXECUTE ON FUNCTION pg_control_checkpoint() TO PUBLIC")
        site.server.execute("DROP ROLE looker")
    assert "GRANT EXECUTE" in refused.value.remedy


# --- the work ---------------------------------------------------------------------------------------------------------


def test_a_limit_leaves_the_newer_ones(site: Site) -> None:
    everything = site.call(check=True, keep_base_backups=1)["files"]
    assert len(everything) > 2
    planned = site.call(check=True, keep_base_backups=1, max_delete=2)
    first = site.call(keep_base_backups=1, max_delete=2)
    assert planned["files"] == first["files"] == everything[:2]
    assert codes(first) == {"pg.wal_archive_left": "info"}
    none = site.call(keep_base_backups=1, time_limit="0")
    assert (none["files"], codes(none)) == ([], {"pg.wal_archive_left": "info"})
    assert not none["changed"]
    assert site.call(keep_base_backups=1)["files"] == everything[2:]


def test_two_runs_exclude_each_other_on_one_archive(site: Site) -> None:
    lock = HostState(str(site.folder / "state"), "main").lock_path(f"wal archive {site.archive}")
    before = site.files()
    with HostLock(lock, "the-first"):
        with pytest.raises(LockHeld, match="held by run the-first"):
            site.call(keep_base_backups=1)
        assert site.call(check=True, keep_base_backups=1)["files"], "looking needs no lock"
    assert site.files() == before


def test_packed_segments_are_handled_like_plain_ones(site: Site) -> None:
    plain = site.call(check=True, keep_base_backups=1)
    for name in site.segments():
        done = subprocess.run(["gzip", str(site.archive / name)], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    packed = site.call(keep_base_backups=1)
    assert packed["files"] == [f"{name}.gz" for name in plain["files"]]
    assert codes(packed) == {}
    for path in site.archive.glob("*.gz"):
        path.unlink()


# --- through Ansible --------------------------------------------------------------------------------------------------


def test_through_ansible_in_check_mode_and_in_earnest(site: Site, tmp_path: Path) -> None:
    options = site.options(keep_base_backups=1)
    planned = run_module(tmp_path, "pg_wal_archive", options, check_mode=True)
    done = run_module(tmp_path, "pg_wal_archive", options)
    assert (planned.how, done.how) == ("CHANGED", "CHANGED")
    assert planned.result["files"] == done.result["files"]
    assert not set(done.result["files"]) & set(site.files())


def test_who_may_not_change_the_archive_is_told_so(site: Site, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("only root can run a module as somebody else: run this test as root")
    before = site.files()
    state = tmp_path / "state-of-nobody"
    state.mkdir()
    state.chmod(0o777)
    options = {"path": str(site.archive), "ask_server": False, "keep_base_backups": 1, "state_dir": str(state)}
    answer = run_module(tmp_path, "pg_wal_archive", options, **as_nobody(tmp_path))
    assert answer.how == "FAILED"
    assert "may not be changed by the user that runs the task" in answer.result["msg"]
    assert site.files() == before


def test_a_read_only_file_system_is_told_before_anything_else(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("a file system can only be mounted by root: run this test as root")
    at = tmp_path / "readonly"
    spec = f'[{{"kind": "tmpfs", "at": "{at}", "options": "size=1m", "files": {{"000000010000000000000001": 10}}}}]'
    script = (
        "import subprocess, sys; sys.path.insert(0, sys.argv[1]);"
        "subprocess.run(['mount', '-o', 'remount,ro', sys.argv[2]], check=True);"
        "from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.refuse import require_archive\n"
        "try: require_archive(sys.argv[2])\n"
        "except Exception as error: print(error.evidence['class'])"
    )
    command = [sys.executable, str(CHECKOUT / "tests/integration/mounts.py"), spec]
    inner = [sys.executable, "-c", script, str(CHECKOUT / "playbooks/collections"), str(at)]
    done = subprocess.run([*command, *inner], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("read_only", 0), done.stderr


# --- the same as pg_archivecleanup ------------------------------------------------------------------------------------

NAMES = (
    "{t:08X}{log:08X}{seg:08X}",
    "{t:08X}{log:08X}{seg:08X}.partial",
    "{t:08X}{log:08X}{seg:08X}.{off:08X}.backup",
    "{t:08X}.history",
    "{t:08x}{log:08x}{seg:08x}x",
    "{t:08X}{log:08X}{seg:08X}.tmp",
    ".{t:08X}{log:08X}{seg:08X}",
    "{t:08X}{log:08X}{seg:07X}",
    "archive_status.txt",
)


def make_files(folder: Path, seed: int) -> str:
    """Fill *folder* with names by chance; the name from which on is kept."""
    chance = random.Random(seed)
    folder.mkdir()
    for _number in range(chance.randint(5, 120)):
        parts = {"t": chance.randint(1, 3), "log": chance.randint(0, 2), "seg": chance.choice((0, 1, 2, 254, 255))}
        name = chance.choice(NAMES).format(**parts, off=chance.randint(40, 99999))
        (folder / (name + chance.choice(("", "", ".gz", ".bz2")))).write_bytes(b"x" * chance.randint(0, 9))
    kept = f"{chance.randint(1, 3):08X}{chance.randint(0, 2):08X}{chance.choice((0, 1, 255)):08X}"
    return kept + chance.choice(("", ".partial", ".00000028.backup"))


def compare(binaries: Binaries, folder: Path, seed: int) -> None:
    ours, theirs = folder / f"ours{seed}", folder / f"theirs{seed}"
    keep_from = make_files(ours, seed)
    shutil.copytree(ours, theirs)
    suffix = random.Random(seed).choice((".gz", ".bz2"))
    history = binaries.major >= 17 and seed % 2 == 0
    argv = ["pg_archivecleanup", "-x", suffix, *(["-b"] if history else []), str(theirs), keep_from]
    done = run([binaries.tool(argv[0]), *argv[1:]])
    assert done.returncode == 0, done.stderr
    params: dict[str, Any] = {
        "path": str(ours), "keep_from": keep_from, "suffixes": [suffix], "ask_server": False,
        "wal_segment_size": "16MiB", "state_dir": str(folder / "state"), "allow_remove_all": True,
        "remove_backup_history": history,
    }  # fmt: skip
    cleaned = clean(validate("pg_wal_archive", ARGUMENT_SPEC, params, RULES).params, utc_now())
    assert cleaned.failure == ""
    assert sorted(os.listdir(ours)) == sorted(os.listdir(theirs)), (seed, keep_from, suffix)


def test_it_removes_what_pg_archivecleanup_removes(tmp_path: Path) -> None:
    for seed in range(40):
        compare(find_or_bring(None, cache_directory()), tmp_path, seed)


@pytest.mark.soak
def test_it_removes_what_every_pg_archivecleanup_removes(postgres_cluster: Cluster, tmp_path: Path) -> None:
    for seed in range(1000, 1500):
        compare(postgres_cluster.binaries, tmp_path, seed)


# --- killed -----------------------------------------------------------------------------------------------------------

KILLED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import utc_now
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.argspec import ARGUMENT_SPEC, RULES
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.archive.run import clean
clean(validate("pg_wal_archive", ARGUMENT_SPEC, json.loads(sys.argv[2]), RULES).params, utc_now())
"""


def test_a_run_that_is_killed_leaves_no_gap_and_no_lock(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    names = [f"00000001{number // 256:08X}{number % 256:08X}" for number in range(1, 8001)]
    for name in names:
        os.close(os.open(archive / name, os.O_WRONLY | os.O_CREAT))
    params = {
        "path": str(archive), "keep_from": names[-1], "ask_server": False, "wal_segment_size": "16MiB",
        "state_dir": str(tmp_path / "state"),
    }  # fmt: skip
    argv = [sys.executable, "-c", KILLED, str(CHECKOUT / "playbooks/collections"), json.dumps(params)]
    process = subprocess.Popen(argv)
    try:
        while (archive / names[200]).exists():
            assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.wait()
    left = sorted(os.listdir(archive))
    assert 1 < len(left) < 8000
    assert left == names[-len(left) :]
    cleaned = clean(validate("pg_wal_archive", ARGUMENT_SPEC, params, RULES).params, utc_now())
    assert (cleaned.failure, os.listdir(archive)) == ("", names[-1:])
    assert not remaining_gap(os.listdir(archive))
