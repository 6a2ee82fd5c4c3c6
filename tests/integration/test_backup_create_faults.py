"""`backup_create` when something goes wrong: it says so, keeps nothing of it, and loses nothing that was there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import pump
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.model import Job
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import LockHeld
from tests.bed import backup_tools
from tests.bed.kubectl import Kubectl
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.creating import Backups, manifest_of, of_cluster, verified
from tests.integration.module import CHECKOUT, run_module

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux can mount a small disk"
)
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'upkeep backup_create%'"


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in backup_tools.environment(cache_directory()).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="create-faults") as running:
        running.execute("CREATE DATABASE big")
        running.execute(
            "CREATE TABLE filler AS SELECT n AS id, (SELECT string_agg(md5(random()::text), '') "
            "FROM generate_series(1, 20) WHERE n > 0) AS text FROM generate_series(1, 30000) n",
            database="big",
        )
        running.execute("CREATE TABLE small AS SELECT generate_series(1, 9) AS id", database="big")
        yield running


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Backups:
    return of_cluster(cluster, tmp_path, databases=["big"], globals=False)


def at_first_bytes(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something when the first bytes of a dump come to the disk: the last program of its pipe runs for sure."""
    written, done = pump.File.feed, threading.Event()

    def feed(file: pump.File, data: bytes) -> None:
        if not done.is_set():
            done.set()
            act()
        written(file, data)

    monkeypatch.setattr(pump.File, "feed", feed)


def until(true: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def runs(pid: str) -> bool:
    """Whether the process is there, and not only its status that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0] != "Z"
    except OSError:
        return False


def programs_below(pid: int) -> list[int]:
    """The processes that *pid* started, and those that they started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found += [int(entry.name), *programs_below(int(entry.name))]
    return found


# --- what fails


def test_a_dump_that_the_server_ends_is_no_backup(
    place: Backups, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY public.filler%'"
    # What has not come to the disk yet is more than the pipes hold: the table is on its way.
    at_first_bytes(monkeypatch, lambda: until(lambda: bool(cluster.execute(end))))
    created = place.create(compress="none")
    assert "pg_dump failed with status 1" in created.failure
    assert 'Dumping the contents of table "filler" failed' in created.failure
    assert place.names() == []
    assert created.as_result()["findings"][0]["code"] == "backup.create_failed"


def test_a_program_of_the_pipe_that_fails_is_told_in_its_own_words(place: Backups, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "zstd").write_text("#!/bin/sh\nhead -c 100000 >/dev/null\necho 'zstd: no more memory' >&2\nexit 7\n")
    (bad / "zstd").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{bad}:{os.environ['PATH']}")
        created = place.create(format="plain", compress="zstd")
    assert "zstd failed with status 7: zstd: no more memory" in created.failure
    assert place.names() == []


def test_a_dump_that_lacks_a_row_is_found_although_its_producer_says_that_all_is_well(
    place: Backups, cluster: Cluster, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("pg_dump", "psql"):
        (bad / name).write_text(f'#!/bin/sh\nexec {cluster.binaries.tool(name)} "$@"\n')
        (bad / name).chmod(0o755)
    (bad / "pg_dump").write_text(f"#!/bin/sh\n{cluster.binaries.tool('pg_dump')} \"$@\" | sed '/^7$/d'\n")
    created = place.create(format="plain", bin_dir=str(bad))
    assert "is not good" in created.failure
    assert "public.small has 8 instead of 9" in created.failure
    assert place.names() == []


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_a_disk_that_changes_a_byte_is_found(place: Backups, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    written = pump.File.finish

    def finish(file: pump.File) -> None:
        written(file)
        (partial,) = place.directory.glob("*.partial")
        with open(partial, "r+b") as stream:
            stream.seek(partial.stat().st_size // 2)
            byte = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte[0] ^ 4]))

    monkeypatch.setattr(pump.File, "finish", finish)
    created = place.create(format=form, compress="none")
    assert "is not good" in created.failure
    assert place.names() == []


def test_a_program_that_is_killed_is_told(place: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It kills itself: from outside, nobody would know whether it was still at work."""
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "zstd").write_text("#!/bin/sh\nhead -c 100000 >/dev/null\nkill -KILL $$\n")
    (bad / "zstd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bad}:{os.environ['PATH']}")
    created = place.create(format="plain", compress="zstd")
    assert "zstd failed with signal 9" in created.failure
    assert place.names() == []


def test_a_table_that_somebody_else_has_locked(place: Backups, cluster: Cluster) -> None:
    holder = cluster.connect("big")
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE small IN ACCESS EXCLUSIVE MODE")
        created = place.create(lock_timeout="300ms")
        # Whoever comes first to the table says it: pg_dump, or who counts its rows.
        assert re.search("canceling statement due to (statement|lock) timeout", created.failure)
        late = place.create(lock_timeout="1h", time_limit="2s")
        assert "was not finished within 2s" in late.failure
    finally:
        holder.close()
    assert place.names() == []
    assert until(lambda: cluster.execute(OURS) == [(0,)])


def test_one_failure_does_not_keep_the_others_from_being_made(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("CREATE DATABASE other")
    holder = cluster.connect("other")
    try:
        with holder.cursor() as cursor:
            cursor.execute("CREATE TABLE locked ()")
            holder.commit()
            cursor.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        backups = of_cluster(cluster, tmp_path, databases=["*"], lock_timeout="3s")
        created = backups.create()
    finally:
        holder.close()
        cluster.execute("DROP DATABASE other WITH (FORCE)")
    statuses = {record["subject"]: record["status"] for record in created.as_result()["backups"]}
    assert statuses == {"db1: big": "done", "db1: globals": "done", "db1: other": "failed", "db1: postgres": "done"}
    assert created.failure.startswith("1 of 4 backups failed. db1: other: ")


def test_a_wrong_password_is_told_and_not_repeated(place: Backups, tmp_path: Path) -> None:
    answer = run_module(tmp_path, "backup_create", place.params(login_password="wr0ng-c4nary"))
    assert answer.how == "FAILED"
    assert "password authentication failed" in answer.result["msg"]
    assert "wr0ng-c4nary" not in json.dumps({key: value for key, value in answer.result.items() if key != "invocation"})


def test_the_module_says_what_its_documentation_says(place: Backups, tmp_path: Path) -> None:
    planned = run_module(tmp_path, "backup_create", place.params(), check_mode=True)
    assert (planned.how, planned.result["backups"][0]["status"]) == ("CHANGED", "planned")
    answer = run_module(tmp_path, "backup_create", place.params())
    assert answer.how == "CHANGED"
    assert verified(answer.result["backups"][0]["path"])["summary"]["worst"] == "ok"
    again = run_module(tmp_path, "backup_create", place.params())
    assert (again.how, again.result["backups"][0]["status"]) == ("SUCCESS", "skipped")


@needs_root
@pytest.mark.parametrize(
    ("when", "said"), [("before", "will take about"), ("meanwhile", "No space left"), ("kept", "min_free keeps")]
)
def test_a_full_disk(tmp_path: Path, when: str, said: str) -> None:
    disk, tree = tmp_path / "disk", tmp_path / "tree"
    disk.mkdir()
    tree.mkdir()
    (tree / "large").write_bytes(bytes((9 if when == "before" else 3) << 20))
    spec = json.dumps([{"kind": "tmpfs", "at": str(disk), "options": "size=8m"}])
    argv = [sys.executable, str(CHECKOUT / "tests" / "integration" / "mounts.py"), spec, sys.executable, "-m"]
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'playbooks' / 'collections'}"}
    ended = subprocess.run(
        [*argv, "tests.integration.creating_full_disk", str(disk), str(tree), when],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert said in result["failure"]
    assert result["names"] == []
    assert result["findings"][0]["evidence"]["class"] == "scratch_full"


def test_two_runs_of_one_series_do_not_meet(place: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []

    def second() -> None:
        with pytest.raises(LockHeld) as refused:
            place.create(when="always")
        met.append(str(refused.value))

    at_first_bytes(monkeypatch, second)
    place.made()
    assert "is held by run" in met[0]


def test_no_secret_is_in_an_argument_or_an_environment(
    place: Backups, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look() -> None:
        for pid in programs_below(os.getpid()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a session of the server may just end
                parts = (Path(f"/proc/{pid}/{part}") for part in ("cmdline", "environ"))
                seen.extend(part.read_bytes().decode(errors="replace") for part in parts)

    at_first_bytes(monkeypatch, look)
    # A compressor would take in the whole table before it gives its first bytes; the pipe holds far less than that.
    created = place.create(format="plain", compress="none")
    assert created.failure == ""
    assert any("pg_dump" in text for text in seen)
    assert not [text for text in seen if cluster.password in text]
    assert cluster.password not in json.dumps(created.as_result())
    for path in [*place.directory.rglob("*"), *(place.folder / "state").rglob("*")]:
        assert not path.is_file() or cluster.password.encode() not in path.read_bytes()


def test_nothing_that_is_there_is_replaced(place: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else takes the very name while the dump is written."""
    taken: list[Path] = []

    def take() -> None:
        (partial,) = place.directory.glob("*.partial")
        taken.append(partial.with_suffix(""))
        taken[0].write_text("somebody else's")

    at_first_bytes(monkeypatch, take)
    created = place.create()
    assert "something else has got that name" in created.failure
    assert taken[0].read_text() == "somebody else's"
    assert place.names() == [taken[0].name]


def test_what_somebody_else_left_half_written_is_not_ours(place: Backups) -> None:
    place.directory.mkdir()
    foreign = ["other-20261122T020000Z.dump.partial", "shop.partial", "shop-eu-20261122T020000Z.dump.partial", "x.part"]
    for name in foreign:
        (place.directory / name).touch()
    (place.directory / "shop-20261122T020000Z.dump.partial").touch()
    (place.directory / "shop.a%20b-20261122T020000Z.dump.manifest.json.partial").touch()
    created = place.create()
    assert created.failure == ""
    assert sorted(name for name in place.names() if name.endswith(("partial", ".part"))) == sorted(foreign)
    assert created.as_result()["findings"][0]["code"] == "backup.leftover_removed"


# --- killed


def killed(place: Backups, moment: float, **params: Any) -> bool:
    """Start a backup and kill it at that moment; whether it was still at work."""
    process = place.spawn(when="always", **params)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    finally:
        if process.stderr is not None:
            process.stderr.close()
    return False


def digests(place: Backups) -> dict[str, str]:
    return {
        name: hashlib.sha256((place.directory / name).read_bytes()).hexdigest()
        for name in place.names()
        if not name.endswith(".partial") and (place.directory / name).is_file()
    }


def test_whatever_a_kill_leaves_the_next_run_clears(place: Backups, cluster: Cluster) -> None:
    (first,) = place.made()
    good = digests(place)
    started = time.monotonic()
    assert place.spawn(when="always", format="plain").wait() == 0
    whole = time.monotonic() - started
    draw = random.Random(20261122)
    holder = cluster.connect("big")
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE filler IN ACCESS EXCLUSIVE MODE")
        # This one is at work for sure; where the moments of the others fall is left to chance.
        assert killed(place, 2 * whole, lock_timeout="1h")
    finally:
        holder.close()
    for turn in range(6):
        form = ("plain", "custom", "directory")[turn % 3]
        killed(place, draw.uniform(0.25, 1.0) * whole, format=form, compress="gzip")
        named = place.backups()
        for name in named:
            assert manifest_of(str(place.directory / name))["name"] == name
    assert until(lambda: cluster.execute(OURS) == [(0,)]), "a session with a snapshot outlived its run"
    place.made(when="always")
    assert not [name for name in place.names() if name.endswith(".partial")]
    names = set(place.names())
    orphans = [
        name for name in names if name.endswith(".manifest.json") and name[: -len(".manifest.json")] not in names
    ]
    assert orphans == []
    assert {name: digest for name, digest in digests(place).items() if name in good} == good
    paths = [str(place.directory / name) for name in place.backups()]
    assert first["path"] in paths
    assert verified(*paths)["summary"]["worst"] == "ok"


def test_a_session_of_a_run_whose_host_went_away_is_ended(place: Backups, cluster: Cluster) -> None:
    """The server does not see that: it keeps the snapshot, and nothing that is dead since can be removed."""
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        ask = (
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE 'upkeep backup_create%'"
        )
        at_first_bytes(patch, lambda: seen.extend(name for (name,) in cluster.execute(ask)))
        place.made()
    (name,) = seen
    lost = cluster.connect("big", application_name=name)
    elsewhere = Job("shop", str(place.folder / "elsewhere"), "postgres", 60.0)
    other = cluster.connect("big", application_name=f"upkeep backup_create {elsewhere.mark}")
    for session in (lost, other):
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
    assert place.create(check_mode=True, when="always").failure == ""
    assert until(lambda: cluster.execute(OURS) == [(2,)])
    created = place.create(when="always")
    assert created.failure == ""
    assert f"the session {lost.info.backend_pid} of db1" in json.dumps(created.as_result()["findings"])
    assert until(lambda: cluster.execute(OURS.replace("count(*)", "pid")) == [(other.info.backend_pid,)])
    other.close()
    lost.close()


def test_what_a_kill_leaves_in_a_pod_the_next_run_clears(cluster: Cluster, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    settings = {"PATH": f"{cluster.binaries.directory}:{os.environ['PATH']}", "PGHOST": str(cluster.socket_dir)}
    pod = Kubectl(tmp_path / "pod", {**settings, "PGPORT": str(cluster.port), "HOME": str(cluster.home)})
    backups = Backups(
        tmp_path,
        {
            "pod": {"name": "db-0", "kubectl": str(pod.path)},
            "far_directory": str(there),
            "login_password": cluster.password,
            "databases": ["big"],
            "globals": False,
        },
    )
    holder = cluster.connect("big")
    try:
        with holder.cursor() as cursor:
            cursor.execute("LOCK TABLE filler IN ACCESS EXCLUSIVE MODE")
        process = backups.spawn(lock_timeout="1h", count_rows=False)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert until(lambda: cluster.execute(waiting) == [(1,)])
        process.kill()
        process.wait()
        assert [path.name for path in there.glob("upkeep-backup.*/pid")] == ["pid"]
        left = (next(there.glob("upkeep-backup.*/pid"))).read_text().strip()
        assert runs(left), "nothing was left running there, so that nothing is shown"
    finally:
        holder.close()
    created = backups.create()
    assert created.failure == ""
    assert os.listdir(there) == []
    assert until(lambda: not runs(left))
    assert [finding["code"] for finding in created.as_result()["findings"]].count("backup.leftover_removed") == 1
    assert until(lambda: cluster.execute(OURS) == [(0,)])


@pytest.mark.soak
def test_a_hundred_kills(place: Backups, cluster: Cluster) -> None:
    (first,) = place.made()
    good = digests(place)
    draw = random.Random(secrets.randbits(32))
    for turn in range(100):
        killed(place, draw.uniform(0.2, 2.0), format=("plain", "custom", "directory")[turn % 3], compress="gzip")
    assert until(lambda: cluster.execute(OURS) == [(0,)])
    place.made(when="always")
    assert not [name for name in place.names() if name.endswith(".partial")]
    assert {name: digest for name, digest in digests(place).items() if name in good} == good
    paths = [str(place.directory / name) for name in place.backups()]
    assert verified(*paths)["summary"]["worst"] == "ok"
    assert first["path"] in paths
