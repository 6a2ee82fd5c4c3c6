"""`backup_create` of every major version: what it makes is whole, and restored by that version's own tools."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bed import backup_tools
from tests.bed.postgres import Cluster, cache_directory
from tests.bed.standby import Standby
from tests.integration.creating import fill, manifest_of, of_cluster, verified


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in backup_tools.environment(cache_directory()).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def filled(postgres_cluster: Cluster) -> Iterator[str]:
    name = fill(postgres_cluster)
    yield name
    postgres_cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


FORMS: list[dict[str, Any]] = [
    {"format": "custom"},
    {"format": "custom", "compress": "zstd"},
    {"format": "plain"},
    {"format": "directory", "jobs": 2},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))
def test_what_is_made_is_restored_row_by_row(
    postgres_cluster: Cluster, filled: str, tmp_path: Path, form: dict[str, Any]
) -> None:
    backups = of_cluster(postgres_cluster, tmp_path, databases=[filled], globals=False)
    (record,) = backups.made(**form)
    (file,) = verified(record["path"])["files"]
    assert (file["assurance"], file["unproven"]) == ("full", [])
    again = f"again_{secrets.token_hex(3)}"
    postgres_cluster.execute(f"CREATE DATABASE {again} TEMPLATE template0")
    try:
        restore(postgres_cluster, again, Path(record["path"]))
        for table, rows in manifest_of(record["path"])["rows"].items():
            assert postgres_cluster.execute(f"SELECT count(*) FROM ONLY {table}", database=again) == [(rows,)]
    finally:
        postgres_cluster.execute(f"DROP DATABASE {again} WITH (FORCE)")


def restore(cluster: Cluster, database: str, path: Path) -> None:
    """As a person would, with the programs of that version."""
    program = {".sql": "psql -X -q -v ON_ERROR_STOP=1", ".dump": "pg_restore -e", ".dir": "pg_restore -e"}
    end = next(end for end in program if end in path.name)
    words = program[end].split()
    argv = [str(cluster.binaries.tool(words[0])), *words[1:], "-d", database]
    packed = path.suffix == ".zst"
    data = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout if packed else None
    environment = {**cluster.client_environment(), "PATH": "/usr/bin:/bin"}
    told = subprocess.run(
        argv if packed else [*argv, str(path)], input=data, capture_output=True, env=environment, check=False
    )
    assert told.returncode == 0, told.stderr.decode(errors="replace")


def test_one_call_makes_all_databases_and_the_roles(postgres_cluster: Cluster, filled: str, tmp_path: Path) -> None:
    odd = f"Shop/2026-{secrets.token_hex(3)} ü"
    postgres_cluster.execute(f'CREATE DATABASE "{odd}"')
    try:
        backups = of_cluster(postgres_cluster, tmp_path, databases=["*"])
        records = backups.made()
    finally:
        postgres_cluster.execute(f'DROP DATABASE "{odd}"')
    by_subject = {record["subject"]: record for record in records}
    assert {f"db1: {filled}", f"db1: {odd}", "db1: postgres", "db1: globals"} <= set(by_subject)
    assert "db1: template1" not in by_subject
    assert len({record["path"] for record in records}) == len(records)
    assert by_subject["db1: globals"]["format"][-1] == "pgdumpall"
    assert verified(*(record["path"] for record in records))["summary"]["worst"] == "ok"


def test_a_standby_can_be_backed_up(postgres_cluster: Cluster, filled: str, tmp_path: Path) -> None:
    with Standby(postgres_cluster) as standby:
        standby.wait_until_streaming()
        standby.catch_up()
        backups = of_cluster(standby, tmp_path, databases=[filled], login_password=postgres_cluster.password)
        records = backups.made()
    assert manifest_of(records[0]["path"])["rows"]["public.orders"] == 2000
    assert verified(*(record["path"] for record in records))["summary"]["worst"] == "ok"
