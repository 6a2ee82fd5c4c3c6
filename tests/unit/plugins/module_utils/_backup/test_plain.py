"""Plain dumps: complete ones raise no alarm whatever text they hold, and no part of one is taken for the whole."""

from __future__ import annotations

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils._backup.samples import PLAIN, codes_of, cuts, look, recorded, without_keys

VERSIONS = b"-- Dumped from database version 9.6.24\n-- Dumped by pg_dump version 9.6.24\n\n"
HEADER = b"--\n-- PostgreSQL database dump\n--\n\n" + VERSIONS
END = b"--\n-- PostgreSQL database dump complete\n--\n\n"
FUNCTION = b"CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ select '\n\n%s'; $$;\n\n\n"
ENTRY = b"--\n-- Name: t; Type: TABLE; Schema: public; Owner: postgres\n--\n\nCREATE TABLE public.t (a text);\n\n\n"


def dump(*parts: bytes) -> bytes:
    """A dump as an old pg_dump wrote it, which had no keys."""
    return HEADER + b"".join(parts) + END


def copy(statement: bytes, *rows: bytes) -> bytes:
    return b"-- Data\n--\n\n" + statement + b"\n" + b"".join(row + b"\n" for row in rows) + b"\\.\n\n\n"


@pytest.fixture(params=[*PLAIN, *(f"{name} without keys" for name in PLAIN)])
def whole(request: pytest.FixtureRequest) -> bytes:
    name, _, rest = request.param.partition(" ")
    return without_keys(recorded(name)) if rest else recorded(name)


@pytest.fixture(params=[name for name in PLAIN if "all" not in name])
def keyed(request: pytest.FixtureRequest) -> bytes:
    return recorded(request.param)


# --- good ones


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 18])
def test_a_real_dump_is_complete_however_it_is_read(whole: bytes, step: int) -> None:
    seen = look("shop.sql", whole, step)
    assert seen.problems == ()
    assert seen.dump is not None
    assert seen.dump.complete is True
    assert seen.whole
    assert seen.bytes_decoded == len(whole)
    assert seen.unproven == ("values",)


@given(size=st.integers(min_value=1, max_value=9000))
def test_the_size_of_the_pieces_changes_nothing(size: int) -> None:
    for data in (recorded("18.sql"), recorded("18.sql")[:-900]):
        assert look("shop.sql", data, size) == look("shop.sql", data)


def test_it_says_where_the_dump_comes_from() -> None:
    seen = look("shop.sql", recorded("14.sql")).dump
    assert seen is not None
    assert (seen.server_version, seen.tool_version, seen.database) == ("14.23", "14.23", None)


def test_it_says_which_database_a_dump_with_create_makes() -> None:
    seen = look("shop.sql", dump(b'CREATE DATABASE "a ""b";\n\n\\connect "a ""b"\n\n')).dump
    assert seen is not None
    assert seen.database == 'a "b'


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(FUNCTION % END, id="a function that holds an end"),
        pytest.param(FUNCTION % (END * 3), id="a function that holds three"),
        pytest.param(FUNCTION % (b"--\n-- PostgreSQL database dump\n--\n"), id="a function that holds a header"),
        pytest.param(FUNCTION % b"COPY public.t (a, b) FROM stdin;\n1\t2\n", id="a function that begins a COPY"),
        pytest.param(FUNCTION % (HEADER + b"COPY public.t (a, b) FROM stdin;\n1\t2\n"), id="half a dump in a function"),
        pytest.param(FUNCTION % (HEADER + END), id="a whole dump in a function"),
        pytest.param(FUNCTION % b"COPY public.t FROM stdin;\n", id="a COPY that no pg_dump writes"),
        pytest.param(FUNCTION % b"COPY (select 1) TO stdout;\n", id="another COPY"),
        pytest.param(FUNCTION % b'COPY "', id="a COPY with a quote that nobody closes"),
        pytest.param(
            copy(b"COPY public.t (a) FROM stdin;", b"--", b"-- PostgreSQL database dump complete", b"--", b""),
            id="rows",
        ),
        pytest.param(
            copy(b"COPY public.t (a) FROM stdin;", b"--", b"-- PostgreSQL database dump", b"--"), id="a header in rows"
        ),
        pytest.param(
            copy(b"COPY public.t (a) FROM stdin;", b"\\\\.", b"\\\\unrestrict x", b"x\\nCOPY y"), id="escapes"
        ),
        pytest.param(copy(b"COPY public.t  FROM stdin;", b"", b"", b""), id="a table without columns"),
        pytest.param(copy(b"COPY public.t (a, b) FROM stdin;"), id="an empty table"),
        pytest.param(copy(b'COPY public."a\n""b"" FROM stdin;\n" ("x\n)", "y;") FROM stdin;', b"1\t2"), id="names"),
        pytest.param(copy(b"COPY public.t (a) FROM stdin;", b"x" * 900_000), id="a long row"),
    ],
)
@pytest.mark.parametrize("step", [11, 4096, 1 << 18])
def test_text_that_looks_like_a_dump_is_text(part: bytes, step: int) -> None:
    if len(part) > 100_000 and step < 100:
        step = 997
    for good in (dump(ENTRY, part, ENTRY), dump(part)):
        assert codes_of("shop.sql", good, step) == []


def test_a_statement_of_many_columns_is_read_over_many_pieces() -> None:
    columns = b", ".join(b'"column ""%04d"" %s"' % (n, b"\xc3\xa4" * 20) for n in range(1600))
    good = dump(copy(b"COPY public.t (" + columns + b") FROM stdin;", b"\t" * 1599))
    assert codes_of("shop.sql", good, 512) == []


def test_an_endless_statement_does_not_fill_the_memory() -> None:
    text = HEADER + b'\n\nCOPY public."' + b"x" * (9 << 20)
    seen = look("shop.sql", text)
    assert [problem.code for problem in seen.problems] == ["backup.incomplete_dump"]


@pytest.mark.parametrize("more", [b"", b"\n", b"\n\n\n", b"\n-- taken by the night job\n", b"--\n-- done\n"])
def test_blank_lines_and_comments_may_follow(whole: bytes, more: bytes) -> None:
    assert codes_of("shop.sql", whole + more) == []


def test_a_byte_order_mark_or_a_statement_may_precede() -> None:
    assert codes_of("shop.sql", b"\xef\xbb\xbf\n" + recorded("18.sql")) == []
    assert codes_of("shop.sql", b"SET ROLE owner;\n" + recorded("18.sql")) == []


# --- bad ones


def test_no_beginning_of_a_dump_is_complete(keyed: bytes) -> None:
    assert {(*codes_of("shop.sql", keyed[:size]),) for size in cuts(keyed[:-1])} == {("incomplete_dump",)}


def test_no_beginning_of_the_dump_of_a_cluster_is_complete() -> None:
    for name in ("14-all.sql", "18-all.sql"):
        whole = recorded(name)
        assert {(*codes_of("all.sql", whole[:size]),) for size in cuts(whole[:-1])} == {("incomplete_dump",)}


@pytest.mark.parametrize("name", [name for name in PLAIN if "all" not in name])
def test_without_a_key_only_a_beginning_that_ends_like_a_dump_is_taken_for_one(name: str) -> None:
    """A function in these dumps holds an end: a cut right behind it cannot be told from an end, one soon after is."""
    whole = without_keys(recorded(name))
    fake = whole.index(b"\n--\n\n  */") + len(b"\n--\n")
    next_entry = whole.index(b"\n-- Name: ", fake)
    told = {size: codes_of("shop.sql", whole[:size]) for size in range(1, len(whole) - 1)}
    assert {size for size in told if not told[size]} == {fake, fake + 1, fake + 2, fake + 3}
    others = {size for size in told if told[size] == ["trailing_garbage"]}
    assert others
    assert others < set(range(fake, next_entry + len("\n-- Name: ")))
    assert all(told[size] == ["incomplete_dump"] for size in told if size not in others and told[size])


def test_a_dump_cut_inside_rows_that_look_like_its_end_is_not_complete() -> None:
    for good in (recorded("18.sql"), without_keys(recorded("18.sql"))):
        marker = b"\n--\n-- PostgreSQL database dump complete\n--\n\n"
        rows = good.index(b"COPY public.lines (line)")
        cut = good.index(marker, rows) + len(marker)
        seen = look("shop.sql", good[:cut])
        assert [problem.code for problem in seen.problems] == ["backup.incomplete_dump"]
        assert "inside the data of a table" in seen.problems[0].what


@pytest.mark.parametrize("key", [True, False])
def test_what_follows_the_end_is_told(key: bool) -> None:
    whole = recorded("18.sql") if key else without_keys(recorded("18.sql"))
    for more in (b"COMMIT;\n", bytes(512), random.Random(1).randbytes(512)):
        (problem,) = look("shop.sql", whole + more).problems
        assert (problem.code, problem.fatal) == ("backup.trailing_garbage", False)
    assert codes_of("shop.sql", whole + b"x" * 20_000) == (["trailing_garbage"] if key else ["incomplete_dump"])


def test_the_rest_of_a_longer_dump_that_was_overwritten_is_told() -> None:
    new, old = recorded("18.sql"), recorded("18-inserts.sql")
    assert codes_of("shop.sql", new + old[len(new) :]) == ["trailing_garbage"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("18.sql", "18.sql", True),
        ("18-all.sql", "18-all.sql", False),  # its last line has no key to know it by
        ("18.sql", "14.sql", False),
        ("18-all.sql", "14-all.sql", False),
    ],
)
def test_a_dump_after_a_dump_is_told(first: str, second: str, same: bool) -> None:
    (problem,) = look("shop.sql", recorded(first) + recorded(second)).problems
    assert problem.code == "backup.duplicate_dump"
    assert problem.fatal is same
    assert problem.evidence == {"dumps": 2}
    assert codes_of("shop.sql", without_keys(recorded(first)) + without_keys(recorded(second))) == ["duplicate_dump"]
    packed = gzip.compress(recorded(first)) + gzip.compress(recorded(second))
    assert codes_of("shop.sql.gz", packed) == ["duplicate_dump"]


@pytest.mark.parametrize("name", ["18.sql", "18-all.sql"])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("other", [True, False])
def test_a_whole_dump_does_not_heal_half_of_one_before_it(name: str, share: float, other: bool) -> None:
    half = recorded(name)[: int(len(recorded(name)) * share)]
    whole = recorded(name.replace("18", "14") if other else name)
    assert codes_of("shop.sql", half + whole) == ["incomplete_dump"]
    assert codes_of("shop.sql", whole + half) == ["incomplete_dump"]


def test_without_keys_a_whole_dump_does_not_heal_one_cut_in_its_rows() -> None:
    whole = without_keys(recorded("18.sql"))
    half = whole[: whole.index(b"customer 20")]
    assert codes_of("shop.sql", half + whole) == ["incomplete_dump"]


@pytest.mark.parametrize("step", [1, 1000, 1 << 18])
def test_windows_line_endings_are_told_and_the_rest_still_judged(step: int) -> None:
    changed = recorded("18.sql").replace(b"\n", b"\r\n")
    (problem,) = look("shop.sql", changed, step).problems
    assert (problem.code, problem.fatal) == ("backup.line_endings", False)
    assert codes_of("shop.sql", changed[:-700], step) == ["incomplete_dump", "line_endings"]
    assert codes_of("shop.sql", changed + b"\r", step) == ["line_endings"]


def test_a_flip_in_the_end_or_in_a_key_is_told() -> None:
    good = recorded("18.sql")
    for place in (good.rindex(b"dump complete"), good.rindex(b"unrestrict") + 14):
        bad = bytearray(good)
        bad[place] ^= 1
        assert codes_of("shop.sql", bytes(bad)) == ["incomplete_dump"]


def test_a_message_that_was_mixed_into_the_dump_is_told() -> None:
    text = b"pg_dump: warning: there are circular foreign-key constraints\n" + recorded("18.sql")
    (problem,) = look("shop.sql", text).problems
    assert (problem.code, problem.fatal) == ("backup.unexpected_format", False)
