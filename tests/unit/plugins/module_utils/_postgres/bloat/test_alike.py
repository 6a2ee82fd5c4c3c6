"""How many rows have the same key, from statistics of which the truth is known."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.alike import (
    Level,
    Sample,
    column_levels,
    groups_of,
    joint_levels,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._postgres.bloat.model import Key
from tests.unit.plugins.module_utils._core.properties import unhurried


def number_of(levels: list[Level]) -> float:
    return sum(level.number for level in levels)


def share_of(levels: list[Level]) -> float:
    return sum(level.number * level.share for level in levels)


def analysed(values: list[Any], sample: Sample, target: int = 100) -> Key:
    """What ANALYZE would say of a sample without nulls: its estimate of distinct values, and the common ones."""
    counts = Counter(values)
    seen, once = len(counts), sum(1 for count in counts.values() if count == 1)
    looked_at, rows = len(values), sample.rows
    distinct = looked_at * seen / (looked_at - once + once * looked_at / rows)
    average = looked_at / distinct
    # By chance a value may be seen more often than it is common.
    least = average + 4 * math.sqrt(average) + 2
    common = [count / looked_at for _value, count in counts.most_common(target) if count > least]
    return Key(-distinct / rows if distinct > 0.1 * rows else distinct, 0.0, tuple(common))


# --- one column -------------------------------------------------------------------------------------------------------


def test_a_column_without_duplicates_has_a_row_a_value() -> None:
    levels = column_levels(Key(-1.0), Sample(100_000, 30_000))
    assert number_of(levels) == pytest.approx(100_000)


def test_few_values_are_all_common_ones() -> None:
    levels = column_levels(Key(2, 0.0, (0.7, 0.3)), Sample(100_000, 30_000))
    assert levels == [Level(1, 0.7), Level(1, 0.3)]
    assert number_of(column_levels(Key(1), Sample(1000, 1000))) == 1


def test_nulls_are_a_value_of_their_own() -> None:
    null, *others = column_levels(Key(-0.1, 0.9), Sample(100_000, 30_000), bit=3)
    assert null == Level(1, 0.9, nulls=8)
    assert number_of(others) == pytest.approx(10_000)
    assert column_levels(Key(0, 1.0), Sample(100_000, 30_000)) == [Level(1, 1.0, nulls=1)]


@pytest.mark.parametrize("each", [2, 3, 10, 500])
def test_even_values_are_counted_right(each: int) -> None:
    rows = 120_000
    sample = Sample(rows, 30_000)
    values = [value // each for value in random.Random(1).sample(range(rows), 30_000)]
    even, chance = column_levels(analysed(values, sample), sample)[-2:]
    assert even.even
    assert 2 * even.number == pytest.approx(rows / each, rel=0.05)
    assert chance.number == pytest.approx(even.number, rel=0.35)


def test_values_beside_very_common_ones_are_counted_right() -> None:
    """80 % of the rows have three values, the others are all different; ANALYZE says 7000 and means 30 000."""
    rows, draw = 150_000, random.Random(2)
    column = [row % 3 if row % 10 < 8 else row for row in range(rows)]
    sample = Sample(rows, 30_000)
    key = analysed(draw.sample(column, 30_000), sample)
    assert key.distinct < 10_000
    assert number_of(column_levels(key, sample)) == pytest.approx(30_003, rel=0.03)


def test_values_that_get_rarer_and_rarer_are_counted_about_right() -> None:
    rows, draw = 200_000, random.Random(3)
    column = [int(1 / (draw.random() * 0.01 + 0.00001)) for _row in range(rows)]
    sample = Sample(rows, 30_000)
    key = analysed(draw.sample(column, 30_000), sample)
    assert len(key.common) == 100
    found = number_of(column_levels(key, sample))
    assert found == pytest.approx(len(set(column)), rel=0.5)
    assert key.distinct < 0.5 * len(set(column)), "else it would need no correction"


# --- several columns --------------------------------------------------------------------------------------------------

TWENTY, MANY = [Level(20, 1 / 20)], [Level(1000, 1 / 1000)]


def test_independent_columns_multiply() -> None:
    (level,) = joint_levels([TWENTY, MANY], 1e6)
    assert (level.number, level.share) == (pytest.approx(20_000), pytest.approx(1 / 20_000))


def test_there_are_never_more_keys_than_rows() -> None:
    unique = [Level(5000, 1 / 5000)]
    assert number_of(joint_levels([TWENTY, unique, MANY], 5000)) == pytest.approx(5000)


def test_what_was_counted_counts() -> None:
    assert joint_levels([TWENTY, MANY], 1e6, 1000) == [Level(1000, 1 / 1000, even=False)]
    assert joint_levels([TWENTY, MANY], 500, 1000) == [Level(500, 1 / 500, even=False)]


def test_keys_know_which_of_their_columns_are_null() -> None:
    one = [Level(1, 0.5, nulls=1), Level(10, 0.05)]
    two = [Level(1, 0.5, nulls=2), Level(10, 0.05)]
    assert {level.nulls for level in joint_levels([one, two], 1e6)} == {0, 1, 2, 3}


def test_groups_have_the_size_of_their_nulls() -> None:
    groups = groups_of([Level(1, 0.5, nulls=1), Level(10, 0.05)], 1000, {0: 20.0, 1: 16.0})
    assert [(group.number, group.rows, group.size) for group in groups] == [
        (1, 500, 16),
        (5, 50, 16),  # a mean of 20 bytes: half of them have 16, half have 24
        (5, 50, 24),
    ]


# --- what must hold for any


@st.composite
def keys(draw: Any, rows: float) -> Key:
    nulls = draw(st.sampled_from([0.0, 0.0, 0.3, 0.95, 1.0]))
    parts = draw(st.lists(st.floats(0.001, 1), max_size=100))
    scale = (1 - nulls) * draw(st.floats(0, 0.999)) / max(sum(parts), 1e-9)
    distinct = draw(st.one_of(st.floats(-1, -0.0001), st.floats(1, rows)))
    return Key(distinct, nulls, tuple(part * scale for part in parts))


@st.composite
def columns(draw: Any) -> tuple[float, list[list[Level]]]:
    rows = draw(st.sampled_from([1.0, 500.0, 30_000.0, 1e6, 1e9]))
    sample = Sample(rows, min(rows, 30_000))
    count = draw(st.integers(1, 3))
    return rows, [column_levels(draw(keys(rows)), sample, bit) for bit in range(count)]


@unhurried
@given(columns())
def test_every_row_has_a_key(given_: tuple[float, list[list[Level]]]) -> None:
    rows, levels = given_
    for column in levels:
        assert share_of(column) == pytest.approx(1, rel=1e-3)
        assert all(level.share > 0 and level.number > 0 for level in column)
    joint = joint_levels(levels, rows)
    assert share_of(joint) == pytest.approx(1, rel=1e-2)
    groups = groups_of(joint, rows, dict.fromkeys(range(8), 20.0))
    assert sum(group.number * group.rows for group in groups) == pytest.approx(rows, rel=1e-2)
    assert all(group.rows >= 1 for group in groups)
    assert len(joint) <= 61 * 61 * 61


@unhurried
@given(columns())
def test_one_more_column_never_makes_fewer_keys(given_: tuple[float, list[list[Level]]]) -> None:
    rows, levels = given_
    sizes = dict.fromkeys(range(8), 16.0)
    numbers = [
        sum(group.number for group in groups_of(joint_levels(levels[:count], rows), rows, sizes))
        for count in range(1, len(levels) + 1)
    ]
    assert all(fewer <= more * 1.02 + 1 for fewer, more in pairwise(numbers))
    assert numbers[-1] <= rows * 1.02 + 1 or math.isclose(numbers[-1], rows, rel_tol=0.02)
