"""What a retention keeps: by examples, and by rules that hold whatever the backups."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._backup.model import Keep
from ansible_collections.cadence.upkeep.plugins.module_utils._backup.retention import retained
from tests.unit.plugins.module_utils._backup.samples import DAY, HOUR, NOW

NIGHTS = [NOW - n * DAY for n in range(400)]
INSTANTS = st.lists(st.integers(0, 1000 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes)), max_size=60)
KEEPS = st.builds(Keep, *(st.integers(0, 8),) * 5)


def test_each_rule_keeps_the_newest_of_its_periods() -> None:
    verdict = retained(NIGHTS, Keep(last=2, daily=7, weekly=4, monthly=12, yearly=2), UTC)
    assert verdict.missing == ()
    kept = [NIGHTS[index] for index in sorted(verdict.kept)]
    assert kept[:7] == NIGHTS[:7]
    assert {instant.strftime("%Y-%m") for instant in kept} >= {"2025-12", "2026-01", "2026-11"}
    assert len(kept) == 21  # 7 days, 3 more weeks, 11 more months, and the year before is one of those
    assert len(verdict.kept) + len(verdict.surplus) == 400
    assert verdict.why[0] == "last"


def test_a_missing_night_is_named() -> None:
    nights = [NIGHTS[n] for n in range(10) if n != 3]
    verdict = retained(nights, Keep(daily=7), UTC)
    assert verdict.missing == ("daily 2026-11-19",)
    assert (verdict.expected, len(verdict.kept), len(verdict.surplus)) == (7, 6, 3)


def test_a_young_series_lacks_nothing() -> None:
    verdict = retained(NIGHTS[:3], Keep(daily=7, weekly=4, monthly=12), UTC)
    assert (verdict.missing, verdict.surplus) == ((), ())
    assert retained([], Keep(daily=7)).expected == 0


def test_a_weekly_series_at_the_end_of_a_month_lacks_nothing() -> None:
    weekly = [datetime(2026, 11, 29, 2, tzinfo=UTC) - n * 7 * DAY for n in range(60)]
    assert retained(weekly, Keep(weekly=8, monthly=12, yearly=2), UTC).missing == ()


def test_days_are_those_of_the_zone_and_leap_days_and_switches_are_days() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for day in ((2026, 3, 31), (2026, 10, 28), (2028, 3, 3)):
        start = datetime(*day, 0, 30, tzinfo=berlin)
        nights = [(start - n * DAY).astimezone(UTC) for n in range(12)]
        assert retained(nights, Keep(daily=12), berlin).missing == ()
        assert len(retained(nights, Keep(daily=12), berlin).kept) == 12


@given(INSTANTS, KEEPS)
def test_the_newest_is_never_removed_and_the_order_does_not_matter(instants: list[datetime], keep: Keep) -> None:
    verdict = retained(instants, keep, UTC)
    assert sorted([*verdict.kept, *verdict.surplus]) == list(range(len(instants)))
    if instants and any(vars(keep).values()):
        assert max(instants) in [instants[index] for index in verdict.kept]
    shuffled = random.Random(7).sample(instants, len(instants))
    again = retained(shuffled, keep, UTC)
    assert sorted(instants[index] for index in verdict.kept) == sorted(shuffled[index] for index in again.kept)


@given(INSTANTS, KEEPS)
def test_what_is_left_after_pruning_is_kept_again(instants: list[datetime], keep: Keep) -> None:
    left = [instants[index] for index in retained(instants, keep, UTC).kept]
    assert retained(left, keep, UTC).surplus == ()


@given(INSTANTS, KEEPS, st.sampled_from(["last", "daily", "weekly", "monthly", "yearly"]))
def test_keeping_more_removes_nothing_more(instants: list[datetime], keep: Keep, rule: str) -> None:
    more = Keep(**{**vars(keep), rule: getattr(keep, rule) + 1})
    assert set(retained(instants, keep, UTC).kept) <= set(retained(instants, more, UTC).kept)


@pytest.mark.parametrize("hours", [1, 6])
def test_several_a_day_count_once_a_day(hours: int) -> None:
    often = [NOW - n * hours * HOUR for n in range(24 * 3 // hours)]
    verdict = retained(often, Keep(daily=3), UTC)
    assert {often[index].date() for index in verdict.kept} == {(NOW - n * DAY).date() for n in range(3)}


def test_a_policy_of_nothing_keeps_nothing() -> None:
    assert retained(NIGHTS[:5], Keep()).kept == ()
    assert retained(NIGHTS[:5], Keep(last=3)).kept == (0, 1, 2)
