"""Counting rows, naming tables, and what the first row tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.rows import (
    Rows,
    columns_of,
    table_name,
    target_of,
)
from tests.unit.plugins.module_utils._backup.samples import CUSTOM, look, recorded


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("public", "orders"), "public.orders"),
        (("public", "Orders"), "public.Orders"),
        (("a.b", "c"), '"a.b".c'),
        (("public", 'a "b"\nc'), 'public."a ""b""\nc"'),
        (("public", "1x"), 'public."1x"'),
        ((None, "orders"), "orders"),
        (("public", "ünïcode"), 'public."ünïcode"'),
    ],
)
def test_a_table_has_one_name_wherever_it_comes_from(parts: tuple[str | None, ...], name: str) -> None:
    assert table_name(*parts) == name
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in parts if part is not None)
    assert target_of(f"COPY {quoted} (a, b) FROM stdin;".encode()) == name


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1), min_size=2, max_size=2
    )
)
def test_no_two_tables_share_a_name(parts: list[str]) -> None:
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
    assert target_of(f"\n\nCOPY {quoted} (a) FROM stdin;".encode()) == table_name(*parts)


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        (b"COPY public.t (a, b) FROM stdin;", 2),
        (b'COPY public.t (a, "b, ""c") FROM stdin;', 2),
        (b"COPY public.t  FROM stdin;", 0),
        (b"COPY public.t FROM stdin;", None),
        (b"COPY public.t (a) TO stdout;", None),
        (b"anything", None),
    ],
)
def test_columns_are_counted(statement: bytes, columns: int | None) -> None:
    assert columns_of(statement) == columns


def counted(data: bytes, columns: int | None = 2, step: int = 3) -> Rows:
    rows = Rows(columns)
    for at in range(0, len(data), step):
        rows.feed(data[at : at + step])
    rows.finish()
    return rows


def test_rows_are_lines_before_the_end() -> None:
    assert counted(b"1\tone\n2\ttwo\n\\.\n\n\n").rows == 2
    assert counted(b"\\.\n\n\n").rows == 0
    assert counted(b"\n\n\\.\n\n\n", columns=0).rows == 2
    assert counted(b"1\tone\n2\ttw").rows is None
    assert counted(b"INSERT INTO t VALUES (1);\n\n\n", columns=None).rows is None


def test_the_first_row_must_fit() -> None:
    assert counted(b"1\tone\n\\.\n\n\n").misfit is None
    assert counted(b"1\tone\ttoo many\n\\.\n\n\n").misfit == 3
    assert counted(b"\\.\n\n\n").misfit is None
    assert counted(b"\n\\.\n", columns=0).misfit is None
    assert counted(b"x\n\\.\n", columns=1).misfit is None
    assert counted(b"INSERT\n", columns=None).misfit is None


def test_custom_and_plain_count_the_same() -> None:
    """Two dumps of one database; the sizes of the pieces change nothing."""
    plain = {step: look("x.sql", recorded("18.sql"), step).dump for step in (1, 17, 4096, 1 << 18)}
    rows = {step: dump.rows for step, dump in plain.items() if dump is not None}
    assert len({tuple(sorted(counts.items())) for counts in rows.values()}) == 1
    for name in CUSTOM:
        dump = look("x.dump", recorded(name), 100).dump
        assert dump is not None
        assert dump.rows == rows[1]
        assert dump.encoding == "UTF8"
    assert rows[1]["public.customers"] == 40
    assert rows[1]["public.nothing"] == 0


def test_inserts_are_not_counted_and_said_to_be_there() -> None:
    dump = look("x.sql", recorded("18-inserts.sql")).dump
    assert dump is not None
    assert dump.inserts
    dump = look("x.sql", recorded("18.sql")).dump
    assert dump is not None
    assert not dump.inserts
