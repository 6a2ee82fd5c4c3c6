"""`backup_verify` at the level `restore`, with base backups that are really started."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed.accounts import server_account
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.test_backup_verify_restore import codes, reachable, restored, verify

SETTINGS = {"wal_level": "replica", "max_wal_senders": "4", "max_prepared_transactions": "2",
            "archive_mode": "on", "archive_command": "true"}  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = reachable("upkeep-test-base-")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    space = folder / "space"
    space.mkdir()
    server_account().give(space)
    with Cluster(find_or_bring(None, cache_directory()), name="physical", settings=SETTINGS) as running:
        running.execute(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        running.execute("CREATE DATABASE shop")
        for text in (
            "CREATE TABLE orders (id serial PRIMARY KEY, at timestamptz)",
            "INSERT INTO orders (at) SELECT timestamptz '2026-11-20 00:00:00+00' + n * interval '1 second' "
            "FROM generate_series(1, 700) n",
            "CREATE TABLE far (n int) TABLESPACE elsewhere",
            "INSERT INTO far SELECT generate_series(1, 50)",
        ):
            running.execute(text, database="shop")
        running.execute("BEGIN; CREATE TABLE later (n int); PREPARE TRANSACTION 'open'", database="shop")
        yield running


def take(cluster: Cluster, folder: Path, name: str, *options: str) -> Path:
    """A base backup of the cluster, as root or whoever runs the tests would take it."""
    place = folder / name
    mapping = f"--tablespace-mapping={folder / 'space'}={folder / (name + '-space')}"
    argv = [str(cluster.binaries.tool("pg_basebackup")), "--checkpoint=fast", "-D", str(place), *options]
    argv += [] if "-Ft" in options else [mapping]
    subprocess.run(argv, check=True, env=cluster.client_environment())
    return place


@pytest.fixture
def scratch() -> Iterator[Path]:
    made = reachable("upkeep-test-")
    yield made
    left = sorted(path.name for path in made.iterdir())
    shutil.rmtree(made)
    assert left == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", ("-Xstream", "-R")),
        pytest.param("tar", ("-Ft", "-Xstream"), marks=pytest.mark.soak),
        ("gz", ("-Ft", "-Xfetch", "-z")),
    ],
)
def test_a_base_backup_is_started_and_every_table_read(
    cluster: Cluster, folder: Path, scratch: Path, name: str, options: tuple[str, ...]
) -> None:
    place = take(cluster, folder, name, *options)
    wanted: dict[str, Any] = {
        "newest": "SELECT max(at) FROM orders",
        "assertions": [{"sql": "SELECT count(*) FROM far", "expect": "50"}],
    }
    result = verify(place, scratch, wanted)
    assert codes(result) == {}
    record = restored(result)
    assert (record["tables"], record["rows"], record["sequences"]) == (2, 750, 1)
    assert record["databases"] == ["shop", "postgres"]
    assert (record["compared"], record["isolated"]) == ("manifest", True)
    assert record["server_version"] == cluster.binaries.version
    assert record["newest"] == "2026-11-20T00:11:40Z"
    assert set(record["seconds"]) == {"fetch", "prepare", "load", "assert", "total"}
    # Its own signals and settings are as they were.
    assert (place / "standby.signal").exists() is ("-R" in options)


def test_without_its_wal_it_is_not_known(cluster: Cluster, folder: Path, scratch: Path) -> None:
    place = take(cluster, folder, "no-wal", "-Xnone")
    result = verify(place, scratch)
    assert codes(result) == {"backup.unsupported": "unknown"}
    assert "no WAL" in result["findings"][0]["message"]


def change(place: Path, name: str, old: str, new: str) -> None:
    """Change a file of a base backup, and the manifest of the server so that it says the same."""
    path, manifest = place / name, place / "backup_manifest"
    content = path.read_text()
    assert old in content
    before, after = (hashlib.sha256(text.encode()).hexdigest() for text in (content, content.replace(old, new)))
    path.write_text(content.replace(old, new))
    own = f'"Path": "{name}",'
    lines = [line.replace(before, after) if own in line else line for line in manifest.read_text().splitlines(True)]
    text = "".join(lines)
    listed = text[: text.index('"Manifest-Checksum"')]
    manifest.write_text(f'{listed}"Manifest-Checksum": "{hashlib.sha256(listed.encode()).hexdigest()}"}}\n')


def test_a_recovery_that_fails_is_no_backup(cluster: Cluster, folder: Path, scratch: Path) -> None:
    place = take(cluster, folder, "elsewhere", "-Xstream", "--manifest-checksums=SHA256")
    change(place, "backup_label", "CHECKPOINT LOCATION: 0/", "CHECKPOINT LOCATION: 7/")
    result = verify(place, scratch)
    assert codes(result) == {"backup.restore_failed": "critical"}
    assert "its recovery by PostgreSQL" in result["findings"][0]["message"]


def test_another_major_is_named(cluster: Cluster, folder: Path, scratch: Path) -> None:
    place = take(cluster, folder, "older", "-Xstream", "--manifest-checksums=SHA256")
    change(place, "PG_VERSION", f"{cluster.binaries.major}", "10")
    result = verify(place, scratch)
    assert codes(result) == {"backup.version_incompatible": "unknown"}
    (found,) = [one for one in result["findings"] if one["code"] == "backup.version_incompatible"]
    assert found["evidence"]["needed"] == 10
    assert "PostgreSQL 10" in found["message"]
    assert found["remedy"]
