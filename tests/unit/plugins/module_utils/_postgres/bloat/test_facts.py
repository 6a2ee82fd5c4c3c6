"""The rows of the statements, as values."""

from __future__ import annotations

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.facts import (
    distinct_of,
    index_columns,
    null_tests_of,
    table_columns,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Column, Key


def test_the_columns_of_a_table() -> None:
    found = table_columns(
        "4 i p s 1 0 4 -,-1 i x m 0 0.25 6 5*0.75+7*0.25,8 d p d 0 0 0 -,-1 i p - 0 0 0 -,4 i p - 0 0 0 -"
    )
    assert found.columns == (
        Column(4, 4, False, 0.0, 4.0),
        Column(-1, 4, True, 0.25, 6.0, ((5, 0.75), (7, 0.25))),
        Column(8, 8, nulls=1.0),
        Column(-1, 4, False, 0.0, 0.0),
        Column(4, 4, False, 0.0, 0.0),
    )
    assert (found.analysed, found.unknown, found.assumed, found.dropped, found.added) == (True, 1, 1, True, True)


def test_a_table_without_columns() -> None:
    assert table_columns("") == ((), False, 0, 0, False, False)


def test_the_columns_of_an_index() -> None:
    (one,) = index_columns("4 i p s 3 0.5 4 -0.25 1 0.3+0.1 -")
    assert one.column == Column(4, 4, False, 0.5, 4.0)
    assert one.key == Key(-0.25, 0.5, (0.3, 0.1))
    assert (one.source, one.known, one.alike, one.unknown_length) == (3, True, True, False)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("-1 i x s 0 0 36 -1 1 - -", 33.0),  # an expression: analysed with a header of four bytes
        ("-1 i x s 0 0 200 -1 1 - -", 200.0),  # too long for a short one
        ("-1 i p s 0 0 36 -1 1 - -", 36.0),
        ("-1 i x s 2 0 36 -1 1 - -", 36.0),  # a column
        ("-2 c p s 2 0 64 -1 1 - 9*1", 0.0),  # a name: 64 bytes in the table only
    ],
)
def test_the_width_of_a_key_is_that_in_the_index(text: str, width: float) -> None:
    assert index_columns(text)[0].column.width == width


def test_a_name_of_which_no_lengths_are_known() -> None:
    assert index_columns("-2 c p s 2 0 64 -1 1 - -")[0].unknown_length
    assert not index_columns("-2 c p s 2 0 64 -1 1 - 9*1")[0].unknown_length
    assert not index_columns("-2 c p s 2 1 64 -1 1 - -")[0].unknown_length


IS_NULL = (
    "{NULLTEST :arg {VAR :varno 1 :varattno 2 :vartype 23 :vartypmod -1 :varcollid 0 :varlevelsup 0 :varnosyn 1 "
    ":varattnosyn 2 :location 44} :nulltesttype %d :argisrow false :location 46}"
)
GREATER = (
    "{OPEXPR :opno 521 :opfuncid 147 :opresulttype 16 :opretset false :opcollid 0 :inputcollid 0 :args ({VAR :varno 1 "
    ":varattno 3 :vartype 23 :vartypmod -1 :varcollid 0 :varlevelsup 0 :location 9} {CONST :consttype 23}) :location 1}"
)


def test_a_predicate_tells_of_nulls() -> None:
    assert null_tests_of(IS_NULL % 0) == {2: True}
    assert null_tests_of(IS_NULL % 1) == {2: False}
    assert null_tests_of(f"({IS_NULL % 0} {GREATER})") == {2: True, 3: False}
    assert null_tests_of("") == {}


@pytest.mark.parametrize(
    "text",
    [
        '{"1, 2": 100, "1, 2, 3": 4000}',
        '[{"attributes": [1, 2], "ndistinct": 100}, {"attributes": [1, 2, 3], "ndistinct": 4000}]',
    ],
)
def test_both_forms_of_extended_statistics_are_read(text: str) -> None:
    assert distinct_of(text) == {frozenset((1, 2)): 100.0, frozenset((1, 2, 3)): 4000.0}


def test_expressions_in_extended_statistics_have_numbers_below_zero() -> None:
    assert distinct_of('{"1, -1": 100} {"-1, -2": 7}') == {frozenset((1, -1)): 100.0, frozenset((-1, -2)): 7.0}
