"""Ratios, limits, and what the options mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.cadence.upkeep.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Severity
from ansible_collections.cadence.upkeep.plugins.module_utils._host.argspec import ARGUMENT_SPEC
from ansible_collections.cadence.upkeep.plugins.module_utils._host.model import (
    Clock,
    Limits,
    Load,
    Memory,
    Place,
    Policy,
    Pressure,
    Space,
)

DEFAULTS: dict[str, Any] = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
POLICY = Policy.from_params(DEFAULTS)
SIZES = st.integers(min_value=0, max_value=1 << 60)


def test_space_is_counted_as_df_does() -> None:
    # 5 % reserved for root: 80 used of 80 + 15 available, not of 100.
    assert Space(size=100, free=20, available=15).used_ratio == pytest.approx(80 / 95)


def test_only_reserved_blocks_left_is_full() -> None:
    assert Space(size=100, free=5, available=0).used_ratio == 1.0


def test_a_file_system_without_inodes_has_no_share_of_them() -> None:
    assert Space(size=100, free=20, available=20).inodes_used_ratio is None
    used = Space(size=1, free=1, available=1, inodes=10, inodes_free=4, inodes_available=4)
    assert used.inodes_used_ratio == pytest.approx(0.6)


@given(SIZES, SIZES, SIZES)
def test_a_ratio_stays_between_nothing_and_all(size: int, free: int, available: int) -> None:
    assert 0.0 <= Space(size=size, free=free, available=available).used_ratio <= 1.0


@given(SIZES, SIZES)
def test_less_available_is_never_less_full(size: int, available: int) -> None:
    fuller = Space(size=size, free=available // 2, available=available // 2)
    assert fuller.used_ratio >= Space(size=size, free=available, available=available).used_ratio or available > size


def test_memory_that_is_available_beyond_the_limit_does_not_make_less_than_nothing() -> None:
    assert Memory(total=100, available=150).used_ratio == 0.0


@pytest.mark.parametrize(
    ("value", "severity"),
    [(0.79, Severity.OK), (0.8, Severity.WARNING), (0.899, Severity.WARNING), (0.9, Severity.CRITICAL)],
)
def test_the_threshold_itself_counts(value: float, severity: Severity) -> None:
    assert Limits(0.8, 0.9).severity(value) is severity


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_severity_rises_with_the_value_and_falls_with_the_limits(
    low: float, high: float, one: float, two: float
) -> None:
    low, high = sorted((low, high))
    limits = Limits(min(one, two), max(one, two))
    assert limits.severity(low) <= limits.severity(high)
    looser = Limits(limits.warning + 0.1, limits.critical + 0.1)
    assert looser.severity(low) <= limits.severity(low)


def test_what_is_over_or_has_just_begun_does_not_last() -> None:
    assert Pressure("io", "full", 0.9, 0.1).lasting == 0.1
    assert Pressure("io", "full", 0.1, 0.9).lasting == 0.1
    assert Load((8.0, 2.0, 1.0), 2).lasting_per_processor == 1.0
    assert Load((1.0, 8.0, 9.0), 2).lasting_per_processor == 0.5


def test_a_clock_is_kept_when_its_error_has_not_run_away_whatever_the_flag_says() -> None:
    assert Clock(0.03, 0.001, flagged_unsynced=True).synchronized  # chrony without rtcsync
    assert not Clock(16.0, 16.0, flagged_unsynced=False).synchronized


def test_the_place_in_words() -> None:
    assert Place("Linux").where == "here"
    assert Place("Linux", "docker").where == "in this container (docker)"
    assert Place("Linux", "container").where == "in this container"


GB = 1_000_000_000


@pytest.mark.parametrize(
    ("size", "available", "severity"),
    [
        (100 * GB, 11 * GB, Severity.OK),
        (100 * GB, 9 * GB, Severity.WARNING),
        (100 * GB, 4 * GB, Severity.CRITICAL),
        (10 * GB, 6 * GB, Severity.OK),  # no larger than what is wanted free: judged by its share alone
        (8 * GB, 4 * GB, Severity.CRITICAL),  # larger than the critical limit alone
        (5 * GB, 1, Severity.OK),
    ],
)
def test_free_space_in_bytes_is_wanted_where_it_can_be(size: int, available: int, severity: Severity) -> None:
    policy = replace(POLICY, free_warning=10 * GB, free_critical=5 * GB)
    assert policy.free_severity(Space(size=size, free=available, available=available)) is severity


def test_without_a_limit_in_bytes_none_is_judged() -> None:
    assert POLICY.free_severity(Space(size=100, free=0, available=0)) is Severity.OK


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"disk_warning": "80"}, "disk_warning: '80' has no unit"),
        ({"memory_critical": "much"}, "memory_critical: 'much' cannot be read"),
        ({"disk_free_warning": "80%"}, "disk_free_warning: '80%' is a percentage"),
        ({"disk_warning": "95%"}, "disk_warning (95%) is above disk_critical (90%)"),
        ({"load_warning": 5.0}, "load_warning (5.0) is above load_critical (4.0)"),
        ({"disk_free_warning": "1GB", "disk_free_critical": "2GB"}, "disk_free_warning (1GB) is below"),
        ({"timeout": "5"}, "timeout: '5' has no unit"),
        ({"timeout": "0"}, "timeout (0) leaves no time"),
    ],
)
def test_a_mistake_is_named_with_its_option(params: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Policy.from_params({**DEFAULTS, **params})
    assert words in raised.value.message
    assert raised.value.remedy


def test_the_defaults() -> None:
    assert (POLICY.disk, POLICY.inodes) == (Limits(0.8, 0.9), Limits(0.8, 0.9))
    assert (POLICY.memory.warning, POLICY.memory.critical) == pytest.approx((0.85, 0.95))
    assert POLICY.load == Limits(2.0, 4.0)
    assert POLICY.seconds == 5.0
    free = Policy.from_params({**DEFAULTS, "disk_free_warning": "10GiB", "disk_free_critical": "5GiB"})
    assert (free.free_warning, free.free_critical) == (10 << 30, 5 << 30)
