"""How sizes go on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.trend import trend
from tests.unit.plugins.module_utils._backup.samples import DAY, NOW


def test_a_line_is_found_and_goes_on() -> None:
    line = trend([(NOW - n * DAY, 1000.0 - 10 * n) for n in range(30)])
    assert line is not None
    assert (round(line.per_day, 6), round(line.now, 6), line.spread) == (10.0, 1000.0, pytest.approx(0, abs=1e-6))
    assert line.after(30) == pytest.approx(1300)


def test_one_odd_backup_does_not_turn_the_line() -> None:
    values = [(NOW - n * DAY, 1000.0 - 10 * n) for n in range(30)]
    values[0] = (NOW, 9e9)
    line = trend(values)
    assert line is not None
    assert line.per_day == pytest.approx(10, rel=0.2)


def test_too_little_says_nothing() -> None:
    assert trend([(NOW - n * DAY, 1.0) for n in range(4)]) is None
    assert trend([(NOW, 1.0)] * 9) is None
    assert trend([]) is None


def test_a_series_that_shrinks_is_never_forecast_below_nothing() -> None:
    line = trend([(NOW - n * DAY, 100.0 + 50 * n) for n in range(9)])
    assert line is not None
    assert line.after(90) == 0


@given(st.lists(st.floats(0, 1e12), min_size=5, max_size=40))
def test_the_order_does_not_matter(sizes: list[float]) -> None:
    values = [(NOW - n * DAY, size) for n, size in enumerate(sizes)]
    assert trend(values) == trend(random.Random(1).sample(values, len(values)))
