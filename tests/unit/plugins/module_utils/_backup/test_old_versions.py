"""Dumps as `pg_dump` of PostgreSQL 10 to 13 wrote them: there are no such servers to be had any more.

They are made of the recorded ones of 14 by what those versions wrote otherwise; archives by the rules of their source.
"""

from __future__ import annotations

import gzip
import re

import pytest

from tests.unit.plugins.module_utils._backup.samples import (
    PLAIN,
    ROWS,
    Piece,
    archive,
    codes,
    cuts,
    look,
    recorded,
    without_keys,
)

OLD = ("10.3", "10.23", "11.22", "12.18", "13.21", "13.22")
RECORDED = [name for name in PLAIN if name.startswith("14")]
# Each version and the archive version that it writes: 10.3 made the search path safe, 12 has access methods.
ARCHIVES = [("9.6.24", (1, 12)), ("10.2", (1, 12)), ("10.23", (1, 13)), ("11.22", (1, 13)), ("13.22", (1, 14))]


def as_written_by(version: str, name: str) -> bytes:
    """The recorded dump of 14 as that version would have written it."""
    dump = re.sub(
        rb"(?m)^(-- Dumped (?:from database|by pg_dump) version ).*$", rb"\g<1>" + version.encode(), recorded(name)
    )
    if int(version.split(".")[0]) < 12:
        dump = re.sub(rb"(?m)^SET default_table_access_method = heap;\n\n?", b"", dump)
        dump = dump.replace(
            b"SET default_tablespace = '';\n", b"SET default_tablespace = '';\n\nSET default_with_oids = false;\n"
        )
    if version.startswith(("10", "11")):
        dump = dump.replace(b"SET xmloption = content;\n", b"")
    # 13.22 of August 2025 has keys; no older one.
    return dump if version == "13.22" else without_keys(dump)


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("name", RECORDED)
def test_a_whole_plain_dump_raises_no_alarm(version: str, name: str) -> None:
    dump = as_written_by(version, name)
    for file, data in (("shop.sql", dump), ("shop.sql.gz", gzip.compress(dump))):
        seen = look(file, data)
        assert codes(seen) == []
        assert seen.dump is not None
        assert seen.dump.complete is True
        assert seen.dump.server_version == version
    whole = look("shop.sql", recorded(name)).dump
    assert whole is not None
    assert seen.dump is not None
    assert seen.dump.rows == whole.rows


@pytest.mark.parametrize("version", OLD)
def test_half_a_plain_dump_is_incomplete(version: str) -> None:
    dump = as_written_by(version, "14-inserts.sql")
    for size in cuts(dump, len(dump) // 25):
        if dump[size:].strip():
            # Without keys a dump that is cut behind the end that a function holds looks complete.
            assert set(codes(look("shop.sql", dump[:size]))) <= {"incomplete_dump", "trailing_garbage"}
            assert codes(look("shop.sql", dump[:size]))


@pytest.mark.parametrize(("version", "form"), ARCHIVES)
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_whole_archive_raises_no_alarm(version: str, form: tuple[int, int], compression: str) -> None:
    entries = (Piece(1, ROWS), Piece(2, b"\\.\n\n\n", tag="customers"), Piece(3, tag="view", kind="VIEW"))
    whole = archive(entries, form, compression)
    seen = look("shop.dump", whole)
    assert codes(seen) == [], version
    assert seen.dump is not None
    assert (seen.dump.tables, seen.dump.complete) == (2, True)
    for size in cuts(whole, 50):
        if size > 12:
            assert codes(look("shop.dump", whole[:size])) == ["truncated"]
