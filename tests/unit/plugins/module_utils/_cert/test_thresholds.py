"""The sooner of days and percent: one function, for a certificate of a day as for one of ten years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._cert.thresholds import (
    Limit,
    parse_limit,
    renewal,
    threshold,
)
from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600, 86400
WARNING, CRITICAL = ("30d", "25%"), ("7d", "10%")


def limits(texts: tuple[str, ...]) -> list[Limit]:
    return [parse_limit(text) for text in texts]


@pytest.mark.parametrize(
    ("lifetime", "warning", "critical"),
    [
        (timedelta(days=3652), 30 * DAY, 7 * DAY),
        (timedelta(days=398), 30 * DAY, 7 * DAY),
        (timedelta(days=90), 22.5 * DAY, 7 * DAY),
        (timedelta(days=47), 11.75 * DAY, 4.7 * DAY),
        (timedelta(hours=160), 40 * HOUR, 16 * HOUR),
        (timedelta(hours=24), 6 * HOUR, 2.4 * HOUR),
        (timedelta(0), 0, 0),
        (timedelta(days=-1), 0, 0),  # ends before it begins: such certificates exist
    ],
)
def test_the_sooner_of_days_and_percent_counts(lifetime: timedelta, warning: float, critical: float) -> None:
    end = START + lifetime
    assert threshold(START, end, limits(WARNING)) == pytest.approx(warning)
    assert threshold(START, end, limits(CRITICAL)) == pytest.approx(critical)


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (("36h",), 36 * HOUR),
        (("90m",), 5400),
        (("12.5%",), 11.25 * DAY),
        (("100%",), 90 * DAY),
        (("1d12h",), 36 * HOUR),
        (("0",), 0),
        ((), 0),
        (("400d",), 400 * DAY),  # longer than it lives: always reached
    ],
)
def test_limits_are_durations_and_shares(texts: tuple[str, ...], seconds: float) -> None:
    assert threshold(START, START + timedelta(days=90), limits(texts)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30", "'30' has no unit"),
        ("30x", "'30x' has the unknown unit 'x'"),
        ("10MiB", "'10MiB' is a size"),
        ("101%", "'101%' is more than the whole lifetime"),
        ("%", "'%' cannot be read"),
        ("", "'' is empty"),
        ("soon", "'soon' cannot be read"),
        ("4000000d", "'4000000d' is more than a thousand years"),
    ],
)
def test_a_limit_that_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_limit(text)
    assert words in raised.value.message
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("lifetime", "renew_at", "left"),
    [
        (timedelta(days=90), None, timedelta(days=30)),
        (timedelta(days=47), None, timedelta(days=47) / 3),
        (timedelta(days=10), None, timedelta(days=10) / 3),
        (timedelta(hours=160), None, timedelta(hours=80)),  # certbot: half, below ten days
        (timedelta(days=90), "20d", timedelta(days=20)),
        (timedelta(days=90), "50%", timedelta(days=45)),
        (timedelta(days=90), "200d", timedelta(days=90)),  # due from its first instant
        (timedelta(days=90), "300000d", timedelta(days=90)),
        (timedelta(days=-1), "10d", timedelta(0)),
    ],
)
def test_renewal_is_due_by_the_rule_of_certbot_or_ones_own(
    lifetime: timedelta, renew_at: str | None, left: timedelta
) -> None:
    end = START + lifetime
    assert renewal(START, end, None if renew_at is None else parse_limit(renew_at)) == end - left


LIMITS = st.lists(
    st.one_of(
        st.floats(0, 4000 * DAY).map(lambda seconds: Limit(seconds=seconds)),
        st.floats(0, 1).map(lambda share: Limit(share=share)),
    ),
    min_size=1,
    max_size=4,
)


@given(LIMITS, st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_one_more_limit_never_makes_it_earlier(several: list[Limit], lifetime: timedelta) -> None:
    end = START + lifetime
    alone = [threshold(START, end, [limit]) for limit in several]
    assert threshold(START, end, several) == min(alone)
    assert threshold(START, end, several) <= threshold(START, end, several[:1])
    assert threshold(START, end, several) >= 0
