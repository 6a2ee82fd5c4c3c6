"""What a stream is told to be, whatever its name says."""

from __future__ import annotations

import gzip
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.codes import CODES
from tests.unit.plugins.module_utils._backup.samples import CUSTOM, PLAIN, codes_of, look, recorded

SQL, DUMP = recorded("18.sql"), recorded("18-gzip.dump")


def packed(data: bytes) -> bytes:
    """Gzip without the time of day: the cases are named after their bytes, and each worker must name them alike."""
    return gzip.compress(data, mtime=0)


TAR = b"shop/file".ljust(257, b"\0") + b"ustar\x0000" + bytes(248)


@pytest.mark.parametrize(
    ("name", "data", "chain"),
    [
        ("shop.sql", SQL, ["pgdump-plain"]),
        ("shop", SQL, ["pgdump-plain"]),
        ("shop.dump", SQL, ["pgdump-plain"]),  # the end promises nothing
        ("all.sql", recorded("18-all.sql"), ["pgdumpall"]),
        ("shop.dump", DUMP, ["pgdump-custom"]),
        ("shop.pgdump", DUMP, ["pgdump-custom"]),
        ("shop.backup.gz", packed(DUMP), ["gzip", "pgdump-custom"]),
        ("shop", packed(SQL), ["gzip", "pgdump-plain"]),
    ],
)
def test_a_backup_is_known_by_its_content(name: str, data: bytes, chain: list[str]) -> None:
    seen = look(name, data)
    assert list(seen.chain) == chain
    assert seen.problems == ()
    assert seen.whole


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("shop.sql.gz", SQL, "is named like gzip, but is pgdump-plain"),
        ("shop.sql", packed(SQL), "is named like sql, but is gzip"),
        ("shop.sql", DUMP, "is named like sql, but is pgdump-custom"),
        ("shop.sql.gz", packed(DUMP), "is named like sql, but is pgdump-custom"),
        ("shop.pgdump", SQL, "is named like pgdump-custom, but is pgdump-plain"),
        ("shop.sql.xz", packed(SQL), "is named like xz, but is gzip"),
    ],
)
def test_a_backup_with_a_wrong_name_is_verified_and_told(name: str, data: bytes, words: str) -> None:
    seen = look(name, data)
    assert [(problem.code, problem.fatal, problem.what) for problem in seen.problems] == [
        ("backup.unexpected_format", False, words)
    ]
    assert seen.whole
    assert seen.dump is not None
    assert seen.dump.complete is True


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("shop.sql.gz", b"\x1e\x8b\x08\x00" + bytes(500), "unexpected_format"),
        ("shop.sql.gz", b"some words\n", "unexpected_format"),
        ("shop.sql", bytes(9000), "unexpected_format"),
        ("shop.sql", random.Random(3).randbytes(9000), "unexpected_format"),
        (
            "shop.sql",
            b"-- MySQL dump 10.13\n\nCREATE TABLE t (a int);\n-- Dump completed on 2026-11-22\n",
            "unsupported",
        ),
        ("shop.sql", b"SELECT 1;\n", "unsupported"),
        ("shop.dump", bytes(9000), "unsupported"),
        ("shop.txt", b"some words\n", "unsupported"),
        ("shop.sql.lz4", b"\x04\x22\x4d\x18" + bytes(90), "corrupt"),
        ("shop.sql.lz4", b"\x04\x22\x4d\x18\x60", "truncated"),
        ("shop.sql.zst", b"\x28\xb5\x2f\xfd\x04\x00", "truncated"),
        ("shop.sql.zst", b"\x28\xb5\x2f\xfd\x08\x00\x00" + bytes(90), "corrupt"),
        ("shop.sql.zst", b"\x28\xb5\x2f\xfd\x04\xff\x00" + bytes(90), "unsupported"),  # a window of half a terabyte
        ("shop.sql.zst", b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x01\x02\x03", "truncated"),
        ("shop.sql.zst", b"\x50\x2a\x4d\x18\x02\x00\x00\x00\x01\x02", "empty"),
        ("shop.tar", TAR, "corrupt"),
        ("shop.tar.gz", packed(TAR), "corrupt"),
        ("shop.age", b"age-encryption.org/v1\n", "no_key"),
        ("shop.enc", b"Salted__12345678", "no_key"),
        ("shop.enc", b"Salted__12345678abc", "no_key"),  # by a stream cipher it may be whole
        ("shop.sql.gpg", b"\x85\x01\x0c\x03" + bytes(20), "truncated"),
        ("shop.rdb", b"REDIS0011" + bytes(50), "truncated"),
        ("shop.rdb", b"REDIS00x1" + bytes(50), "corrupt"),
        ("shop.sqlite", b"SQLite format 3\x00" + bytes(50), "truncated"),
        ("shop.sqlite", b"SQLite format 3\x00" + bytes(500), "corrupt"),
        ("one.7z", b"7z\xbc\xaf\x27\x1c" + bytes(50), "unsupported"),
        ("toc.dat", DUMP[:10] + b"\x03" + DUMP[11:], "unsupported"),
        ("shop.sql", b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n", "not_a_backup"),
        ("shop.sql.gz", b"\n<HTML><head></head></HTML>", "not_a_backup"),
        ("shop.dump", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "not_a_backup"),
        ("shop.dump", b'{"error": "unauthorized"}', "not_a_backup"),
        ("shop.sql.gz", packed(b"<html></html>"), "not_a_backup"),
        ("shop.sql", b'pg_dump: error: connection to server at "db" failed: FATAL:  no such user\n', "not_a_backup"),
        ("shop.sql.gz", packed(b"Error: No such container: db\n"), "not_a_backup"),
        ("shop.sql.gz", packed(b""), "empty"),
        ("shop.sql.gz", packed(packed(b"")), "empty"),
        ("shop.sql", b"--\n-- Postgre", "incomplete_dump"),
        ("shop", b"--\n-- PostgreSQL database clus", "incomplete_dump"),
        ("shop", b"PGD", "truncated"),
        ("shop.sql.gz", b"\x1f", "truncated"),
        ("shop.sql.xz", b"\xfd7z", "truncated"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_what_is_no_backup_or_none_that_can_be_read(name: str, data: bytes, code: str, step: int) -> None:
    seen = look(name, data, step)
    assert [problem.code for problem in seen.problems if problem.fatal] == [f"backup.{code}"]
    assert not seen.whole
    assert "content" in seen.unproven


def test_no_data_of_the_backup_are_quoted() -> None:
    secret = b"4929-1234-5678-9012"
    for data in (
        secret,
        b"pg_dump: " + secret,
        SQL[:3000] + secret,
        b"<html>" + secret,
        b"\0" + secret,
        DUMP[:3000] + secret,
    ):
        for name in ("shop.sql", "shop.dump", "shop.sql.gz"):
            for content in (data, packed(data)):
                assert secret.decode() not in repr(look(name, content))


MATERIAL = [recorded(name) for name in (*PLAIN, *CUSTOM)]
MATERIAL += [packed(data) for data in MATERIAL]


@settings(max_examples=400)
@given(st.data())
def test_whatever_is_done_to_a_file_there_is_one_clear_answer(data: st.DataObject) -> None:
    """Nothing is raised, every problem has a known code, and what may have gone unnoticed is said."""
    changed = bytearray(data.draw(st.sampled_from(MATERIAL)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        how = data.draw(st.sampled_from(("flip", "cut", "drop", "insert", "repeat", "zero")))
        length = data.draw(st.integers(1, 5000))
        if how == "flip" and changed:
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del changed[at:]
        elif how == "drop":
            del changed[at : at + length]
        elif how == "insert":
            changed[at:at] = data.draw(st.binary(max_size=60))
        elif how == "repeat":
            changed[at:at] = changed[at : at + length]
        else:
            changed[at : at + length] = bytes(len(changed[at : at + length]))
    name = data.draw(st.sampled_from(("shop.sql", "shop.sql.gz", "shop.dump", "shop")))
    seen = look(name, bytes(changed), data.draw(st.sampled_from((50, 5000, 1 << 18))))
    assert all(problem.code in CODES for problem in seen.problems)
    assert seen.whole or any(problem.fatal for problem in seen.problems)
    if not seen.problems and seen.chain[0] != "gzip":
        assert seen.unproven


def test_bytes_after_the_verdict_are_not_looked_at() -> None:
    assert codes_of("shop.sql.gz", b"x" * 5000 + packed(SQL)) == ["unexpected_format"]
