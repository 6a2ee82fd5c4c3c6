"""How many pages a builder needs: known sizes, and what must hold for any."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.pages import (
    MOST_ROWS,
    Group,
    btree_pages,
    entry_size,
    group_bytes,
    heap_pages,
    heap_room,
    leaf_room,
    per_page,
    pivot_size,
    plain_leaves,
    posting_capacity,
    rows_a_page,
    shared_leaves,
    spread,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.tuples import Shape
from tests.unit.plugins.module_utils._core.properties import unhurried

INT4_ROW, INT4_ENTRY = Shape(32), Shape(16)
SHAPES = st.builds(Shape, st.integers(3, 250).map(lambda words: 8.0 * words), st.sampled_from([0.0, 64.0, 1e3, 1e4]))
FILLFACTORS = st.integers(10, 100)


def index_pages(rows: float, shape: Shape = INT4_ENTRY, fillfactor: int = 90) -> int:
    return btree_pages(plain_leaves(rows, shape, fillfactor), shape.mean)


# --- sizes that everybody can look up in a server of his own


@pytest.mark.parametrize(("rows", "pages"), [(0, 0), (1, 1), (226, 1), (227, 2), (1_000_000, 4425)])
def test_a_table_of_integers(rows: int, pages: int) -> None:
    assert heap_pages(rows, INT4_ROW) == pages


@pytest.mark.parametrize(("rows", "pages"), [(0, 1), (1, 2), (366, 2), (100_000, 276), (1_000_000, 2745)])
def test_an_index_on_integers(rows: int, pages: int) -> None:
    assert index_pages(rows) == pages


def test_the_shortest_rows_are_as_many_as_a_page_has_pointers_for() -> None:
    assert rows_a_page(Shape(24)) == MOST_ROWS == 291


@pytest.mark.parametrize(("fillfactor", "rows"), [(100, 226), (90, 204), (70, 158), (50, 113), (10, 22)])
def test_the_fillfactor_of_a_table_keeps_its_share_free(fillfactor: int, rows: int) -> None:
    assert rows_a_page(INT4_ROW, fillfactor) == rows
    assert heap_room(fillfactor) == 8168 - 8192 * (100 - fillfactor) // 100


def test_a_row_that_is_larger_than_what_the_fillfactor_leaves_gets_a_page() -> None:
    assert rows_a_page(Shape(2000), 10) == 1
    assert heap_pages(7, Shape(8000)) == 7


@pytest.mark.parametrize(("fillfactor", "entries"), [(100, 406), (90, 366), (70, 284), (60, 243)])
def test_the_fillfactor_of_an_index_keeps_its_share_free(fillfactor: int, entries: int) -> None:
    assert plain_leaves(1000 * entries, INT4_ENTRY, fillfactor) == 1000
    assert leaf_room(fillfactor) == 8144 - 8192 * (100 - fillfactor) // 100


def test_large_keys_make_many_inner_pages() -> None:
    assert btree_pages(1, 16) == 2  # the metapage and the root, which is the leaf
    assert btree_pages(284, 16) == 1 + 284 + 1
    assert btree_pages(285, 16) == 1 + 285 + 2 + 1
    assert btree_pages(100, 1000) == 1 + 100 + 17 + 3 + 1


# --- what all rows are not alike means


def test_rows_of_different_sizes_leave_more_at_the_end_of_a_page() -> None:
    assert per_page(Shape(1028), 8168) == 7
    assert 7 < per_page(Shape(1028, 300.0**2), 8168) < 7.5
    assert per_page(Shape(36, 8.0**2), 8168) == pytest.approx(8168 / 40, rel=0.01)


@pytest.mark.parametrize(("mean", "deviation"), [(500, 5), (500, 150), (1000, 300), (1500, 10), (120, 60)])
def test_the_mean_is_what_a_page_by_page_try_gives(mean: int, deviation: int) -> None:
    chance = random.Random(7)
    sizes = [max(24, 8 * round(chance.gauss(mean, deviation) / 8)) for _ in range(40_000)]
    pages, used = 1, 0
    for size in sizes:
        if used + size + 4 > 8168:
            pages, used = pages + 1, 0
        used += size + 4
    average = sum(sizes) / len(sizes)
    variance = sum((size - average) ** 2 for size in sizes) / len(sizes)
    assert heap_pages(len(sizes), Shape(average, variance)) == pytest.approx(pages, rel=0.015)


def test_toast_sees_to_it_that_four_rows_fit() -> None:
    assert rows_a_page(Shape(1900, 100.0**2)) == 4


# --- entries that are shared


@pytest.mark.parametrize(("size", "capacity"), [(16, 132), (24, 130), (104, 117), (800, 1), (808, 1)])
def test_a_posting_list_has_its_limit(size: int, capacity: int) -> None:
    assert posting_capacity(size) == capacity
    assert entry_size(size, capacity) <= 812 or capacity == 1


def test_one_key_takes_full_entries_and_a_rest() -> None:
    assert group_bytes(Group(1, 1, 16)) == (20, 1)
    assert group_bytes(Group(1, 2, 16)) == (36, 1)  # 16 + 2 * 6, aligned, and the pointer
    assert group_bytes(Group(1, 132, 16)) == (812, 1)
    assert group_bytes(Group(1, 133, 16)) == (832, 2)
    assert group_bytes(Group(1, 2.5, 16)) == (40, 1)  # half of them have two rows, half have three
    assert group_bytes(Group(1, 2, 16, even=False))[0] < 36


def test_full_entries_fill_a_page_in_the_builder_s_way() -> None:
    # Nine of 812 bytes; the tenth would fit, but makes the page full and moves on.
    assert shared_leaves([Group(1, 1_188_000, 16)]) == 1000
    assert shared_leaves([]) == 0


@pytest.mark.parametrize("mean", [1.0, 1.3, 2.0, 5.0, 39.0])
def test_rows_that_fall_upon_keys_by_chance(mean: float) -> None:
    chances = spread(mean)
    assert sum(chance for _rows, chance in chances) == pytest.approx(1)
    assert sum(rows * chance for rows, chance in chances) == pytest.approx(mean, rel=1e-3)


def test_inner_pages_have_as_many_columns_as_tell_neighbours_apart() -> None:
    assert pivot_size([16, 32, 48], [10, 5000, 5000], 5000) == 32
    assert pivot_size([16, 32], [10, 100], 5000) == 40  # the place of the row is added
    assert pivot_size([13.5], [5000], 5000) == 16


# --- what must hold for any


@unhurried
@given(st.floats(0, 1e7), st.floats(0, 1e7), SHAPES, FILLFACTORS)
def test_more_rows_never_need_less(rows: float, more: float, shape: Shape, fillfactor: int) -> None:
    assert heap_pages(rows, shape, fillfactor) <= heap_pages(rows + more, shape, fillfactor)
    assert index_pages(rows, shape, fillfactor) <= index_pages(rows + more, shape, fillfactor)


@unhurried
@given(st.integers(0, 10**6), SHAPES, st.integers(1, 40))
def test_larger_rows_never_need_less(rows: int, shape: Shape, words: int) -> None:
    larger = Shape(shape.mean + 8 * words, shape.variance)
    assert heap_pages(rows, shape) <= heap_pages(rows, larger) or shape.variance
    assert index_pages(rows, Shape(shape.mean)) <= index_pages(rows, Shape(larger.mean))


@unhurried
@given(st.integers(0, 10**6), SHAPES, FILLFACTORS, st.integers(0, 90))
def test_a_higher_fillfactor_never_needs_more(rows: int, shape: Shape, fillfactor: int, more: int) -> None:
    higher = min(100, fillfactor + more)
    assert heap_pages(rows, shape, higher) <= heap_pages(rows, shape, fillfactor)
    assert index_pages(rows, shape, higher) <= index_pages(rows, shape, fillfactor)


@unhurried
@given(st.integers(1, 10**6), SHAPES)
def test_pages_are_never_more_than_full(rows: int, shape: Shape) -> None:
    assert heap_pages(rows, shape) * 8168 >= rows * (shape.mean + 4) * 0.999 or shape.variance


GROUPS = st.lists(
    st.builds(
        Group,
        st.integers(1, 20_000).map(float),
        st.floats(1, 5000),
        st.sampled_from([16, 24, 40, 112]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@unhurried
@given(GROUPS)
def test_to_share_entries_saves_room_and_no_more_than_the_keys(groups: list[Group]) -> None:
    rows = sum(group.number * group.rows for group in groups)
    leaves = shared_leaves(groups)
    apart = sum(plain_leaves(group.number * group.rows, Shape(group.size)) for group in groups)
    assert leaves <= apart * 1.02 + 1
    assert leaves * 8144 >= rows * 6 * 0.99


@unhurried
@given(st.floats(60, 3000), st.sampled_from([16, 24, 40]), st.integers(2000, 50_000))
def test_a_few_more_keys_do_not_make_a_jump(rows: float, size: int, number: int) -> None:
    few, more = shared_leaves([Group(number, rows, size)]), shared_leaves([Group(number * 1.01, rows, size)])
    assert few <= more <= few * 1.02 + 2
