"""Maintenance windows: what opens them, and how long they stay open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.window import parse_window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "instant", "left"),
    [
        ("02:00-05:00", "2026-11-22 01:59:59", None),
        ("02:00-05:00", "2026-11-22 02:00:00", 3 * 3600),
        ("02:00-05:00", "2026-11-22 04:59:59", 1),
        ("02:00-05:00", "2026-11-22 05:00:00", None),
        ("22:00-04:00", "2026-11-22 23:00:00", 5 * 3600),
        ("22:00-04:00", "2026-11-22 03:00:00", 3600),
        ("22:00-04:00", "2026-11-22 12:00:00", None),
        ("00:00-00:00", "2026-11-22 12:00:00", 12 * 3600),  # all day
        ("sun 03:00-04:00", "2026-11-22 03:30:00", 1800),
        ("SUN 03:00-04:00 utc", "2026-11-22 03:30:00", 1800),
        ("sun 03:00-04:00", "2026-11-23 03:30:00", None),
        ("sat 22:00-04:00", "2026-11-22 03:00:00", 3600),  # the night belongs to the Saturday
        ("sun 22:00-04:00", "2026-11-22 03:00:00", None),
        ("sat,sun 10:00-11:00", "2026-11-21 10:00:00", 3600),
        ("first sun 02:00-05:00", "2026-11-01 02:00:00", 3 * 3600),
        ("first sun 02:00-05:00", "2026-11-08 02:00:00", None),
        ("second sun 02:00-05:00", "2026-11-08 02:00:00", 3 * 3600),
        ("first sat 22:00-04:00", "2026-11-08 03:00:00", 3600),
        ("02:00-05:00 Europe/Berlin", "2026-11-22 01:00:00", 3 * 3600),
        ("02:00-05:00 Europe/Berlin", "2026-07-22 00:00:00", 3 * 3600),
        # The clocks go back at 03:00 on that night: the window is an hour longer.
        ("02:00-05:00 Europe/Berlin", "2026-10-25 00:00:00", 4 * 3600),
    ],
)
def test_how_long_a_window_stays_open(window: str, instant: str, left: float | None) -> None:
    assert parse_window(window).left(at(instant)) == left


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no maintenance window"),
        ("nightly", "is no maintenance window"),
        ("2-5", "is no maintenance window"),
        ("24:00-05:00", "there is no 24:00"),
        ("02:61-05:00", "there is no 02:61"),
        ("sum 02:00-05:00", "'sum' is no day of the week"),
        ("last sun 02:00-05:00", "'last' is none of first to fourth"),
        ("02:00-05:00 Mars/Base", "no zone 'Mars/Base'"),
        ("02:00-05:00 ../etc", "no zone"),
        (None, "'None' is no maintenance window"),
    ],
)
def test_what_is_no_window_is_named(text: object, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_window(text)
    assert words in refused.value.message
    assert "02:00-05:00" in refused.value.remedy


@given(
    st.times(),
    st.times(),
    st.integers(min_value=0, max_value=6),
    st.integers(min_value=10**9, max_value=4 * 10**9),
)
def test_a_window_is_open_for_its_length_and_then_closed(start, end, day, instant) -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    window = parse_window(f"{days[day]} {start:%H:%M}-{end:%H:%M}")
    moment = datetime.fromtimestamp(instant, UTC)
    left = window.left(moment)
    if left is None:
        return
    assert 0 < left <= 86400
    assert window.left(moment + timedelta(seconds=left)) is None or (start.hour, start.minute) == (end.hour, end.minute)
    assert window.left(moment + timedelta(seconds=left / 2)) is not None
