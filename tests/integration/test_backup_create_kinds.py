"""`backup_create`: encrypted, signed, of files, of Redis, out of containers and pods."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed import backup_tools, data
from tests.bed.docker_engine import Engine
from tests.bed.kubectl import Kubectl
from tests.bed.postgres import Cluster, cache_directory, find_or_bring, free_port
from tests.integration.creating import Backups, manifest_of, verified


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in backup_tools.environment(cache_directory()).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "srv"
    (root / "uploads" / "deep").mkdir(parents=True)
    (root / "uploads" / "a.txt").write_text("a")
    (root / "uploads" / "deep" / ("long-" * 30 + "name")).write_bytes(os.urandom(70_000))
    (root / "uploads" / "ü\nodd").write_text("newline")
    os.close(os.open(os.fsencode(root / "uploads") + b"/\xff-latin", os.O_CREAT | os.O_WRONLY))
    (root / "uploads" / "empty").touch()
    (root / "uploads" / "skip.tmp").write_text("x")
    (root / "uploads" / "cache").mkdir()
    (root / "uploads" / "cache" / "big").write_text("x")
    (root / "uploads" / "out").symlink_to("/etc/passwd")
    os.link(root / "uploads" / "a.txt", root / "uploads" / "z-hard")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "uploads" / "socket"))
    return root / "uploads"


def of_files(tree: Path, folder: Path, **params: Any) -> Backups:
    return Backups(folder, {"kind": "files", "series": "uploads", "paths": [str(tree)], "name": "web1", **params})


# --- files


@pytest.mark.parametrize("compress", ["auto", "gzip", "none"])
def test_a_tree_of_files_is_archived_with_a_list_of_its_members(tree: Path, tmp_path: Path, compress: str) -> None:
    backups = of_files(tree, tmp_path, compress=compress, exclude=["*.tmp", "cache"])
    created = backups.create()
    assert created.failure == ""
    result = created.as_result()
    told = {finding["code"]: finding for finding in result["findings"]}
    assert told["backup.source_left_out"]["evidence"]["paths"] == [str(tree / "socket")]
    (record,) = result["backups"]

    members = Path(f"{record['path']}.members").read_bytes()
    assert b"skip.tmp" not in members
    assert b"/cache" not in members
    assert manifest_of(record["path"])["members"]["count"] == len(members.splitlines())
    again = verified(record["path"])
    # That the link leads out of the tree is for a person to know; everything else is as it should be.
    assert {finding["code"] for finding in again["findings"] if finding["severity"] != "ok"} <= {"backup.unsafe_member"}
    (file,) = again["files"]
    assert (file["assurance"], file["unproven"]) == ("full", [])


def test_an_archive_can_be_unpacked_again(tree: Path, tmp_path: Path) -> None:
    (record,) = of_files(tree, tmp_path, compress="none").made()
    there = tmp_path / "there"
    with tarfile.open(record["path"], errors="surrogateescape") as archive:
        archive.extractall(there, filter="tar")
    copy = there / str(tree).lstrip("/")
    assert (
        subprocess.run(["diff", "-r", "--no-dereference", "--exclude=socket", tree, copy], check=False).returncode == 0
    )
    assert (copy / "a.txt").stat().st_ino == (copy / "z-hard").stat().st_ino


def test_a_file_that_grows_or_shrinks_meanwhile_is_told(tree: Path, tmp_path: Path) -> None:
    """The archive is whole either way: it holds what the list of its members says."""
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import files

    grows, shrinks = tree / "grows", tree / "shrinks"
    grows.write_bytes(b"1" * 600_000)
    shrinks.write_bytes(b"2" * 600_000)
    original = files.os.read
    touched: set[str] = set()

    def read(descriptor: int, count: int) -> bytes:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path not in touched and path in (str(grows), str(shrinks)):
            touched.add(path)
            with open(path, "ab" if path == str(grows) else "r+b") as stream:
                stream.write(b"more") if path == str(grows) else stream.truncate(1000)
        return original(descriptor, count)

    files.os.read = read
    try:
        created = of_files(tree, tmp_path).create()
    finally:
        files.os.read = original
    assert created.failure == ""
    result = created.as_result()
    told = {(finding["code"], finding["severity"]): finding["evidence"] for finding in result["findings"]}
    assert told[("backup.source_changed", "warning")]["paths"] == [str(shrinks)]
    assert told[("backup.source_changed", "info")]["paths"] == [str(grows)]
    assert verified(result["backups"][0]["path"])["files"][0]["assurance"] == "full"


def test_what_cannot_be_read_is_a_failure(tree: Path, tmp_path: Path) -> None:
    created = of_files(tree, tmp_path, paths=[str(tree), str(tree / "nowhere"), str(tmp_path / "gone")]).create()
    assert "gone cannot be read" in created.failure
    assert os.listdir(tmp_path / "backups") == []


def test_a_path_that_is_a_link_is_what_it_leads_to(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tree)
    (tmp_path / "file").symlink_to(tree / "skip.tmp")
    (record,) = of_files(tree, tmp_path, paths=[str(tmp_path / "current"), str(tmp_path / "file")]).made()
    members = Path(f"{record['path']}.members").read_text(errors="replace")
    assert re.search(r"^[0-9a-f]{64}\tfile\t1\t\S+/file$", members, re.MULTILINE)
    assert re.search(r"\tfile\t1\t\S+/current/skip.tmp$", members, re.MULTILINE)


def test_the_directory_of_the_backups_is_not_backed_up(tree: Path, tmp_path: Path) -> None:
    backups = of_files(tree, tmp_path, directory=str(tree / "kept"))
    for _turn in range(2):
        backups.made(when="always")
    path = sorted((tree / "kept").glob("*.members"))[-1]
    assert "kept" not in path.read_text(errors="replace")


@pytest.mark.soak
def test_a_hundred_thousand_files_in_a_directory_take_little_memory(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(100_000):
        (root / f"{number:06}").touch()
    started = time.monotonic()
    process = of_files(root, tmp_path, compress="gzip").spawn()
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    print(f"{time.monotonic() - started:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss} KiB")
    assert used.ru_maxrss < 160 << 10
    (path,) = (tmp_path / "backups").glob("*.tar.gz")
    assert verified(str(path))["files"][0]["members"]["count"] == 100_001


def test_every_one_of_many_files_is_a_member(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(3000):
        (root / f"{number:05}").write_bytes(b"x")
    (record,) = of_files(root, tmp_path).made()
    assert record["members"] == 3001


# --- encrypted and signed


@pytest.fixture(scope="session")
def keys() -> Iterator[dict[str, str]]:
    """Keys of age, gpg, minisign and ssh, made anew. gpg wants a short path."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="k") as made:
        for name, value in backup_tools.environment(cache_directory()).items():
            patch.setenv(name, value)
        folder = Path(made)
        said = _run("age-keygen", "-o", folder / "age")
        _run("minisign", "-G", "-W", "-p", folder / "minisign.pub", "-s", folder / "minisign.key")
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "ssh")
        home = folder / "gpg"
        home.mkdir(mode=0o700)
        _run("gpg", "--batch", "--homedir", home, "--passphrase", "", "--quick-gen-key", "Backup <b@example.com>")
        listed = _run("gpg", "--homedir", home, "--list-keys", "--with-colons").stdout
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        _run("gpg", "--batch", "--homedir", home, "--passphrase", "", "--quick-add-key", fingerprint, "rsa2048", "encr")
        public = (folder / "ssh.pub").read_text().split()
        (folder / "allowed").write_text(f"backup@example.com {public[0]} {public[1]}\n")
        yield {
            "age": said.stderr.split()[-1],
            "age_identity": str(folder / "age"),
            "gpg_home": str(home),
            "gpg": fingerprint,
            "minisign_key": str(folder / "minisign.key"),
            "minisign": (folder / "minisign.pub").read_text().splitlines()[1],
            "ssh": str(folder / "ssh"),
            "allowed": str(folder / "allowed"),
        }
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


def _run(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("with_key", [False, True], ids=["without-key", "with-key"])
@pytest.mark.parametrize("by", ["age", "gpg"])
def test_it_is_encrypted_for_its_recipients(
    tree: Path, tmp_path: Path, keys: dict[str, str], by: str, with_key: bool
) -> None:
    encrypt = {
        "age": {"age_recipients": [keys["age"]]},
        "gpg": {"gpg_recipients": [keys["gpg"]], "gpg_homedir": keys["gpg_home"]},
    }[by]
    decrypt = {"age": {"age_identity_file": keys["age_identity"]}, "gpg": {"gpg_homedir": keys["gpg_home"]}}[by]
    backups = of_files(tree, tmp_path, encrypt=encrypt, **({"decrypt": decrypt} if with_key else {}))
    (record,) = backups.made()
    assert record["content_checked"] == ("stored" if with_key else "stream")
    assert record["path"].endswith(f".tar.zst.{by}")
    assert b"newline" not in Path(record["path"]).read_bytes()
    (file,) = verified(record["path"], decrypt=decrypt)["files"]
    assert (file["assurance"], file["unproven"]) == ("full", [])


def test_an_expired_key_makes_no_backup(tree: Path, tmp_path: Path, keys: dict[str, str]) -> None:
    home = keys["gpg_home"]
    _run("gpg", "--batch", "--homedir", home, "--passphrase", "", "--faked-system-time", "20200101T000000",
         "--quick-gen-key", "Old <old@example.com>", "rsa2048", "default", "2020-02-01")  # fmt: skip
    created = of_files(tree, tmp_path, encrypt={"gpg_recipients": ["old@example.com"], "gpg_homedir": home}).create()
    assert "gpg failed with status 2" in created.failure
    assert os.listdir(tmp_path / "backups") == []


@pytest.mark.parametrize("kind", ["minisign", "ssh", "openpgp"])
def test_the_manifest_is_signed(tree: Path, tmp_path: Path, keys: dict[str, str], kind: str) -> None:
    key = {"minisign": keys["minisign_key"], "ssh": keys["ssh"], "openpgp": keys["gpg"]}[kind]
    sign = {"kind": kind, "key": key, **({"gpg_homedir": keys["gpg_home"]} if kind == "openpgp" else {})}
    (record,) = of_files(tree, tmp_path, sign=sign).made()
    signers = {
        "minisign": {"minisign": [keys["minisign"]]},
        "ssh": {"ssh_allowed_signers": keys["allowed"]},
        "openpgp": {"gpg_homedir": keys["gpg_home"], "gpg_fingerprints": [keys["gpg"]]},
    }[kind]
    good = verified(record["path"], require_signature=True, signers=signers)
    assert {finding["code"] for finding in good["findings"] if finding["severity"] != "ok"} <= {"backup.unsafe_member"}
    manifest = Path(record["manifest"])
    manifest.write_text(manifest.read_text().replace("web1", "web2"))
    bad = verified(record["path"], require_signature=True, signers=signers)
    assert "backup.signature_bad" in {finding["code"] for finding in bad["findings"]}


# --- Redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A server with a password and some data."""
    port, password = free_port(), secrets.token_hex(8)
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "redis.conf").write_text(f"requirepass {password}\nport {port}\nbind 127.0.0.1\ndir {folder}\nsave ''\n")
    process = subprocess.Popen(["redis-server", folder / "redis.conf"], stdout=subprocess.DEVNULL)
    try:
        for _turn in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        commands = "".join(f"SET key:{number} {secrets.token_hex(40)}\n" for number in range(5000))
        subprocess.run(
            ["redis-cli", "-p", str(port)], input=f"AUTH {password}\n{commands}", text=True, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        yield port, password
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_redis_sends_its_snapshot(redis: tuple[int, str], tmp_path: Path, diskless: str) -> None:
    port, password = redis
    setting = ["redis-cli", "-p", str(port), "--no-auth-warning", "-a", password, "CONFIG", "SET"]
    _run(*setting, "repl-diskless-sync", diskless)
    _run(*setting, "repl-diskless-sync-delay", "0")
    backups = Backups(
        tmp_path, {"kind": "redis", "series": "sessions", "login_port": port, "login_password": password, "name": "r1"}
    )
    (record,) = backups.made()
    (file,) = verified(record["path"])["files"]
    assert (file["assurance"], file["chain"]) == ("full", ["zstd", "redis-rdb"])
    plain = subprocess.run(["zstd", "-dc", record["path"]], capture_output=True, check=True).stdout
    rdb = tmp_path / "dump.rdb"
    rdb.write_bytes(plain)
    assert "keys read" in _run("redis-check-rdb", rdb).stdout


def test_a_wrong_password_of_redis_is_told(redis: tuple[int, str], tmp_path: Path) -> None:
    port, _password = redis
    params = {"kind": "redis", "series": "sessions", "login_port": port, "login_password": "wr0ng-c4nary"}
    created = Backups(tmp_path, params).create()
    assert "does not let us in: WRONGPASS" in created.failure
    assert "wr0ng-c4nary" not in json.dumps(created.as_result())


# --- far away


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Where a server lives does not depend on its version: one of this machine's will do."""
    with Cluster(find_or_bring(None, cache_directory()), name="create-kinds") as running:
        yield running


@pytest.fixture
def pod(cluster: Cluster, tmp_path: Path) -> Kubectl:
    settings = {
        "PATH": f"{cluster.binaries.directory}:{os.environ['PATH']}",
        "PGHOST": str(cluster.socket_dir),
        "PGPORT": str(cluster.port),
        "HOME": str(cluster.home),
    }
    return Kubectl(tmp_path / "pod", settings)


def in_pod(pod: Kubectl, cluster: Cluster, folder: Path, **params: Any) -> Backups:
    there = folder / "there"
    there.mkdir(exist_ok=True)
    ours = {
        "pod": {"name": "db-0", "namespace": "shop", "container": "postgres", "kubectl": str(pod.path)},
        "login_password": cluster.password,
        "far_directory": str(there),
        "globals": False,
    }
    return Backups(folder, {**ours, **params})


@pytest.fixture
def pod_database(cluster: Cluster) -> Iterator[str]:
    name = f"pod_{secrets.token_hex(4)}"
    data.fill(cluster, name, rows=2000)
    yield name
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_a_pod_is_dumped_in_the_pod_digested_there_and_copied(
    pod: Kubectl, cluster: Cluster, pod_database: str, tmp_path: Path
) -> None:
    backups = in_pod(pod, cluster, tmp_path, globals=True)
    records = backups.made(databases=[pod_database])
    assert [record["path"].rpartition("/")[2].partition("-")[0] for record in records] == ["shop", "shop.globals"]
    assert manifest_of(records[0]["path"])["rows"]["public.orders"] == 2000
    assert verified(*(record["path"] for record in records))["summary"]["worst"] == "ok"
    assert os.listdir(tmp_path / "there") == []
    called = pod.calls()
    assert all(call[:4] == ["--namespace=shop", "exec", "-i", "db-0"] for call in called)
    assert not [call for call in called if {"-t", "-it", "--tty"} & set(call[: call.index("--")])]
    assert cluster.password not in json.dumps(called)


@pytest.mark.parametrize("orders", [("cut 1000", "cut 3000", "whole"), ("flip 2000", "whole"), ("fail 700", "whole")])
def test_a_stream_that_breaks_off_or_changes_bytes_is_taken_up_again(
    pod: Kubectl, cluster: Cluster, pod_database: str, tmp_path: Path, orders: tuple[str, ...]
) -> None:
    pod.order(*orders)
    (record,) = in_pod(pod, cluster, tmp_path).made(databases=[pod_database])
    assert verified(record["path"])["summary"]["worst"] == "ok"


def test_a_copy_that_differs_is_made_anew_of_the_same_dump_and_beside_the_same_count(
    pod: Kubectl, cluster: Cluster, pod_database: str, tmp_path: Path
) -> None:
    """Each row takes a moment to be counted, so that the first copy has failed before the count ends."""
    cluster.execute("CREATE TABLE slow (id int)", database=pod_database)
    cluster.execute("INSERT INTO slow VALUES (1)", database=pod_database)
    cluster.execute(
        "CREATE FUNCTION nap(int) RETURNS bool LANGUAGE sql AS 'SELECT pg_catalog.pg_sleep(3) IS NOT NULL'",
        database=pod_database,
    )
    pod.order("flip 2000", "flip 100", "whole")
    from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create import statements

    asked = statements.counts
    with pytest.MonkeyPatch.context() as patch:
        slow = "(SELECT pg_catalog.count(*) FROM ONLY public.slow WHERE public.nap(id))"
        patch.setattr(
            statements,
            "counts",
            lambda tables: asked(tables).replace("(SELECT pg_catalog.count(*) FROM ONLY public.slow )", slow),
        )
        (record,) = in_pod(pod, cluster, tmp_path).made(databases=[pod_database])
    assert manifest_of(record["path"])["rows"]["public.slow"] == 1
    assert verified(record["path"])["summary"]["worst"] == "ok"
    dumps = [call for call in pod.calls() if any("--snapshot=" in word for word in call)]
    assert len(dumps) == 1
    assert os.listdir(tmp_path / "there") == []


@pytest.mark.parametrize("order", ["cut 1000", "flip 2000", "fail 700"])
def test_a_stream_that_never_comes_whole_makes_no_backup(
    pod: Kubectl, cluster: Cluster, pod_database: str, tmp_path: Path, order: str
) -> None:
    pod.order(order)
    if order.startswith("cut"):
        pod.order("cut 1000", "cut 0")
    backups = in_pod(pod, cluster, tmp_path)
    created = backups.create(databases=[pod_database])
    assert created.failure
    assert backups.names() == []
    assert os.listdir(tmp_path / "there") == []


def test_a_server_in_a_container_without_a_network(docker_engine: Engine, tmp_path: Path, monkeypatch: Any) -> None:
    """Its own programs are used, through its own socket: nothing of it need be reachable."""
    for name, value in docker_engine.environment().items():
        monkeypatch.setenv(name, value)
    password = f"c4nary-{secrets.token_hex(6)}"
    name = docker_engine.run(
        docker_engine.postgres_image(),
        name="create",
        options=["--network", "none", "--env", f"POSTGRES_PASSWORD={password}", "--env", "POSTGRES_DB=orders"],
    )
    try:
        docker_engine.wait_until(name, "pg_isready", "--host", "127.0.0.1")
        _exec(docker_engine, name, "psql", "-U", "postgres", "-d", "orders", "-c",
              "CREATE TABLE t AS SELECT generate_series(1, 5000) AS id")  # fmt: skip
        backups = Backups(tmp_path, {"container": name, "docker_host": docker_engine.url})
        records = backups.made()
        assert [manifest_of(record["path"]).get("rows") for record in records] == [{"public.t": 5000}, None]
        assert verified(*(record["path"] for record in records))["summary"]["worst"] == "ok"
        assert "upkeep" not in _exec(docker_engine, name, "ls", "/tmp")
    finally:
        docker_engine.remove(name)


def _exec(engine: Engine, name: str, *argv: str) -> str:
    return str(engine.docker("exec", name, *argv).stdout)
