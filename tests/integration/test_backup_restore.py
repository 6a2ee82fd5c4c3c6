"""`backup_restore`: databases and directories that are replaced by what a backup holds, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest as manifests
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.run import recover
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import UpkeepError
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.creating import Backups, verified
from tests.integration.module import CHECKOUT, Answer, run_module
from tests.integration.playbook import Fleet

HOST = "db1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(find_or_bring(None, cache_directory()), name="live") as running:
        yield running


@dataclass
class Place:
    """A database with two tables, a dump of it, and the options to restore that."""

    cluster: Cluster
    folder: Path
    database: str = field(default_factory=lambda: f"shop_{secrets.token_hex(3)}")

    def execute(self, text: str) -> list[tuple[Any, ...]]:
        return self.cluster.execute(text, database=self.database)

    @property
    def dump(self) -> Path:
        return self.folder / "shop.dump"

    @property
    def safety(self) -> Path:
        return self.folder / "safety"

    def fill(self) -> None:
        self.cluster.execute(f"CREATE DATABASE {self.database}")
        self.execute(
            "CREATE TABLE orders (id serial PRIMARY KEY, note text); "
            "INSERT INTO orders (note) SELECT 'note ' || n FROM generate_series(1, 300) n; CREATE TABLE other (n int)"
        )

    def write(self, *options: str, name: str = "shop.dump") -> Path:
        path = self.folder / name
        argv = [str(self.cluster.binaries.tool("pg_dump")), *(options or ("-Fc",)), "-f", str(path), self.database]
        subprocess.run(argv, check=True, env=self.cluster.client_environment())
        path.chmod(0o600)
        return path

    def options(self, **more: Any) -> dict[str, Any]:
        return {
            "path": str(self.dump), "host": HOST, "login_host": "127.0.0.1", "login_port": self.cluster.port,
            "login_user": self.cluster.user, "login_password": self.cluster.password, "jobs": 2,
            "bin_dir": str(self.cluster.binaries.directory), "safety_directory": str(self.safety), **more,
        }  # fmt: skip

    def restore(self, check_mode: bool = False, **more: Any) -> Answer:
        return restore(self.options(**more), check_mode)

    def databases(self) -> list[str]:
        listed = self.cluster.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1", [self.database]
        )
        return [row[0] for row in listed]


def restore(options: dict[str, Any], check_mode: bool = False) -> Answer:
    """What the module says of *options*, without the two seconds that Ansible takes to ask it."""
    params = validate("backup_restore", ARGUMENT_SPEC, options).params
    try:
        recovered = recover(params, datetime.now(UTC), check_mode)
    except UpkeepError as error:
        return Answer("FAILED", {"changed": False, **error.as_failure()})
    result = recovered.as_result()
    how = "FAILED" if recovered.failure else "CHANGED" if result["changed"] else "SUCCESS"
    return Answer(how, {**result, "msg": recovered.failure})


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="upkeep-test-live-", dir="/var/tmp"))
    folder.chmod(0o755)
    made = Place(cluster, folder)
    made.fill()
    made.write()
    yield made
    for name in made.databases():
        cluster.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    shutil.rmtree(folder)


def codes(answer: Answer) -> dict[str, str]:
    return {one["code"]: one["severity"] for one in answer.result["findings"]}


def count(place: Place, database: str = "") -> int:
    ((rows,),) = place.cluster.execute("SELECT count(*) FROM orders", database=database or place.database)
    return int(rows)


def test_without_the_confirmation_nothing_is_touched(place: Place) -> None:
    for given in ({}, {"confirm": f"{place.database}@db2"}):
        answer = place.restore(**given)
        assert answer.how == "FAILED"
        assert f"exactly: {place.database}@{HOST}" in answer.result["msg"]
        assert "backups_restore_confirm" in answer.result["msg"]
        assert answer.result["changed"] is False
    answer = place.restore(check_mode=True)
    assert answer.how == "CHANGED"
    assert codes(answer) == {"backup.recovery_planned": "info"}
    assert answer.result["confirmation"] == f"{place.database}@{HOST}"
    assert [one["status"] for one in answer.result["actions"]] == ["planned"] * 3
    assert (place.databases(), place.safety.exists()) == ([place.database], False)


def test_the_backup_takes_the_place_and_the_old_one_is_kept(place: Place) -> None:
    place.execute("INSERT INTO orders (note) SELECT 'later' FROM generate_series(1, 50); ANALYZE orders")
    place.cluster.execute(f"ALTER DATABASE {place.database} SET work_mem = '7MB'")
    place.cluster.execute(f"COMMENT ON DATABASE {place.database} IS 'the shop''s'")
    place.cluster.execute(f"ALTER DATABASE {place.database} CONNECTION LIMIT 41")
    in_use = place.cluster.connect(place.database)
    try:
        options = place.options(confirm=f"{place.database}@{HOST}")
        answer = run_module(place.folder, "backup_restore", options)
    finally:
        in_use.close()
    assert answer.how == "CHANGED", answer.result
    assert codes(answer) == {"backup.recovered": "ok", "backup.recovery_loses": "warning"}
    assert answer.result["plan"]["lost"]["rows"] == {"public.orders": 50}
    before = answer.result["plan"]["before_name"]
    assert place.databases() == [place.database, before]
    assert (count(place), count(place, before)) == (300, 350)
    assert place.execute("SHOW work_mem") == [("7MB",)]
    ((limit, comment),) = place.execute(
        "SELECT datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    )
    assert (limit, comment) == (41, "the shop's")
    (saved,) = answer.result["safety_backups"]
    assert Path(saved).stat().st_size > 0
    assert place.cluster.password not in str(answer.result)


@pytest.mark.parametrize("form", [("--create", "--clean"), ("-Ft",)])
def test_other_formats_and_a_new_database(place: Place, form: tuple[str, ...]) -> None:
    path = place.write(*form, name="other.sql" if form[0] == "--create" else "other.tar")
    fresh = f'{place.database} ünd "neu"'
    answer = place.restore(path=str(path), database=fresh, confirm=f"{fresh}@{HOST}")
    assert answer.how == "CHANGED", answer.result
    assert codes(answer) == {"backup.recovered": "ok"}
    assert place.databases() == [place.database, fresh]
    assert count(place, fresh) == 300


def test_what_is_not_known_to_be_good_is_not_restored(place: Place) -> None:
    place.dump.write_bytes(place.dump.read_bytes()[:-100])
    answer = place.restore(confirm=f"{place.database}@{HOST}")
    assert answer.how == "FAILED"
    assert codes(answer)["backup.truncated"] == "critical"
    assert "as it was" in answer.result["msg"]
    assert (place.databases(), count(place)) == ([place.database], 300)


def test_a_load_that_fails_leaves_the_old_one_in_place(place: Place) -> None:
    place.cluster.execute("CREATE ROLE gone")
    place.execute("ALTER TABLE other OWNER TO gone")
    path = place.write("-Fp", name="shop.sql")
    place.execute("ALTER TABLE other OWNER TO postgres")
    place.cluster.execute("DROP ROLE gone")
    answer = place.restore(path=str(path), database=place.database, confirm=f"{place.database}@{HOST}")
    assert answer.how == "FAILED"
    assert codes(answer) == {"backup.globals_missing": "critical"}
    assert "role gone" in answer.result["msg"]
    assert (place.databases(), count(place)) == ([place.database], 300)
    wanted = {"path": str(path), "database": place.database, "owners": "leave_out", "safety_backup": False}
    answer = place.restore(**wanted, confirm=f"{place.database}@{HOST}")
    assert answer.how == "CHANGED", answer.result
    assert len(place.databases()) == 2


def test_a_killed_run_changes_nothing_and_the_next_clears_up(place: Place) -> None:
    place.execute("INSERT INTO other SELECT n FROM generate_series(1, 400000) n")
    place.write("-Fc", "-Z0")
    unfinished = f"{place.database}_restoring_20200101T000000Z"
    place.cluster.execute(f'CREATE DATABASE "{unfinished}"')
    assert kill_while_loading(place) == -signal.SIGKILL
    assert count(place) == 300
    # The server sees that its client is gone only when it has made the database; until then the lock is held.
    assert no_lock_is_held(place)
    answer = place.restore(confirm=f"{place.database}@{HOST}", safety_backup=False)
    assert answer.how == "CHANGED", answer.result
    assert sorted(place.databases()) == sorted([place.database, answer.result["plan"]["before_name"]])


CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
from datetime import datetime, timezone
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.recover.run import recover
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
params = validate("backup_restore", ARGUMENT_SPEC, json.load(sys.stdin)).params
recover(params, datetime.now(timezone.utc))
"""


def start(place: Place) -> subprocess.Popen[str]:
    """Start a restore in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(CHECKOUT / "playbooks" / "collections")], stdin=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    json.dump(place.options(confirm=f"{place.database}@{HOST}", safety_backup=False), process.stdin)
    process.stdin.close()
    return process


def kill_while_loading(place: Place) -> int:
    """Kill the run as soon as the new database is there; return how it ended."""
    process = start(place)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        fresh = [name for name in place.databases() if "_restoring_" in name and "20200101" not in name]
        if fresh:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    return process.wait()


def no_lock_is_held(place: Place, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while place.cluster.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.soak
def test_killed_at_many_moments_the_live_database_is_whole(place: Place) -> None:
    """Whenever it is killed, there is a database of the name, with its rows, and the next run clears up."""
    place.execute("INSERT INTO other SELECT n FROM generate_series(1, 100000) n")
    place.write("-Fc", "-Z0")
    chance = random.Random(3)
    for _moment in range(24):
        process = start(place)
        time.sleep(chance.uniform(0.1, 3.0))
        process.kill()
        process.wait()
        assert count(place) == 300
    assert no_lock_is_held(place)
    answer = place.restore(confirm=f"{place.database}@{HOST}", safety_backup=False)
    assert answer.how == "CHANGED", answer.result
    assert [name for name in place.databases() if "_restoring_" in name] == []


def test_a_directory_is_exchanged_and_the_old_one_kept(tmp_path: Path) -> None:
    live = tmp_path / "app" / "uploads"
    (live / "sub").mkdir(parents=True)
    (live / "a").write_text("one")
    (live / "sub" / "b").write_text("two")
    (live / "link").symlink_to("a")
    (live / "sub").chmod(0o751)
    archive = tmp_path / "uploads.tar.gz"
    subprocess.run(["tar", "-C", "/", "-czf", str(archive), str(live).lstrip("/")], check=True)
    archive.chmod(0o600)
    (live / "a").write_text("changed")
    (live / "later").write_text("later")
    unfinished = live.with_name("uploads.restoring-20200101T000000Z")
    unfinished.mkdir()
    params = {"path": str(archive), "destination": str(live), "host": HOST, "safety_directory": str(tmp_path / "safe")}
    answer = restore(params)
    assert answer.how == "FAILED"
    assert f"exactly: {live}@{HOST}" in answer.result["msg"]
    answer = restore({**params, "confirm": f"{live}@{HOST}"})
    assert answer.how == "CHANGED", answer.result
    assert sorted(path.name for path in live.rglob("*")) == ["a", "b", "link", "sub"]
    assert (live / "a").read_text() == "one"
    assert ((live / "sub").stat().st_mode & 0o777, os.readlink(live / "link")) == (0o751, "a")
    before = Path(answer.result["plan"]["before_name"])
    assert ((before / "a").read_text(), (before / "later").read_text()) == ("changed", "later")
    assert sorted(path.name for path in live.parent.iterdir()) == ["uploads", before.name]
    assert len(answer.result["safety_backups"]) == 1


def test_the_playbook_asks_and_then_restores(place: Place) -> None:
    server = {name: value for name, value in place.options().items() if name.startswith("login_") or name == "bin_dir"}
    variables = {
        "upkeep_hosts": HOST, "backups_restore_path": str(place.dump), "backups_restore_database": place.database,
        "backups_restore_safety_backup": False, "backups_restore_server": server,
    }  # fmt: skip
    fleet = Fleet(place.folder).local(HOST)
    asked = fleet.play("restore", **variables)
    assert asked.code != 0
    assert f"exactly: {place.database}@{HOST}" in asked.output
    planned = fleet.play("restore", "--check", **variables)
    assert planned.code == 0, planned.output
    assert "takes the name" in planned.output
    assert place.databases() == [place.database]
    done = fleet.play("restore", **variables, backups_restore_confirm=f"{place.database}@{HOST}")
    assert done.code == 0, done.output
    assert "takes the name" in done.output
    assert f"is restored from {place.dump}, and what was there is kept as {place.database}_before_" in done.output
    assert "is restored from" not in planned.output
    assert len(place.databases()) == 2


# --- what goes wrong is one clear error, and nothing is lost by it


def refused(place: Place, **options: Any) -> tuple[str, dict[str, str]]:
    """What is said when *options* cannot be; the live database is as it was."""
    answer = place.restore(**{"confirm": f"{place.database}@{HOST}", **options})
    assert answer.how == "FAILED", answer.result
    assert answer.result["changed"] is False
    assert (place.databases(), count(place)) == ([place.database], 300)
    return answer.result["msg"], codes(answer)


def test_a_backup_that_is_not_there_is_named(place: Place) -> None:
    said, found = refused(place, path=str(place.folder / "gone-*.dump"))
    assert f"{place.folder}/gone-*.dump" in said
    assert set(found.values()) <= {"critical", "unknown"}


def test_a_wrong_passphrase_is_told(place: Place) -> None:
    (place.folder / "right").write_text("right\n")
    (place.folder / "wrong").write_text("wrong\n")
    sealed = place.folder / "shop.dump.gpg"
    argv = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase-file", str(place.folder / "right"), "-c"]
    # The agent that gpg leaves takes its sockets away when it likes, also while they are being removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        subprocess.run([*argv, "--homedir", home, "-o", str(sealed), str(place.dump)], check=True)
    sealed.chmod(0o600)
    for name in ("right", "wrong"):
        (place.folder / name).chmod(0o600)
    given = {"path": str(sealed), "decrypt": {"passphrase_file": str(place.folder / "wrong")}}
    said, found = refused(place, **given, database=place.database)
    assert found["backup.wrong_key"] in ("critical", "unknown")
    assert str(sealed) in said
    given["decrypt"] = {"passphrase_file": str(place.folder / "right")}
    answer = place.restore(**given, confirm=f"{place.database}@{HOST}", safety_backup=False)
    assert answer.how == "CHANGED", answer.result


def test_a_database_of_another_role_is_not_replaced(place: Place) -> None:
    role = f"guest_{secrets.token_hex(3)}"
    place.cluster.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'guest'")
    try:
        said, found = refused(place, login_user=role, login_password="guest", safety_backup=False, owners="leave_out")
    finally:
        for name in place.databases()[1:]:
            place.cluster.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        place.cluster.execute(f"DROP ROLE {role}")
    assert set(found) & {"backup.target_unavailable", "backup.restore_failed"}
    assert "must be" in said or "permission denied" in said


def test_the_backup_of_what_was_there_is_whole_and_the_hashes_are_compared(place: Place) -> None:
    server = {name: value for name, value in place.options().items() if name.startswith("login_") or name == "bin_dir"}
    wanted = {"databases": [place.database], "fingerprint": "hash", "globals": False, "programs": "host"}
    (path,) = [one["path"] for one in Backups(place.folder, server).made(**wanted)]
    given = {"path": path, "database": place.database, "fingerprint": "hash", "confirm": f"{place.database}@{HOST}"}
    answer = place.restore(**given)
    assert answer.how == "CHANGED", answer.result
    record = answer.result["restore"]
    assert (record["fingerprint"], record["hashed"], record["compared"]) == ("hash", 2, "manifest")
    (saved,) = answer.result["safety_backups"]
    checked = verified(saved, level="structure")
    (file,) = checked["files"]
    assert (file["level_reached"], file["assurance"]) == ("structure", "full")
    assert [one for one in checked["findings"] if one["severity"] in ("critical", "unknown")] == []


def test_a_row_that_was_changed_behind_its_manifest_is_not_put_in_place(place: Place) -> None:
    """As many rows as the manifest says, in a file of the digest that it says: only the hash of the rows tells."""
    answer = place.cluster.execute(
        "SELECT count(*), coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM orders t",
        database=place.database,
    )
    place.execute("UPDATE orders SET note = 'another' WHERE id = 17")
    path = place.write("-Fc", name="changed.dump")
    place.execute("UPDATE orders SET note = 'note 17' WHERE id = 17")
    data = path.read_bytes()
    manifest = manifests.Manifest(
        name=path.name, kind="postgres", taken_at=datetime.now(UTC), stored_size=len(data),
        stored_sha256=hashlib.sha256(data).hexdigest(), rows={"public.orders": 300, "public.other": 0},
        fingerprints={"public.orders": answer[0][1]},
    )  # fmt: skip
    path.with_name(path.name + manifests.SUFFIX).write_bytes(manifests.render(manifest))
    said, found = refused(place, path=str(path), fingerprint="hash", safety_backup=False)
    assert found == {"backup.fingerprint_mismatch": "critical"}
    assert "public.orders" in said
    answer_of_counts = place.restore(path=str(path), confirm=f"{place.database}@{HOST}", safety_backup=False)
    assert answer_of_counts.how == "CHANGED"


def test_what_the_module_does_not_know_of_a_server_is_refused(place: Place) -> None:
    """A container that is named must not end as a restore into another server."""
    variables = {
        "upkeep_hosts": HOST,
        "backups_restore_path": str(place.dump),
        "backups_restore_server": {"container": "db"},
    }
    said = Fleet(place.folder).local(HOST).play("restore", **variables)
    assert said.code != 0
    assert "Unsupported parameters" in said.output
    assert "container" in said.output


@pytest.mark.parametrize("what", ["test", "live"])
def test_a_disk_that_becomes_full(tmp_path: Path, what: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="upkeep-test-full-", dir="/var/tmp"))
    folder.chmod(0o755)
    disk = folder / "disk"
    disk.mkdir()
    size = "400m" if what == "test" else "64m"
    spec = json.dumps([{"kind": "tmpfs", "at": str(disk), "options": f"size={size},mode=755"}])
    argv = [sys.executable, str(CHECKOUT / "tests" / "integration" / "mounts.py"), spec, sys.executable, "-m"]
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'playbooks' / 'collections'}"}
    try:
        ended = subprocess.run(
            [*argv, "tests.integration.restoring_full_disk", str(disk), str(folder), what],
            cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    (full,) = [one for one in result["findings"] if one["code"] == "backup.scratch_full"]
    assert full["severity"] == "unknown"
    assert "full" in full["message"]
    assert result["rows"] == 50000
    if what == "live":
        assert result["databases"] == ["shop"]
        assert "as it was" in result["failure"]
    else:
        assert result["left"] == ["ballast", "space"]
        assert result["again"] == "restore"
