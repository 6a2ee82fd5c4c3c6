"""Instants are aware and UTC; what is not clearly one is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.times import (
    CADENCES,
    parse_rfc3339,
    period_of,
    rfc3339,
    utc_now,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-1439, 1439))
EVENING = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-5)))


def test_now_is_aware_and_in_utc():
    assert utc_now().utcoffset() == timedelta(0)
    assert abs(utc_now().timestamp() - datetime.now().astimezone().timestamp()) < 5


def test_an_instant_is_written_in_utc_to_the_second():
    assert rfc3339(EVENING.replace(second=59, microsecond=999_999)) == "2026-11-23T04:30:59Z"


def test_a_year_has_four_digits():
    assert rfc3339(datetime(1, 1, 1, tzinfo=timezone.utc)) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("reader", [rfc3339, lambda instant: period_of("daily", instant)])
def test_a_time_without_zone_is_refused_rather_than_taken_for_local(reader):
    with pytest.raises(ValueError, match="no time zone"):
        reader(datetime(2026, 11, 22))  # noqa: DTZ001  # a naive time is what is tested


@unhurried
@given(st.datetimes(timezones=ZONES, min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001  # the zone is drawn too
def test_what_was_written_is_read_back(instant):
    assert parse_rfc3339(rfc3339(instant)) == instant.astimezone(timezone.utc).replace(microsecond=0)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-22T04:13:00Z", 0),
        ("2026-11-22t04:13:00z", 0),
        ("2026-11-22 04:13:00Z", 0),
        ("2026-11-22T05:13:00+01:00", 0),
        ("2026-11-22T04:13:00.5Z", 500_000),  # Python 3.9 alone wants three digits or six
        ("2026-11-22T04:13:00.123456789Z", 123_456),
    ],
)
def test_every_form_of_rfc_3339_is_read(text, microsecond):
    assert parse_rfc3339(text) == datetime(2026, 11, 22, 4, 13, 0, microsecond, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-22",
        "20261122T041300Z",  # Python 3.11 would read it, 3.9 would not
        "2026-W47-7T04:13:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T04:13:60Z",
        "2026-11-22T04:13:00Z\n",
        "0001-01-01T00:00:00+01:00",
        None,
        1763784780,
    ],
)
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(InvalidInput) as caught:
        parse_rfc3339(text)
    assert "is not an instant" in caught.value.message
    assert str(text)[:5] in caught.value.message


def test_an_instant_without_zone_is_refused():
    with pytest.raises(InvalidInput, match="'2026-11-22T04:13:00' has no time zone"):
        parse_rfc3339("2026-11-22T04:13:00")


@pytest.mark.parametrize(
    ("cadence", "instant", "period"),
    [
        ("daily", "2026-11-22T23:59:59Z", "2026-11-22"),
        ("daily", "2026-11-22T23:59:59-05:00", "2026-11-23"),  # in UTC, wherever the host is
        ("weekly", "2026-11-22T23:59:59Z", "2026-W47"),  # Sunday is the last day of its week
        ("weekly", "2026-11-23T00:00:00Z", "2026-W48"),
        ("weekly", "2027-01-01T00:00:00Z", "2026-W53"),  # the year of a week may be another
        ("monthly", "2026-01-31T00:00:00Z", "2026-01"),
        ("quarterly", "2026-03-31T23:59:59Z", "2026-Q1"),
        ("quarterly", "2026-04-01T00:00:00Z", "2026-Q2"),
        ("quarterly", "2026-12-31T23:59:59Z", "2026-Q4"),
        ("yearly", "2026-12-31T23:59:59Z", "2026"),
    ],
)
def test_a_period_is_named_after_the_calendar_in_utc(cadence, instant, period):
    assert period_of(cadence, parse_rfc3339(instant)) == period


@unhurried
@given(st.sampled_from(CADENCES), st.datetimes(timezones=st.just(timezone.utc)), st.integers(0, 400))
def test_periods_follow_one_another_and_never_come_back(cadence, instant, days):
    if instant.year < 9000:
        later = instant + timedelta(days=days)
        assert period_of(cadence, later) >= period_of(cadence, instant)


def test_an_unknown_cadence_is_refused_with_those_that_exist():
    with pytest.raises(InvalidInput) as caught:
        period_of("fortnightly", EVENING)
    assert str(caught.value) == "'fortnightly' is no cadence. Use one of daily, weekly, monthly, quarterly, yearly."
