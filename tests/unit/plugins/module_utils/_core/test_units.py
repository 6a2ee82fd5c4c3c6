"""One parser for durations, sizes and percentages; every refusal names the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.units import (
    DURATION,
    PERCENT,
    SIZE,
    format_duration,
    format_size,
    parse_duration,
    parse_percent,
    parse_quantity,
    parse_size,
)
from tests.unit.plugins.module_utils._core.properties import unhurried

PARSERS = (parse_quantity, parse_duration, parse_size, parse_percent)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("5m", 300),
        ("2h", 7200),
        ("30d", 2_592_000),
        ("1w", 604_800),
        ("1h30m", 5400),
        (" 1h 30m ", 5400),
        ("1.5 h", 5400),
        ("0", 0),
        (0, 0),  # YAML's
    ],
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512B", 512),
        ("512KiB", 524_288),
        ("10MiB", 10_485_760),
        ("10MB", 10_000_000),
        ("1kB", 1000),
        ("1.5 GiB", 1_610_612_736),
        ("2TB", 2 * 10**12),
        ("1PiB", 2**50),
        ("0.57kB", 570),  # 569.9999999999999 in binary
        ("0", 0),
    ],
)
def test_a_size_is_read_in_whole_bytes(text, count):
    assert parse_size(text) == count
    assert isinstance(parse_size(text), int)


@pytest.mark.parametrize(("text", "ratio"), [("80%", 0.8), ("12.5%", 0.125), ("0%", 0), ("150 %", 1.5), ("0", 0)])
def test_a_percentage_is_read_as_a_ratio(text, ratio):
    assert parse_percent(text) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("text", "quantity"),
    [("5m", (DURATION, 300.0)), ("5MB", (SIZE, 5e6)), ("5%", (PERCENT, 0.05)), ("0", (DURATION, 0.0))],
)
def test_a_quantity_says_of_which_kind_it_is(text, quantity):
    assert parse_quantity(text) == quantity


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("90", "has no unit"),
        (90, "has no unit"),
        ("1h 30", "has no unit"),
        ("5 minutes", "has the unknown unit 'minutes'"),
        ("5M", "has the unknown unit 'M'"),  # a month, a minute or a megabyte
        ("1e3s", "has the unknown unit 'e'"),
        ("-5m", "cannot be read"),
        (".5h", "cannot be read"),
        ("five", "cannot be read"),
        ("5m!", "cannot be read"),
        ("٣s", "cannot be read"),
        (True, "cannot be read"),
        (None, "cannot be read"),
        ([], "cannot be read"),
        ("9" * 400 + "d", "is too large"),
    ],
)
def test_what_is_no_duration_is_refused_by_name(text, why):
    with pytest.raises(InvalidInput) as caught:
        parse_duration(text)
    written = text if isinstance(text, str) else repr(text)
    assert written.strip()[:20] in caught.value.message
    assert f"{why} where a duration is expected." in caught.value.message
    assert caught.value.remedy == "Write it like 90s, 5m, 2h or 30d."


@pytest.mark.parametrize(
    ("parser", "text", "why"),
    [
        (parse_duration, "10MiB", "is a size"),
        (parse_duration, "80%", "is a percentage"),
        (parse_size, "5m", "is a duration"),
        (parse_percent, "5m", "is a duration"),
        (parse_size, "1GiB 5MiB", "has more than one part"),
        (parse_quantity, "5m 80%", "has more than one part"),
    ],
)
def test_a_quantity_of_another_kind_is_refused(parser, text, why):
    with pytest.raises(InvalidInput, match=re.escape(f"{text!r} {why}")):
        parser(text)


@unhurried
@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary()), st.sampled_from(PARSERS))
def test_whatever_is_written_is_read_or_refused_with_its_name(text, parser):
    refusal = None
    try:
        parser(text)
    except InvalidInput as error:
        refusal = error
    if refusal is not None:
        written = text.strip() if isinstance(text, str) else repr(text)
        assert repr(written)[:50] in refusal.message or repr(f"{written[:60]}…") in refusal.message
        assert refusal.remedy


def test_a_refusal_of_a_long_text_stays_short():
    with pytest.raises(InvalidInput) as caught:
        parse_duration("9" * 100_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "0s"),
        (-0.0001, "0s"),
        (0.004, "4ms"),
        (0.25, "0.25s"),
        (9.999, "10s"),
        (10, "10s"),
        (59.6, "1m"),
        (250, "4m 10s"),
        (3605, "1h"),  # two neighbouring parts at most
        (183_600, "2d 3h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_is_written_for_a_person(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023.7, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1_048_575, "1.0 MiB"),  # not 1024.0 KiB
        (1_610_612_736, "1.5 GiB"),
        (2**60, "1024.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_a_size_is_written_for_a_person(count, text):
    assert format_size(count) == text


@unhurried
@given(st.floats(0, 10**9))
def test_a_written_duration_is_read_back_to_the_digits_shown(seconds):
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.05, abs=0.0051)


@unhurried
@given(st.integers(0, 2**55))
def test_a_written_size_is_read_back_to_the_digits_shown(count):
    assert parse_size(format_size(count)) == pytest.approx(count, rel=0.05)


@unhurried
@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_a_duration_grows_with_its_number(number, unit):
    assert parse_duration(f"{number}{unit}") < parse_duration(f"{number + 1}{unit}")
