"""`backup_create` against real servers: what it makes is whole, and what goes wrong leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.create.errors import VersionIncompatible
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from tests.bed import backup_tools
from tests.bed.postgres import Cluster, cache_directory, find_or_bring
from tests.integration.creating import Backups, fill, manifest_of, of_cluster, verified


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in backup_tools.environment(cache_directory()).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """What does not depend on the version is tried on this machine's; test_backup_create_versions.py has the others."""
    with Cluster(find_or_bring(None, cache_directory()), name="create") as running:
        yield running


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> str:
    """A database with tables, a partition and names that are not plain."""
    return fill(cluster)


@pytest.fixture
def place(cluster: Cluster, filled: str, tmp_path: Path) -> Backups:
    return of_cluster(cluster, tmp_path, databases=[filled], globals=False)


FORMS: list[dict[str, Any]] = [
    {"format": "custom"},
    {"format": "custom", "compress": "zstd"},
    {"format": "custom", "compress": "gzip", "compress_level": 1},
    {"format": "custom", "compress": "none"},
    {"format": "plain"},
    {"format": "plain", "compress": "gzip"},
    {"format": "plain", "compress": "none"},
    {"format": "directory", "jobs": 2, "compress": "gzip"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_what_is_made_is_whole_and_says_what_it_holds(place: Backups, filled: str, form: dict[str, Any]) -> None:
    (record,) = place.made(**form)

    manifest = manifest_of(record["path"])
    assert manifest["rows"]["public.orders"] == 2000
    assert manifest["rows"]['"Odd schema"."a.b ""c"" {d}"'] == 7
    assert manifest["rows"]["public.parted_1"] == 11
    assert (manifest["rows"]["public.parent"], manifest["rows"]["public.child"]) == (3, 4)
    assert "public.parted" not in manifest["rows"]
    assert "public.seen" not in manifest["rows"]
    assert {one["status"] for one in manifest["programs"]} == {0}
    assert manifest["source"]["database"] == filled
    result = verified(record["path"])
    assert [finding for finding in result["findings"] if finding["severity"] != "ok"] == []
    (file,) = result["files"]
    assert (file["assurance"], file["unproven"]) == ("full", [])
    assert not [name for name in place.names() if name.endswith(".partial")]


def test_the_counts_and_the_dump_are_of_one_moment(place: Backups, filled: str, cluster: Cluster) -> None:
    """Rows that are committed while the dump runs are in neither."""
    import threading

    stop, wrote = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            cluster.execute("INSERT INTO parent VALUES (99)", database=filled)
            wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    records = []
    try:
        for _turn in range(3):
            wrote.clear()
            assert wrote.wait(60)
            records.append(place.made(when="always")[0])
    finally:
        stop.set()
        writer.join()
        cluster.execute("DELETE FROM parent WHERE id = 99", database=filled)
    for record in records:
        assert verified(record["path"])["summary"]["worst"] == "ok"
    counts = [manifest_of(record["path"])["rows"]["public.parent"] for record in records]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1], "nothing was written meanwhile, so that nothing was shown"


def test_a_second_run_finds_nothing_to_do_and_says_why(place: Backups) -> None:
    (first,) = place.made()
    again = place.create().as_result()
    assert (again["changed"], again["backups"][0]["status"]) == (False, "skipped")
    assert first["path"] in again["backups"][0]["reason"]
    assert place.backups() == [os.path.basename(first["path"])]

    (second,) = place.made(when="always")
    assert second["path"] != first["path"]
    (third,) = place.made(now=datetime.now(UTC) + timedelta(hours=22, minutes=1))
    assert len({first["path"], second["path"], third["path"]}) == 3
    assert len(place.backups()) == 3


def test_a_backup_that_is_not_whole_does_not_stand_for_one(place: Backups) -> None:
    (first,) = place.made()
    os.truncate(first["path"], 100)
    (second,) = place.made()
    assert second["path"] != first["path"]


def test_the_same_name_is_never_taken_twice(place: Backups) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    paths = [place.made(when="always", now=now)[0]["path"] for _turn in range(2)]
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    assert len(set(paths)) == 2
    assert digests == [manifest_of(path)["stored"]["sha256"] for path in paths]


def test_check_mode_says_what_and_where_and_touches_nothing(place: Backups) -> None:
    result = place.create(check_mode=True).as_result()
    (record,) = result["backups"]
    assert (record["status"], record["program"], result["changed"]) == ("planned", "pg_dump", True)
    assert record["expected_bytes"] > 0
    assert record["path"].startswith(str(place.directory / "shop-20"))
    assert place.names() == []
    assert not (place.folder / "state").exists()


def test_an_unknown_database_is_named(place: Backups) -> None:
    with pytest.raises(InvalidInput, match="no database nowhere"):
        place.create(databases=["nowhere"])


def test_an_older_pg_dump_is_refused_before_any_work(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    """A program that says that it is of an earlier version stands for one that is: nothing else is asked of it."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 13.4'\n")
    (old / "pg_dump").chmod(0o755)
    backups = of_cluster(cluster, tmp_path, databases=[filled], bin_dir=str(old))
    with pytest.raises(VersionIncompatible, match=r"must be of \d+ or later: there is 13.4"):
        backups.create()
    assert backups.backups() == []


def test_rows_are_hashed_in_the_snapshot_where_that_is_asked_for(place: Backups) -> None:
    first, second = (place.made(when="always", fingerprint="hash")[0] for _turn in range(2))
    hashed = manifest_of(first["path"])["fingerprints"]
    assert set(hashed) == set(manifest_of(first["path"])["rows"])
    assert hashed == manifest_of(second["path"])["fingerprints"]
    assert verified(first["path"])["summary"]["worst"] == "ok"


def test_a_role_that_may_read_all_data_can_back_up(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    name = f"reader_{secrets.token_hex(3)}"
    cluster.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE pg_read_all_data")
    try:
        backups = of_cluster(cluster, tmp_path, databases=[filled], login_user=name, login_password="x")
        created = backups.create()
    finally:
        cluster.execute(f"DROP ROLE {name}")
    assert not created.failure
    assert {finding["code"] for finding in created.as_result()["findings"]} == {"backup.created"}


def test_a_role_that_may_not_read_all_makes_no_backup(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    name = f"nobody_{secrets.token_hex(3)}"
    cluster.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    try:
        backups = of_cluster(cluster, tmp_path, databases=[filled], login_user=name, login_password="x")
        created = backups.create()
    finally:
        cluster.execute(f"DROP ROLE {name}")
    assert "permission denied" in created.failure
    told = {finding["code"]: finding["subject"] for finding in created.as_result()["findings"]}
    assert told["backup.passwords_left_out"] == "db1: globals"
    assert not [name for name in backups.names() if name.startswith("shop-")]
