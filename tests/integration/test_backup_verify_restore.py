"""`backup_verify` at the level `restore`, with real dumps in real throwaway servers."""

from __future__ import annotations

import gzip
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import manifest as manifests
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.sql import (
    FINGERPRINT_SETTINGS,
    fingerprint,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
from tests.bed import backup_tools
from tests.bed.docker_engine import Engine
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.module import CHECKOUT, run_module

NOW = datetime.now(UTC)
SQL = r"""
CREATE ROLE {role} LOGIN; CREATE ROLE "odd ""{role}"; GRANT {role} TO "odd ""{role}" WITH ADMIN OPTION;
CREATE EXTENSION hstore;
CREATE SCHEMA s AUTHORIZATION {role};
CREATE TABLE orders (id serial PRIMARY KEY, at timestamptz NOT NULL, note text, attributes hstore);
INSERT INTO orders (at, note, attributes)
  SELECT timestamptz '2026-11-20 00:00:00+00' + n * interval '1 second', 'note ' || n, 'a=>1'
  FROM generate_series(1, 900) n;
ALTER TABLE orders OWNER TO {role}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders TO "odd ""{role}" USING (true);
CREATE TABLE s."odd ""name" (a int, b text);
INSERT INTO s."odd ""name" VALUES (1, E'x\ny\t\\.'), (2, '-- Name: x; Type: ACL');
CREATE FUNCTION trap() RETURNS text LANGUAGE plpgsql AS $$
begin
--
-- Name: x; Type: DATABASE; Schema: -; Owner: nobody
--
GRANT SELECT ON x TO nobody_at_all;
CREATE DATABASE nope;
return 'x';
end $$;
ALTER FUNCTION trap() OWNER TO "odd ""{role}";
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
CREATE TABLE empty (x int);
CREATE TABLE parts (id int, k text) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1); INSERT INTO parts VALUES (1, 'a');
CREATE INDEX ON parts (k);
SELECT lo_from_bytea(0, 'hello');
"""


@dataclass(frozen=True)
class Dumped:
    """A database and its dumps, by form."""

    cluster: Cluster
    database: str
    folder: Path
    rows: dict[str, int]

    def path(self, form: str) -> Path:
        return self.folder / f"shop.{form}"


def reachable(prefix: str) -> Path:
    """A folder that the account of a server reaches, whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


def dump_all(cluster: Cluster, database: str, folder: Path) -> Dumped:
    role = f"app_{secrets.token_hex(3)}"
    cluster.execute(f"CREATE DATABASE {database}")
    cluster.execute(SQL.format(role=role), database=database)
    tool = {name: str(cluster.binaries.tool(name)) for name in ("pg_dump", "pg_dumpall")}
    options = {
        "sql": [], "clean.sql": ["--clean"], "create.sql": ["--clean", "--create"], "inserts.sql": ["--inserts"],
        "dump": ["-Fc"], "tar": ["-Ft"], "d": ["-Fd"],
    }  # fmt: skip
    for form, words in options.items():
        argv = [tool["pg_dump"], *words, "-f", str(folder / f"shop.{form}"), database]
        subprocess.run(argv, check=True, env=cluster.client_environment())
    for form, words in {"all.sql": [], "globals.sql": ["--globals-only"]}.items():
        argv = [tool["pg_dumpall"], *words, "-f", str(folder / f"shop.{form}")]
        subprocess.run(argv, check=True, env=cluster.client_environment())
    (folder / "shop.sql.gz").write_bytes(gzip.compress((folder / "shop.sql").read_bytes()))
    rows = {"public.orders": 900, 's."odd ""name"': 2, "public.empty": 0, "public.parts_1": 1}
    return Dumped(cluster, database, folder, rows)


@pytest.fixture(scope="module")
def dumped() -> Iterator[Dumped]:
    folder = reachable("upkeep-test-dumps-")
    try:
        with Cluster(find_or_bring(None, cache_directory()), name="dumped") as cluster:
            yield dump_all(cluster, "shop", folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Where test restores are made; nothing is left there afterwards."""
    folder = reachable("upkeep-test-")
    yield folder
    left = sorted(path.name for path in folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


def verify(path: Path, scratch: Path, restore: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    wanted = {"scratch_dir": str(scratch), "scratch_reserve": "1%", "jobs": 2, **(restore or {})}
    given = {"paths": [str(path)], "level": "restore", "restore": wanted, **params}
    if "series" in params:
        del given["paths"]
    checked = validate(CHECK.name, CHECK.argument_spec, given, CHECK.rules).params
    return CHECK.run(checked, datetime.now(UTC)).as_result()


def codes(result: dict[str, Any]) -> dict[str, str]:
    """The codes that a restore may give, with their severities; not what is said of modes and manifests."""
    besides = ("backup.insecure_mode", "backup.manifest_missing", "backup.globals_missing")
    return {one["code"]: one["severity"] for one in result["findings"] if one["code"] not in besides}


def missing_role(result: dict[str, Any]) -> str:
    (severity,) = [one["severity"] for one in result["findings"] if one["code"] == "backup.globals_missing"]
    return str(severity)


def restored(result: dict[str, Any]) -> dict[str, Any]:
    (file,) = result["files"]
    assert file["level_reached"] == "restore", result["findings"]
    record: dict[str, Any] = file["restore"]
    return record


# --- every format of pg_dump, into a throwaway cluster


# Those that differ least from what is restored anyway are for the long run.
OFTEN, SELDOM = ("dump", "d", "sql.gz", "create.sql", "inserts.sql"), ("tar", "sql", "clean.sql", "all.sql")


@pytest.mark.parametrize("form", [*OFTEN, *(pytest.param(form, marks=pytest.mark.soak) for form in SELDOM)])
def test_each_format_is_restored_and_counted(dumped: Dumped, scratch: Path, form: str) -> None:
    result = verify(dumped.path(form), scratch)
    assert codes(result) == {}
    record = restored(result)
    assert (record["tables"], record["rows"]) == (4, 903)
    assert record["compared"] == ("nothing" if form == "inserts.sql" else "dump")
    assert record["isolated"] is True
    assert record["sequences"] == 1
    assert set(record["seconds"]) >= {"prepare", "load", "index", "analyze", "assert", "total"}


def test_older_and_newer_majors_restore_their_own_dumps(postgres_cluster: Cluster, scratch: Path) -> None:
    folder = reachable("upkeep-test-major-")
    try:
        own = dump_all(postgres_cluster, f"major_{secrets.token_hex(3)}", folder)
        programs = {"bin_dir": str(postgres_cluster.binaries.directory)}
        for form in ("dump", "all.sql"):
            result = verify(own.path(form), scratch, programs)
            assert codes(result) == {}
            assert restored(result)["server_version"].startswith(f"{postgres_cluster.binaries.major}.")
            assert restored(result)["rows"] >= 903  # with other databases of the cluster
    finally:
        shutil.rmtree(folder)
        postgres_cluster.execute(f"DROP DATABASE IF EXISTS {own.database}")


def test_a_newer_dump_is_incompatible_before_any_work(dumped: Dumped, scratch: Path) -> None:
    head = bytearray(dumped.path("dump").read_bytes())
    version = dumped.cluster.binaries.version.encode()
    newer = head.replace(b" ".join([version]), b"99" + version[2:])
    path = dumped.folder / "newer.dump"
    path.write_bytes(newer)
    result = verify(path, scratch)
    assert codes(result) == {"backup.version_incompatible": "critical"}
    assert result["files"][0]["level_reached"] == "structure"


# --- against the manifest


def describe(path: Path, rows: dict[str, int], fingerprints: dict[str, str] | None = None, **source: Any) -> None:
    import hashlib

    data = path.read_bytes()
    manifest = manifests.Manifest(
        name=path.name,
        kind="postgres",
        taken_at=NOW,
        stored_size=len(data),
        stored_sha256=hashlib.sha256(data).hexdigest(),
        rows=rows,
        fingerprints=fingerprints or {},
        source=manifests.Source(**source),
    )
    path.with_name(path.name + manifests.SUFFIX).write_bytes(manifests.render(manifest))


def test_rows_that_the_server_would_not_take_silently_are_found(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "shop.dump"
    shutil.copy(dumped.path("dump"), path)
    describe(path, {**dumped.rows, "public.orders": 901, "public.gone": 7})
    found = codes(verify(path, scratch))
    assert found["backup.row_count_mismatch"] == found["backup.data_missing"] == "critical"


def test_fingerprints_tell_one_changed_value(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    statement = FINGERPRINT_SETTINGS + fingerprint("public", "orders")
    ((answer,),) = dumped.cluster.execute(statement, database=dumped.database)
    right = {"public.orders": (answer if isinstance(answer, list) else json.loads(answer))[3]}
    path = tmp_path / "shop.sql"
    text = dumped.path("sql").read_text()
    path.write_text(text)
    describe(path, dumped.rows, right)
    result = verify(path, scratch, {"fingerprint": "hash"})
    assert (codes(result), restored(result)["hashed"]) == ({}, 1)
    path.write_text(text.replace("note 17\t", "note 71\t"))
    describe(path, dumped.rows, right)
    assert codes(verify(path, scratch, {"fingerprint": "hash"})) == {"backup.fingerprint_mismatch": "critical"}


# --- what you say it must be


def test_assertions_newest_row_amcheck_and_time(dumped: Dumped, scratch: Path) -> None:
    assertions = [
        {"sql": "SELECT count(*) FROM orders", "expect": ">= 900"},
        {"sql": "SELECT note FROM orders WHERE id = 1;", "expect": "note 1"},
        {"sql": "SELECT note FROM orders WHERE id = 2", "expect": "note 1"},
        {"sql": "SELECT id FROM orders", "expect": "1"},
        {"sql": "SELECT * FROM nowhere", "expect": "1"},
        {"sql": "DELETE FROM orders RETURNING 1", "expect": "1"},
    ]
    wishes = {"assertions": assertions, "newest": "SELECT max(at) FROM orders", "max_rpo": "1h", "max_rto": "10ms"}
    result = verify(dumped.path("dump"), scratch, {**wishes, "amcheck": "fast"})
    assert codes(result) == {
        "backup.assertion_failed": "critical",
        "backup.rpo_exceeded": "warning",
        "backup.rto_exceeded": "warning",
    }
    failed = [one for one in result["findings"] if one["code"] == "backup.assertion_failed"]
    assert sorted(one["evidence"]["assertion"] for one in failed) == [3, 4, 5, 6]
    assert "note 2" not in json.dumps(result)
    assert restored(result)["newest"] == "2026-11-20T00:15:00Z"
    assert restored(result)["amcheck"] == "fast"


def test_an_index_that_its_function_belies_is_corrupt(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    database = f"belied_{secrets.token_hex(3)}"
    dumped.cluster.execute(f"CREATE DATABASE {database}")
    try:
        dumped.cluster.execute(
            "CREATE FUNCTION lie(int) RETURNS float LANGUAGE sql IMMUTABLE AS 'SELECT random() + $1 * 0'; "
            "CREATE TABLE t AS SELECT n FROM generate_series(1, 500) n; CREATE INDEX liar ON t (lie(n)); "
            "CREATE SEQUENCE behind; ALTER TABLE t ALTER n SET DEFAULT nextval('behind'); "
            "ALTER SEQUENCE behind OWNED BY t.n;",
            database=database,
        )
        path = tmp_path / "belied.dump"
        argv = [str(dumped.cluster.binaries.tool("pg_dump")), "-Fc", "-f", str(path), database]
        subprocess.run(argv, check=True, env=dumped.cluster.client_environment())
    finally:
        dumped.cluster.execute(f"DROP DATABASE {database}")
    result = verify(path, scratch, {"amcheck": "heapallindexed"})
    assert codes(result) == {"backup.index_corrupt": "critical", "backup.sequence_behind": "warning"}


# --- what a server does not take


def test_a_whole_dump_that_no_server_takes_has_failed(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    text = dumped.path("sql").read_text()
    path = tmp_path / "shop.sql"
    path.write_text(text.replace("\n17\t2026", "\n16\t2026", 1))
    result = verify(path, scratch)
    assert codes(result) == {"backup.restore_failed": "critical"}
    (finding,) = [one for one in result["findings"] if one["code"] == "backup.restore_failed"]
    assert "orders_pkey" in finding["message"]
    assert "note 17" not in json.dumps(finding)


# One that only has to be there, and one whose library the server is to load when it starts.
@pytest.mark.parametrize("name", ["nohstore", "timescaledb"])
def test_an_extension_that_is_not_here_is_named(dumped: Dumped, tmp_path: Path, scratch: Path, name: str) -> None:
    path = tmp_path / "shop.sql"
    path.write_text(
        dumped.path("sql").read_text().replace("EXTENSION IF NOT EXISTS hstore", f"EXTENSION IF NOT EXISTS {name}")
    )
    result = verify(path, scratch)
    assert codes(result) == {"backup.extension_missing": "unknown"}
    (found,) = [one for one in result["findings"] if one["code"] == "backup.extension_missing"]
    assert f"{name} (package " in found["message"]
    major = dumped.cluster.binaries.major
    packages = {"nohstore": f"postgresql-{major}-nohstore", "timescaledb": f"timescaledb-2-postgresql-{major}"}
    assert found["evidence"]["packages"] == [packages[name]]


def test_half_a_dump_is_not_even_tried(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "shop.sql"
    text = dumped.path("sql").read_bytes()
    path.write_bytes(text[: text.index(b"note 450")])
    result = verify(path, scratch)
    assert codes(result) == {"backup.incomplete_dump": "critical"}
    assert "restore" not in result["files"][0]


def test_a_broken_archive_stops_the_load_that_runs_beside(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "shop.dump"
    path.write_bytes(dumped.path("dump").read_bytes()[:-200])
    result = verify(path, scratch)
    assert codes(result) == {"backup.truncated": "critical"}
    assert "restore" not in result["files"][0]


def test_globals_give_it_its_owners(dumped: Dumped, scratch: Path) -> None:
    owner = "SELECT tableowner !~ '^upkeep' FROM pg_tables WHERE tablename = 'orders'"
    series = {"name": "shop", "pattern": str(dumped.path("dump")), "globals": str(dumped.path("globals.sql")),
              "time_from": "mtime", "every": "10000h", "min_count": 1}  # fmt: skip
    result = verify(dumped.path("dump"), scratch, {"assertions": [{"sql": owner, "expect": "t"}]}, series=[series])
    assert codes(result) == {}
    assert restored(result)["owners"] == "globals"


# --- what keeps it from being tried


def test_no_space_is_told_before(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "shop.dump"
    shutil.copy(dumped.path("dump"), path)
    describe(path, dumped.rows, bytes=1 << 50)
    assert codes(verify(path, scratch)) == {"backup.scratch_full": "unknown"}


def test_no_program_and_no_account_are_told(dumped: Dumped, scratch: Path) -> None:
    assert codes(verify(dumped.path("dump"), scratch, {"bin_dir": "/nonexistent"})) == {
        "backup.tool_missing": "unknown"
    }
    result = verify(dumped.path("dump"), scratch, {"user": "nobody-at-all"})
    assert codes(result) == {"backup.target_unavailable": "unknown"}


def test_check_mode_restores_nothing(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    params = {"paths": [str(dumped.path("dump"))], "level": "restore",
              "restore": {"scratch_dir": str(scratch), "scratch_reserve": "1%"}}  # fmt: skip
    answer = run_module(tmp_path, "backup_verify", params, check_mode=True)
    assert answer.how == "SUCCESS"
    assert codes(answer.result) == {"backup.restore_planned": "info"}
    answer = run_module(tmp_path, "backup_verify", params)
    assert answer.how == "SUCCESS"
    assert restored(answer.result)["rows"] == 903


# --- a server that is there


def test_a_server_that_is_there_is_used_behind_its_guards(dumped: Dumped, scratch: Path) -> None:
    with Cluster(find_or_bring(None, cache_directory()), name="target") as cluster:
        server = {"host": "127.0.0.1", "port": cluster.port, "user": cluster.user, "password": cluster.password}
        target = {"target": "server", "server": server}
        refused = {"backup.isolation_refused": "unknown"}
        assert codes(verify(dumped.path("dump"), scratch, target)) == refused
        allowed = {**target, "allow_server": True}
        assert codes(verify(dumped.path("all.sql"), scratch, allowed)) == refused
        cluster.execute("CREATE DATABASE bkv_0123456789ab")  # of a run that was killed
        cluster.execute("CREATE DATABASE somebodys")
        assert codes(verify(dumped.path("dump"), scratch, allowed)) == refused
        beside = {**allowed, "server": {**server, "beside": ["somebodys"]}}
        # A policy names a role that this server does not have.
        assert codes(verify(dumped.path("dump"), scratch, beside)) == {}
        assert missing_role(verify(dumped.path("dump"), scratch, beside)) == "unknown"
        role = dumped.cluster.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^odd'")[0][0]
        cluster.execute('CREATE ROLE "{}"'.format(role.replace('"', '""')))
        for form in ("dump", "create.sql"):
            result = verify(dumped.path(form), scratch, beside)
            assert codes(result) == {}, form
            assert restored(result)["rows"] == 903
        left = {row[0] for row in cluster.execute("SELECT datname FROM pg_database")}
        assert left == {"postgres", "somebodys", "template0", "template1"}


def test_the_server_that_was_dumped_is_never_the_target(dumped: Dumped, tmp_path: Path, scratch: Path) -> None:
    cluster = dumped.cluster
    ((identifier,),) = cluster.execute("SELECT system_identifier::text FROM pg_control_system()")
    path = tmp_path / "shop.dump"
    shutil.copy(dumped.path("dump"), path)
    describe(path, dumped.rows, system_identifier=identifier)
    server = {"host": "127.0.0.1", "port": cluster.port, "user": cluster.user, "password": cluster.password}
    wishes = {"target": "server", "server": {**server, "beside": ["shop"]}, "allow_server": True}
    assert codes(verify(path, scratch, wishes)) == {"backup.isolation_refused": "unknown"}


# --- containers


@pytest.mark.parametrize("form", ["d", pytest.param("sql.gz", marks=pytest.mark.soak)])
def test_a_container_without_network(dumped: Dumped, docker_engine: Engine, scratch: Path, form: str) -> None:
    image = docker_engine.postgres_image()
    wishes = {"target": "container", "image": image, "docker_host": docker_engine.url}
    result = verify(dumped.path(form), scratch, wishes)
    assert codes(result) == {}
    assert restored(result)["rows"] == 903
    assert codes(verify(dumped.path("dump"), scratch, {**wishes, "image": "nope:1"})) == {
        "backup.target_unavailable": "unknown"
    }
    label = ("ps", "--all", "--quiet", "--filter", "label=cadence.upkeep.restore")
    assert docker_engine.docker(*label).stdout == ""


def test_a_container_of_a_killed_run_is_removed_by_the_next(
    dumped: Dumped, docker_engine: Engine, scratch: Path
) -> None:
    wishes = {"target": "container", "image": docker_engine.postgres_image(), "docker_host": docker_engine.url}
    label = ("ps", "--all", "--quiet", "--filter", "label=cadence.upkeep.restore")
    with Killed(dumped.path("dump"), scratch, wishes) as run:
        deadline = time.monotonic() + 60
        while not docker_engine.docker(*label).stdout and time.monotonic() < deadline:
            time.sleep(0.05)
        run.kill(*run.keepers())
    assert docker_engine.docker(*label).stdout != ""
    assert codes(verify(dumped.path("dump"), scratch, wishes)) == {}
    assert docker_engine.docker(*label).stdout == ""


# --- other formats


def test_redis_files_and_sqlite(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    for name, value in backup_tools.environment(cache_directory()).items():
        monkeypatch.setenv(name, value)
    path = rdb(tmp_path)
    record = restored(verify(path, scratch))
    assert (record["rows"], record["compared"]) == (3, "dump")
    database = sqlite3.connect(tmp_path / "own.db")
    database.execute("CREATE TABLE t (n)")
    database.commit()
    database.close()
    assert restored(verify(tmp_path / "own.db", scratch))["tables"] == 1
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("one")
    (tree / "sub" / "b").write_text("two")
    (tree / "link").symlink_to("a")
    subprocess.run(["tar", "-C", str(tmp_path), "-czf", str(tmp_path / "tree.tar.gz"), "tree"], check=True)
    assert restored(verify(tmp_path / "tree.tar.gz", scratch))["tables"] == 2


def rdb(folder: Path) -> Path:
    """A snapshot of a real server with three keys."""
    place = Path(tempfile.mkdtemp(dir=folder))
    socket = place / "s"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(place), "--save", ""]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for words in (("SET", "a", "1"), ("SET", "b", "2"), ("RPUSH", "c", "1", "2"), ("SAVE",)):
            subprocess.run(["redis-cli", "-s", str(socket), *words], check=True, stdout=subprocess.DEVNULL)
    finally:
        server.kill()
        server.wait()
    return place / "dump.rdb"


def test_what_cannot_be_restored_here_is_not_known(tmp_path: Path, scratch: Path) -> None:
    document = b"\x0e\x00\x00\x00\x10n\x00\x01\x00\x00\x00\x00"
    document = len(document).to_bytes(4, "little") + document[4:]
    (tmp_path / "shop.bson").write_bytes(document)
    assert codes(verify(tmp_path / "shop.bson", scratch)) == {"backup.tool_missing": "unknown"}


def test_restores_are_remembered_and_say_how_long_the_next_takes(dumped: Dumped, scratch: Path, tmp_path: Path) -> None:
    series = [{"name": "shop", "pattern": str(dumped.path("dump")), "every": "24h", "max_age": "100000d"}]
    wanted = {"newest": "SELECT max(at) FROM orders"}
    records = []
    for _turn in range(2):
        result = verify(dumped.path("dump"), scratch, wanted, series=series, state_file=str(tmp_path / "state.jsonl"))
        records.append(restored(result)["seconds"])
        (one,) = result["series"]
    assert one["rto"]["points"] == 2
    totals = [sum(seconds[phase] for phase in seconds if phase != "total") for seconds in records]
    assert one["rto"]["p95"] == pytest.approx(max(totals), abs=0.05)
    assert set(one["rto"]["phases"]) >= {"prepare", "load", "analyze", "assert"}
    metrics = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert metrics["backup_rto_p95_seconds"] == one["rto"]["p95"]
    file = result["files"][0]
    taken = datetime.fromisoformat(file["taken_at"])
    newest = datetime.fromisoformat(file["restore"]["newest"])
    assert metrics["backup_rpo_seconds"] == file["restore"]["rpo_seconds"] == round((taken - newest).total_seconds())


# --- killed

CHILD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from datetime import datetime, timezone
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.check import CHECK
from ansible_collections.cadence.upkeep.plugins.module_utils._core.argspec import validate
params = validate(CHECK.name, CHECK.argument_spec, json.loads(sys.argv[2]), CHECK.rules).params
CHECK.run(params, datetime.now(timezone.utc))
"""


class Killed:
    """A run of the check in a process of its own, which is killed."""

    def __init__(self, path: Path, scratch: Path, restore: dict[str, Any] | None = None) -> None:
        wanted = {"scratch_dir": str(scratch), "scratch_reserve": "1%", "jobs": 2, **(restore or {})}
        params = {"paths": [str(path)], "level": "restore", "nice": 0, "restore": wanted}
        paths = json.dumps([str(CHECKOUT / "playbooks" / "collections")])
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, paths, json.dumps(params)], start_new_session=True, stdin=subprocess.DEVNULL
        )

    def __enter__(self) -> Killed:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def keepers(self) -> list[int]:
        """The processes that are below it, however deep."""
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as stream:
                        parents[int(name)] = int(stream.read().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        below, found = {self.pid}, set()
        while below:
            below = {pid for pid, parent in parents.items() if parent in below} - found
            found |= below
        return sorted(pid for pid in found if _is_python(pid))

    def kill(self, *others: int) -> None:
        for pid in (self.pid, *others):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _is_python(pid: int) -> bool:
    try:
        return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def processes_in(folder: Path) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                inside = os.readlink(f"/proc/{name}/cwd").startswith(f"{folder}/")
            except OSError:
                continue
            found += [int(name)] if inside else []
    return found


def nothing_runs_in(folder: Path, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_in(folder)


def kill_at_random(dumped: Dumped, scratch: Path, moments: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(moments):
        form = chance.choice(["dump", "d", "sql.gz"])
        with Killed(dumped.path(form), scratch) as run:
            time.sleep(chance.uniform(0.2, 3.0))
            # Every other time what would clear up is killed too.
            run.kill(*(run.keepers() if number % 2 else ()))
        assert nothing_runs_in(scratch)
    result = verify(dumped.path("dump"), scratch)
    assert codes(result) == {}
    assert list(scratch.iterdir()) == []


def test_killed_at_some_moments_leaves_nothing(dumped: Dumped, scratch: Path) -> None:
    kill_at_random(dumped, scratch, 4, seed=1)


@pytest.mark.soak
def test_killed_at_many_moments_leaves_nothing(dumped: Dumped, scratch: Path) -> None:
    kill_at_random(dumped, scratch, 40, seed=2)


# --- secrets


def test_the_password_stands_nowhere(dumped: Dumped, scratch: Path) -> None:
    with Cluster(find_or_bring(None, cache_directory()), name="guarded") as cluster:
        server = {"host": "127.0.0.1", "port": cluster.port, "user": cluster.user, "password": cluster.password}
        role = dumped.cluster.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^odd'")[0][0]
        cluster.execute('CREATE ROLE "{}"'.format(role.replace('"', '""')))
        params = {"paths": [str(dumped.path("dump"))], "level": "restore", "nice": 0,
                  "restore": {"target": "server", "server": server, "allow_server": True}}  # fmt: skip
        code = CHILD.replace("json.loads(sys.argv[2])", "json.load(sys.stdin)").replace(
            "CHECK.run(", "print(CHECK.run("
        )
        code = code.replace("datetime.now(timezone.utc))", "datetime.now(timezone.utc)).as_result())")
        paths = json.dumps([str(CHECKOUT / "playbooks" / "collections")])
        process = subprocess.Popen(
            [sys.executable, "-c", code, paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(params))
        process.stdin.close()
        seen, looked = [], 0
        while process.poll() is None:
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != os.getpid():
                    for what in ("cmdline", "environ"):
                        try:
                            data = Path(f"/proc/{name}/{what}").read_bytes()
                        except OSError:
                            continue
                        looked += b"pg_restore" in data
                        if cluster.password.encode() in data:
                            seen.append(f"{name} {what}")
            time.sleep(0.01)
        assert process.stdout is not None
        said = process.stdout.read()
        assert "'finished': True" in said
        assert cluster.password not in said
        assert seen == []
        assert looked
