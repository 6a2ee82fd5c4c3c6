"""The sizes of rows and index entries, against tuples that are laid out one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Column
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import (
    Shape,
    align,
    heap_shape,
    index_shape,
    stored,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

INT2, INT4, INT8 = Column(2, 2), Column(4, 4), Column(8, 8)
BOOL, NAME = Column(1, 1), Column(64, 1)
UUID = Column(16, 1)


def text(*lengths: int, nulls: float = 0.0, width: float = 0.0) -> Column:
    """A text column whose values have these lengths, equally often."""
    return Column(-1, 4, nulls=nulls, width=width, lengths=tuple((length, 1.0) for length in lengths))


@pytest.mark.parametrize(
    ("columns", "size"),
    [
        ([], 24),
        ([INT4], 32),
        ([INT4, INT4], 32),
        ([INT4, INT8], 40),  # four bytes of padding
        ([INT8, INT4], 40),  # none between, four at the end
        ([BOOL, INT8, BOOL, INT8, BOOL, INT4], 64),
        ([NAME, INT4], 96),
        ([UUID], 40),
        ([INT4, text(32)], 64),  # 24 + 4 + 33, without alignment
        ([BOOL, text(126)], 152),  # still a short header
        ([BOOL, text(127)], 160),  # 24 + 1 + 3 of padding + 4 + 127
        ([INT4] * 60, 264),
    ],
)
def test_a_row_is_laid_out_as_the_server_does(columns: list[Column], size: int) -> None:
    assert heap_shape(columns) == Shape(size)


@pytest.mark.parametrize(
    ("columns", "size"),
    [
        ([INT4], 16),
        ([INT8], 16),
        ([INT2], 16),
        ([UUID], 24),
        ([BOOL, INT8, INT2], 32),
        ([text(32)], 48),
        ([Column(-2, 1, lengths=((9, 1.0),))], 24),  # a name is a C string in an index
    ],
)
def test_an_index_entry_is_laid_out_as_the_server_does(columns: list[Column], size: int) -> None:
    assert index_shape(columns) == Shape(size)


def test_a_dropped_column_is_a_null_of_which_the_bitmap_remains() -> None:
    dropped = Column(8, 8, nulls=1.0)
    assert heap_shape([INT4, dropped]) == Shape(32)
    # With nine columns the bitmap no longer fits into the padding of the header.
    assert heap_shape([INT4] * 8) == Shape(56)
    assert heap_shape([*[INT4] * 8, dropped]) == Shape(64)


def test_nulls_take_no_room_but_that_of_the_bitmap() -> None:
    half = Column(8, 8, nulls=0.5)
    assert heap_shape([INT8, half]).mean == pytest.approx(36)
    assert index_shape([half]).mean == pytest.approx(16)  # 8 + 8, or 16 + 0
    assert index_shape([Column(8, 8, nulls=1.0)]) == Shape(16)


def test_widths_without_lengths_are_taken_as_they_are() -> None:
    assert heap_shape([INT4, Column(-1, 4, width=33)]) == Shape(64)
    assert heap_shape([BOOL, Column(-1, 4, width=204)]) == Shape(align(24 + 4 + 204))
    assert heap_shape([BOOL, Column(-1, 4, short=False, width=12)]) == Shape(40)


def test_the_mean_of_typical_values_is_corrected_to_that_of_all() -> None:
    # The statistics hold only the shorter values: the longest are left out of them.
    known = heap_shape([text(99, 101, width=101)])
    assert known.mean == pytest.approx(heap_shape([text(99, 101)]).mean)
    longer = heap_shape([text(99, 101, width=150)])
    assert longer.mean == pytest.approx(known.mean + 49)


def test_plain_storage_counts_only_where_it_was_kept_to() -> None:
    plain = Column(-1, 4, short=False, width=8, lengths=((8, 1.0),))
    assert heap_shape([INT4, plain]).mean == pytest.approx(40)
    assert stored(plain, 8) == (12, 4)
    kept = Column(-1, 4, short=False, width=12, lengths=((8, 1.0),))
    assert heap_shape([INT4, kept]) == Shape(40)


FIXED = st.sampled_from([BOOL, INT2, INT4, INT8, UUID, Column(12, 8)])
VARIABLE = st.lists(st.integers(0, 300), min_size=1, max_size=3).map(lambda lengths: text(*lengths))


@unhurried
@given(st.lists(st.one_of(FIXED, VARIABLE), max_size=5), st.data())
def test_the_mean_is_that_of_all_rows_that_there_may_be(columns: list[Column], data: Any) -> None:
    columns = [
        Column(c.length, c.align, c.short, data.draw(st.sampled_from([0.0, 0.0, 0.25, 1.0])), c.width, c.lengths)
        for c in columns
    ]
    for shape, header, with_nulls in (
        (heap_shape(columns), 24, align(23 + (len(columns) + 7) // 8)),
        (index_shape(columns), 8, 16),
    ):
        sizes = list(laid_out(columns, header, with_nulls))
        mean = sum(chance * size for chance, size in sizes)
        assert shape.mean == pytest.approx(mean)
        if with_nulls == header:
            variance = sum(chance * (size - mean) ** 2 for chance, size in sizes)
            assert shape.variance == pytest.approx(variance, rel=1e-6, abs=2e-6 * mean * mean)
        # Else it is an approximation: that a value is missing and that there is a bitmap go together.


def laid_out(columns: list[Column], header: int, with_nulls: int) -> list[tuple[float, int]]:
    """Every row that there may be: its chance and its size."""
    rows = [(1.0, 0, False)]
    for column in columns:
        values = column.lengths or ((0, 1.0),)
        after = []
        for chance, end, null in rows:
            if column.nulls:
                after.append((chance * column.nulls, end, True))
            for length, _weight in values if column.nulls < 1 else ():
                size, to = stored(column, length) if column.length < 0 else (column.length, column.align)
                after.append((chance * (1 - column.nulls) / len(values), align(end, to) + size, null))
        rows = after
    return [(chance, align((with_nulls if null else header) + end)) for chance, end, null in rows]
