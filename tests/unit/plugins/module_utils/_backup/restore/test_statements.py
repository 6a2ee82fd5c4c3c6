"""The text of a plain dump is changed where it would not fit, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.restore.statements import (
    Fitted,
    Needed,
    canonical_locale,
    fitted_globals,
)

HEAD = b"""--
-- PostgreSQL database dump
--

\\restrict abc

-- Dumped from database version 15.20
-- Dumped by pg_dump version 15.20

SET statement_timeout = 0;

"""
TABLE = b"""--
-- Name: orders; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.orders (
    id integer
);


ALTER TABLE public.orders OWNER TO "odd ""role";

"""
DATA = b"""--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.orders (id) FROM stdin;
1\tALTER TABLE x OWNER TO nobody;
--
-- Name: trap; Type: DATABASE; Schema: -; Owner: nobody
--
DROP TABLE gone;
\\.


"""
FUNCTION = b"""--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: app
--

CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $$
CREATE DATABASE nope;
\\connect nope
$$;


"""
ACL = b"""--
-- Name: TABLE orders; Type: ACL; Schema: public; Owner: app
--

GRANT SELECT ON TABLE public.orders TO reader;

"""
END = b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n"
WHOLE = HEAD + TABLE + FUNCTION + DATA + ACL + END


def fit(text: bytes, size: int = 1 << 17, **options) -> tuple[bytes, list[Needed]]:
    out, needed = bytearray(), []
    fitted = Fitted(out.extend, needed.append, **options)
    for start in range(0, len(text), size):
        fitted.feed(text[start : start + size])
    fitted.finish()
    return bytes(out), needed


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 17])
def test_an_ordinary_dump_passes_as_it_is(size):
    out, needed = fit(WHOLE, size)
    assert out == WHOLE
    assert [(one.kind, one.name) for one in needed] == [("role", b'"odd ""role"'), ("role", b"reader")]


@pytest.mark.parametrize("size", [1, 5, 1 << 17])
def test_what_drops_gets_if_exists_at_the_head_alone(size):
    drops = (
        b"DROP POLICY p ON public.orders;\nALTER TABLE ONLY public.orders DROP CONSTRAINT orders_pkey;\n"
        b"ALTER TABLE public.orders ALTER COLUMN id DROP DEFAULT;\nDROP MATERIALIZED VIEW public.mv;\n"
        b"DROP TABLE public.orders;\nSELECT pg_catalog.lo_unlink('16560');\n"
    )
    out, _needed = fit(HEAD + drops + TABLE + DATA + END, size)
    assert out == HEAD + (
        b"DROP POLICY IF EXISTS p ON public.orders;\n"
        b"ALTER TABLE IF EXISTS ONLY public.orders DROP CONSTRAINT IF EXISTS orders_pkey;\n"
        b"ALTER TABLE IF EXISTS public.orders ALTER COLUMN id DROP DEFAULT;\n"
        b"DROP MATERIALIZED VIEW IF EXISTS public.mv;\n"
        b"DROP TABLE IF EXISTS public.orders;\n"
        b"SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = 16560;\n"
    ) + TABLE + DATA + END  # fmt: skip


@pytest.mark.parametrize("size", [1, 5, 1 << 17])
def test_no_database_is_made_or_left_by_the_text(size):
    create = (
        b"DROP DATABASE shop;\n--\n-- Name: shop; Type: DATABASE; Schema: -; Owner: app\n--\n\n"
        b"CREATE DATABASE shop WITH TEMPLATE = template0 LOCALE = 'C';\n\n\nALTER DATABASE shop OWNER TO app;\n\n"
        b"\\unrestrict abc\n\\connect shop\n\\restrict abc\n\n"
        b"--\n-- Name: DATABASE shop; Type: COMMENT; Schema: -; Owner: app\n--\n\n"
        b"COMMENT ON DATABASE shop IS 'x';\n\n\n"
        b"--\n-- Name: shop; Type: DATABASE PROPERTIES; Schema: -; Owner: app\n--\n\n"
        b"ALTER DATABASE shop SET work_mem TO '4MB';\nALTER ROLE app IN DATABASE shop SET x.y TO 'z';\n\n\n"
    )
    out, _needed = fit(HEAD + create + TABLE + FUNCTION + DATA + END, size)
    outside = out.replace(FUNCTION, b"").replace(DATA, b"")
    assert b" DATABASE shop" not in outside.replace(b"-- Name: DATABASE shop", b"")
    assert b"\\connect" not in outside
    assert out.endswith(TABLE + FUNCTION + DATA + END)
    assert out.count(b"\\restrict abc") == 2


def test_owners_and_grants_are_left_out_where_they_must_not_be():
    out, needed = fit(WHOLE, owners=False)
    assert b'OWNER TO "odd' not in out
    assert b"GRANT" not in out
    assert (FUNCTION in out, DATA in out, needed) == (True, True, [])


def test_inserts_are_not_kept_in_memory():
    insert = b"INSERT INTO public.orders VALUES (1);\n" * 60000
    text = HEAD + b"--\n-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app\n--\n\n" + insert + TABLE
    assert fit(text, 1 << 16)[0] == text


def test_what_the_text_needs_is_told_before_it_passes():
    order: list[object] = []
    text = (
        HEAD + b"CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n\nSET default_tablespace = fast;\n" + TABLE
    )
    fitted = Fitted(lambda data: order.append(data), order.append)
    fitted.feed(text)
    fitted.finish()
    kinds = [one.kind for one in order if isinstance(one, Needed)]
    assert kinds == ["extension", "tablespace", "role"] or kinds == ["tablespace", "extension", "role"]
    assert isinstance(order[0], Needed)


def test_a_whole_cluster_makes_its_databases_where_its_locale_is_missing():
    text = (
        b"--\n-- PostgreSQL database cluster dump\n--\n\nDROP ROLE app;\n\n--\n-- Roles\n--\n\nCREATE ROLE app;\n\n"
        b"CREATE TABLESPACE fast OWNER app LOCATION '/srv/fast';\n"
        b"--\n-- Name: shop; Type: DATABASE; Schema: -; Owner: app\n--\n\n"
        b"CREATE DATABASE shop WITH TEMPLATE = template0 LOCALE = 'de_DE.UTF-8';\n\n\\connect shop\n"
    )
    out, needed = fit(
        text,
        whole_cluster=True,
        locales=frozenset(["c", "en_us.utf8"]),
        directory_of=lambda name: f"/scratch/{name.decode()}",
    )
    assert b"DROP ROLE IF EXISTS app;" in out
    assert b"LOCATION '/scratch/fast';" in out
    assert b"LOCALE = 'C';\n\n\\connect shop" in out
    assert needed == []
    kept, _needed = fit(text, whole_cluster=True, locales=frozenset(["de_de.utf8"]))
    assert b"LOCALE = 'de_DE.UTF-8'" in kept


def test_globals_fit_a_server_that_has_some_roles():
    rest = b'ALTER ROLE app WITH LOGIN;\nCREATE ROLE "b";\nGRANT app TO "b" WITH INHERIT TRUE;\n'
    rest += b"CREATE TABLESPACE t OWNER app LOCATION "
    text = b"CREATE ROLE app;\n" + rest.replace(b"TRUE;", b"TRUE GRANTED BY postgres;") + b"'/srv/t';\n"
    out = fitted_globals(text, frozenset([b"app"]), lambda _name: "/own")
    assert out == b"\n" + rest + b"'/own';\n"


def test_two_spellings_name_one_locale():
    assert canonical_locale("en_US.UTF-8") == canonical_locale("en_us.utf8") == "en_us.utf8"


@settings(max_examples=150)
@given(rows=st.lists(st.binary(max_size=40).filter(lambda row: b"\n" not in row and row != b"\\."), max_size=30),
       size=st.integers(1, 50))  # fmt: skip
def test_data_pass_untouched_whatever_they_are(rows, size):
    data = b"COPY public.t (a) FROM stdin;\n" + b"".join(row + b"\n" for row in rows) + b"\\.\n\n\n"
    head = b"--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: app\n--\n\n"
    assert fit(HEAD + head + data + END, size)[0] == HEAD + head + data + END
