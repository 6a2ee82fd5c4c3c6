"""Dumps as `pg_dump` of PostgreSQL 10 to 13 wrote them: there are no such servers to be had any more.

They are made of the recorded ones of 14 by what published dumps of those versions show that they wrote otherwise:
the settings of each minor release, its comments with and without ``--verbose``, how ``pg_dumpall`` went from database
to database; archives by the rules of their source.
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

OLD = ("10.2", "10.3", "10.23", "11.2", "11.22", "12.18", "13.21", "13.22")
RECORDED = [name for name in PLAIN if name.startswith("14")]
# Each version and the archive version that it writes: 10.3 made the search path safe, 12 has access methods.
ARCHIVES = [("9.6.24", (1, 12)), ("10.2", (1, 12)), ("10.23", (1, 13)), ("11.22", (1, 13)), ("13.22", (1, 14))]


PLPGSQL = b"""\
--
-- Name: plpgsql; Type: EXTENSION; Schema: -; Owner:\x20
--

CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;


--
-- Name: EXTENSION plpgsql; Type: COMMENT; Schema: -; Owner:\x20
--

COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';


"""
CREATED = b"""\
--
-- Database creation
--

CREATE DATABASE shop WITH TEMPLATE = template0 OWNER = postgres;
REVOKE CONNECT,TEMPORARY ON DATABASE template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE template1 TO PUBLIC;


"""


def as_written_by(version: str, name: str) -> bytes:
    """The recorded dump of 14 as that version would have written it."""
    major, minor = (int(part) for part in version.split("."))
    dump = re.sub(
        rb"(?m)^(-- Dumped (?:from database|by pg_dump) version ).*$", rb"\g<1>" + version.encode(), recorded(name)
    )
    if major < 12:
        dump = re.sub(rb"(?m)^SET default_table_access_method = heap;\n\n?", b"", dump)
        dump = dump.replace(
            b"SET default_tablespace = '';\n", b"SET default_tablespace = '';\n\nSET default_with_oids = false;\n"
        )
    if (major, minor) < (10, 8) or (11, 0) <= (major, minor) < (11, 3):
        dump = dump.replace(b"SET xmloption = content;\n", b"")
    if major == 10:
        dump = re.sub(rb"(?s)--\n-- Name: shop; Type: DATABASE;.*?SET row_security = off;\n\n", b"", dump)
        dump = dump.replace(b"SET row_security = off;\n\n", b"SET row_security = off;\n\n" + PLPGSQL)
        # It made all databases first, and named each by nothing but the command that goes there.
        dump = dump.replace(b"--\n-- Databases\n--\n\n", CREATED)
        there = rb"\\connect \1\n\nSET default_transaction_read_only = off;\n\n"
        dump = re.sub(rb'--\n-- Database "(\w+)" dump\n--\n\n(?:\\connect \w+\n\n)?', there, dump)
    if (major, minor) < (10, 3):
        dump = dump.replace(b"SELECT pg_catalog.set_config('search_path', '', false);\n", b"")
        dump = dump.replace(b" public.", b" ")
        where = b"SET default_tablespace = '';\n"
        dump = dump.replace(where, b"SET search_path = public, pg_catalog;\n\n" + where)
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


def verbosely(dump: bytes) -> bytes:
    """The dump as ``--verbose``, which some clients always give, would have written it."""
    dump = re.sub(rb"(?m)^(-- Dumped by pg_dump .*\n)", rb"\1\n-- Started on 2026-11-20 04:13:00 UTC\n", dump)
    entry = rb"--\n-- TOC entry 216 (class 1259 OID 24811)\n-- Dependencies: 3\n\1"
    dump = re.sub(rb"(?m)^--\n(-- (?:Data for )?Name: )", entry, dump)
    before, end, after = dump.rpartition(b"--\n-- PostgreSQL database dump complete\n")
    return before + b"-- Completed on 2026-11-20 04:13:01 UTC\n\n" + end + after


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("name", ["14.sql", "14-inserts.sql"])
def test_a_whole_verbose_dump_raises_no_alarm(version: str, name: str) -> None:
    plain = as_written_by(version, name)
    dump = verbosely(plain)
    assert dump.count(b"-- TOC entry ") > 10
    seen, without = look("shop.sql", dump).dump, look("shop.sql", plain).dump
    assert codes(look("shop.sql", dump)) == []
    assert seen is not None
    assert without is not None
    assert (seen.complete, seen.server_version, seen.created) == (True, version, "2026-11-20T04:13:00")
    assert seen.rows == without.rows


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_tables_that_are_named_without_a_schema_are_told_apart(step: int) -> None:
    dump = b"""\
--
-- PostgreSQL database dump
--

-- Dumped from database version 10.1
-- Dumped by pg_dump version 10.1

SET statement_timeout = 0;

SET search_path = public, pg_catalog;

--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY orders (id, note) FROM stdin;
1\tone
2\tSET search_path = nowhere, pg_catalog;
\\.


SET search_path = "the ""other"" one", pg_catalog;

--
-- Data for Name: orders; Type: TABLE DATA; Schema: the "other" one; Owner: postgres
--

COPY orders (id, note) FROM stdin;
3\tthree
\\.


--
-- PostgreSQL database dump complete
--

"""
    seen = look("shop.sql", dump, step)
    assert codes(seen) == []
    assert seen.dump is not None
    assert seen.dump.rows == {"public.orders": 2, '"the ""other"" one".orders': 1}


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
