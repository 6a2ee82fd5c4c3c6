"""SQLite databases and PEM bundles."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import model
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.reader import read_content
from ansible_collections.cadence.upkeep.plugins.module_utils._core.deadline import Deadline
from tests.unit.plugins.module_utils._backup.samples import LIMITS, codes, codes_of, look


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sqlite") / "shop.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO orders (name) VALUES (?)", [(f"order {n}" * 9,) for n in range(3000)])
    connection.execute("CREATE INDEX by_name ON orders (name)")
    connection.commit()
    connection.close()
    return path.read_bytes()


def read(path: Path, level: str = model.STRUCTURE) -> model.Content:
    content, failure = read_content(str(path), model.Reading(LIMITS, level=level), Deadline(60))
    assert failure is None
    assert content is not None
    return content


def test_a_database_is_checked_by_sqlite_itself(tmp_path: Path, database: bytes) -> None:
    path = tmp_path / "shop.sqlite"
    path.write_bytes(database)
    before = sorted(os.listdir(tmp_path))
    content = read(path)
    assert content.problems == ()
    assert content.unproven == ("values",)
    assert content.dump is not None
    assert (content.dump.tables, content.dump.complete) == (1, True)
    assert sorted(os.listdir(tmp_path)) == before  # neither a journal nor anything else
    bad = bytearray(database)
    bad[len(bad) // 2 : len(bad) // 2 + 300] = os.urandom(300)
    path.write_bytes(bad)
    assert codes(read(path)) == ["corrupt"]
    assert read(path, model.INTEGRITY).unproven == ("content", "values")


def test_inside_of_a_container_only_its_shape_is_known(database: bytes) -> None:
    seen = look("shop.sqlite.gz", gzip.compress(database))
    assert (seen.problems, seen.chain) == ((), ("gzip", "sqlite"))
    assert "content" in seen.unproven
    assert codes_of("shop.sqlite", database[:-1]) == ["truncated"]
    assert codes_of("shop.sqlite", database[:4096]) == ["truncated"]
    assert codes_of("shop.sqlite", database + b"x") == ["trailing_garbage"]


def test_nothing_in_a_schema_is_run(tmp_path: Path) -> None:
    """An index over an expression is evaluated by the check: it may call no function that does anything."""
    path = tmp_path / "evil.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.execute("CREATE VIEW v AS SELECT load_extension('/tmp/evil.so')")
    connection.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT load_extension('/tmp/evil.so'); END")
    connection.commit()
    connection.close()
    assert read(path).problems == ()


def test_a_check_that_takes_too_long_is_stopped(tmp_path: Path, database: bytes) -> None:
    path = tmp_path / "shop.sqlite"
    path.write_bytes(database)
    content, failure = read_content(str(path), model.Reading(LIMITS), Deadline(0.000001))
    assert content is None
    assert failure is not None
    assert failure.kind == model.TIMED_OUT


# --- PEM


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("pem")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-days", "9"]
    subprocess.run([*argv, "-keyout", folder / "key", "-out", folder / "crt"], check=True, capture_output=True)
    return b"a comment\n" + (folder / "crt").read_bytes() + (folder / "key").read_bytes()


def test_a_bundle_is_read(bundle: bytes) -> None:
    seen = look("site.pem", bundle)
    assert (seen.problems, seen.chain) == ((), ("pem",))
    assert seen.dump is not None
    assert seen.dump.tables == 2


def test_a_bundle_that_was_cut_or_changed_is_told(bundle: bytes) -> None:
    assert codes_of("site.pem", bundle[:-40]) == ["truncated"]
    lines = bundle.split(b"\n")
    assert codes_of("site.pem", b"\n".join(lines[:6] + lines[7:])) == ["corrupt"]  # a line is missing
    assert codes_of("site.pem", bundle.replace(lines[5], b"*" + lines[5][1:])) == ["corrupt"]
