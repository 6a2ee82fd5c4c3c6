"""The client program of pg_repack: which one, and with what it is called."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.adapter import find_driver
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.cluster import Cluster
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.model import ConnectionOptions, SessionOptions
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.rewrite.pg_repack import find_client, repack
from tests.unit.plugins.module_utils._postgres.rewrite.samples import SETUP

PASSWORD = "s3cret-of-the-test"
WITH_EXTENSION = replace(SETUP, repack_extension="1.4.8")


def cluster(**more: object) -> Cluster:
    connection = ConnectionOptions("main", "db.example", 5433, "me", PASSWORD, "shop", "require", **more)
    return Cluster(find_driver(), connection, SessionOptions("pg_vacuum", run_id="r1"))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that writes down how it was called, and says that it is pg_repack 1.4.8."""
    path = tmp_path / "pg_repack"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "if '--version' in sys.argv: print('pg_repack 1.4.8'); sys.exit()\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(tmp_path / 'call.json')!r}, 'w'))\n"
        "print('WARNING: skipping', file=sys.stderr)\n"
        "sys.exit(1 if 'public.bad' in sys.argv else 0)\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_the_version_must_be_that_of_the_extension(program: Path) -> None:
    assert find_client(WITH_EXTENSION, True, cluster()).path == str(program)
    other = find_client(replace(SETUP, repack_extension="1.5.0"), True, cluster())
    assert not other.path
    assert "the extension is pg_repack 1.5.0" in other.why
    assert f"{program} is 1.4.8" in other.why


@pytest.mark.parametrize(
    ("extension", "superuser", "more", "why"),
    [
        ("", True, {}, "CREATE EXTENSION pg_repack"),
        ("1.4.8", False, {}, "only for a superuser"),
        ("1.4.8", True, {"session_role": "owner"}, "session_role"),
        ("1.4.8", True, {"params": {"keepalives": 1}}, "connect_params keepalives"),
    ],
)
def test_what_it_cannot_do(program: Path, extension: str, superuser: bool, more: dict[str, object], why: str) -> None:
    client = find_client(replace(SETUP, repack_extension=extension), superuser, cluster(**more))
    assert client.path == ""
    assert why in client.why


def test_it_is_told_to_end_nobody_and_gets_the_password_unseen(program: Path) -> None:
    said = repack(str(program), cluster(), "sh'op\\", 'public."t"', "upkeep pg_repack 5 r1", 1.2, None)
    argv, environment = json.loads(program.with_name("call.json").read_text())
    assert argv[:5] == ["--no-order", "--no-kill-backend", "--no-analyze", "--wait-timeout=2", "--table"]
    assert argv[5:] == ['public."t"', "--dbname", r"'sh\'op\\'"]
    assert PASSWORD not in " ".join(argv)
    assert environment["PGPASSWORD"] == PASSWORD
    assert (environment["PGHOST"], environment["PGPORT"], environment["PGUSER"]) == ("db.example", "5433", "me")
    assert environment["PGAPPNAME"] == "upkeep pg_repack 5 r1"
    assert "statement_timeout=0" in environment["PGOPTIONS"]
    assert said == "WARNING: skipping"


def test_a_failure_is_told(program: Path) -> None:
    with pytest.raises(CommandFailed, match=r"pg_repack of public\.bad failed with status 1"):
        repack(str(program), cluster(), "shop", "public.bad", "upkeep", 1.0, None)
